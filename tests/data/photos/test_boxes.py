"""Boxes of every form become corners in pixels, and impossible ones a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from wsss_lib.data.photos.boxes import corners

HEIGHT, WIDTH = 60, 100
BOX = [10.0, 20, 50, 40]


@pytest.mark.parametrize(
    ("cell", "form", "normalised"),
    [
        ([BOX], None, None),
        (BOX, "xyxy", None),
        ([[10, 20, 40, 20]], "xywh", None),
        ([[30, 30, 40, 20]], "cxcywh", None),
        ([[0.1, 20 / 60, 0.5, 40 / 60]], "xyxy", True),
        ([[0.1, 20 / 60, 0.4, 20 / 60]], "xywh", True),
        ([[0.3, 0.5, 0.4, 20 / 60]], "cxcywh", True),
    ],
)
def test_forms(cell: Any, form: str | None, normalised: bool | None) -> None:
    assert corners(cell, HEIGHT, WIDTH, form, normalised)[0].tolist() == pytest.approx(BOX, abs=1e-4)


def test_none_and_several() -> None:
    assert corners([], HEIGHT, WIDTH).shape == (0, 4)
    assert corners([BOX, BOX], HEIGHT, WIDTH).shape == (2, 4)
    assert corners([[99.5, 0, 100.9, 60.5]], HEIGHT, WIDTH).tolist() == [pytest.approx([99.5, 0, 100.9, 60.5])]
    assert corners([[-1, -1, 101, 61]], HEIGHT, WIDTH).tolist() == [[-1, -1, 101, 61]], "counted from 1"
    assert corners([[0, 0, 1, 1]], HEIGHT, WIDTH, normalised=False).tolist() == [[0, 0, 1, 1]]
    assert corners([[0, 0, 1, 1]], 1, 1).tolist() == [[0, 0, 1, 1]], "an image of one pixel"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ([[60, 30, 30, 20]], r"box 0 of the form 'xyxy' has the corners \[60.*they would fit as 'xywh' or 'cxcywh'"),
        (
            [BOX, [50, 40, 10, 20]],
            "box 1 of the form 'xyxy' has the corners .* no box inside an image 100 wide and 60 high",
        ),
        ([[10, 20, 10, 40]], "no box inside"),
        ([[10, 20, 102, 40]], "no box inside"),
        ([[-2, 20, 50, 40]], "no box inside"),
        ([[10, 20, float("nan"), 40]], "box 0 holds a value that is no number"),
        ([[10, 20, float("inf"), 40]], "box 0 holds a value that is no number"),
        ([[0.1, 0.2, 0.5, 0.7]], "seem to be fractions of the image's sides: say it with normalised=True"),
        ([[10, 20, 50]], r"box 0 is \[10, 20, 50\]: expected four numbers"),
        ([[10, 20, 50, None]], "expected four numbers"),
        ([[True, 20, 50, 40]], "expected four numbers"),
        ("left", "expected four numbers"),
    ],
)
def test_what_is_no_box(cell: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corners(cell, HEIGHT, WIDTH)
