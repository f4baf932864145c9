"""A plugin for nbval, which compares texts to the letter and skips pictures: numbers and figures within a tolerance.

What agrees, and how a cell states a tolerance of its own, is said in :mod:`wsss_lib.notebooks.guards.compare`.
Loaded by :mod:`wsss_lib.notebooks.validate` as a pytest plugin.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

from wsss_lib.notebooks.guards.compare import TEXTS, Tolerance, agree, pictured, tolerance

REPORT = "WSSS_NBVAL_REPORT"
"""Environment variable: the file that gets how many cells passed and failed, by chapter."""

_cells: dict[str, dict[str, int]] = {}


def pytest_runtest_logreport(report: Any) -> None:
    """Count the cells of each chapter by how they went."""
    if report.when == "call" or report.outcome != "passed":
        counts = _cells.setdefault(Path(report.nodeid.partition("::")[0]).stem, {})
        counts[report.outcome] = counts.get(report.outcome, 0) + 1


def pytest_sessionfinish(session: Any) -> None:
    """Write the counts, once: where cells are spread over processes, the first of them hears of all."""
    if REPORT in os.environ and not hasattr(session.config, "workerinput"):
        Path(os.environ[REPORT]).write_text(json.dumps(_cells), encoding="utf-8")


def pytest_configure(config: Any) -> None:
    """Wrap nbval's comparison: a computed text that agrees with the stored one is compared as the stored one."""
    from nbval.plugin import IPyNbCell

    exact = IPyNbCell.compare_outputs
    if getattr(exact, "tolerant", False):
        return

    def compare_outputs(cell: Any, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        within = tolerance(cell.cell)
        if not exact(cell, _snapped(cell, test, ref, within), ref, skip_compare):
            return False
        why = pictured(test, ref, within)
        if why:
            cell.comparison_traceback.append(f"the cell {why}: look at both, then run `wsss run NAME --in-place`")
        return not why

    compare_outputs.tolerant = True  # type: ignore[attr-defined]
    IPyNbCell.compare_outputs = compare_outputs


def _snapped(cell: Any, test: Any, ref: Any, within: Tolerance) -> Any:
    if len(test) != len(ref):
        return test
    result = copy.deepcopy(test)
    for mine, theirs in zip(result, ref, strict=True):
        if mine.get("output_type") != theirs.get("output_type"):
            continue
        here, there = (mine.get("data", mine), theirs.get("data", theirs))
        for name in ("text", *TEXTS):
            texts = (here.get(name), there.get(name))
            if not all(isinstance(text, str) for text in texts):
                continue
            if agree(cell.sanitize(texts[0]), cell.sanitize(texts[1]), within):
                here[name] = there[name]
    return result
