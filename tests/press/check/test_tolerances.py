"""Tolerances that mean something, that were measured, and that are no wider than they need be."""

import json

import nbformat
import pytest
from figure_kit import chart, png, shown
from notebook_kit import notebook

from press.chapter import Chapter
from press.check import tolerances
from press.project import chapters, find_root
from press.run.machines import MACHINES

v4 = nbformat.v4


@pytest.mark.parametrize("stated", [{"absolut": 0.1}, {"absolute": "0.1"}, {"figure": 2}, 0.1, {"absolute": True}])
def test_a_tolerance_that_means_nothing_is_found(tmp_path, stated):
    made = Chapter(tmp_path / "01_cam.ipynb", notebook("01_cam", ("x", {"tolerance": stated})))
    assert "cell 4 (code-0: x): states the tolerance" in "".join(map(str, tolerances.tolerances(made)))


def test_a_tolerance_beside_a_tag_that_ignores_it_is_found(tmp_path):
    metadata = {"tolerance": {"absolute": 0.1}, "tags": ["nbval-ignore-output"]}
    made = Chapter(tmp_path / "01_cam.ipynb", notebook("01_cam", ("x", metadata)))
    assert "take one of them out" in "".join(map(str, tolerances.tolerances(made)))


def test_a_tolerance_for_figures_where_there_are_none_is_found(tmp_path):
    made = Chapter(tmp_path / "01_cam.ipynb", notebook("01_cam", ("x", {"tolerance": {"figure": 0.1}})))
    made.code[-1].outputs = [v4.new_output("stream", text="0.5")]
    assert "shows none: take it out" in "".join(map(str, tolerances.tolerances(made)))
    made.code[-1].outputs = shown(png(chart()))
    assert not list(tolerances.tolerances(made))


@pytest.fixture
def judged(tmp_path):
    """What the check says of a cell that states a tolerance, where two machines moved by so much."""

    def judge(stated, *moved):
        path = tmp_path / "book" / "chapters" / "01_cam.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        by_machine = {f"machine {i}": {"cells": {"code-0": {"absolute": of}}} for i, of in enumerate(moved)}
        (tmp_path / tolerances.FILE).write_text(json.dumps({"data": {"01_cam": by_machine}}))
        made = Chapter(path, notebook("01_cam", ("x", {"tolerance": stated} if stated else {})))
        return "".join(map(str, tolerances.measured(made)))

    return judge


def test_a_tolerance_is_twice_what_the_worst_machine_moved(judged):
    assert judged({"absolute": 0.08}, 0.01, 0.04) == ""
    assert "moves by 0.05 on machine 1, more than half" in judged({"absolute": 0.08}, 0.01, 0.05)
    assert "or state 0.04" in judged({}, 0.02), "the usual tolerance is held to the same rule"
    assert judged({}, 0.015) == ""


def test_a_tolerance_that_nobody_needs_is_found(judged):
    assert "states 0.1 for absolute, and 0.01 is the most that was measured: state at most 0.03" in judged(
        {"absolute": 0.1}, 0.01
    )
    assert "and 0 is the most" in judged({"absolute": 0.1}), "and so is one that nobody measured"
    assert judged({"figure": 0.02}) == "", "which says that a trained network has part in the figure"
    assert "states 0.03 for figure" in judged({"figure": 0.03})


def test_every_chapter_of_the_book_was_computed_as_every_machine_would():
    kept = tolerances.read(find_root())
    lacking = {path.stem: set(MACHINES) - set(kept.get(path.stem, {})) for path in chapters(find_root())}
    lacking = {name: machines for name, machines in lacking.items() if machines}
    assert not lacking, f"run `{tolerances.COMMAND} CHAPTER`"
