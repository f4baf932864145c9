"""The pins of requirements.txt, and the steps of `make test`."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_requirement_is_pinned_as_in_the_lock():
    locked = {(p["name"], p.get("version")) for p in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    lines = [line.partition(";")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pins = [tuple(line.split("==")) for line in lines if line and not line.startswith("#")]
    assert {name for name, _ in pins} >= {"torch", "papermill", "nbval", "jupyter-book", "pytest"}
    assert [pin for pin in pins if pin not in locked] == []


@pytest.fixture
def steps(tmp_path):
    """The script of `make test` among programs that only write down that they were called, and fail on request."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "steps", tmp_path / ".ci" / "steps")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "requirements.txt").touch()
    bin = tmp_path / ".venv" / "bin"
    for program in (
        *(bin / n for n in ("ruff", "mypy", "lint-imports", "wsss", "python")),
        tmp_path / ".ci/requirements",
    ):
        name = program.name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >> called\n[[ "{name} $*" != $FAILS* ]]\n')
        program.chmod(0o755)

    def run(fails: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        environment = os.environ | {"FAILS": fails}
        done = subprocess.run([".ci/steps"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done, (tmp_path / "called").read_text().splitlines()

    return run


CALLS = [
    "ruff check .", "ruff format --check .", "mypy ", "lint-imports --no-logo", "requirements ",
    "python -m pytest -n 2 -m not browser", "python -m pytest tests/pages -n 2 -rs",
    "python -m press.run.validate", "python -m press.run.without_clone 0", "wsss check",
]  # fmt: skip


def test_make_test_runs_every_step(steps):
    done, called = steps("nothing")
    assert called == CALLS
    assert done.returncode == 0
    assert done.stdout.count(" ok") == len(CALLS)


@pytest.mark.parametrize("fails", CALLS)
def test_one_step_that_fails_fails_the_whole_and_stops_no_other(steps, fails):
    done, called = steps(fails)
    assert called == CALLS
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_requirements_that_are_not_the_locks_fail(tmp_path, steps):
    (tmp_path / "requirements.txt").write_text("torch==2\n")
    done, called = steps("nothing")
    assert called == CALLS
    assert done.returncode == 1
    assert "> torch==2" in done.stdout
    assert "make requirements" in done.stdout
