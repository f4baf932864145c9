"""How far apart do other machines compute? ``python -m press.run.machines [CHAPTER …]``, minutes a chapter.

Each chapter is executed as other processors would compute it: PyTorch, oneDNN and MKL are told to use older
instructions or another number of threads, and sum in another order. What comes out is compared with what is stored, as
``make test`` compares it, and the largest differences are recorded in ``results/machines.json``.

A cell that uses more than half of its tolerance here would fail on some machine that nobody tried. Print something that
moves less (a mean over more images, a difference within one run, an ordering) rather than state more tolerance.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from press import cells, stamps
from press.check import compare, figures
from press.project import chapters, find_root
from press.run.execute import THREADS
from press.run.run import run

MACHINES: dict[str, dict[str, str]] = {
    "this one": {},
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
TIMEOUT = 1800
"""Seconds a cell may take: old instructions are several times slower."""


LARGEST = ("decimal", "figure", "used")
"""What is recorded of a chapter's cells: the largest of each (see :class:`press.check.compare.Spread`)."""


def summary(executed: cells.Notebook, stored: cells.Notebook) -> dict[str, Any]:
    """The largest differences of a chapter, and the cells that an author has to look at.

    Returns:
        ``decimal``, ``figure`` and ``used`` as :class:`press.check.compare.Spread` has them, None where a word differs.
        ``close``: why a cell uses more than half of its tolerance, by cell. ``idle``: cells that state a tolerance for
        figures which are the same to the pixel.
    """
    spreads, idle = {}, []
    for mine, theirs in zip(cells.code_cells(executed), cells.code_cells(stored), strict=True):
        if set(compare.IGNORED) & set(cells.tags(theirs)):
            continue
        name = cells.label(stored, theirs)
        spreads[name] = compare.spread(mine.outputs, theirs.outputs, theirs)
        exact = figures.spread(mine.outputs, theirs.outputs, 0.0, compare.agree).used <= 1
        idle += [name] if compare.tolerance(theirs).figure and exact else []
    most = {key: max((getattr(spread, key) for spread in spreads.values()), default=0.0) for key in LARGEST}
    close = {
        name: spread.why or f"uses {spread.used:.0%} of its tolerance"
        for name, spread in spreads.items()
        if spread.used > HALF
    }
    return {key: round(v, 4) if isfinite(v) else None for key, v in most.items()} | {"close": close, "idle": idle}


@contextmanager
def pretending(variables: Mapping[str, str]) -> Iterator[None]:
    """Kernels that start inside the block compute as that machine would."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(root: Path, names: Sequence[str] = (), machines: Sequence[str] = tuple(MACHINES)) -> dict[str, Any]:
    """Execute chapters as each machine would and compare; a run of the present code is not made twice.

    Returns:
        By chapter and machine what :func:`summary` says, or ``{"failed": why}``.
    """
    result: dict[str, Any] = {path.stem: {} for path in chapters(root, names)}
    for machine in machines:
        folder = root / "_build" / "machines" / machine.replace(" ", "-")
        with pretending(MACHINES[machine]):
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
        for cell in sorted(set.intersection(*idle)) if len(idle) == len(MACHINES) else ():
            lines.append(f"{chapter}: {cell} states a tolerance for figures that are the same everywhere: take it out")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Measure, say what is close, and record it where every chapter ran on every machine; 0 if nothing is close."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="names or numbers (default: all)")
    parser.add_argument("--machine", choices=MACHINES, action="append", help="only this one (may be repeated)")
    options = parser.parse_args(arguments)
    measured = measure(find_root(), options.chapters, options.machine or tuple(MACHINES))
    lines = report(measured)
    print("\n".join(lines) or "every cell stays within half of its tolerance on every machine")
    complete = not (options.chapters or options.machine)
    if complete and not any("failed" in of for by_machine in measured.values() for of in by_machine.values()):
        record(measured)
    return int(bool(lines))


def record(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``results/machines.json``: by chapter and machine the largest differences."""
    from wsss_lib.experiments import results

    numbers = {
        chapter: {machine: {key: of[key] for key in LARGEST} for machine, of in by_machine.items()}
        for chapter, by_machine in measured.items()
    }
    results.record(
        "machines",
        numbers,
        command="python -m press.run.machines",
        fingerprint=stamps.drawn(),
        seeds=(0,),
        note="Largest differences from the stored outputs; `used` is the largest share of a cell's tolerance",
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
