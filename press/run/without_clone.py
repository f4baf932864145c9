"""Does a chapter run away from the clone? ``python -m press.run.without_clone [CHAPTER …]``.

A reader on Colab has the notebook and the installed package, nothing else. Here the wheel is built and unpacked; the
chapter then runs in an empty folder, in the profile ``smoke``, with the wheel and this environment's other packages on
its path, but not the clone.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from press import cells, parameters
from press.project import ProjectError, chapters, find_root
from press.run import execute
from press.watch import watched
from wsss_lib.cli.common import stop_cleanly

TIMEOUT = 300
"""Seconds that a cell may take, and a build."""


def build(root: Path, folder: Path) -> Path:
    """Build the wheel of the clone.

    Raises:
        ProjectError: uv is absent or the build fails.
    """
    uv = shutil.which("uv", path=os.pathsep.join([str(root / ".tools" / "bin"), os.environ.get("PATH", "")]))
    if uv is None:
        raise ProjectError("uv is not here, so no wheel can be built: run `make env` first")
    command = [uv, "build", "--wheel", "--quiet", "--out-dir", str(folder), str(root)]
    for offline in (["--offline"], []):  # what builds wheels is in uv's cache once the environment has been made
        done = watched([*command, *offline], "the build of the wheel", seconds=TIMEOUT, capture_output=True)
        if done.returncode == 0:
            return next(folder.glob("*.whl"))
    raise ProjectError(f"the wheel could not be built ({done.stderr.strip()[-300:]}): try `uv build` in the clone")


def install(wheel: Path, folder: Path) -> str:
    """Unpack the wheel; the path on which Python sees it and this environment's packages, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return os.pathsep.join([str(folder), sysconfig.get_path("purelib")])


def run(packages: str, path: Path, work: Path) -> str:
    """Execute one chapter with these packages in an empty folder; what failed, or nothing."""
    notebook = parameters.inject(cells.read(path), path.stem, {"profile": "smoke"})
    environment = execute.environment(work, work / "cache", one_thread=True, offline=True)
    answer = execute.start(path.stem, notebook, work, environment, timeout=TIMEOUT, path=packages)
    return "" if answer.get("ok") else f"{answer.get('where', 'before its first cell')}: {answer['error']}"


def main(root: Path, names: Sequence[str]) -> int:
    """Run chapters alone, all or those named, one after the other; 0 if each gets to its end."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wsss-alone-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        packages = install(build(root, folder), folder / "environment")
        for path in chapters(root, names):
            what = run(packages, path, folder / path.stem)
            remedy = "import what it needs from wsss_lib, or ship the file with the package (pyproject.toml)"
            words = f"fails without the clone in {what}: {remedy}" if what else "runs alone"
            print(f"{path.stem}: {words}", flush=True)
            failed += bool(what)
    return int(failed > 0)


if __name__ == "__main__":
    stop_cleanly()
    try:
        raise SystemExit(main(find_root(), sys.argv[1:]))
    except ProjectError as error:
        raise SystemExit(str(error)) from error
