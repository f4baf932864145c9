"""Execute the stored chapters with nbval and compare what they print: ``python -m wsss_lib.notebooks.validate``.

Each is copied to a folder of its own and runs there with a bare environment, so that no chapter can come to need
the clone, the network or its neighbours. The copy also gives every exercise's check its wrong answers, which must fail
with a hint. Longest first, two side by side.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsss_lib.notebooks import cells, execute, exercises, tolerance
from wsss_lib.notebooks.guards import stamps
from wsss_lib.notebooks.project import chapters, find_root
from wsss_lib.notebooks.run import durations

CELL_TIMEOUT = 300


def main(root: Path, names: Sequence[str] = (), *, jobs: int = 2, sanitize: Path | None = None) -> int:
    """Validate chapters.

    Args:
        root: The clone.
        names: Chapters (see :func:`wsss_lib.notebooks.project.chapters`); none means all.
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
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "wsss_lib.notebooks.tolerance"]
    command += ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    command += [f"--nbval-sanitize-with={sanitize or root / 'tests' / 'sanitize.cfg'}"]
    command += ["-n", str(jobs), "--dist", "loadscope"] if jobs > 1 else []
    command += [f"{path.stem}/{path.name}" for path in order]
    with tempfile.TemporaryDirectory(prefix="wsss-nbval-") as work:
        environment = execute.environment(Path(work), root / "_build" / "cache", one_thread=True, offline=True)
        environment[tolerance.REPORT] = str(stage / "report.json")
        code = subprocess.run(command, cwd=stage, env=environment, check=False).returncode
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


if __name__ == "__main__":
    raise SystemExit(main(find_root(), sys.argv[1:]))
