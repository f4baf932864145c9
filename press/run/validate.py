"""``python -m press.run.validate``: execute the stored chapters with nbval, and compare with what they store.

Each is copied to a folder of its own and runs there with a bare environment, so that no chapter can come to need
the clone, the network or its neighbours. The copy also gives every exercise's check its wrong answers, which must fail
with a hint. Longest first, two side by side.

This run is also the book's: what it computed is kept where ``wsss run`` would put it, and a chapter of which a fresh
run agrees already is not executed again.

nbval compares texts to the letter and skips pictures. So it only executes here (``--nbval-lax``); this module is also
its plugin that keeps what a cell computed, and what agrees is said in :mod:`press.check.compare`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from press import cells
from press.check.fresh import disagreement
from press.project import ProjectError, chapters, find_root
from press.run import execute, run
from press.run.kernels import START, watch_nbval
from press.watch import watched
from wsss_lib.cli.common import stop_cleanly
from wsss_lib.files import write_atomically

CELL_TIMEOUT = 300
COMMAND = f"""\
-m pytest -q -p no:cacheprovider -p press.run.validate --nbval-lax --nbval-current-env
--nbval-cell-timeout={CELL_TIMEOUT} --nbval-kernel-startup-timeout={START}"""
EXECUTED = ".executed.ipynb"
"""What the file beside a staged chapter ends in that holds its computed outputs."""


def main(root: Path, names: Sequence[str] = (), *, jobs: int = 2) -> int:
    """Validate chapters.

    Args:
        root: The clone.
        names: Chapters (see :func:`press.project.chapters`); none means all.
        jobs: Kernels at a time.

    Returns:
        0 if every cell prints and shows what is stored.
    """
    stage = root / "_build" / "nbval"
    shutil.rmtree(stage, ignore_errors=True)
    write_atomically(stage / "pytest.ini", "[pytest]\n")
    plan = run.prepare(root, chapters(root, names), "book", {}, root / "_build" / "run" / "book")
    due = [job for job in plan if disagreement(job.target, job.parts, cells.read(job.source))]
    due.sort(key=lambda job: (-job.seconds, job.name))
    for job in plan:
        if job not in due:
            print(f"{job.name}: a fresh run agrees with what is stored")
    if not due:
        return 0
    for job in due:
        cells.write(job.executed, stage / job.name / job.source.name)
    command = [sys.executable, *COMMAND.split(), *(["-n", str(jobs), "--dist", "loadscope"] if jobs > 1 else [])]
    command += [f"{job.name}/{job.source.name}" for job in due]
    with tempfile.TemporaryDirectory(prefix="wsss-nbval-", ignore_cleanup_errors=True) as work:
        environment = execute.environment(Path(work), root / "_build" / "cache", one_thread=True, offline=True)
        watch = CELL_TIMEOUT * (len(due) + 1)
        code = watched(command, f"nbval of {len(due)} chapters", seconds=watch, cwd=stage, env=environment).returncode
        hidden = [str(stage), *run.hidden(root, Path(work))]
    for job in due:
        path = stage / job.name / f"{job.name}{EXECUTED}"
        computed = cells.read(path) if path.is_file() else None
        if computed is None or list(cells.errors(computed)):  # nbval has said why
            code = code or 1
            continue
        run.finish(job, computed, "no", hidden)
        if why := disagreement(job.target, job.parts, cells.read(job.source)):
            print(f"{job.name}: {why}\n  look, then run `wsss run {job.name} --in-place`")
            code = code or 1
    return code


def pytest_runtest_teardown(item: Any, nextitem: Any) -> None:
    """Keep what a cell computed; after a chapter's last cell, write all of it beside the chapter."""
    item.cell.outputs = item.test_outputs or []
    if nextitem is None or nextitem.parent is not item.parent:
        path = Path(item.path)
        cells.write(item.parent.nb, path.with_name(path.stem + EXECUTED))


def pytest_configure(config: Any) -> None:
    """No cell waits for a kernel that has died."""
    watch_nbval()


if __name__ == "__main__":
    stop_cleanly()
    try:
        raise SystemExit(main(find_root(), sys.argv[1:]))
    except ProjectError as error:
        raise SystemExit(str(error)) from error
