"""``make offline``: the built site and the notebooks in one zip, to be unpacked and read with no network.

python -m wsss_lib.notebooks.offline
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

from wsss_lib.notebooks.build import load_yaml
from wsss_lib.notebooks.project import ProjectError, chapters, find_root

NAME = "from-labels-to-masks"
LEFT_OUT = (".buildinfo", "objects.inv")
EPOCH = (1980, 1, 1, 0, 0, 0)
README = """\
{title}

Open START-HERE.html with a browser: every page, figure, formula and control works from this folder, with no network
and no server. The search lists its hits without excerpts, because a browser lets no page read another from a folder.

notebooks/ holds the chapters with their outputs. To run one, install the library (its address is behind the button at
the top of each page), then open the notebook in Jupyter; `pip install wsss-lib` is all that a chapter asks for.

{licence}
"""
START = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<meta name="description" content="{title}, to be read with no network.">
<meta http-equiv="Refresh" content="0; url=site/book/welcome.html">
</head>
<body><p><a href="site/book/welcome.html">{title}</a></p></body>
</html>
"""


def write(root: Path, target: Path | None = None) -> Path:
    """Pack the built book.

    The same site gives the same bytes: names are sorted, and times are left out.

    Args:
        root: The clone; the book must have been built.
        target: The zip; ``_build/from-labels-to-masks.zip`` by default.

    Returns:
        ``target``.

    Raises:
        ProjectError: The book has not been built.
    """
    site = root / "_build" / "html"
    if not (site / "index.html").is_file():
        raise ProjectError("the book has not been built: run `make book` first")
    settings = load_yaml((root / "_config.yml").read_text(encoding="utf-8"))
    about = {"title": settings["title"], "licence": settings.get("html", {}).get("extra_footer", "")}
    files = {
        f"site/{path.relative_to(site).as_posix()}": path
        for path in site.rglob("*")
        if path.is_file() and path.name not in LEFT_OUT
    }
    files |= {f"notebooks/{path.name}": path for path in chapters(root)}
    target = target or root / "_build" / f"{NAME}.zip"
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
        _put(packed, "README.txt", README.format(**about).encode())
        _put(packed, "START-HERE.html", START.format(**about).encode())
        for name in sorted(files):
            _put(packed, name, files[name].read_bytes())
    os.replace(partial, target)
    return target


def _put(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(f"{NAME}/{name}", EPOCH)
    entry.external_attr = 0o644 << 16
    packed.writestr(entry, content, zipfile.ZIP_DEFLATED)


def main() -> int:
    """Write the zip and say where it is."""
    try:
        target = write(find_root())
    except ProjectError as error:
        print(f"make offline: {error}", file=sys.stderr)
        return 1
    print(f"Unpack {target} ({target.stat().st_size / 1e6:.1f} MB) and open START-HERE.html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
