"""requirements.txt is exported from the lock, for those who install with plain pip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from press.chapter import Problem
from press.project import ProjectError
from press.watch import watched

EXPORT = ("export", "--frozen", "--no-hashes", "--no-emit-workspace", "--no-annotate", "--no-header")
EXTRAS = ("--extra", "test", "--extra", "photos")
HEADER = """\
# Exported from uv.lock by `make requirements`; do not edit. Use with plain pip:
#   python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/pip install --no-deps -e . -e press
"""


def export(root: Path) -> str:
    """What requirements.txt must hold.

    Raises:
        ProjectError: uv is absent or refuses the lock.
    """
    command = [find_uv(root), *EXPORT, *EXTRAS, "--quiet", "--offline"]
    done = watched(command, "uv's export of the lock", seconds=60, cwd=root, capture_output=True)
    if done.returncode:
        raise ProjectError(f"uv could not export the lock ({done.stderr.strip()}): run `uv lock`")
    return HEADER + done.stdout


def find_uv(root: Path) -> str:
    """The uv that `make env` installed, else one on the path.

    Raises:
        ProjectError: There is none.
    """
    local = root / ".tools" / "bin" / "uv"
    uv = str(local) if local.is_file() else shutil.which("uv")
    if uv is None:
        raise ProjectError("uv is not here, so neither the lock nor a wheel can be looked at: run `make env` first")
    return uv


def requirements(root: Path) -> Iterator[Problem]:
    """requirements.txt equals the lock's export."""
    path = root / "requirements.txt"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text != export(root):
        yield Problem("requirements.txt", "differs from what uv.lock exports: run `make requirements`")


def write(root: Path) -> None:
    """Write requirements.txt."""
    (root / "requirements.txt").write_text(export(root), encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
