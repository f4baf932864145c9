"""The key under which an executed chapter is kept: everything that can change its outputs, and nothing else.

The usual caches look at the notebook alone, so a page keeps showing what the library computed yesterday.
Pure functions of their arguments and of the files they name.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from press import cells
from press.digests import DISTRIBUTIONS, file_digest, text_digest
from wsss_lib.experiments import results

KEEPING = ("colab", "paper")
"""Profiles whose chapters keep checkpoints."""


def checkpoints(root: Path, name: str, profile: str, digest: str) -> Path:
    """Where a chapter's checkpoints go unless the reader names a folder: the same for the same key.

    So a run that was killed goes on where it was when the command is typed again; and one of other code, or with other
    parameters, begins anew.
    """
    return root / "runs" / f"{name}-{profile}-{digest[:8]}"


def chapter_key(
    notebook: cells.Notebook, parameters: Mapping[str, Any], *, library: str, environment: str, data: str
) -> str:
    """Key of one execution.

    Args:
        notebook: The chapter; only the sources of its code cells and which one is tagged ``parameters`` count.
        parameters: Values that replace defaults.
        library: :func:`~press.digests.tree_digest` of the package.
        environment: :func:`environment_digest`.
        data: :func:`~press.digests.paths_digest` of local data, weights and results.

    Returns:
        64 hexadecimal digits.
    """
    code = [(cell.source, "parameters" in cells.tags(cell)) for cell in cells.code_cells(notebook)]
    parts = [code, sorted((name, repr(value)) for name, value in parameters.items()), library, environment, data]
    return text_digest(json.dumps(parts))


def environment_digest(lock: Path | None) -> str:
    """Digest of the lock, of the machine's kind and of the versions really installed."""
    locked = file_digest(lock) if lock and lock.is_file() else "no lock"
    about = [platform.python_version(), platform.machine(), platform.system()]
    return text_digest("\n".join([locked, *about, *map(" ".join, results.versions(DISTRIBUTIONS).items())]))
