"""``python -m press.run.validate``: execute the stored chapters with nbval, compare what they print.

Each is copied to a folder of its own and runs there with a bare environment, so that no chapter can come to need
the clone, the network or its neighbours. The copy also gives every exercise's check its wrong answers, which must fail
with a hint. Longest first, two side by side.

nbval compares texts to the letter and skips pictures. This module is also the pytest plugin that has it compare numbers
and figures within a tolerance; what agrees is said in :mod:`press.check.compare`.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from press import cells
from press.check import figures, stamps
from press.check.compare import TEXTS, Tolerance, agree, tolerance
from press.editions import exercises
from press.project import ProjectError, chapters, find_root
from press.run import execute
from press.run.kernels import START, watch_nbval
from press.run.run import durations
from press.watch import watched

CELL_TIMEOUT = 300
REPORT = "WSSS_NBVAL_REPORT"
"""Environment variable: the file that gets how many cells passed and failed, by chapter."""


def main(root: Path, names: Sequence[str] = (), *, jobs: int = 2, sanitize: Path | None = None) -> int:
    """Validate chapters.

    Args:
        root: The clone.
        names: Chapters (see :func:`press.project.chapters`); none means all.
        jobs: Kernels at a time.
        sanitize: nbval's file of patterns; ``tests/sanitize.cfg`` by default.

    Returns:
        0 if every cell prints what is stored.
    """
    stage = root / "_build" / "nbval"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    (stage / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    known = durations(root)
    paths = chapters(root, names)
    parts = {path: stamps.made_of(root, cells.read(path)) for path in paths}
    for path in paths:
        (stage / path.stem).mkdir()
        cells.write(exercises.with_trials(cells.read(path)), stage / path.stem / path.name)
    order = sorted(paths, key=lambda p: (-known.get(f"book/{p.stem}", float(p.stat().st_size)), p.name))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "press.run.validate",
    ]
    command += ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    command += [f"--nbval-kernel-startup-timeout={START}"]
    command += [f"--nbval-sanitize-with={sanitize or root / 'tests' / 'sanitize.cfg'}"]
    command += ["-n", str(jobs), "--dist", "loadscope"] if jobs > 1 else []
    command += [f"{path.stem}/{path.name}" for path in order]
    with tempfile.TemporaryDirectory(prefix="wsss-nbval-") as work:
        environment = execute.environment(Path(work), root / "_build" / "cache", one_thread=True, offline=True)
        environment[REPORT] = str(stage / "report.json")
        watch = CELL_TIMEOUT * (len(paths) + 1)
        code = watched(command, f"nbval of {len(paths)} chapters", seconds=watch, cwd=stage, env=environment).returncode
    _note(root, parts, stage / "report.json")
    return code


def _note(root: Path, parts: Mapping[Path, Mapping[str, str]], report: Path) -> None:
    """Note which chapters agree with what they store, so that `wsss check` need not call their stamps stale."""
    counts = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    for path, made_of in parts.items():
        notebook = cells.read(path)
        went = counts.get(path.stem, {})
        if any(cell.execution_count is None for cell in cells.code_cells(notebook)):
            continue  # nbval compares nothing with a cell that was never executed, and passes it
        if set(went) <= {"passed", "skipped"} and sum(went.values()) >= len(cells.code_cells(notebook)):
            stamps.agreed(root, path.stem, notebook, made_of)


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

    watch_nbval()
    exact = IPyNbCell.compare_outputs
    if getattr(exact, "tolerant", False):
        return

    def compare_outputs(cell: Any, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        within = tolerance(cell.cell)
        if not exact(cell, _snapped(cell, test, ref, within), ref, skip_compare):
            return False
        why = figures.spread(test, ref, within.figure, lambda new, old: agree(new, old, within)).why
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


if __name__ == "__main__":
    try:
        raise SystemExit(main(find_root(), sys.argv[1:]))
    except ProjectError as error:
        raise SystemExit(str(error)) from error
