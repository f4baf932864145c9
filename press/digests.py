"""What the outputs of a chapter depend on, as hexadecimal digits: texts, files, folders; and which packages count.

Both keys of a chapter are made of these: :mod:`~press.run.key` decides whether it is executed again
and takes the whole library, :mod:`~press.check.stamps` says whether what is stored still holds and takes
what the chapter can reach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

IGNORED = ("__pycache__", ".ipynb_checkpoints")
DISTRIBUTIONS = ("torch", "torchvision", "numpy", "matplotlib", "datasets", "accelerate", "timm", "scikit-image")
"""Packages that numbers and figures may depend on."""


def text_digest(text: str) -> str:
    """Digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(folder: Path) -> str:
    """Digest of every file under a folder, names and contents; byte code and checkpoints left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        relative = path.relative_to(folder)
        if not any(part in IGNORED or part.startswith(".") for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def paths_digest(paths: Iterable[Path]) -> str:
    """Digest of files and folders by content; one that is absent counts as absent."""
    digest = hashlib.sha256()
    for path in paths:
        state = tree_digest(path) if path.is_dir() else file_digest(path) if path.is_file() else "absent"
        digest.update(f"{path.name}\0{state}\n".encode())
    return digest.hexdigest()
