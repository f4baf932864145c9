"""ESOL's pieces written for the eye: one image, one cell, one tap at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def between(plane: Tensor, y: float, x: float) -> float:
    """A plane (h, w) read between its cells; zero outside the grid."""
    height, width = plane.shape
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += float(plane[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def deformed(features: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """Features (C, h, w) under a deformable convolution of weight (D, C, kh, kw), offsets (2 · kh · kw, h, w)."""
    kh, kw = weight.shape[2:]
    _, height, width = features.shape
    out = torch.zeros(len(weight), height, width, dtype=features.dtype)
    for d in range(len(weight)):
        for y in range(height):
            for x in range(width):
                for i in range(kh):
                    for j in range(kw):
                        tap = i * kw + j
                        at_y = y + i - kh // 2 + float(offsets[2 * tap, y, x])
                        at_x = x + j - kw // 2 + float(offsets[2 * tap + 1, y, x])
                        for c in range(len(features)):
                            out[d, y, x] += float(weight[d, c, i, j]) * between(features[c], at_y, at_x)
    return out


def clipped(features: Tensor, share: float) -> Tensor:
    """Each channel of (C, h, w) without its negative values, and at most ``share`` of its maximum."""
    out = torch.zeros_like(features)
    for c, plane in enumerate(features):
        top = max(0.0, max(float(v) for v in plane.flatten()))
        for y, row in enumerate(plane):
            for x, value in enumerate(row):
                out[c, y, x] = min(max(0.0, float(value)), share * top)
    return out


def area(maps: Tensor, labels: Tensor) -> float:
    """The mean share of their maximum that the maps (N, K, h, w) of present classes have."""
    shares = []
    for image, present in zip(maps, labels, strict=True):
        for plane, shown in zip(image, present, strict=True):
            if shown:
                values = [max(0.0, float(v)) for v in plane.flatten()]
                shares.append(sum(values) / (max(values) + 1e-5) / len(values))
    return sum(shares) / len(shares) if shares else 0.0


def soft_margin(scores: Tensor, labels: Tensor) -> float:
    """The multi-label loss of scores (N, K), averaged over images and classes."""
    terms = [
        math.log1p(math.exp(-float(s) if y else float(s)))
        for row, present in zip(scores, labels, strict=True)
        for s, y in zip(row, present, strict=True)
    ]
    return sum(terms) / len(terms)
