r"""The boxes of *every* threshold at once, by a component tree.

Raise a threshold, and the object's components shrink, split and vanish; lower it, and they appear, grow and merge. A
component that appears at level :math:`v` and is swallowed by a larger one at level :math:`u < v` is the same set of
pixels, with the same box, for every threshold in between. So one pass from the highest level to the lowest, merging as
in Kruskal's algorithm, finds all boxes of all thresholds, and a metric that takes the best over thresholds needs no
loop over them. All images of a batch go through the levels together, on the maps' device.

The tree is the max-tree of mathematical morphology (Salembier et al. 1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from wsss_lib.maps.components import WHICH, Which


class BoxIntervals(NamedTuple):
    """Boxes, each with the thresholds at which it exists: M rows over all images.

    ``image`` (M,) int64; box m exists for threshold indices ``low[m] <= t < high[m]``; ``boxes`` (M, 4) int64 xyxy,
    right and bottom exclusive; ``rank`` (M,) int64: among the boxes of one image at one threshold, the one of highest
    rank is the largest (by the rule of ``which``; all 0 for ``"all"``).
    """

    image: Tensor
    low: Tensor
    high: Tensor
    boxes: Tensor
    rank: Tensor


def box_intervals(levels: Tensor, which: Which) -> BoxIntervals:
    """All boxes of all thresholds; at one threshold they are those of :func:`wsss_lib.maps.boxes`.

    Args:
        levels: (N, h, w) int64 in 0..T: the number of (rising) thresholds that the pixel exceeds, so that the mask at
            threshold index t is ``levels > t``. From a map: ``torch.bucketize(maps, thresholds)``.
        which: ``"largest"``, ``"contour"`` or ``"all"``.

    Returns:
        The boxes and the intervals in which they exist.

    Raises:
        ValueError: Unknown ``which``, or negative levels.
    """
    if which not in WHICH:
        raise ValueError(f"which={which!r} is unknown: use one of {', '.join(WHICH)}")
    if levels.dim() != 3 or (levels.numel() and int(levels.min()) < 0):
        raise ValueError("levels must be (N, h, w) counts from 0: take torch.bucketize(maps, thresholds)")
    if which == "contour":
        levels = _fill_holes(levels)  # fills the holes of every threshold's mask at once
        nodes, _ = _grow(levels, _polygon_weights(levels), eight=True)
        tie = nodes.first  # of equals the last in reading order
    else:
        nodes, _ = _grow(levels, torch.ones_like(levels), eight=True)
        tie = -nodes.first  # of equals the first
    image = nodes.first // max(1, levels[:1].numel())
    if which != "all":
        order = torch.argsort(tie)
        order = order[torch.argsort(nodes.size[order], stable=True)]  # by size, then by the tie rule
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        return BoxIntervals(image, nodes.low, nodes.high, nodes.boxes, rank)
    gaps = _gap_tree(levels)
    hole = ~gaps.outside
    # A hole's contour runs through the pixels around it, one to each side; the frame had shifted it by one.
    filled = gaps.nodes.boxes[hole] + torch.tensor([-2, -2, 0, 0], device=levels.device)
    return BoxIntervals(
        image=torch.cat([image, gaps.image[hole]]),
        low=torch.cat([nodes.low, gaps.top - gaps.nodes.high[hole]]),
        high=torch.cat([nodes.high, gaps.top - gaps.nodes.low[hole]]),
        boxes=torch.cat([nodes.boxes, filled]),
        rank=torch.zeros(len(image) + int(hole.sum()), dtype=torch.int64, device=levels.device),
    )


def interval_max(intervals: BoxIntervals, values: Tensor, shape: tuple[int, int], empty: float) -> Tensor:
    """For each image and threshold, the largest value among the boxes that exist there.

    An interval is the union of two (overlapping) ones whose length is a power of two. Writing the value there, and
    handing the maxima down from the long ones to the short, costs M + N · T · log T steps, not M · T.

    Args:
        intervals: M boxes, from :func:`box_intervals`.
        values: (M,), one per box.
        shape: (N, T).
        empty: The answer where no box exists; must be below every value.

    Returns:
        (N, T), dtype of ``values``.
    """
    n, t = shape
    length = intervals.high - intervals.low
    powers = 2 ** torch.arange(max(t, 1).bit_length(), device=length.device)
    power = torch.bucketize(length, powers, right=True) - 1  # (M,), the longest that fits
    start = intervals.image * t + intervals.low
    longer = torch.full((n, t), empty, dtype=values.dtype, device=values.device)
    for p in range(max(t, 1).bit_length() - 1, -1, -1):
        here = power == p
        table = torch.full((n * t,), empty, dtype=values.dtype, device=values.device)
        table.scatter_reduce_(0, start[here], values[here], "amax")
        table.scatter_reduce_(0, (start + length)[here] - 2**p, values[here], "amax")
        table = torch.maximum(table.view(n, t), longer)  # a block of 2p at i covers the block of p at i …
        shifted = 2**p
        table[:, shifted:] = torch.maximum(table[:, shifted:], longer[:, : t - shifted])  # … and the one at i + p
        longer = table
    return longer


class _Nodes(NamedTuple):
    """M components: alive at ``low <= t < high``; ``first`` is the first pixel, counted over all images."""

    first: Tensor
    low: Tensor
    high: Tensor
    boxes: Tensor
    size: Tensor
    parent: Tensor  # the node that swallows it, −1 for none


class _Gaps(NamedTuple):
    """Components of the background, each image in a frame; levels count down from ``top``."""

    nodes: _Nodes
    birth: Tensor  # (N, h, w): the node in which the pixel appears, −1 for none
    image: Tensor
    outside: Tensor  # (M,) bool: connected to the frame
    top: int


def _grow(levels: Tensor, weights: Tensor, eight: bool) -> tuple[_Nodes, Tensor]:
    """Union–find, level by level from the top. Pixels are numbered in the order in which they appear."""
    _, h, w = levels.shape
    flat = levels.flatten()
    device = flat.device
    # Stable, so that neighbours in memory stay neighbours.
    pixel = flat.argsort(descending=True, stable=True)  # number → pixel
    number = torch.empty_like(pixel)
    number[pixel] = torch.arange(len(pixel), device=device)
    parent = torch.arange(len(pixel), device=device)
    size = weights.flatten()[pixel]
    x, y = pixel % w, pixel // w % h
    least, most = torch.stack([pixel, x, y]), torch.stack([x, y]) + 1  # of a root: its component's
    node = torch.full_like(pixel, -1)  # of a root: its newest node
    birth, slot = node.clone(), node.clone()
    low, up = torch.zeros_like(pixel), node.clone()  # of a node; there are at most as many as pixels

    def find(start: Tensor) -> Tensor:
        root = parent[start]
        while True:
            above = parent[root]
            if torch.equal(above, root):
                parent[start] = root  # the next search is short
                return root
            root = above

    made: list[tuple[Tensor, ...]] = []
    count = 0
    for level, begin, end, a, b in _by_level(flat[pixel], number[_edges(levels, eight)]):
        a = find(a)
        old = a[a < begin]
        while len(a):
            # The younger root goes under the older: no cycles, short paths. What loses a race is tried again.
            parent.scatter_reduce_(0, torch.maximum(a, b), torch.minimum(a, b), "amin")
            a, b = find(a), find(b)
            differ = a != b
            a, b = a[differ], b[differ]
        order = torch.arange(len(old), device=device)
        slot[old] = order
        touched = torch.cat([old[slot[old] == order], torch.arange(begin, end, device=device)])  # each once
        root = find(touched)
        grown, moved = touched[root == touched], root != touched
        moved, target = touched[moved], root[moved]
        size.index_add_(0, target, size[moved])
        for row in least:
            row.scatter_reduce_(0, target, row[moved], "amin")
        for row in most:
            row.scatter_reduce_(0, target, row[moved], "amax")

        had = node[touched] >= 0
        ended, swallowed = node[touched[had]], root[had]
        node[grown] = torch.arange(count, count + len(grown), device=device)
        low[ended], up[ended] = level, node[swallowed]
        birth[begin:end] = node[root[len(root) - (end - begin) :]]
        made.append((torch.full_like(grown, level), *least[:, grown], *most[:, grown], size[grown]))
        count += len(grown)
    birth = birth[number].view(levels.shape)
    if not made:
        none = pixel[:0]
        return _Nodes(none, none, none, none.view(0, 4), size[:0], none), birth
    high, first, x0, y0, x1, y1, sizes = (torch.cat(column) for column in zip(*made, strict=True))
    return _Nodes(first, low[:count], high, torch.stack([x0, y0, x1, y1], 1), sizes, up[:count]), birth


def _by_level(falling: Tensor, pairs: Tensor) -> Iterator[tuple[int, int, int, Tensor, Tensor]]:
    """From the highest level to 1: the numbers [begin, end) that appear, and the pairs whose later one does."""
    older, younger = torch.minimum(*pairs), torch.maximum(*pairs)
    order = younger.argsort()
    older, younger = older[order], younger[order]
    present, counts = torch.unique_consecutive(falling, return_counts=True)
    ends = counts.cumsum(0)
    edge_ends = torch.searchsorted(younger, ends)  # the pairs whose later pixel comes before the level's end
    begin = e = 0
    for level, end, edge_end in zip(present.tolist(), ends.tolist(), edge_ends.tolist(), strict=True):
        if level == 0:
            return
        yield level, begin, end, older[e:edge_end], younger[e:edge_end]
        begin, e = end, edge_end


def _edges(levels: Tensor, eight: bool) -> Tensor:
    """Pairs of neighbours (2, E) whose merging suffices.

    In a cycle of neighbours the weakest pair, the last to appear, merges nothing new. Of the four sides of each 2 × 2
    block one is dropped, and each diagonal that a third pixel bridges; of equals, in one fixed order.
    """
    index = torch.arange(levels.numel(), device=levels.device).view(levels.shape)
    across = torch.minimum(levels[:, :, :-1], levels[:, :, 1:])
    down = torch.minimum(levels[:, :-1], levels[:, 1:])
    left, right, above, below = down[:, :, :-1], down[:, :, 1:], across[:, :-1], across[:, 1:]
    weakest = torch.minimum(torch.minimum(left, right), torch.minimum(above, below))
    keep_across, keep_down = torch.ones_like(across, dtype=torch.bool), torch.ones_like(down, dtype=torch.bool)
    free = torch.ones_like(weakest, dtype=torch.bool)
    for side, keep in (
        (left, keep_down[:, :, :-1]),
        (right, keep_down[:, :, 1:]),
        (above, keep_across[:, :-1]),
        (below, keep_across[:, 1:]),
    ):
        drop = free & (side == weakest)
        keep &= ~drop
        free &= ~drop
    pairs = [
        torch.stack([index[:, :, :-1][keep_across], index[:, :, 1:][keep_across]]),
        torch.stack([index[:, :-1][keep_down], index[:, 1:][keep_down]]),
    ]
    if eight:
        corners = [(slice(None, -1), slice(None, -1)), (slice(1, None), slice(1, None))]
        others = [(slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))]
        for ends, bridges in ((corners, others), (others, corners)):
            strength = torch.minimum(*(levels[:, y, x] for y, x in ends))
            keep = torch.maximum(*(levels[:, y, x] for y, x in bridges)) < strength
            pairs.append(torch.stack([index[:, y, x][keep] for y, x in ends]))
    return torch.cat(pairs, dim=1)


def _gap_tree(levels: Tensor) -> _Gaps:
    """The background's components, 4-connected, from the lowest level up; a frame joins what touches the border."""
    n, h, w = levels.shape
    top = int(levels.max()) if levels.numel() else 0
    depth = torch.full((n, h + 2, w + 2), top, dtype=levels.dtype, device=levels.device)
    depth[:, 1:-1, 1:-1] = top - levels
    nodes, birth = _grow(depth, torch.zeros_like(depth), eight=False)
    frame = (h + 2) * (w + 2)
    # What is connected to the outside contains the frame's corner, which precedes every pixel of its image.
    return _Gaps(nodes, birth[:, 1:-1, 1:-1], nodes.first // frame, nodes.first % frame == 0, top)


def _fill_holes(levels: Tensor) -> Tensor:
    """Grey-level hole filling: ``_fill_holes(levels) > t`` is ``levels > t`` with its holes filled, for every t."""
    gaps = _gap_tree(levels)
    if not len(gaps.nodes.parent):
        return levels
    parent = gaps.nodes.parent
    here = torch.arange(len(parent), device=levels.device)
    # Climb to the last node before the outside: where that one ends, the hole opens.
    ends = (parent < 0) | gaps.outside[parent.clamp(min=0)]
    last = torch.where(ends, here, parent)
    while not torch.equal(last, last[last]):
        last = last[last]
    opens = gaps.top - gaps.nodes.low[last]  # (M,) level
    inside = (gaps.birth >= 0) & ~gaps.outside[gaps.birth.clamp(min=0)]
    return torch.where(inside, opens[gaps.birth.clamp(min=0)], levels)


def _polygon_weights(levels: Tensor) -> Tensor:
    """Half a pixel for the third and for the fourth of each 2 × 2 block to appear (see ``polygon_areas``), doubled."""
    n, h, w = levels.shape
    weights = torch.zeros(n * h * w, dtype=torch.int64, device=levels.device)
    index = torch.arange(n * h * w, device=levels.device).view(n, h, w)

    def blocks(plane: Tensor) -> Tensor:
        return torch.stack([plane[:, :-1, :-1], plane[:, :-1, 1:], plane[:, 1:, :-1], plane[:, 1:, 1:]], dim=-1)

    order = blocks(levels).argsort(dim=-1)[..., :2]  # the two lowest
    late = blocks(index).gather(-1, order).flatten()
    return weights.index_add_(0, late, torch.ones_like(late)).view(n, h, w)
