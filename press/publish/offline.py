"""``make offline``: the built site and the notebooks in one zip, to be unpacked and read with no network.

python -m press.publish.offline
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import yaml

from press.project import ProjectError, chapters
from press.publish.common import deliver, front

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
    with tempfile.TemporaryDirectory(dir=root / "_build") as work:
        folder = Path(work, "packed", NAME)
        shutil.copytree(site, folder / "site", ignore=shutil.ignore_patterns(*LEFT_OUT))
        (folder / "notebooks").mkdir()
        for path in chapters(root):
            shutil.copy(path, folder / "notebooks")
        (folder / "README.txt").write_text(README.format(title=title, licence=licence), encoding="utf-8")
        start = front(title, ", to be read with no network.", "site/book/welcome.html")
        (folder / "START-HERE.html").write_text(start, encoding="utf-8")
        os.replace(shutil.make_archive(f"{work}/{NAME}", "zip", folder.parent), target)
    return target


def main() -> int:
    """Write the zip and say where it is."""
    return deliver("offline", write, "Unpack {} and open START-HERE.html")


if __name__ == "__main__":
    raise SystemExit(main())
