"""``python -m press.run.validate``: execute the stored chapters with nbval, compare what they print.

Each is copied to a folder of its own and runs there with a bare environment, so that no chapter can come to need
the clone, the network or its neighbours. The copy also gives every exercise's check its wrong answers, which must fail
with a hint. Longest first, two side by side.

This run is also the book's: what it computed is kept where ``wsss run`` would put it, and a chapter of which a fresh
run agrees already is not executed again.

nbval compares texts to the letter and skips pictures. This module is also the pytest plugin that has it compare numbers
and figures within a tolerance; what agrees is said in :mod:`press.check.compare`.
"""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from press import cells
from press.check import figures
from press.check.compare import TEXTS, Tolerance, agree, tolerance
from press.project import ProjectError, chapters, find_root
from press.run import execute, run
from press.run.kernels import START, watch_nbval
from press.watch import watched
from wsss_lib.cli.common import stop_cleanly

CELL_TIMEOUT = 300
EXECUTED = ".executed.ipynb"
"""What the file beside a staged chapter ends in that holds its computed outputs."""


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
    plan = run.prepare(root, chapters(root, names), "book", {}, root / "_build" / "run" / "book", root)
    due = [job for job in plan if not run.agrees(job)]
    for job in plan:
        if job not in due:
            print(f"{job.name}: a fresh run agrees with what is stored")
    if not due:
        return 0
    for job in due:
        (stage / job.name).mkdir()
        cells.write(job.executed, stage / job.name / job.source.name)
    due.sort(key=lambda job: (-job.seconds, job.name))
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
    command += [f"{job.name}/{job.source.name}" for job in due]
    with tempfile.TemporaryDirectory(prefix="wsss-nbval-", ignore_cleanup_errors=True) as work:
        environment = execute.environment(Path(work), root / "_build" / "cache", one_thread=True, offline=True)
        watch = CELL_TIMEOUT * (len(due) + 1)
        code = watched(command, f"nbval of {len(due)} chapters", seconds=watch, cwd=stage, env=environment).returncode
        hidden = [str(stage), work, str(root), sys.prefix, str(Path.home()), tempfile.gettempdir()]
    for job in due:
        path = stage / job.name / f"{job.name}{EXECUTED}"
        computed = cells.read(path) if path.is_file() else None
        if computed is not None and not list(cells.errors(computed)):
            run.finish(job, computed, "no", hidden)
    return code


def pytest_runtest_teardown(item: Any, nextitem: Any) -> None:
    """Keep what a cell computed; after a chapter's last cell, write all of it beside the chapter."""
    if not hasattr(item, "test_outputs"):
        return
    item.cell.outputs = item.test_outputs or []
    if nextitem is None or nextitem.parent is not item.parent:
        path = Path(item.path)
        cells.write(item.parent.nb, path.with_name(path.stem + EXECUTED))


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
    stop_cleanly()
    try:
        raise SystemExit(main(find_root(), sys.argv[1:]))
    except ProjectError as error:
        raise SystemExit(str(error)) from error
