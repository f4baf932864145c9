"""The times of both commands: an edit counts only where its page has it."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
BUILDS = """
import json, sys
from pathlib import Path
(cell,) = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]
page = Path("_build/html/book/chapters", Path(sys.argv[1]).stem + ".html")
page.parent.mkdir(parents=True, exist_ok=True)
page.write_text("".join(cell["source"]), encoding="utf-8")
"""
"""A book of one page."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(FOLDER / "house.py"))


@pytest.fixture
def clone(tmp_path: Path, script: Mapping[str, Any]) -> Path:
    chapter = tmp_path / "book" / "chapters" / f"{script['CHAPTER']}.ipynb"
    chapter.parent.mkdir(parents=True)
    chapter.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Title"]}]}), encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_an_edit_is_timed_until_its_page_has_it(
    script: dict[str, Any], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chapter = f"book/chapters/{script['CHAPTER']}.ipynb"
    script["STEPS"]["build"] = script["FIRST"]["build"] = [sys.executable, "-c", BUILDS, chapter]
    before = (clone / chapter).read_text(encoding="utf-8")
    seconds = script["seconds_of"](clone, ["build"])
    assert list(seconds) == ["build"]
    assert f"build: {seconds['build']:g} s" in capsys.readouterr().out
    assert (clone / chapter).read_text(encoding="utf-8") == before  # the next edit begins with the clone's text

    script["STEPS"]["prose"] = [sys.executable, "-c", "pass"]
    with pytest.raises(RuntimeError, match="lacks 'This sentence was added before prose"):
        script["seconds_of"](clone, ["prose"])


def test_a_command_that_fails_is_shown_and_not_timed(
    script: dict[str, Any], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script["FIRST"]["test"] = [sys.executable, "-c", "open('cleaned', 'w').close()"]
    script["STEPS"]["test"] = [sys.executable, "-c", "raise SystemExit('two tests failed')"]
    with pytest.raises(subprocess.CalledProcessError):
        script["seconds_of"](clone, ["test"])
    assert (clone / "cleaned").is_file()
    assert capsys.readouterr().out == "two tests failed\n\n"
