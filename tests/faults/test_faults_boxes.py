"""Boxes: one form is certain, others are named by the caller, and what fits no image is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fault_kit import load_rows, photo, refusal

CORNERS = [10.0, 12.0, 40.0, 30.0]


def boxes_of(folder: Path, boxes: Any, column: str = "boxes", **options: Any) -> list[list[float]]:
    """The boxes of the second record; the first one's are good."""
    several = bool(boxes) and isinstance(boxes[0], list)
    first = [CORNERS] if several else CORNERS
    rows = [
        {"id": "robin", "image": photo(48, 64), "label": 0, column: first},
        {"id": "wren", "image": photo(48, 64), "label": 0, column: boxes},
    ]
    records = load_rows(folder, rows, names=["bird"], **options)
    return records[1]["boxes"].tolist()


def test_corners_are_read_as_corners(tmp_path: Path) -> None:
    assert boxes_of(tmp_path, [CORNERS, [0.0, 0.0, 64.0, 48.0]]) == [CORNERS, [0, 0, 64, 48]]


NO_BOXES = {
    "x, y, width, height": ([[50.0, 30.0, 10.0, 9.0]], r"xywh|width"),
    "inverted": ([[40.0, 30.0, 10.0, 12.0]], r"right|left|corner|xyxy"),
    "empty": ([[10.0, 12.0, 10.0, 30.0]], r"empty|right|area|corner"),
    "NaN": ([[10.0, float("nan"), 40.0, 30.0]], r"NaN|number"),
    "infinite": ([[10.0, 12.0, float("inf"), 30.0]], r"inf|number"),
    "outside": ([[10.0, 12.0, 90.0, 30.0]], r"64|outside"),
    "negative": ([[-30.0, 12.0, 40.0, 30.0]], r"-30|outside"),
    "normalised": ([[0.1, 0.2, 0.5, 0.9]], r"normal|0 to 1|share"),
    "fractions of a cropped image": ([[0.1, 0.2, 0.5, 1.02]], r"at most 1\.02.*normalised="),
    "three numbers": ([[10.0, 12.0, 40.0]], r"4|four"),
    "five numbers": ([[10.0, 12.0, 40.0, 30.0, 1.0]], r"4|four"),
}


@pytest.mark.parametrize("name", NO_BOXES)
def test_what_is_no_box_of_the_image_is_refused_with_row_and_id(tmp_path: Path, name: str) -> None:
    boxes, cause = NO_BOXES[name]
    refusal(lambda: boxes_of(tmp_path, boxes), cause, "birds", r"\b1\b", "wren")


def test_boxes_by_name_of_their_sides_are_refused(tmp_path: Path) -> None:
    rows = [{"id": "wren", "image": photo(48, 64), "label": 0, "boxes": {"left": [1.0], "top": [2.0]}}]
    refusal(lambda: load_rows(tmp_path, rows, names=["bird"])[0], "left", "wren", "four numbers")


@pytest.mark.parametrize("column", ["is_crowd", "is_thing"])
@pytest.mark.parametrize("flag", ["False", None, float("nan"), 2])
def test_a_flag_is_true_or_false(tmp_path: Path, column: str, flag: Any) -> None:
    rows = [{"id": "wren", "image": photo(48, 64), "boxes": [CORNERS], "categories": ["bird"], column: [flag]}]
    refusal(lambda: load_rows(tmp_path, rows, names=["bird"])[0], column, "true or false", "wren")


def test_a_way_to_say_which_form(tmp_path: Path) -> None:
    assert boxes_of(tmp_path, [[10.0, 12.0, 30.0, 18.0]], boxes_are="xywh") == [CORNERS]
    assert boxes_of(tmp_path, [[25.0, 21.0, 30.0, 18.0]], boxes_are="cxcywh") == [CORNERS]
    refusal(lambda: boxes_of(tmp_path, [CORNERS], boxes_are="yxyx"), "yxyx", "xywh")


def test_a_null_list_of_boxes_is_no_box(tmp_path: Path) -> None:
    rows = [
        {"id": "robin", "image": photo(48, 64), "label": 0, "boxes": [CORNERS]},
        {"id": "wren", "image": photo(48, 64), "label": 0, "boxes": None},
    ]
    assert load_rows(tmp_path, rows, names=["bird"])[1]["boxes"].shape == (0, 4)


def test_an_image_that_is_resized_takes_its_boxes_along(tmp_path: Path) -> None:
    assert boxes_of(tmp_path, [CORNERS], size=(96, 128)) == [[20, 24, 80, 60]]
