"""Is a stated tolerance what was measured? Half of it on no machine, and no more than that needs.

What a cell states in its metadata (:class:`press.check.compare.Tolerance`) is compared with the largest differences
that ``python -m press.run.machines`` recorded. So nobody guesses a tolerance, or keeps one that is no longer needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from press import cells
from press.chapter import Chapter, Problem
from press.check import figures
from press.check.compare import IGNORED, Tolerance, tolerance
from wsss_lib.files import read_json

FILE = Path("book", "machines.json")
USUAL = {"absolute": Tolerance().absolute, "figure": 0.02}
"""What a cell has, or may state for a figure in which a trained network has part, without a measurement of its own."""
MOST = 3
"""A tolerance beyond the usual is at least twice, and at most so many times, the largest difference measured."""
COMMAND = "python -m press.run.machines"


def tolerances(chapter: Chapter) -> Iterator[Problem]:
    """A tolerance that a cell states is one that the comparison understands and applies."""
    for cell in chapter.code:
        try:
            within = tolerance(cell)
        except ValueError as error:
            yield chapter.problem(cell, str(error))
            continue
        if within.figure and cell.outputs and not any(figures.figures(cell.outputs)):
            yield chapter.problem(cell, "states a tolerance for figures, but shows none: take it out")
        if "tolerance" in cell.metadata and set(IGNORED) & set(cells.tags(cell)):
            yield chapter.problem(cell, "states a tolerance, but its tag has the output ignored: take one of them out")


def measured(chapter: Chapter) -> Iterator[Problem]:
    """A tolerance is at least twice the largest difference between machines, and no wider than that asks for."""
    by_machine = read(chapter.path.resolve().parents[2]).get(chapter.name, {})
    for cell in chapter.code:
        try:
            stated = vars(tolerance(cell))
        except ValueError:
            continue
        for kind, allowed in stated.items():
            moved, machine = largest(by_machine, cell, kind)
            least, most = round(2 * moved, 4), round(max(USUAL[kind], MOST * moved), 4)
            if least > (allowed or figures.LEVELS / 255):
                message = f"moves by {moved:g} on {machine}, more than half of its tolerance for {kind} ({allowed:g})"
                yield chapter.problem(cell, f"{message}: print something that moves less, or state {least:g}")
            elif allowed > most:
                message = f"states {allowed:g} for {kind}, and {moved:g} is the most that was measured"
                yield chapter.problem(
                    cell, f"{message}: state at most {most:g}, or measure: `{COMMAND} {chapter.name}`"
                )


def read(root: Path) -> Mapping[str, Any]:
    """What was recorded, by chapter and machine; empty where nothing was."""
    path = root / FILE
    return read_json(path)["data"] if path.is_file() else {}


def largest(by_machine: Mapping[str, Any], cell: Any, kind: str) -> tuple[float, str]:
    """The largest recorded difference of a cell, and the machine."""
    differences = ((of["cells"].get(cell.id, {}).get(kind, 0.0), machine) for machine, of in by_machine.items())
    return max(differences, default=(0.0, ""))


CHECKS = (tolerances, measured)
