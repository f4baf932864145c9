import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from press.check import requirements
from press.project import ProjectError

ROOT = Path(__file__).resolve().parents[3]


def test_a_file_that_differs_from_the_lock_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, "export", lambda root: "torch==1\n")
    assert "run `make requirements`" in str(next(requirements.requirements(tmp_path)))
    requirements.write(tmp_path)
    assert list(requirements.requirements(tmp_path)) == []
    (tmp_path / "requirements.txt").write_text("torch==2\n")
    assert len(list(requirements.requirements(tmp_path))) == 1


def test_without_uv_one_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(requirements.shutil, "which", lambda name: None)
    with pytest.raises(ProjectError, match="run `make env` first"):
        requirements.export(tmp_path)


def test_a_lock_that_uv_refuses_is_told(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 2, "", "no lockfile\n")
    monkeypatch.setattr(requirements.shutil, "which", lambda name: "uv")
    monkeypatch.setattr(requirements, "watched", lambda *a, **k: done)
    with pytest.raises(ProjectError, match=r"no lockfile.*uv lock"):
        requirements.export(tmp_path)


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
    for name in ("ruff", "mypy", "lint-imports", "wsss", "python"):
        program = tmp_path / ".venv" / "bin" / name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >> called\n[[ "{name} $*" != $FAILS* ]]\n')
        program.chmod(0o755)

    def run(fails: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        environment = os.environ | {"FAILS": fails}
        done = subprocess.run([".ci/steps"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done, (tmp_path / "called").read_text().splitlines()

    return run


CALLS = [
    "ruff check .", "ruff format --check .", "mypy ", "lint-imports --no-logo", "wsss check --only requirements",
    "python -m pytest -n 2 -m not browser", "python -m pytest tests/pages -n 2 -rs",
    "python -m press.run.validate", "python -m press.run.without_clone", "wsss check",
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
