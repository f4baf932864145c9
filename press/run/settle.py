"""After a run: do the outputs agree with what is stored, and what is written into the chapter's stamp."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from press import cells
from press.check import compare, stamps

Store = Literal["no", "outputs", "confirm"]


def about(executed: cells.Notebook, profile: str, seconds: float, memory_mb: float, one_thread: bool) -> dict[str, Any]:
    """What a run knows of itself: date, profile, seconds, peak memory, machine in general words, data.

    Args:
        executed: The executed chapter, whose first cell names the device.
        profile: Of the run.
        seconds: From the kernel's start to its end.
        memory_mb: Of the kernel at its peak.
        one_thread: Whether each kernel computes with one thread.
    """
    text = "".join("".join(o.get("text", "")) for cell in cells.code_cells(executed)[:1] for o in cell.outputs)
    device = re.search(r"^Chapter \w+ on (?:the )?(.+)$", text, re.M)
    threads = "one thread" if one_thread else "all threads"
    return {
        "date": stamps.today(),
        "profile": profile,
        "seconds": round(seconds, 1),
        "memory_mb": round(memory_mb),
        "machine": f"{device[1] if device else 'CPU'}, {threads} ({platform.machine()})",
        "data": drawn(),
    }


def settle(path: Path, executed: cells.Notebook, run: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """Stamp a stored chapter, if it agrees with what was computed; else say where it does not.

    Args:
        path: The stored chapter, under ``book/chapters``.
        executed: What was computed, normalised.
        run: As :func:`about` gives it.
        parts: What the run was made of, from before it started.
    """
    notebook = cells.read(path)
    differences = compare.differences(executed, notebook)
    if differences:
        lines = "".join(f"\n  {line}" for line in differences)
        return (
            f"{path.stem} computes other outputs than it stores; look, then `wsss run {path.stem} --in-place`:{lines}"
        )
    stamps.stamp(path.resolve().parents[2], path.stem, notebook, run, parts)
    return ""


def drawn() -> dict[str, str]:
    """Fingerprint of the default world's test split: what the drawn numbers speak of."""
    from wsss_lib.data.worlds.critters import World
    from wsss_lib.data.worlds.critters.dataset import COUNTS

    return {"critters": World().fingerprint("test", COUNTS["test"])[: stamps.DIGITS]}
