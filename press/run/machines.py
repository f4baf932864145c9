"""How far apart do other machines compute? ``python -m press.run.machines [CHAPTER …]``, minutes a chapter.

Each chapter is executed as other processors would compute it: PyTorch, oneDNN and MKL are told to use older
instructions or another number of threads, and sum in another order. What comes out is compared with what is stored, as
``make test`` compares it, and the differences are recorded in ``book/machines.json``.

A cell that uses more than half of its tolerance here would fail on some machine that nobody tried. Print something that
moves less (a mean over more images, a difference within one run, an ordering), or train in 64 bits
(``TrainConfig(double=True)``), rather than state more tolerance; what is recorded is what may be stated
(:mod:`press.check.tolerances`). On a computer of another make, or with other versions, say what it is by ``--name``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any
from unittest.mock import patch

from press import cells, stamps
from press.check import compare, figures, tolerances
from press.project import chapters, find_root
from press.run.execute import THREADS
from press.run.run import run
from wsss_lib.experiments import results

MACHINES: dict[str, dict[str, str]] = {
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "SSE4.1": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "two threads": {THREADS: "2"},
}
HALF = 0.5
"""Share of a tolerance beyond which a cell is reported."""
TINY = 0.0001
"""Smaller differences are not recorded."""
TIMEOUT = 1800
"""Seconds a cell may take: old instructions are several times slower."""


def summary(executed: cells.Notebook, stored: cells.Notebook) -> dict[str, Any]:
    """The differences of a chapter, and the cells that an author has to look at.

    Returns:
        ``cells``: by id what differs, ``{"absolute": …, "figure": …}``, as the tolerance has it. ``used``: the largest
        share of a tolerance; None where a word differs. ``close``: why a cell uses more than half of its tolerance, by
        cell. ``idle``: cells that state a tolerance for figures which are the same to the pixel.
    """
    differences, most, close, idle = {}, 0.0, {}, []
    for mine, theirs in zip(cells.code_cells(executed), cells.code_cells(stored), strict=True):
        if set(compare.IGNORED) & set(cells.tags(theirs)):
            continue
        name, spread = cells.label(stored, theirs), compare.spread(mine.outputs, theirs.outputs, theirs)
        moved = {"absolute": spread.decimal, "figure": spread.figure}
        if kept := {kind: round(value, 4) for kind, value in moved.items() if isfinite(value) and value >= TINY}:
            differences[theirs.id] = kept
        most = max(most, spread.used)
        if round(spread.used, 4) > HALF:
            close[name] = spread.why or f"uses {spread.used:.0%} of its tolerance"
        exact = figures.spread(mine.outputs, theirs.outputs, 0.0, compare.agree).used <= 1
        idle += [name] if compare.tolerance(theirs).figure and exact else []
    return {"cells": differences, "used": round(most, 4) if isfinite(most) else None, "close": close, "idle": idle}


def measure(root: Path, names: Sequence[str], machines: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Execute chapters as each machine would and compare; a run of the present code is not made twice.

    Args:
        root: The clone.
        names: Chapters; none means all.
        machines: By name the environment variables that make a kernel compute so.

    Returns:
        By chapter and machine what :func:`summary` says, or ``{"failed": why}``.
    """
    result: dict[str, Any] = {path.stem: {} for path in chapters(root, names)}
    for machine, variables in machines.items():
        folder = root / "_build" / "machines" / re.sub(r"\W+", "-", machine)
        with patch.dict(os.environ, variables):
            jobs = run(root, names, jobs=1, out=folder, timeout=TIMEOUT)
        for job in jobs:
            stored = cells.read(job.source)
            result[job.name][machine] = (
                {"failed": job.failure} if job.failure else summary(cells.read(job.target), stored)
            )
    return result


def report(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What an author has to mend, a line a cell."""
    lines = []
    for chapter, by_machine in measured.items():
        for machine, of in by_machine.items():
            lines += [f"{chapter} on {machine}: {of['failed']}"] if "failed" in of else []
            lines += [f"{chapter} on {machine}: {cell} {why}" for cell, why in of.get("close", {}).items()]
        idle = [set(of["idle"]) for of in by_machine.values() if "idle" in of]
        for cell in sorted(set.intersection(*idle)) if len(idle) >= len(MACHINES) else ():
            lines.append(f"{chapter}: {cell} states a tolerance for figures that are the same everywhere: take it out")
    return lines


def record(measured: Mapping[str, Mapping[str, Any]], root: Path) -> None:
    """Write what was measured into ``book/machines.json``; what was measured before of others stays.

    A run in which a cell failed or says another word is not recorded: it is to be mended, and measured again. The file
    does not lie in ``results/``, whose files chapters read: it is about them, as their stamps are.
    """
    known = tolerances.read(root)
    when = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": results.commit()}
    for chapter, by_machine in measured.items():
        new = {
            machine: {**when, "cells": of["cells"]} for machine, of in by_machine.items() if of.get("used") is not None
        }
        known = {**known, chapter: {**known.get(chapter, {}), **new}}
    results.record(
        "machines",
        {chapter: known[chapter] for chapter in sorted(known)},
        command=tolerances.COMMAND,
        fingerprint=stamps.drawn(),
        seeds=(0,),
        note="Differences from the stored outputs by cell: of a decimal, and of a number in a figure as a share of its "
        "axis. Each chapter has date and commit of its own for each machine",
        folder=root / tolerances.FILE.parent,
    )


def main(arguments: Sequence[str]) -> int:
    """Measure, say what is close, and record it; 0 if nothing is close."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="names or numbers (default: all)")
    parser.add_argument("--machine", choices=MACHINES, action="append", help="only this one (may be repeated)")
    parser.add_argument(
        "--name", help="what this computer is, where it is another one or has other versions: it runs as it is"
    )
    options = parser.parse_args(arguments)
    machines = {options.name: {}} if options.name else {k: MACHINES[k] for k in options.machine or MACHINES}
    root = find_root()
    measured = measure(root, options.chapters, machines)
    record(measured, root)
    lines = report(measured)
    print("\n".join(lines) or "every cell stays within half of its tolerance on every machine")
    return int(bool(lines))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
