r"""Where a query reads: pillars seen from above, deformable attention, and grids over a box on the ground and in the
picture.

.. math:: \mathrm{attention}(q) = \sum_{h} W_h \sum_{k} A_{hk}(q)\, V_h\big(\mathrm{place}_{hk}(q)\big)

V are features on a grid, read between cells by bilinear interpolation; A sums to 1 over the places k of a head h
(Zhu et al. 2021, eq. 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

CHANNELS = 8
"""Of :func:`pillars`."""


def pillars(points: Sequence[Tensor], half: float, cells: int) -> Tensor:
    """What stands on each cell of a square of ground, seen from above.

    Args:
        points: Of each of N scenes (P, 3 or more): x, y, z in metres.
        half: Metres from the middle to each side.
        cells: Number of cells a side.

    Returns:
        (N, 8, cells, cells): log(1 + count); means of the offsets from the cell's middle, in cells, of their squares
        and of their product; mean and largest height in metres. An empty cell is zero. Rows run along y, columns
        along x, from -half to half.
    """
    together = torch.cat([part[:, :3] for part in points])
    scene = torch.cat([part.new_full((len(part),), i, dtype=torch.int64) for i, part in enumerate(points)])
    at = (together[:, :2] + half) * (cells / (2 * half))  # (P, 2) in cells
    inside = ((at >= 0) & (at < cells)).all(1)
    cell = at.floor().clamp(0, cells - 1)
    index = (scene * cells + cell[:, 1].long()) * cells + cell[:, 0].long()
    # What lies outside goes to a cell of its own, which is dropped.
    index = torch.where(inside, index, torch.full_like(index, len(points) * cells**2))
    dx, dy = (at - cell - 0.5).unbind(1)
    z = together[:, 2]
    values = torch.stack([torch.ones_like(z), dx, dy, dx * dx, dy * dy, dx * dy, z], 1)
    grid = values.new_zeros(len(points) * cells**2 + 1, values.shape[1]).index_add(0, index, values)
    highest = values.new_zeros(len(grid)).scatter_reduce(0, index, z, "amax", include_self=True)
    count = grid[:, :1]
    planes = torch.cat([count.log1p(), grid[:, 1:] / count.clamp_min(1), highest[:, None]], 1)[:-1]
    return planes.view(len(points), cells, cells, CHANNELS).permute(0, 3, 1, 2).contiguous()


def deformable_attention(values: Sequence[Tensor], places: Tensor, weights: Tensor) -> Tensor:
    """Read features at places of one's own, several heads and levels at once.

    Args:
        values: L maps (N, C, h_l, w_l), C divisible by the number of heads; head h reads its own share of the channels.
        places: (N, Q, H, L, K, 2) as (x, y) in [0, 1] from the map's left and upper border; outside is zero.
        weights: (N, Q, H, L, K), which sum to 1 over levels and places of a head.

    Returns:
        (N, Q, C), the heads side by side.

    Source: Zhu et al. 2021 (Deformable DETR), eq. 3, before the output projection. Built in chapter 11.
    """
    n, queries, heads, levels, _, _ = places.shape
    if len(values) != levels or values[0].shape[1] % heads:
        raise ValueError(
            f"{len(values)} maps of {values[0].shape[1]} channels for {levels} levels and {heads} heads: pass a map "
            "for each level, with channels that the heads can share"
        )
    total = values[0].new_zeros(())
    for level, value in enumerate(values):
        own = value.reshape(n * heads, -1, *value.shape[2:])  # (N·H, C/H, h, w)
        grid = 2 * places[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1  # (N·H, Q, K, 2)
        read = F.grid_sample(own, grid.to(own), align_corners=False)  # (N·H, C/H, Q, K)
        weight = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]  # (N·H, 1, Q, K)
        total = total + (read * weight.to(read)).sum(-1)
    return total.reshape(n, -1, queries).transpose(1, 2)


def square_grid(side: int, extent: float, like: Tensor) -> Tensor:
    """Places of ``side`` × ``side`` points over a square of ``extent`` metres around the origin: (side², 2)."""
    steps = torch.linspace(-extent / 2, extent / 2, side, device=like.device, dtype=like.dtype)
    return torch.cartesian_prod(steps, steps)


def on_map(metres: Tensor, half: float) -> Tensor:
    """Places (..., 2) on the ground as shares of the map of :func:`pillars`, from its left and upper border."""
    return (metres + half) / (2 * half)


def sine_code(values: Tensor, channels: int, temperature: float = 100.0) -> Tensor:
    """Sines and cosines of coordinates: (..., D) in [0, 1] to (..., D · channels).

    .. math:: \\sin(2\\pi v\\,/\\,T^{2i/c}),\\ \\cos(2\\pi v\\,/\\,T^{2i/c}),\\quad i = 0, …, c/2 - 1

    The paper's temperature T is 10⁴ with 42 channels each; here there are fewer, so fewer octaves are needed.
    """
    steps = torch.arange(channels // 2, device=values.device, dtype=values.dtype)
    angle = 2 * math.pi * values[..., None] / temperature ** (2 * steps / channels)
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
