"""Does a chapter run away from the clone? ``python -m press.run.without_clone [CHAPTER …] [--all]``.

A reader on Colab has the notebook and the installed package, nothing else. Here the wheel is built and unpacked; the
chapter then runs in an empty folder, in the profile ``smoke``, with the wheel and this environment's other packages on
its path, but not the clone.
"""

from __future__ import annotations

import argparse
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

CHAPTER = "00"
"""The one that ``make test`` runs alone: it draws, trains, reads recorded results and shows figures."""
TIMEOUT = 300
"""Seconds that a cell may take, and a build."""


def build(root: Path, folder: Path) -> Path:
    """Build the wheel of the clone.

    Raises:
        ProjectError: uv is absent or the build fails.
    """
    local = root / ".tools" / "bin" / "uv"
    uv = str(local) if local.is_file() else shutil.which("uv")
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


def run(packages: str, path: Path, work: Path, *, profile: str = "smoke") -> str:
    """Execute one chapter with these packages in an empty folder; what failed, or nothing."""
    notebook = parameters.inject(cells.read(path), path.stem, {"profile": profile})
    environment = execute.environment(work, work / "cache", one_thread=True, offline=True)
    answer = execute.start(notebook, work, environment, timeout=TIMEOUT, path=packages)
    return "" if answer.get("ok") else f"{answer.get('where', 'before its first cell')}: {answer['error']}"


def main(root: Path, names: Sequence[str], *, profile: str = "smoke") -> int:
    """Run chapters alone, one after the other; 0 if each gets to its end."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wsss-alone-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        packages = install(build(root, folder), folder / "environment")
        for path in chapters(root, names):
            what = run(packages, path, folder / path.stem, profile=profile)
            remedy = "import what it needs from wsss_lib, or ship the file with the package (pyproject.toml)"
            print(
                f"{path.stem}: {f'fails without the clone in {what}: {remedy}' if what else 'runs alone'}", flush=True
            )
            failed += bool(what)
    return int(failed > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chapters", nargs="*", help=f"names or numbers (default: {CHAPTER})")
    parser.add_argument("--all", action="store_true", help="every chapter")
    parser.add_argument("--profile", default="smoke", help="how much to do (default: smoke)")
    options = parser.parse_args()
    stop_cleanly()
    wanted = [] if options.all else options.chapters or [CHAPTER]
    try:
        sys.exit(main(find_root(), wanted, profile=options.profile))
    except ProjectError as error:
        sys.exit(str(error))
