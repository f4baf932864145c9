"""``make offline``: the built site and the notebooks in one zip, to be unpacked and read with no network.

python -m press.publish.offline
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import yaml

from press.project import ProjectError, chapters
from press.publish.common import deliver, front, put
from wsss_lib.files import writing

NAME = "from-labels-to-masks"
LEFT_OUT = (".buildinfo", "objects.inv")
README = """\
{title}

Open START-HERE.html with a browser: every page, figure, formula and control works from this folder, with no network
and no server. The search lists its hits without excerpts, because a browser lets no page read another from a folder.

notebooks/ holds the chapters with their outputs. To run one, install the library (its address is behind the button at
the top of each page), then open the notebook in Jupyter; `pip install wsss-lib` is all that a chapter asks for.

{licence}
"""


def write(root: Path, target: Path | None = None) -> Path:
    """Pack the built book.

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
    settings = yaml.safe_load((root / "_config.yml").read_bytes())
    title, licence = settings["title"], settings.get("html", {}).get("extra_footer", "")
    target = target or root / "_build" / f"{NAME}.zip"
    files = {f"site/{path.relative_to(site)}": path for path in sorted(site.rglob("*")) if path.is_file()}
    files |= {f"notebooks/{path.name}": path for path in chapters(root)}
    start = front(title, ", to be read with no network.", "site/book/welcome.html")
    with writing(target) as partial, zipfile.ZipFile(partial, "w") as packed:
        put(packed, f"{NAME}/README.txt", README.format(title=title, licence=licence).encode())
        put(packed, f"{NAME}/START-HERE.html", start.encode())
        for name, path in files.items():
            if path.name not in LEFT_OUT:
                put(packed, f"{NAME}/{name}", path.read_bytes())
    return target


def main() -> int:
    """Write the zip and say where it is."""
    return deliver("offline", write, "Unpack {} and open START-HERE.html")


if __name__ == "__main__":
    raise SystemExit(main())
