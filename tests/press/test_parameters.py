import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_kit import PARAMETERS, notebook

from press import cells, parameters
from press.parameters import ParameterError


def chapter(text: str = PARAMETERS):
    return notebook("01_cam", "print(seed)", parameters=text)


def test_names_and_defaults_are_read():
    assert parameters.declared(chapter(), "01_cam") == {
        "profile": "book", "seed": 0, "data": "critters", "backbone": "tiny_cnn", "device": "auto", "out_dir": "out",
    }  # fmt: skip


def test_annotations_and_comments_are_allowed():
    text = "# which\nseed: int = 3  # any\nrate = 0.5\nsizes = [1, 2]\nname = None"
    assert parameters.declared(chapter(text), "x") == {"seed": 3, "rate": 0.5, "sizes": [1, 2], "name": None}


@pytest.mark.parametrize("text", ["seed = 1 + x", "import os", "a = b = 1", "print(1)", "seed ="])
def test_anything_but_literals_is_refused(text):
    with pytest.raises(ParameterError, match="literal"):
        parameters.declared(chapter(text), "01_cam")


def test_a_misspelt_name_is_refused_with_the_right_one():
    with pytest.raises(ParameterError, match=r"no parameter 'sed'.*did you mean 'seed'"):
        parameters.resolve(chapter(), "01_cam", {"sed": "1"})


def test_a_missing_tag_is_refused():
    with pytest.raises(ParameterError, match="no cell tagged 'parameters'"):
        parameters.resolve(notebook("01_cam", PARAMETERS, parameters=None), "01_cam", {"seed": "1"})


def test_two_tagged_cells_are_refused():
    twice = notebook("01_cam", (PARAMETERS, {"tags": ["parameters"]}))
    with pytest.raises(ParameterError, match="2 cells tagged"):
        parameters.declared(twice, "01_cam")


@pytest.mark.parametrize(("default", "text", "value"), [("0", "7", 7), ("0", "-1", -1), ("'a'", "7", "7")])
def test_values_take_the_type_of_the_default(default, text, value):
    resolved = parameters.resolve(chapter(f"x = {default}"), "01_cam", {"x": text})["x"]
    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize("text", ["1.5", "x", "True", ""])
def test_the_wrong_type_is_refused(text):
    with pytest.raises(ParameterError, match="is not of type int"):
        parameters.resolve(chapter("x = 0"), "01_cam", {"x": text})


def test_an_unknown_profile_is_refused():
    with pytest.raises(ParameterError, match="expected one of smoke"):
        parameters.resolve(chapter(), "01_cam", {"profile": "quick"})


def test_injection_keeps_layout_comments_and_the_original():
    before = chapter()
    after = parameters.inject(before, "01_cam", {"profile": "smoke", "seed": 5})
    text = parameters.cell(after, "01_cam").source
    assert text == PARAMETERS.replace('"book"', '"smoke"').replace("seed = 0", "seed = 5")
    assert parameters.cell(before, "01_cam").source == PARAMETERS


def test_injection_replaces_values_of_several_lines_and_after_wide_letters():
    text = 'title = "größe → 1"; seed = 0\nsizes = [\n    1,\n    2,\n]\nlast = 1'
    after = parameters.inject(chapter(text), "x", {"sizes": [3], "seed": 9, "last": 2})
    assert parameters.cell(after, "x").source == 'title = "größe → 1"; seed = 9\nsizes = [3]\nlast = 2'


@given(st.text(), st.integers(), st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_injected_is_read_back(text, number, numbers):
    values = {"a": text, "b": number, "c": numbers}
    after = parameters.inject(chapter("a = ''\nb = 0\nc = []"), "x", values)
    assert parameters.declared(after, "x") == values


def test_injecting_an_unknown_name_is_refused():
    with pytest.raises(ParameterError, match="no parameter oops"):
        parameters.inject(chapter(), "01_cam", {"oops": 1})


def test_relative_paths_are_meant_from_where_they_were_typed(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    values = {"data": "./photos", "backbone": "tiny_cnn", "out_dir": "there", "seed": 1}
    assert parameters.absolute(values, tmp_path) == {
        "data": str(tmp_path / "photos"), "backbone": "tiny_cnn", "out_dir": str(tmp_path / "there"), "seed": 1,
    }  # fmt: skip


def test_a_data_set_is_not_taken_for_a_folder_of_its_name(tmp_path: Path):
    (tmp_path / "pets").mkdir()
    assert parameters.absolute({"data": "pets"}, tmp_path) == {"data": "pets"}
    assert parameters.absolute({"data": "org/set"}, tmp_path) == {"data": "org/set"}


@pytest.mark.parametrize("items", [["seed"], ["=1"], ["a b=1"], ["seed=1", "seed=2"]])
def test_malformed_arguments_are_refused(items):
    with pytest.raises(ParameterError):
        parameters.from_arguments(items)


def test_arguments_keep_what_follows_the_first_sign():
    assert parameters.from_arguments(["data=a=b", "seed="]) == {"data": "a=b", "seed": ""}


def test_magics_do_not_hide_python():
    assert "z = 1" in ast.unparse(cells.parse("if x:\n    %pip install y\n!ls\nz = 1"))
    assert cells.parse("x = (").body == []
