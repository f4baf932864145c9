r"""Gaussian filters over any features: each pixel receives from all, weighted by how alike their features are.

.. math:: y_i = \sum_j e^{-\|f_i - f_j\|^2 / 2}\, x_j

:class:`ExactFilter` holds all P² weights: for small images, and as the truth. :class:`LatticeFilter` spreads values
onto the corners of a lattice in feature space, blurs them there, and reads them off: time O(P) for any width.
Both are linear in the values, batched and differentiable. Each pixel is among those that it receives from.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Filter(Protocol):
    """From values (N, P, C) to filtered values (N, P, C); one that is made of one image's features serves any N."""

    def __call__(self, values: Tensor) -> Tensor: ...

    def scale(self, factors: Tensor) -> None:
        """From now on, multiply the values before and after by factors (N, P, 1)."""


def normalise_symmetrically(kernel: Filter, like: Tensor) -> None:
    r"""Make of a filter :math:`k` the filter :math:`k(i, j) / \sqrt{\sum_a k(i, a) \sum_a k(j, a)}`, in place.

    Args:
        kernel: The filter.
        like: (N, P, any), float, on its device.
    """
    kernel.scale(kernel(like.new_ones(*like.shape[:2], 1)).clamp(min=1e-20).rsqrt())


class ExactFilter:
    """All pairs of pixels: P² weights an image.

    Args:
        features: (N, P, d) float, in units of the Gaussian's standard deviation.
    """

    def __init__(self, features: Tensor) -> None:
        self.kernel = torch.cdist(features, features).square().mul_(-0.5).exp_()  # (N, P, P)

    def __call__(self, values: Tensor) -> Tensor:
        return self.kernel.to(values) @ values

    def scale(self, factors: Tensor) -> None:
        self.kernel = self.kernel * factors * factors.mT


