"""Which tests `make quick` runs: those of what changed."""

import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
changed = runpy.run_path(str(ROOT / ".ci" / "changed.py"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["tests/press/test_cells.py"], ["tests/press/test_cells.py"]),
        (["tests/maps/conftest.py"], ["tests/maps"]),
        (["wsss_lib/methods/cam.py"], ["tests/methods/test_cam.py"]),
        (["wsss_lib/files.py"], ["tests/test_files.py"]),
        (["press/cells.py"], ["tests/press/test_cells.py"]),
        (["press/check/prose.py"], ["tests/press/check/test_prose.py"]),
        (["press/check/markup.py", "press/check/prose.py"], ["tests/press/check"]),
        (["README.md", "book/chapters/01_cam.ipynb", "setup.py", "tests/pages/test_pages.py"], []),
        (["tests/maps/test_gone.py"], ["tests/maps"]),
    ],
)
def test_the_tests_of_a_file_are_found_by_its_place(files, expected):
    result = changed["tests"](ROOT, files)
    assert [path for path in result if path in expected] == expected
    assert len(result) == len(expected) or files[0].startswith("wsss_lib")


def test_what_changed_is_seen_since_the_branch_left_main(tmp_path):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    for name in ("kept.py", "edited.py", "committed.py"):
        (tmp_path / name).write_text("x = 1\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    git("switch", "-qc", "branch")
    (tmp_path / "committed.py").write_text("x = 2\n")
    git("commit", "-qam", "second")
    (tmp_path / "edited.py").write_text("x = 2\n")
    (tmp_path / "new.py").write_text("x = 1\n")
    assert sorted(changed["changed"](tmp_path)) == ["committed.py", "edited.py", "new.py"]
