r"""Two views of a scene: a strong one, and how its features are brought back to the place of the weak one.

A strong view moves a point p to

.. math:: p' = s R F p + t

F mirrors x or y, R turns, s scales, t shifts. What the weak view shows at p, the strong one shows at p'. So the strong
map is brought back by *reading* it at p' for every cell p of the weak one: a sampling grid goes from output to input,
and its matrix is the view's own, sRF, not the inverse; t counts in halves of the map's side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.methods.point_detr3d.coding import wrapped


class View(NamedTuple):
    """Of N scenes: ``matrix`` (N, 2, 2) = sRF, ``shift`` t (N, 2) in metres; and of what they are made.

    ``scale`` s, ``angle`` in radians, ``mirrored`` (1 or -1): each (N,).
    """

    matrix: Tensor
    shift: Tensor
    scale: Tensor
    angle: Tensor
    mirrored: Tensor


def view_of(scale: Tensor, angle: Tensor, flips: Tensor, shift: Tensor) -> View:
    """A view by its parts.

    Args:
        scale: s (N,).
        angle: (N,) in radians, to the left.
        flips: (N, 2) signs of x and y: -1 where that coordinate is mirrored.
        shift: t (N, 2) in metres.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # R (N, 2, 2)
    return View(scale[:, None, None] * turn * flips[:, None, :], shift, scale, angle, flips.prod(-1))


def strong_view(count: int, like: Tensor, strength: float = 1.0) -> View:
    """A random view: each mirror in half of the cases, up to 22.5° to either side, 0.85 to 1.15 times as large, shifted
    by a Gaussian of 0.5 m. ``strength`` scales the last three; device and precision are those of ``like``."""
    u = torch.rand(count, 4, device=like.device, dtype=like.dtype)
    flips = 1 - 2 * (u[:, :2] < 0.5).to(u)
    scale, angle = 1 + 0.15 * strength * (2 * u[:, 2] - 1), math.pi / 8 * strength * (2 * u[:, 3] - 1)
    return view_of(scale, angle, flips, 0.5 * strength * torch.randn(count, 2, device=like.device, dtype=like.dtype))


def move_points(points: Sequence[Tensor], view: View) -> list[Tensor]:
    """Points (P, 3 or more) of each scene as its view shows them; heights scale too."""
    return [
        torch.cat([p[:, :2] @ view.matrix[i].T + view.shift[i], p[:, 2:3] * view.scale[i], p[:, 3:]], 1)
        for i, p in enumerate(points)
    ]


def move_boxes(boxes: Sequence[Tensor], view: View) -> list[Tensor]:
    """Boxes (M, 7) of each scene as its view shows them."""
    moved = []
    for i, b in enumerate(boxes):
        flat = b[:, :2] @ view.matrix[i].T + view.shift[i]
        # The direction itself goes through the matrix: a mirror of x turns a yaw of 0 round, a mirror of y does not.
        heading = torch.stack([b[:, 6].cos(), b[:, 6].sin()], -1) @ view.matrix[i].T
        yaw = wrapped(torch.atan2(heading[:, 1], heading[:, 0]))
        moved.append(torch.cat([flat, b[:, 2:6] * view.scale[i], yaw[:, None]], 1))
    return moved


def brought_back(features: Tensor, view: View, half: float) -> Tensor:
    """Features of the strong view at the places of the weak one.

    Args:
        features: (N, C, h, w) of the strong view; rows run along y and columns along x, from -half to half.
        view: How the strong view came about.
        half: Metres from the middle of the map to its sides.

    Returns:
        (N, C, h, w); zero where the strong view shows nothing. Built in chapter 11.
    """
    theta = torch.cat([view.matrix, view.shift[:, :, None] / half], -1)  # (N, 2, 3), output to input
    grid = F.affine_grid(theta.to(features), list(features.shape), align_corners=False)
    return F.grid_sample(features, grid, align_corners=False)
