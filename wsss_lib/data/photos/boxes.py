"""Boxes as tables write them, turned into corners in pixels, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FORMS = ("xyxy", "xywh", "cxcywh")
"""What the four numbers of a box may be: two corners; a corner, width and height; the centre, width and height."""
_ROUNDING = 1.0
"""Pixels by which a box may reach beyond its image: boxes of resized images often do."""
_FRACTION = 1.25
"""The largest number of a box that still may be a fraction: boxes of cropped images reach a little beyond 1."""


def corners(cell: Any, height: int, width: int, form: str | None = None, normalised: bool | None = None) -> Tensor:
    """Boxes of an image as corners.

    Args:
        cell: One box or several, four numbers each.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        form: One of :data:`FORMS`; None for ``"xyxy"``.
        normalised: Whether the numbers are fractions of the image's sides; None for pixels, unless they look otherwise.

    Returns:
        (M, 4) float32 xyxy pixels.

    Raises:
        ValueError: A box is no box, or not of this form; the message says which and how to name its form.
    """
    if not isinstance(cell, Sequence):
        raise ValueError(f"its boxes are {cell!r:.80}: expected a list of four numbers for each")
    rows = [cell] if len(cell) and not isinstance(cell[0], Sequence) else list(cell)
    for number, row in enumerate(rows):
        if not isinstance(row, Sequence) or len(row) != 4 or not all(is_number(value) for value in row):
            raise ValueError(f"box {number} is {row!r:.80}: expected four numbers")
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    if not len(boxes):
        return boxes
    if not boxes.isfinite().all():
        raise ValueError(f"box {_first(~boxes.isfinite().all(1))} holds a value that is no number: leave that box out")
    if normalised is None and bool((boxes <= _FRACTION).all()) and max(height, width) > _FRACTION:
        raise ValueError(
            f"all numbers of the boxes are at most {float(boxes.max()):.3g}, so that they seem to be fractions of the "
            "image's sides: say it with normalised=True, or normalised=False if they are pixels"
        )
    if normalised:
        boxes = boxes * torch.tensor([width, height, width, height], dtype=torch.float32)
    turned = _corners(boxes, form or "xyxy")
    if (bad := _impossible(turned, height, width)).any():
        first = _first(bad)
        fitting = [f for f in FORMS if not _impossible(_corners(boxes, f), height, width).any()]
        hint = f": they would fit as {' or '.join(map(repr, fitting))}" if fitting else ""
        shown = [round(value, 2) for value in turned[first].tolist()]
        raise ValueError(
            f"box {first} of the form {form or 'xyxy'!r} has the corners {shown}, which are no box inside "
            f"an image {width} wide and {height} high{hint}; say what its numbers are with boxes_are='xyxy', "
            "'xywh' or 'cxcywh', or correct it"
        )
    return turned


def _corners(boxes: Tensor, form: str) -> Tensor:
    if form == "xyxy":
        return boxes
    place, sides = boxes[:, :2], boxes[:, 2:]
    left_top = place if form == "xywh" else place - sides / 2
    return torch.cat([left_top, left_top + sides], dim=1)


def _impossible(boxes: Tensor, height: int, width: int) -> Tensor:
    """Which boxes have no area or leave the image, (M,) bool."""
    most = torch.tensor([width, height], dtype=torch.float32) + _ROUNDING
    outside = (boxes[:, :2] < -_ROUNDING).any(1) | (boxes[:, 2:] > most).any(1)
    return outside | (boxes[:, 2:] <= boxes[:, :2]).any(1)


def is_number(value: Any) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first(flags: Tensor) -> int:
    return int(flags.nonzero()[0])
