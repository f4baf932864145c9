"""A chapter against the wheel: one that needs the package only, and each way of needing the clone."""

from pathlib import Path

import pytest
from notebook_kit import put

from press.project import ProjectError
from press.run import without_clone

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The path with this clone's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    try:
        wheel = without_clone.build(ROOT, folder)
    except ProjectError as error:
        pytest.skip(str(error))
    return without_clone.install(wheel, folder / "environment")


GOOD = """\
import wsss_lib
from wsss_lib.experiments import results
from wsss_lib.notebook import say
assert results.read("world")["data"], results.names()
assert "environment" in wsss_lib.__file__, wsss_lib.__file__
assert profile == "smoke"
"""


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (GOOD, ""),
        ("print(open('../../results/world.json').read())", "FileNotFoundError"),
        ("from tests.press import notebook_kit", "ModuleNotFoundError"),
        ("import benchmarks", "ModuleNotFoundError"),
    ],
    ids=["package only", "a file of the clone", "a test's helper", "a folder of the clone"],
)
def test_a_chapter_that_needs_the_clone_fails_alone(packages, clone, tmp_path, code, what):
    path = put(clone, "01_cam", code, begin=False)
    failure = without_clone.run(packages, path, tmp_path / "work")
    assert (what in failure) if what else failure == ""
    assert failure.startswith("cell 2/2: ") or not what


def test_the_verdict_names_the_remedy(clone, monkeypatch, capsys):
    put(clone, "01_cam", "x = 1", begin=False)
    monkeypatch.setattr(without_clone, "build", lambda root, folder: folder / "a.whl")
    monkeypatch.setattr(without_clone, "install", lambda wheel, folder: "")
    for failure, code in (("cell 1/2: X", 1), ("", 0)):
        monkeypatch.setattr(without_clone, "run", lambda *a, failure=failure, **k: failure)
        assert without_clone.main(clone, []) == code
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("01_cam: fails without the clone in cell 1/2: X: import what it needs from wsss_lib")
    assert second == "01_cam: runs alone"


def test_without_uv_one_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ProjectError, match="run `make env` first"):
        without_clone.build(tmp_path, tmp_path)
