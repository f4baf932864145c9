r"""Affinities: how surely two pixels near each other belong together.

A pair is a pixel :math:`i` and another at an offset :math:`o` from it. Of :math:`o` and :math:`-o` one is enough.

.. math:: a_{ij} = e^{-\frac1C \|f_i - f_j\|_1} \qquad \text{or} \qquad a_{ij} = 1 - \max_{k \in \text{line}(i, j)} b_k

The first is AffinityNet's, of features; the second IRN's, of boundaries.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.data.fields import IGNORE

Offsets = tuple[tuple[int, int], ...]


def pair_offsets(radius: float) -> Offsets:
    """All (rows, columns) nearer than ``radius``, of each two opposite ones the one that comes later in reading order.

    Args:
        radius: In pixels of the grid, > 1. 5 in AffinityNet and in IRN's inference, 10 in IRN's training.

    Returns:
        34 offsets for a radius of 5, 152 for 10.

    Raises:
        ValueError: A radius within which there is no other pixel.
    """
    if not radius > 1:
        raise ValueError(f"the radius is {radius}, expected more than 1: a pixel's neighbour is at a distance of 1")
    reach = range(-int(radius), int(radius) + 1)
    return tuple((dy, dx) for dy in reach for dx in reach if dy * dy + dx * dx < radius * radius and (dy, dx) > (0, 0))


def feature_affinities(features: Tensor, offsets: Offsets) -> Tensor:
    """Affinities of features: 1 where they are alike, falling with their mean absolute difference.

    Args:
        features: (N, C, h, w) float; differentiable. For plain colours, images divided by the difference that matters.
        offsets: From :func:`pair_offsets`.

    Returns:
        (N, offsets, h, w) in [0, 1]; zero where the partner lies outside.

    Source: Ahn and Kwak 2018, with the mean over channels of the released code.
    """
    inside = torch.ones_like(features[:1, 0])
    planes = [(-(features - shifted(features, o)).abs().mean(dim=1)).exp() * shifted(inside, o) for o in offsets]
    return torch.stack(planes, dim=1)


def boundary_affinities(boundaries: Tensor, offsets: Offsets) -> Tensor:
    """Affinities of boundaries: a pair is apart as far as the strongest boundary on the line between them says.

    Args:
        boundaries: (N, h, w) in [0, 1]; differentiable.
        offsets: From :func:`pair_offsets`.

    Returns:
        (N, offsets, h, w) in [0, 1]; zero where the partner lies outside.

    Source: Ahn et al. 2019 (IRN); the line is that of the released code.
    """
    inside = torch.ones_like(boundaries[:1])
    planes = []
    for o in offsets:
        line = torch.stack([shifted(boundaries, step) for step in line_between(o)])  # (cells, N, h, w)
        planes.append((1 - line.amax(dim=0)) * shifted(inside, o))
    return torch.stack(planes, dim=1)


def line_between(offset: tuple[int, int]) -> Offsets:
    """The cells on the way from (0, 0) to ``offset``, both included: those less than 1 from the straight line."""
    dy, dx = offset
    rows, columns = (range(min(0, d), max(0, d) + 1) for d in (dy, dx))
    return tuple((y, x) for y in rows for x in columns if abs(y * dx - x * dy) < (dy * dy + dx * dx) ** 0.5)


def affinity_loss(affinities: Tensor, seeds: Tensor, offsets: Offsets, eps: float = 1e-5) -> Tensor:
    r"""What is wrong with affinities, judged by pairs of pixels of whose labels one is sure.

    .. math:: \tfrac14 \langle -\log a \rangle_{\text{both background}} + \tfrac14 \langle -\log a
        \rangle_{\text{both the same class}} + \tfrac12 \langle -\log (1 - a) \rangle_{\text{unlike}}

    Args:
        affinities: (N, offsets, h, w) in [0, 1].
        seeds: (N, h, w) int64; pairs with a pixel of 255 are left out.
        offsets: Those of the affinities.
        eps: Added to what the logarithm takes.

    Returns:
        Scalar ≥ −eps; a term without a pair is zero.

    Source: Ahn and Kwak 2018.
    """
    # Shifted by one, so that outside is 0 and IGNORE stays recognisable.
    partner = torch.stack([shifted(seeds + 1, o) for o in offsets], dim=1) - 1  # (N, offsets, h, w), −1 outside
    here = seeds[:, None]
    sure = (here != IGNORE) & (partner != IGNORE) & (partner >= 0)
    alike, unlike = sure & (here == partner), sure & (here != partner)
    together, apart = -(affinities + eps).log(), -(1 + eps - affinities).log()

    def mean(values: Tensor, pairs: Tensor) -> Tensor:
        return (values * pairs).sum() / pairs.sum().clamp(min=1)

    background, foreground = mean(together, alike & (here == 0)), mean(together, alike & (here > 0))
    return 0.25 * background + 0.25 * foreground + 0.5 * mean(apart, unlike)


def shifted(planes: Tensor, offset: tuple[int, int]) -> Tensor:
    """Planes (..., h, w) whose value at each pixel is that of its partner at ``offset``; zero where that is outside."""
    dy, dx = offset
    return F.pad(planes, (-dx, dx, -dy, dy))
