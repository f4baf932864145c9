"""DRS: no cell of a channel may exceed a share of the channel's own maximum, so that weaker cells count as well.

Kim et al., *Discriminative Region Suppression for Weakly-Supervised Semantic Segmentation*, AAAI 2021. SSC
(chapter 6) expands its maps by it; the clip of ESOL (chapter 7) has the same form.

    x'(u) = min(ReLU(x(u)), δ max_v ReLU(x(v)))          each channel of each image on its own

A classifier that pools by averaging takes most of a score from few strong cells. Where these are limited, a high score
needs more cells: the map spreads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

DELTA = 0.55
"""The share δ that DRS and SSC release."""


def drs(features: Tensor, delta: float = DELTA) -> Tensor:
    """Cut each channel at a share of its maximum.

    The operation is not idempotent: a second one cuts at the share of the maximum that the first one left. Gradients
    of cells that are cut reach the cell of the maximum.

    Args:
        features: (N, C, h, w), any range; what is negative becomes zero.
        delta: Share δ of the maximum that stays, in (0, 1]; 1 is a ReLU.

    Returns:
        (N, C, h, w), from 0 to δ times each channel's maximum. For x = (0, 1, 2, 4) and δ = 0.55: (0, 1, 2, 2.2).
        Kim et al. 2021, released code. Built in chapter 6.

    Raises:
        ValueError: A share outside (0, 1].
    """
    if not 0 < delta <= 1:
        raise ValueError(f"delta is {delta}, expected a share of the maximum in (0, 1]: 0.55 is what DRS releases")
    cut: Tensor = _Cut.apply(features.relu(), delta)
    return cut  # (N, C, h, w)


class _Cut(torch.autograd.Function):
    """min(x, δ max x), x ≥ 0, with the gradient that autograd gives it, in two thirds of the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: float) -> Tensor:
        top = x.amax((2, 3), keepdim=True)  # (N, C, 1, 1)
        ctx.save_for_backward(x, top)
        ctx.delta = delta
        return x.minimum(delta * top)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, top = ctx.saved_tensors
        over = x > ctx.delta * top
        moved = ctx.delta * torch.where(over, gradient, 0).sum((2, 3), keepdim=True)  # (N, C, 1, 1)
        highest = x == top  # equal maxima share
        kept = torch.where(over, 0, gradient)
        return kept.add_(torch.where(highest, moved / highest.sum((2, 3), keepdim=True), 0)), None


class DRS(nn.Module):
    """:func:`drs` as a layer without parameters, in the place of a ReLU."""

    def __init__(self, delta: float = DELTA) -> None:
        super().__init__()
        self.delta = delta

    def extra_repr(self) -> str:
        return f"delta={self.delta}"

    def forward(self, features: Tensor) -> Tensor:
        return drs(features, self.delta)