class LatticeFilter:
    """The permutohedral lattice: d + 1 corners a pixel, a blur of three taps along each of d + 1 directions.

    What it gives is proportional to the exact sum, within some per cent; normalise by the filter of ones.

    Args:
        features: (N, P, d) float, in units of the Gaussian's standard deviation.

    Attributes:
        images: How many images' features it is made of.
        corners: How many corners of the lattice are in use, in all images together.

    Raises:
        ValueError: The features spread over more cells than 64 bits can number.

    Source: Adams, Baek and Davis 2010.
    """

    def __init__(self, features: Tensor) -> None:
        n, p, d = features.shape
        self.images = n
        weights, codes, steps = _corners(features.transpose(1, 2).contiguous())  # (N, d + 1, P) both; (d + 1,)
        self.weights = weights.transpose(1, 2).reshape(n * p, d + 1)
        # Touches, one a pixel and corner, sorted by corner: so each corner has a run of them.
        codes, order = codes.transpose(1, 2).flatten().sort(stable=True)
        first = torch.cat([codes.new_ones(min(len(codes), 1), dtype=torch.bool), codes[1:] != codes[:-1]])
        starts = first.nonzero()[:, 0]
        numbered, self.corners = codes[starts], len(starts)
        which = first.cumsum(0, dtype=torch.int32) - 1
        self.at = torch.empty_like(which).scatter_(0, order, which).view(n * p, d + 1)  # the corners a pixel touches
        self.pixels, self.starts = order.int() // (d + 1), starts.int()  # the pixels that touch a corner
        self.pixel_weights = self.weights.flatten().take(order)
        self.blurs = [self._blur(numbered, step) for step in steps.tolist()]

    def __call__(self, values: Tensor) -> Tensor:
        if self.images == 1 < len(values):  # the channels of all go through it together
            together = values.transpose(0, 1)  # (P, N, C)
            return self(together.flatten(1)[None])[0].view(together.shape).transpose(0, 1)
        flat = values.flatten(0, 1)  # (N·P, C)
        weights, pixel_weights = self.weights.to(values), self.pixel_weights.to(values)
        grid = F.embedding_bag(self.pixels, flat, self.starts, mode="sum", per_sample_weights=pixel_weights)  # splat
        for neighbours, taps in self.blurs:
            grid = F.embedding_bag(neighbours, grid, mode="sum", per_sample_weights=taps.to(values))
        return F.embedding_bag(self.at, grid, mode="sum", per_sample_weights=weights).view_as(values)  # slice

    def scale(self, factors: Tensor) -> None:
        flat = factors.flatten(0, 1)  # (N·P, 1)
        self.weights = self.weights * flat
        self.pixel_weights = self.pixel_weights * flat[:, 0].take(self.pixels.long())

    def _blur(self, numbered: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Each corner and its two neighbours along a direction, and their weights: (corners, 3) both."""
        at = torch.arange(self.corners, dtype=torch.int32, device=numbered.device)
        ahead = torch.searchsorted(numbered, numbered + step, out_int32=True).clamp(max=self.corners - 1)
        exists = numbered[ahead] == numbered + step
        neighbours, taps = at[:, None].repeat(1, 3), self.weights.new_tensor([1.0, 0, 0]).repeat(self.corners, 1)
        neighbours[:, 1] = torch.where(exists, ahead, at)
        taps[:, 1] = 0.5 * exists
        neighbours[ahead[exists], 2] = at[exists]  # who is ahead of me has me behind
        taps[ahead[exists], 2] = 0.5
        return neighbours, taps


def _corners(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point, by its corners.

    The lattice lies in the plane Σ x = 0 of d + 1 dimensions. Its points are whole, with one remainder modulo d + 1.

    Args:
        features: (N, d, P).

    Returns:
        Barycentric weights (N, d + 1, P); the number of each corner (N, d + 1, P) int64; and by how much the number of
        a corner differs from that of its neighbour along each of the d + 1 directions.
    """
    n, d, p = features.shape
    side = d + 1
    left = _raise(features)  # (N, d + 1, P)
    # The nearest point whose coordinates are multiples of d + 1, and how the coordinates rank by what is left over.
    nearest = (left / side).round_()
    left -= nearest * side
    rank = nearest.sum(dim=1, keepdim=True).expand(n, side, p).clone()  # off the plane Σ x = 0 by so much
    for i in range(side):
        for j in range(i + 1, side):
            behind = (left[:, i] < left[:, j]).to(rank)
            rank[:, i] += behind
            rank[:, j] += 1 - behind
    shift = (rank < 0).to(rank) - (rank > d).to(rank)  # back onto the plane
    nearest += shift
    shift *= side
    left -= shift
    rank = rank.add_(shift).long()
    # Barycentric: by how much each rest exceeds the next smaller one.
    rests = torch.empty_like(left).scatter_(1, rank, left / side)  # the largest first
    weights = torch.empty_like(rests)
    weights[:, 1:] = (rests[:, :-1] - rests[:, 1:]).flip(1)
    weights[:, 0] = 1 + rests[:, -1] - rests[:, 0]

    # A corner's number: its coordinates but the last, which follows from them, in mixed radix; the image's in front.
    low, high = nearest[:, :d].amin((0, 2)) - 2, nearest[:, :d].amax((0, 2)) + 2  # room for corners and neighbours
    spans = [side * int(span) + 1 for span in high - low]
    radix = [math.prod(spans[:i]) for i in range(side)]
    if n * radix[d] >= 2**62:
        raise ValueError(f"features spread over {spans} cells, more than 64 bits can number: use larger widths")
    number = radix[d] * torch.arange(n, device=features.device).view(n, 1).expand(n, p).clone()
    for i in range(d):
        number += (nearest[:, i] - low[i]).long() * (side * radix[i])  # (N, P)
    # To the corner with the next remainder, each coordinate grows by 1, but that of the highest rank yet falls by d.
    steps = torch.tensor([sum(radix[:d]) - side * r for r in [*radix[:d], 0]], device=features.device)
    ranked = torch.empty_like(rank).scatter_(1, rank, steps.view(1, side, 1).expand(n, side, p))
    codes = torch.empty_like(rank)
    codes[:, 0] = number
    for r in range(d):
        codes[:, r + 1] = codes[:, r] + ranked[:, d - r]
    return weights, codes, steps


def _raise(features: Tensor) -> Tensor:
    """Points (N, d, P) in the plane Σ x = 0 of d + 1 dimensions, scaled so that the blur has standard deviation 1."""
    d = features.shape[1]
    number = torch.arange(d, dtype=features.dtype, device=features.device)
    scaled = features * ((d + 1) * (2 / 3) ** 0.5 / ((number + 1) * (number + 2)).sqrt())[:, None]
    after = F.pad(scaled.flip(1).cumsum(1).flip(1), (0, 0, 0, 1))  # (N, d + 1, P): the sum from each coordinate on
    return after - F.pad(scaled * (number + 1)[:, None], (0, 0, 1, 0))
