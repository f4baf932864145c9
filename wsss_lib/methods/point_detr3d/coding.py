r"""Boxes as numbers that a network says, relative to a place p, an azimuth φ and the mean size of the class.

.. math:: \Big(R_{-\varphi}(c - p),\ \log\tfrac{l}{\bar l},\ \log\tfrac{w}{\bar w},\ \log\tfrac{h}{\bar h},\
          \sin 2\alpha,\ \cos 2\alpha\Big), \qquad \alpha = \theta - \varphi

c is the centre, θ the yaw, R a rotation about the vertical axis. Twice the angle tells the *axis*: a box that is turned
round has the same. Which way it points is a number of its own, a logit of cos α > 0, as in SECOND and PointPillars. So
eight numbers and a logit say a box; all zero say the class's mean box at p, along φ.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

NUMBERS = 9
"""Eight numbers and a logit."""
DIRECTION = 0.1
"""Weight of the loss of the logit beside that of the numbers."""


def differences(said: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """How far what is said of boxes is from what is right, both (..., 9).

    Returns:
        The mean L1 distance of the eight numbers, and the cross-entropy of the logit, each (...).
    """
    apart = (said[..., :8] - right[..., :8]).abs().mean(-1)
    return apart, F.binary_cross_entropy_with_logits(said[..., 8], right[..., 8], reduction="none")


def wrapped(angle: Tensor) -> Tensor:
    """An angle from -π up to, but not including, π."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """Vectors (..., 2) turned to the left by angles (...) in radians."""
    cos, sin = angle.cos(), angle.sin()
    x, y = vectors.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], -1)


def encoded(boxes: Tensor, places: Tensor, azimuth: Tensor, sizes: Tensor) -> Tensor:
    """What a network should say of boxes.

    Args:
        boxes: (..., 7).
        places: p (..., 3) in metres.
        azimuth: φ (...) in radians.
        sizes: (..., 3), mean length, width and height of each box's class.

    Returns:
        (..., 9); the last is 1 where cos α > 0 and 0 elsewhere.
    """
    offset = boxes[..., :3] - places
    flat = turned(offset[..., :2], -azimuth)
    alpha = boxes[..., 6] - azimuth
    angles = torch.stack([(2 * alpha).sin(), (2 * alpha).cos(), (alpha.cos() > 0).to(boxes)], -1)
    return torch.cat([flat, offset[..., 2:], (boxes[..., 3:6] / sizes).log(), angles], -1)


def decoded(numbers: Tensor, places: Tensor, azimuth: Tensor, sizes: Tensor) -> Tensor:
    """The boxes (..., 7) that numbers (..., 9) say; the arguments are those of :func:`encoded`."""
    flat = turned(numbers[..., :2], azimuth)
    centre = torch.cat([flat, numbers[..., 2:3]], -1) + places
    axis = torch.atan2(numbers[..., 6], numbers[..., 7]) / 2  # α from -π/2 to π/2, where cos α > 0
    alpha = torch.where(numbers[..., 8] < 0, axis + math.pi, axis)
    # Exponents beyond three are no size; without the bound a bad number becomes an infinite box.
    extent = sizes * numbers[..., 3:6].clamp(-3, 3).exp()
    return torch.cat([centre, extent, wrapped(alpha + azimuth)[..., None]], -1)


def padded(parts: list[Tensor], fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Ragged tensors (M_i, ...) as one (N, M, ...) and which rows are real (N, M); M is at least 1."""
    most = max(1, *(len(part) for part in parts))
    like = parts[0]
    stacked = like.new_full((len(parts), most, *like.shape[1:]), fill)
    real = torch.zeros(len(parts), most, dtype=torch.bool, device=like.device)
    for i, part in enumerate(parts):
        stacked[i, : len(part)] = part
        real[i, : len(part)] = True
    return stacked, real
