"""What the site, the PDF and the archives share: the page before the first page, a zip's entries, a command's end."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from press.project import ProjectError, find_root

FRONT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<meta name="description" content="{title}{about}">
<meta http-equiv="Refresh" content="0; url={target}">
</head>
<body><p><a href="{target}">{title}</a></p></body>
</html>
"""


def front(title: str, about: str, target: str) -> str:
    """A page that leads to another one at once: with title and language, which Jupyter Book's own has not.

    Args:
        title: Of the book.
        about: What its description says after the title.
        target: Where it leads, relative to itself.
    """
    return FRONT.format(title=title, about=about, target=target)


def put(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file to a zip without its time, so that the same contents give the same bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    packed.writestr(entry, content, zipfile.ZIP_DEFLATED)


def deliver(name: str, write: Callable[[Path], Path], sentence: str) -> int:
    """Write a file made of the built book, and say where it is or why there is none.

    Args:
        name: What ``make`` calls it.
        write: Makes the file of the clone.
        sentence: With ``{}`` where the file and its size stand.

    Returns:
        The exit code.
    """
    try:
        target = write(find_root())
    except ProjectError as error:
        print(f"make {name}: {error}", file=sys.stderr)
        return 1
    print(sentence.format(f"{target} ({target.stat().st_size / 1e6:.1f} MB)"))
    return 0
