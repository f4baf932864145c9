"""Where stored outputs come from: ``book/stamps.json``, which a chapter's page and the status page show.

A stamp is written when outputs are stored (``wsss run NAME --in-place``) or confirmed (``--confirm``: executed again,
and what came out agrees with what is stored). It tells readers when, where and with what; whether a chapter is fresh
is another question (:mod:`press.check.fresh`). Its digest of the outputs shows that nobody edited them since.

Times and versions live here and never in a notebook, so that a notebook's difference shows what changed.
"""

from __future__ import annotations

import json
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from press import cells
from press.chapter import Chapter, Problem
from press.freshness import DIGITS, versions
from press.normalise import normalise
from wsss_lib.devices import pick_device
from wsss_lib.files import read_json, sha256_of_text, write_atomically

FILE = Path("book", "stamps.json")
_WRITING = threading.Lock()


def read(root: Path) -> dict[str, dict[str, Any]]:
    """The stamps by chapter.

    Each holds ``date`` (of the run, UTC), ``profile``, ``seconds`` and ``memory_mb`` (of the kernel, at its peak),
    ``machine`` in general words, ``versions``, ``data`` (fingerprints) and ``outputs`` (a digest of what is stored).

    Raises:
        ValueError: The file is not JSON, as after a merge that git could not solve.
    """
    path = root / FILE
    try:
        return read_json(path) if path.is_file() else {}
    except ValueError as error:
        remedy = "take either side of the merge, then `wsss run --confirm`"
        raise ValueError(f"{FILE.as_posix()} is not JSON ({error}): {remedy}") from error


def about(profile: str, seconds: float, memory_mb: float, one_thread: bool) -> dict[str, Any]:
    """What a run knows of itself: date, profile, seconds, peak memory, machine in general words, data.

    Args:
        profile: Of the run.
        seconds: From the kernel's start to its end.
        memory_mb: Of the kernel at its peak.
        one_thread: Whether each kernel computes with one thread.
    """
    threads = "one thread" if one_thread else "all threads"
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "profile": profile,
        "seconds": round(seconds),
        "memory_mb": round(memory_mb),
        "machine": f"{pick_device().type.upper()}, {threads} ({platform.machine()})",
        "data": drawn(),
    }


def stamp(root: Path, name: str, notebook: cells.Notebook, run: Mapping[str, Any]) -> None:
    """Write a chapter's stamp.

    Args:
        root: The clone.
        name: The chapter.
        notebook: As it is stored, outputs included.
        run: As :func:`about` gives it.
    """
    with _WRITING:
        known = {k: v for k, v in read(root).items() if (root / "book" / "chapters" / f"{k}.ipynb").is_file()}
        known[name] = {**run, "versions": versions(), "outputs": outputs(notebook)}
        write_atomically(root / FILE, json.dumps(known, indent=1, sort_keys=True) + "\n")


def outputs(notebook: cells.Notebook) -> str:
    """Digest of a chapter's outputs, as the normaliser writes them."""
    texts = [cell.outputs for cell in cells.code_cells(normalise(notebook))]
    return sha256_of_text(json.dumps(texts, sort_keys=True))[:DIGITS]


def stamped(chapter: Chapter) -> Iterator[Problem]:
    """The stored outputs are those that the last stored run made."""
    record = read(chapter.path.resolve().parents[2]).get(chapter.name)
    remedy = f"run `wsss run {chapter.name} --in-place`"
    if record is None:
        message = f"has no stamp in {FILE.as_posix()}, so nobody knows what made its outputs"
        yield chapter.problem(None, f"{message}: {remedy}")
    elif record.get("outputs") != outputs(chapter.notebook):
        message = "stores other outputs than its last run made (edited, stripped, or merged by hand)"
        yield chapter.problem(None, f"{message}: {remedy}")


def drawn() -> dict[str, str]:
    """Fingerprint of the default world's test split: what the drawn numbers speak of."""
    from wsss_lib.data.worlds.critters import World
    from wsss_lib.data.worlds.critters.dataset import COUNTS

    return {"critters": World().fingerprint("test", COUNTS["test"])[:DIGITS]}


CHECKS = (stamped,)
