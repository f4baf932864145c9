"""Does a chapter give the same, bit for bit, when it is executed again? ``wsss check --twice``.

What differs between two runs on one machine is a random draw without a seed, an order that nobody fixed, or the clock.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from press import cells
from press.check.compare import IGNORED
from press.run.run import run


def differences(
    root: Path, names: Sequence[str] = (), *, profile: str = "book", tell: Callable[[str], None] = print
) -> list[str]:
    """Execute chapters two times, each time anew, and compare what each cell gave.

    Args:
        root: The clone.
        names: Chapters; none means all.
        profile: How much they do.
        tell: Where a line for each execution goes.

    Returns:
        A line for each cell that differs, and for each chapter that failed. Cells that are excused from agreeing with
        what is stored, such as times, are excused here.
    """
    rounds = []
    for number in ("first", "second"):
        folder = root / "_build" / "twice" / number
        shutil.rmtree(folder, ignore_errors=True)  # a run that is there already would not be made again
        rounds.append(run(root, names, profile=profile, jobs=1, out=folder, tell=tell))
    differing: list[str] = []
    for first, second in zip(*rounds, strict=True):
        if failure := first.failure or second.failure:
            differing.append(failure)
            continue
        before, after = cells.read(first.target), cells.read(second.target)
        for one, other in zip(cells.code_cells(before), cells.code_cells(after), strict=True):
            if one.outputs != other.outputs and not set(IGNORED) & set(cells.tags(one)):
                differing.append(
                    f"{first.name}: {cells.label(before, one)} gives something else the second time: seed what it "
                    "draws, fix the order of what it reads, or tag it nbval-ignore-output if it tells the time"
                )
    return differing
