"""Print the tests of what changed since the branch left main, one path a line; `.ci/quick` runs them.

A module's tests are those of its name where the tests mirror the code, else those of its folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLOW = ("tests/pages",)
"""Folders that need the built book; `make test` runs them."""


def changed(root: Path) -> list[str]:
    """Files that differ from where the branch left main, and new ones; on main itself, from the last commit."""
    base = _git(root, "merge-base", "HEAD", "main") or ["HEAD"]
    return [*_git(root, "diff", "--name-only", base[0]), *_git(root, "ls-files", "--others", "--exclude-standard")]


def tests(root: Path, files: list[str]) -> list[str]:
    """Test files and folders of these files, none twice and none inside another."""
    wanted = dict.fromkeys(path for file in files for path in _of(root, Path(file)) if not path.startswith(SLOW))
    return [path for path in wanted if not any(path.startswith(f"{other}/") for other in wanted)]


def _of(root: Path, file: Path) -> Iterator[str]:
    if file.suffix != ".py" or not file.parts[1:]:
        return
    if file.parts[0] == "tests":
        itself = [file] if file.name.startswith("test_") and (root / file).is_file() else []
        yield from (path.as_posix() for path in itself or [file.parent])
        return
    inside = file.parts[1:-1] if file.parts[0] == "wsss_lib" else file.parts[:-1]
    folder = Path("tests", *inside)
    name = file.stem if file.stem != "__init__" else file.parent.name
    named = sorted((root / folder).glob(f"test_{name}*.py"))
    if named:
        yield from (path.relative_to(root).as_posix() for path in named)
    elif inside and (root / folder).is_dir():
        yield folder.as_posix()


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


if __name__ == "__main__":
    print("\n".join(tests(ROOT, changed(ROOT))))
