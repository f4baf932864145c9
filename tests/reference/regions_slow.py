"""What a backbone sees in a box, place by place: bilinear reading by its definition, in plain loops."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GRID = 7


def read(plane: Tensor, y: float, x: float) -> Tensor:
    """A plane (C, H, W) between its four pixels around (y, x), whose centres are whole numbers; clamped at the edge."""
    height, width = plane.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros_like(plane[:, 0, 0])
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    return (
        (1 - down) * (1 - across) * plane[:, top, left] + (1 - down) * across * plane[:, top, right]
        + down * (1 - across) * plane[:, bottom, left] + down * across * plane[:, bottom, right]
    )  # fmt: skip


def places_in(plane: Tensor, box: list[float], stride: float) -> Tensor:
    """The means of two by two readings in each of 7 × 7 places of a box, (C, 7, 7)."""
    x0, y0, x1, y1 = (side / stride - 0.5 for side in box)
    high, wide = (y1 - y0) / GRID, (x1 - x0) / GRID
    places = torch.zeros(len(plane), GRID, GRID).to(plane)
    for i in range(GRID):
        for j in range(GRID):
            readings = [
                read(plane, y0 + (i + (a + 0.5) / 2) * high, x0 + (j + (b + 0.5) / 2) * wide)
                for a in range(2)
                for b in range(2)
            ]
            places[:, i, j] = sum(readings) / 4
    return places


def region(stages: dict[str, Tensor], strides: dict[str, int], image: Tensor, box: list[float]) -> Tensor:
    """What is in a box of one image (3, H, W), and where it is; ``stages`` are its features (C, h, w)."""
    parts = []
    for name, plane in stages.items():
        places = places_in(plane, box, strides[name])
        each = [places[:, i, j] / places[:, i, j].norm() for i in range(GRID) for j in range(GRID)]
        parts.append(sum(each) / len(each))
    colours = places_in(2 * image - 1, box, 1)
    inner = [colours[:, i, j] for i in range(2, 5) for j in range(2, 5)]
    parts.append(sum(inner) / len(inner))
    height, width = image.shape[1:]
    x0, y0, x1, y1 = box
    where = [x0 / width, y0 / height, x1 / width, y1 / height, (x1 - x0) * (y1 - y0) / width / height]
    return torch.cat([*parts, torch.tensor(where).to(image)])
