import copy
from pathlib import Path

import nbformat
import pytest
from notebook_kit import notebook

from press.run import key


def keyed(chapter, **changes):
    parts = {"parameters": {"seed": 0}, "library": "l", "environment": "e", "data": "d"} | changes
    return key.chapter_key(chapter, parts.pop("parameters"), **parts)


def edited(chapter, change):
    other = copy.deepcopy(chapter)
    change(other)
    return keyed(other)


@pytest.fixture
def chapter():
    return notebook("01_cam", "a = 1", "b = 2")


def test_prose_outputs_counts_and_ids_do_not_count(chapter):
    def prose(nb):
        nb.cells[0].source = "# Another title"
        nb.cells.append(nbformat.v4.new_markdown_cell("More prose."))

    def outcome(nb):
        nb.cells[-1].outputs = [nbformat.v4.new_output("stream", text="2")]
        nb.cells[-1].execution_count = 7
        nb.cells[-1]["id"] = "other"

    assert edited(chapter, prose) == keyed(chapter)
    assert edited(chapter, outcome) == keyed(chapter)


def test_an_empty_code_cell_does_not_count(chapter):
    assert edited(chapter, lambda nb: nb.cells.append(nbformat.v4.new_code_cell("  "))) == keyed(chapter)


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: setattr(nb.cells[-1], "source", "b = 3"),
        lambda nb: nb.cells.append(nbformat.v4.new_code_cell("c = 3")),
        lambda nb: nb.cells.insert(3, nb.cells.pop()),
        lambda nb: nb.cells[2].metadata.pop("tags"),
    ],
    ids=["edited", "added", "reordered", "untagged"],
)
def test_code_counts(chapter, change):
    assert edited(chapter, change) != keyed(chapter)


@pytest.mark.parametrize(
    "change", [{"parameters": {"seed": 1}}, {"library": "m"}, {"environment": "f"}, {"data": "c"}], ids=str
)
def test_everything_around_counts(chapter, change):
    assert keyed(chapter, **change) != keyed(chapter)


def test_the_type_of_a_parameter_counts(chapter):
    assert keyed(chapter, parameters={"seed": "0"}) != keyed(chapter)


def test_the_lock_counts(tmp_path: Path):
    lock = tmp_path / "uv.lock"
    lock.write_text("torch 1")
    before = key.environment_digest(lock)
    lock.write_text("torch 2")
    assert key.environment_digest(lock) != before != key.environment_digest(None)


def test_an_installed_version_counts(monkeypatch):
    before = key.environment_digest(None)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0")
    assert key.environment_digest(None) != before
