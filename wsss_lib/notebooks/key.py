"""The key under which an executed chapter is kept: everything that can change its outputs, and nothing else.

The usual caches look at the notebook alone, so a page keeps showing what the library computed yesterday.
Pure functions of their arguments and of the files they name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wsss_lib.notebooks import cells

IGNORED = ("__pycache__", ".ipynb_checkpoints")
DISTRIBUTIONS = ("torch", "torchvision", "numpy", "matplotlib", "datasets", "accelerate", "timm", "scikit-image")


def chapter_key(
    notebook: cells.Notebook, parameters: Mapping[str, Any], *, library: str, environment: str, data: str
) -> str:
    """Key of one execution.

    Args:
        notebook: The chapter; only the sources of its code cells and which one is tagged ``parameters`` count.
        parameters: Values that replace defaults.
        library: :func:`tree_digest` of the package.
        environment: :func:`environment_digest`.
        data: :func:`paths_digest` of local data, weights and results.

    Returns:
        64 hexadecimal digits.
    """
    code = [(cell.source, "parameters" in cells.tags(cell)) for cell in cells.code_cells(notebook)]
    parts = [code, sorted((name, repr(value)) for name, value in parameters.items()), library, environment, data]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def tree_digest(folder: Path) -> str:
    """Digest of every file under a folder, names and contents; byte code and checkpoints left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        relative = path.relative_to(folder)
        if not any(part in IGNORED or part.startswith(".") for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0{_file_digest(path)}\n".encode())
    return digest.hexdigest()


def paths_digest(paths: Iterable[Path]) -> str:
    """Digest of files and folders by content; one that is absent counts as absent."""
    digest = hashlib.sha256()
    for path in paths:
        state = tree_digest(path) if path.is_dir() else _file_digest(path) if path.is_file() else "absent"
        digest.update(f"{path.name}\0{state}\n".encode())
    return digest.hexdigest()


def environment_digest(lock: Path | None) -> str:
    """Digest of the lock and of the versions really installed, which a reader may have changed."""
    versions = [platform.python_version(), platform.machine(), platform.system()]
    for name in DISTRIBUTIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    locked = _file_digest(lock) if lock and lock.is_file() else "no lock"
    return hashlib.sha256("\n".join([locked, *versions]).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
