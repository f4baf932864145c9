r"""Random walk: scores flow between pixels that belong together.

With affinities :math:`a_{ij}` among near pixels (:mod:`~wsss_lib.refine.affinity`) and :math:`a_{ii} = 1`, a step is

.. math:: M_i \leftarrow \frac{\sum_j a_{ij}^\beta M_j}{\sum_j a_{ij}^\beta}.

AffinityNet and IRN square the matrix of all pairs, P² numbers, until its power is that of all steps. Here the scores
walk step by step over a table of the near pairs, which are P times the neighbours. The result is the same.

Many steps are cheaper than they are long. The matrix of a step, A, has real eigenvalues in [-1, 1], for which

.. math:: x^n = \sum_k w_k T_k(x), \qquad T_{k+1}(x) = 2 x T_k(x) - T_{k-1}(x)

with the Chebyshev polynomials T. The weight :math:`w_k` is the chance that somebody who tosses a coin for each of n
steps, forward or back, ends at a distance of k. That is hardly ever more than some :math:`\sqrt n`, so the sum ends
early: 64 steps cost 40 products with A in 32 bits, and 256 steps 84 (Sachdeva and Vishnoi 2014, section 3).
"""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.refine.affinity import Offsets, shifted

MEMORY = 2**30
"""Bytes that the tables of a walk may take at once, by default."""


def random_walk(
    scores: Tensor,
    affinities: Tensor,
    offsets: Offsets,
    *,
    steps: int = 64,
    power: float = 8.0,
    held: Tensor | None = None,
    memory: int = MEMORY,
) -> Tensor:
    """Let scores walk.

    Args:
        scores: (N, K, h, w) float, any range; often the background's score among them. Differentiable.
        affinities: (N, offsets, h, w) in [0, 1]. Differentiable.
        offsets: From :func:`wsss_lib.refine.affinity.pair_offsets`.
        steps: How many. 64 in SEAM, 256 in AffinityNet and IRN.
        power: β: larger ones make weak affinities weaker. 8 in AffinityNet, 10 in IRN.
        held: (N, h, w) bool: pixels that keep their scores, as seeds do in Grady's random walker. None: nobody.
        memory: Bytes that tables may take: images walk in groups for which they suffice.

    Returns:
        (N, K, h, w), within the range of each plane.

    Raises:
        ValueError: Shapes that do not fit, or one image that needs more memory; the message says how much.

    Source: Ahn and Kwak 2018.
    """
    n, _, h, w = scores.shape
    if affinities.shape != (n, len(offsets), h, w) or (held is not None and held.shape != (n, h, w)):
        raise ValueError(
            f"scores are {tuple(scores.shape)}, affinities {tuple(affinities.shape)} for {len(offsets)} offsets, held "
            f"pixels {None if held is None else tuple(held.shape)}; expected (N, K, h, w), (N, offsets, h, w) and "
            "(N, h, w): bring all to one grid"
        )
    each = table_bytes(h, w, offsets, scores.element_size())
    if n and each > memory:
        raise ValueError(
            f"the walk on {h} × {w} pixels with {2 * len(offsets)} neighbours needs {each / 2**20:.0f} MiB an image, "
            f"allowed are {memory / 2**20:.0f}: walk on a smaller grid, within a smaller radius, or allow more memory"
        )
    group = max(1, memory // max(each, 1))
    parts = [
        _walk(scores[at], affinities[at], offsets, steps, power, None if held is None else held[at])
        for at in (slice(start, start + group) for start in range(0, n, group))
    ]
    return torch.cat(parts) if parts else scores


def table_bytes(h: int, w: int, offsets: Offsets, element: int = 4) -> int:
    """Bytes of an image's tables on a grid of (h, w): a number and a weight for each neighbour, and as much again while
    they are made.
    """
    return h * w * (2 * len(offsets) + 1) * (8 + 2 * element)


def _walk(
    scores: Tensor, affinities: Tensor, offsets: Offsets, steps: int, power: float, held: Tensor | None
) -> Tensor:
    n, k, h, w = scores.shape
    weights = affinities**power
    ahead = weights.unbind(1)
    behind = [shifted(plane, (-dy, -dx)) for plane, (dy, dx) in zip(ahead, offsets, strict=True)]
    # Neighbours in reading order, as they lie in memory: a fifth faster than pair by pair.
    table = torch.stack([*reversed(behind), torch.ones_like(scores[:, 0]), *ahead], dim=-1)  # (N, h, w, 2 · pairs + 1)
    table = (table / table.sum(dim=-1, keepdim=True)).flatten(0, 2)
    pixels = torch.arange(n * h * w, dtype=torch.int32, device=scores.device)
    steps_ahead = [dy * w + dx for dy, dx in offsets]
    moves = torch.tensor([*(-step for step in reversed(steps_ahead)), 0, *steps_ahead])
    # A partner outside has weight 0; its number must be of some pixel all the same.
    partners = (pixels[:, None] + moves.to(pixels)).clamp_(0, max(n * h * w - 1, 0))
    start = scores.permute(0, 2, 3, 1).flatten(0, 2).contiguous()  # (N·h·w, K)

    def step(values: Tensor) -> Tensor:
        return F.embedding_bag(partners, values, mode="sum", per_sample_weights=table)

    def on_grid(values: Tensor) -> Tensor:
        return values.view(n, h, w, k).permute(0, 3, 1, 2)

    chances = distances_after(steps, torch.finfo(start.dtype).eps)
    if held is not None or len(chances) > steps:
        values = start
        for _ in range(steps):
            values = step(values)
            if held is not None:
                values = torch.where(held.reshape(-1, 1), start, values)
        return on_grid(values)
    before, values = start, step(start)
    total = chances[0] * before + chances[1] * values
    for chance in chances[2:]:
        before, values = values, 2 * step(values) - before
        if chance:
            total = total + chance * values
    # The walk is a mean, and stays in the range of its plane; the sum does but for roundings.
    low, high = scores.amin((2, 3), keepdim=True), scores.amax((2, 3), keepdim=True)
    return on_grid(total).clamp(low, high)


def distances_after(steps: int, rare: float) -> list[float]:
    """The chance of each distance from the start after so many steps to the left or to the right.

    Args:
        steps: n ≥ 0.
        rare: The farthest distances are left out, which together have at most this chance.

    Returns:
        One chance for each distance from 0 on, which sum to 1.
    """
    chances = [
        comb(steps, (steps - k) // 2) * (2 if k else 1) / 2**steps if (steps - k) % 2 == 0 else 0.0
        for k in range(steps + 1)
    ]
    left = 0.0
    while len(chances) > 1 and left + chances[-1] <= rare:
        left += chances.pop()
    return [chance / (1 - left) for chance in chances]
