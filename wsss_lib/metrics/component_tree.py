r"""The component tree of a map: which components each level has, and what they become as the level falls.

Raise a threshold, and the object's components shrink, split and vanish; lower it, and they appear, grow and merge. A
component is born at a *peak*. It grows as the level falls, until it is swallowed where it first meets a higher one.
That is a *branch*, and there are only as many branches as the map has peaks.

1. Each row is cut at its valleys. A *segment* between two cuts rises to one top and falls again, so that at any
   threshold what exceeds it there is one run of pixels, or nothing.
2. A segment that touches another one at its very top is never a component of its own: it belongs to the other's
   branch. On a smooth map that leaves a handful of branches.
3. Branches merge from the highest saddle to the lowest, as in Kruskal's algorithm. The one of higher peak goes on.

The tree is the max-tree of mathematical morphology (Salembier et al. 1998). All of it happens on the CPU, image by
image, on whole numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.int64]

OUTSIDE = np.iinfo(np.int64).max
"""The peak of what lies around the image: nothing swallows it."""


class Tree(NamedTuple):
    """The S segments of an image, and the B branches that they form."""

    levels: Array  # (h, w)
    start: Integers  # (S,) each segment's first pixel
    top: Array  # (S,) and highest level
    branch: Integers  # (S,)
    peak: Integers  # (B,) the highest level; of the outside, which is the last branch if there is one, OUTSIDE
    merge: (
        Integers  # (B,) the level at which it is swallowed, −1 for none: it lives at the levels merge < level <= peak
    )
    swallower: Integers  # (B,) the branch that swallows it; itself for none
    merges: Integers  # the branches that are swallowed, by falling level

    def of_pixels(self, values: Array) -> Array:
        """Values (S,) of segments, as (h, w)."""
        lengths = np.diff(self.start, append=self.levels.size)
        return np.repeat(values, lengths).reshape(self.levels.shape)


def object_tree(levels: Array, heights: Array | None) -> Tree:
    """Of what exceeds the thresholds: 8-connected."""
    return _tree(levels, levels if heights is None else heights, outside=False)


def gap_tree(levels: Array, heights: Array | None, top: int) -> Tree:
    """Of what does not: 4-connected, levels counted down from the top, and open to what lies around the image."""
    depth = top - levels
    return _tree(depth, depth if heights is None else -heights, outside=True)


def _tree(levels: Array, heights: Array, *, outside: bool) -> Tree:
    falls = heights[:, :-1] > heights[:, 1:]
    cut = np.zeros(levels.shape, dtype=bool)
    cut[:, :1] = True
    np.greater(falls[:, :-1], falls[:, 1:], out=cut[:, 1:-1])  # it fell to this pixel, and does not fall from it
    start = np.flatnonzero(cut)
    top = np.maximum.reduceat(levels.ravel(), start)
    edges = [_beside(levels, start), _below(levels, cut)]
    if outside:
        edges.append(_around(levels, start, top))
        top = np.append(top.astype(np.int64), OUTSIDE)
    else:
        edges.append(_diagonal(levels, start))
    a, b, level = (np.concatenate(column) for column in zip(*edges, strict=True))

    # A segment that is touched at its top belongs to the neighbour. That one is higher, or comes later: no circles.
    owner = np.arange(len(top))
    at_top = level == top[a]
    owner[a[at_top]] = b[at_top]
    at_top = (level == top[b]) & ~at_top
    owner[b[at_top]] = a[at_top]
    while not np.array_equal(owner, further := owner[owner]):
        owner = further
    roots = np.flatnonzero(owner == np.arange(len(owner)))
    branch = np.searchsorted(roots, owner)
    peak = top[roots].astype(np.int64)
    return Tree(
        levels, start, top[: len(start)], branch[: len(start)], peak, *_kruskal(branch[a], branch[b], level, peak)
    )


Edges = tuple[Integers, Integers, Array]
"""Pairs of segments, a < b, and the highest level at which they are one component."""


def _beside(levels: Array, start: Integers) -> Edges:
    flat = levels.ravel()
    right = np.flatnonzero(start % levels.shape[1])
    first = start[right]
    return right - 1, right, np.minimum(flat[first - 1], flat[first])


def _below(levels: Array, cut: NDArray[np.bool_]) -> Edges:
    at = np.flatnonzero(cut[:-1] | cut[1:])  # where the segment above or the one below is another
    if not len(at):
        return at, at, levels.ravel()[:0]
    both = np.minimum(levels[:-1], levels[1:]).ravel()
    above, below = cut[:-1].ravel()[at].cumsum() - 1, cut[1:].ravel()[at].cumsum() - 1
    return above, below + int(cut[0].sum()), np.maximum.reduceat(both, at)


def _diagonal(levels: Array, start: Integers) -> Edges:
    """Only where neither of the two pixels between would do."""
    width = levels.shape[1]
    falling, rising = (levels[:-1, :-1], levels[1:, 1:]), (levels[:-1, 1:], levels[1:, :-1])
    pairs = []
    for ends, between, step in ((falling, rising, 0), (rising, falling, 1)):
        strength = np.minimum(*ends)
        at = np.flatnonzero(strength > np.maximum(*between))
        first = at + (at // max(1, width - 1)) + step  # a row of blocks is shorter by one
        pairs.append((first, first + width + 1 - 2 * step, strength.ravel()[at]))
    a, b, level = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return np.searchsorted(start, a, "right") - 1, np.searchsorted(start, b, "right") - 1, level


def _around(levels: Array, start: Integers, top: Array) -> Edges:
    """Between the segments at the image's border and the outside."""
    first = np.flatnonzero(start % levels.shape[1] == 0)  # the first segment of each row
    last = np.append(first[1:], len(start)) - 1
    upper, lower = np.arange(last[0] + 1), np.arange(first[-1], len(start))
    a = np.concatenate([first, last, upper, lower])
    level = np.concatenate([levels[:, 0], levels[:, -1], top[upper], top[lower]])
    return a, np.full_like(a, len(start)), level


def _kruskal(a: Integers, b: Integers, level: Array, peak: Integers) -> tuple[Integers, Integers, Integers]:
    """At which level each branch is swallowed, by which, and in which order; of equal peaks the later one goes on."""
    differ = (a != b) & (level > 0)
    a, b, level = a[differ], b[differ], level[differ]
    order = np.argsort(level, kind="stable")[::-1]
    pair = (a * len(peak) + b)[order]
    order = order[np.sort(np.unique(pair, return_index=True)[1])]  # of each pair the highest
    merge, swallower, merges = [-1] * len(peak), list(range(len(peak))), []
    above, heights = list(range(len(peak))), peak.tolist()

    def last(branch: int) -> int:
        while above[branch] != branch:
            above[branch] = branch = above[above[branch]]
        return branch

    for one, other, at in zip(a[order].tolist(), b[order].tolist(), level[order].tolist(), strict=True):
        low, high = last(one), last(other)
        if low == high:
            continue
        if (heights[low], low) > (heights[high], high):
            low, high = high, low
        above[low] = swallower[low] = high
        merge[low] = at
        merges.append(low)
    return np.array(merge), np.array(swallower), np.array(merges, np.int64)
