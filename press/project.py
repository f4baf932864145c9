"""Where things are in a clone: the root, the chapters, the address. Paths and names only; nothing is executed."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path


class ProjectError(Exception):
    """Something about the clone or the request is not as needed; the message says what to do."""


def find_root(start: Path | None = None) -> Path:
    """The clone's root: the nearest folder upwards with ``_toc.yml`` and ``book/``.

    Args:
        start: Where to begin; the current folder by default.

    Raises:
        ProjectError: There is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
            return folder
    raise ProjectError("no book was found in this folder or above it: call `wsss` from inside a clone of the book")


def chapters(root: Path, names: Sequence[str] = ()) -> list[Path]:
    """The chapters' notebooks, all or those named, in the book's order.

    Args:
        root: The clone's root.
        names: Full names (``01_cam``), numbers (``1``, ``01``), parts after the number (``cam``), or paths.

    Raises:
        ProjectError: A name fits no chapter, or there are no chapters.
    """
    every = sorted((root / "book" / "chapters").glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise ProjectError("book/chapters holds no notebook named NN_name.ipynb: write a chapter first")
    if not names:
        return every
    chosen = []
    for name in names:
        stem = Path(name).stem if name.endswith(".ipynb") else name
        hits = [p for p in every if stem in (p.stem, p.stem[3:]) or (stem.isdigit() and int(stem) == int(p.stem[:2]))]
        if not hits:
            known = ", ".join(p.stem for p in every)
            raise ProjectError(f"there is no chapter {name!r}: choose from {known}")
        chosen += [p for p in hits if p not in chosen]
    return sorted(chosen)


def repository(root: Path) -> str:
    """The repository's address from ``pyproject.toml``, the one place where it stands; empty where it does not."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(table.get("project", {}).get("urls", {}).get("Repository", "")).rstrip("/")
