"""A convolution that learns where to look: each tap reads the features at a place of its own (Dai et al. 2017).

    F(p) = Σ_k W_k X(p + r_k + Δ_k(p))

W_k is the weight of tap k, r_k its step from the cell p, such as (−1, 1), and Δ_k(p) its offset there, in cells.
Between cells X is interpolated bilinearly; outside the grid it is zero. With Δ = 0 this is an ordinary convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.methods.losses import precise


def tap_steps(kernel: tuple[int, int], like: Tensor) -> Tensor:
    """The steps r_k of a kernel's taps from its centre, row by row: (taps, 2) as (Δy, Δx), in cells."""
    rows, columns = (torch.arange(k, device=like.device, dtype=like.dtype) - k // 2 for k in kernel)
    return torch.cartesian_prod(rows, columns).view(-1, 2)  # (taps, 2)


def sampling_points(offsets: Tensor, kernel: tuple[int, int] = (3, 3)) -> Tensor:
    """Where each tap of each cell reads, in cells from the grid's first one: p + r_k + Δ_k(p).

    Args:
        offsets: Δ (N, 2 · taps, h, w) as (Δy, Δx) of the first tap, of the second, …, in cells.
        kernel: Height and width of the kernel, both odd.

    Returns:
        (N, taps, h, w, 2) as (y, x). Built in chapter 7.
    """
    n, channels, height, width = offsets.shape
    steps = tap_steps(kernel, offsets)  # (taps, 2)
    if channels != steps.numel():
        raise ValueError(
            f"offsets have {channels} channels, expected {steps.numel()}: Δy and Δx of each of {len(steps)} taps"
        )
    y, x = (torch.arange(size, device=offsets.device, dtype=offsets.dtype) for size in (height, width))
    cells = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)  # (h, w, 2)
    moved = offsets.view(n, len(steps), 2, height, width).permute(0, 1, 3, 4, 2)  # (N, taps, h, w, 2)
    return cells + steps[:, None, None] + moved


def deformable_convolution(features: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """A convolution of stride 1 whose taps read at :func:`sampling_points`, padded with zeros.

    Args:
        features: X (N, C, h, w), any range.
        weight: W (D, C, kh, kw), both sides odd.
        offsets: Δ (N, 2 · kh · kw, h, w), in cells.

    Returns:
        (N, D, h, w). Dai et al. 2017, eq. 2. Built in chapter 7.

    Raises:
        ValueError: Another number of offsets than two for each tap.
    """
    n, channels, height, width = features.shape
    x = precise(features)
    points = sampling_points(offsets.to(x), (weight.shape[2], weight.shape[3]))  # (N, taps, h, w, 2)
    taps = points.shape[1]
    # grid_sample wants (x, y), with −1 and 1 on the outer borders of the outer cells.
    scale = torch.tensor((2.0 / width, 2.0 / height), device=x.device, dtype=x.dtype)
    grid = (points.flip(-1) + 0.5) * scale - 1
    read = F.grid_sample(x, grid.view(n, taps * height, width, 2), padding_mode="zeros", align_corners=False)
    columns = read.view(n, channels * taps, height * width)  # (N, C · taps, hw), the order of the weight's entries
    return (weight.flatten(1) @ columns.to(weight)).unflatten(2, (height, width)).to(features)  # (N, D, h, w)


class Offsets(nn.Conv2d):
    """The branch that says where to look: a 3 × 3 convolution to Δ (N, 2 · taps, h, w), zero at first."""

    def __init__(self, channels: int, taps: int = 9) -> None:
        super().__init__(channels, 2 * taps, 3, padding=1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]


def mean_reach(offsets: Tensor) -> Tensor:
    """The mean length of offsets (N, 2 · taps, h, w), in cells: a scalar without gradient. Used in chapter 7."""
    down, right = offsets.detach().unflatten(1, (-1, 2)).unbind(2)  # (N, taps, h, w) each
    return torch.hypot(down, right).mean()
