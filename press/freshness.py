"""Is an executed chapter still what its code computes? One rule for running, testing and checking.

A run is made of the chapter's code and parameters, the library's code, recorded results, local data, and the locked
environment. :func:`made_of` digests these. The run's record lies beside the executed notebook under ``_build``; the
chapter is fresh as long as both are the same. The usual caches look at the notebook alone, so a page keeps showing
what the library computed yesterday.

Comments, docstrings and annotations do not count, neither do prose and stored outputs.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from press import cells, syntax
from wsss_lib.experiments import results
from wsss_lib.files import read_json, sha256_of, sha256_of_text, write_atomically

DISTRIBUTIONS = ("torch", "torchvision", "numpy", "matplotlib", "datasets", "accelerate", "timm", "scikit-image")
"""Packages that numbers and figures may depend on."""
DIGITS = 12
_IGNORED = ("__pycache__", ".ipynb_checkpoints")


def made_of(root: Path, notebook: cells.Notebook, values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What the outputs of a chapter are made of, as digests by name.

    Args:
        root: The clone.
        notebook: The chapter; the code of its cells counts, and which one is tagged ``parameters``.
        values: Parameters that replace its defaults; ``data`` and ``backbone`` count by the content of what they name.
    """
    values = values or {"profile": "book"}
    code = [(cells.code(cell), "parameters" in cells.tags(cell)) for cell in cells.code_cells(notebook)]
    parts = {
        "cells": json.dumps(code),
        "parameters": json.dumps(sorted((name, repr(value)) for name, value in values.items())),
        "library": _contents([root / "wsss_lib"]),
        "results": _contents([root / "results"]),
        "data": _contents(_local(values)),
        "environment": _environment(root / "uv.lock"),
    }
    return {name: sha256_of_text(text)[:DIGITS] for name, text in parts.items()}


def read_record(target: Path) -> dict[str, Any]:
    """What is kept of the run that made an executed notebook; empty where nothing is.

    ``parts`` as :func:`made_of`; ``about``: date, seconds, memory and machine, where they were measured.
    """
    path = target.with_suffix(".json")
    try:
        kept = read_json(path) if target.is_file() and path.is_file() else {}
    except ValueError:  # damaged: as if nothing were kept
        kept = {}
    return kept if isinstance(kept, dict) else {}


def write_record(target: Path, parts: Mapping[str, str], about: Mapping[str, Any] | None = None) -> None:
    """Write the record of a run beside its executed notebook."""
    kept = {"parts": dict(parts), "about": dict(about or {})}
    write_atomically(target.with_suffix(".json"), json.dumps(kept, indent=1) + "\n")


def versions() -> dict[str, str]:
    """What the numbers may depend on, by distribution; patch releases of Python do not count."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | results.versions(("wsss-lib", *DISTRIBUTIONS))


def files_digest(paths: Iterable[Path]) -> str:
    """Digest of files, and of all files in folders, by name and content; one that is absent counts as absent."""
    return sha256_of_text(_contents(paths))


def _contents(paths: Iterable[Path]) -> str:
    lines = []
    for path in paths:
        lines += [f"{file.relative_to(path.parent)}\0{_digest(file)}" for file in _files(path)] or [f"{path.name}\0"]
    return "\n".join(lines)


def _files(path: Path) -> list[Path]:
    """The file, or the files of a folder in order; byte code and hidden ones left out."""
    inside = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    parts = {file: file.relative_to(path).parts for file in inside}
    return [file for file in inside if not any(p in _IGNORED or p.startswith(".") for p in parts[file])]


def _digest(file: Path) -> str:
    """Of a module its code without comments, of what else there is (weights, styles, data) its content."""
    content = sha256_of(file)
    return _module(file, content) if file.suffix == ".py" else content


@lru_cache(maxsize=4096)
def _module(file: Path, content: str) -> str:
    try:
        return sha256_of_text(syntax.code(file.read_text(encoding="utf-8")))
    except SyntaxError:
        return content


def _local(values: Mapping[str, Any]) -> list[Path]:
    """Files and folders that parameters name; a data set known by name is verified where it is fetched."""
    return [Path(values[name]) for name in ("data", "backbone") if "/" in str(values.get(name, ""))]


def _environment(lock: Path) -> str:
    locked = sha256_of(lock) if lock.is_file() else "no lock"
    return json.dumps([locked, platform.machine(), platform.system(), versions()])
