"""Masks are read as their author meant them, or refused with the remedy."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from data_kit import grey
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from wsss_lib.data.photos.masks import (
    boxes_from_mask,
    check_labels,
    encode,
    from_colours,
    from_segments,
    mask_array,
    palette,
    present,
    stored_mask,
)


def test_the_palette_is_vocs() -> None:
    """Colours as printed in VOC's development kit."""
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 12: (64, 0, 128), 15: (192, 128, 128), 20: (0, 64, 128),
                255: (224, 224, 192)}  # fmt: skip
    assert {k: tuple(palette()[k].tolist()) for k in expected} == expected
    assert len(np.unique(palette(), axis=0)) == 256


INDICES = arrays(
    np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 1, 2, 7, 20, 255])
)


@given(INDICES)
@settings(max_examples=60, deadline=None)
def test_masks_survive_every_encoding(mask: NDArray[np.uint8]) -> None:
    assert np.array_equal(mask_array(encode(mask)), mask)
    assert np.array_equal(mask_array(grey(mask)), mask)
    assert np.array_equal(from_colours(palette()[mask]), mask)


@given(INDICES)
@settings(max_examples=60, deadline=None)
def test_boxes_and_classes_of_a_mask_against_the_obvious(mask: NDArray[np.uint8]) -> None:
    expected: dict[int, list[int]] = {}
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            value = int(mask[y, x])
            if value in (0, 255):
                continue
            box = expected.setdefault(value - 1, [x, y, x + 1, y + 1])
            expected[value - 1] = [min(box[0], x), min(box[1], y), max(box[2], x + 1), max(box[3], y + 1)]
    boxes, classes = boxes_from_mask(torch.from_numpy(mask).long())
    assert classes.tolist() == sorted(expected) == present(mask)
    assert boxes.tolist() == [expected[k] for k in sorted(expected)]


def test_segments_with_too_few_descriptions() -> None:
    segments = np.array([[0, 1, 2]], np.uint8)
    assert from_segments(segments, [9, 255]).tolist() == [[0, 9, 255]]
    with pytest.raises(ValueError, match="a segment 2, but only 1"):
        from_segments(segments, [9])


def test_sixteen_bit_masks() -> None:
    def stored(values: list[list[int]]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.array(values, np.uint16)).save(buffer, "PNG")
        return buffer.getvalue()

    assert mask_array(stored([[0, 3, 255]])).tolist() == [[0, 3, 255]]
    with pytest.raises(ValueError, match="from 0 to 300"):
        mask_array(stored([[0, 300]]))


def paletted(indices: list[list[int]], colours: dict[int, tuple[int, int, int]]) -> bytes:
    image = Image.fromarray(np.array(indices, np.uint8))
    table = np.full((256, 3), 77, np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    image.putpalette(table.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


BLACK, DARK_RED, GREEN, CREAM = (0, 0, 0), (128, 0, 0), (0, 128, 0), (224, 224, 192)


@pytest.mark.parametrize(
    ("indices", "colours", "expected"),
    [
        ([[0, 1, 2]], {0: BLACK, 1: DARK_RED, 2: GREEN}, [[0, 1, 2]]),
        ([[0, 1, 2, 3]], {2: BLACK, 0: DARK_RED, 1: GREEN, 3: CREAM}, [[1, 2, 0, 255]]),
        ([[0, 1, 2]], {0: BLACK, 1: (1, 1, 1), 2: (2, 2, 2)}, [[0, 1, 2]]),
        ([[0, 1, 2]], {0: BLACK, 1: (31, 119, 180), 2: (255, 127, 14)}, [[0, 1, 2]]),
        ([[0, 1, 2]], {0: BLACK, 1: BLACK, 2: BLACK}, [[0, 1, 2]]),
    ],
    ids=["VOC's", "VOC's in another order", "a ramp of greys", "of one's own", "of one colour"],
)
def test_palettes(
    indices: list[list[int]], colours: dict[int, tuple[int, int, int]], expected: list[list[int]]
) -> None:
    assert mask_array(paletted(indices, colours)).tolist() == expected


def test_a_palette_whose_background_is_not_first() -> None:
    """As a quantised picture has it: the commonest colour first."""
    with pytest.raises(ValueError, match="shows its value 1 in black, the background's usual colour"):
        mask_array(paletted([[0, 1]], {0: (31, 119, 180), 1: BLACK}))


def test_masks_that_lost_their_values() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(buffer, "JPEG")
    with pytest.raises(ValueError, match="the mask is a JPEG"):
        mask_array(buffer.getvalue())
    clear = np.zeros((2, 2, 4), np.uint8)
    with pytest.raises(ValueError, match="transparent pixels"):
        mask_array(grey(clear))
    with pytest.raises(ValueError, match="the mask is a web page"):
        mask_array(b"<!DOCTYPE html>")
    with pytest.raises(ValueError, match="mode 'LA'"):
        mask_array(grey(np.zeros((2, 2, 2), np.uint8)))


def test_the_orientation_of_a_mask() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(buffer, "PNG", exif=exif)
    mask, orientation = stored_mask(buffer.getvalue())
    assert (mask.shape, orientation) == ((2, 3), 6)


@pytest.mark.parametrize(
    ("mask", "labels", "message"),
    [
        (
            [[0, 255]],
            [0],
            "holds only 0 and 255, and 255 is ignored, but the labels name leaf: save the mask as a grey",
        ),
        ([[255, 255]], [1], "255 is ignored, but the labels name stem"),
        ([[0, 0]], [0], "holds only 0, the background, but the labels name leaf"),
        ([[0, 2]], [0], r"shows 'stem' \(its value 2\), but the labels name leaf: correct one of them"),
        ([[0, 1]], [], "shows 'leaf' .* but the labels name nothing"),
        ([[0, 255]], None, "255 is ignored, so that it shows nothing"),
    ],
)
def test_masks_that_contradict_the_labels(mask: list[list[int]], labels: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_labels(np.array(mask, np.uint8), labels, ("leaf", "stem"))


@pytest.mark.parametrize(
    ("mask", "labels"),
    [([[0, 1]], [0]), ([[1, 255]], [0]), ([[0, 1]], [0, 1]), ([[0, 0]], []), ([[0, 255]], []), ([[0, 0]], None)],
)
def test_masks_that_agree_with_the_labels(mask: list[list[int]], labels: list[int] | None) -> None:
    check_labels(np.array(mask, np.uint8), labels, ("leaf", "stem"))
