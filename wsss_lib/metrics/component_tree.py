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
    row: Integers  # (S,)
    top: Array  # (S,) and highest level
    branch: Integers  # (S,)
    peak: Integers  # (B,) the highest level; of the outside, which is the last branch if there is one, OUTSIDE
    merge: Integers  # (B,) the level at which it is swallowed, −1 for none; it lives at merge < level <= peak
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
    return _tree(top - levels, levels if heights is None else heights, outside=True)


def _tree(levels: Array, heights: Array, *, outside: bool) -> Tree:
    left, right = heights[:, :-1], heights[:, 1:]
    falls = left < right if outside else left > right
    cut = np.zeros(levels.shape, dtype=bool)
    cut[:, :1] = True
    np.greater(falls[:, :-1], falls[:, 1:], out=cut[:, 1:-1])  # it fell to this pixel, and does not fall from it
    start = np.flatnonzero(cut)
    row = start // levels.shape[1]
    top = np.maximum.reduceat(levels.ravel(), start)
    edges = [_beside(levels, start, row), _below(levels, cut)]
    if outside:
        edges.append(_around(levels, row, top))
        top = np.append(top.astype(np.int64), OUTSIDE)
    else:
        edges.append(_diagonal(levels, start))
    a, b, level = (np.concatenate(column) for column in zip(*edges, strict=True))

    # A segment that is touched at its top belongs to the neighbour. That one is higher, or comes later: no circles.
    count = len(top)
    owner = np.arange(count + 1)  # the last takes what is not to be written
    at_top = level == top.take(a)
    owner[np.where(at_top, a, count)] = b
    owner[np.where((level == top.take(b)) & ~at_top, b, count)] = a
    owner = owner[:count]
    while not np.array_equal(owner, further := owner.take(owner)):
        owner = further
    root = owner == np.arange(count)
    branch = (root.cumsum() - 1).take(owner)
    peak = top[root].astype(np.int64)
    a, b, segments = branch.take(a), branch.take(b), len(start)
    return Tree(levels, start, row, top[:segments], branch[:segments], peak, *_kruskal(a, b, level, peak))


Edges = tuple[Integers, Integers, Array]
"""Pairs of segments, a < b, and the highest level at which they are one component."""


def _beside(levels: Array, start: Integers, row: Integers) -> Edges:
    flat = levels.ravel()
    right = np.flatnonzero(row[1:] == row[:-1]) + 1
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
    width, flat = levels.shape[1], levels.ravel()
    size = max(0, flat.size - width - 1)
    a, b, c, d = (flat[i : i + size] for i in (0, 1, width, width + 1))  # of a block, and of some that are none
    pairs = []
    for (one, other), (between, beyond), step in (((a, d), (b, c), 0), ((b, c), (a, d), 1)):
        strength = np.minimum(one, other)
        at = np.flatnonzero(strength > np.maximum(between, beyond))
        at = at[at % width < width - 1]  # a block ends with its row
        pairs.append((at + step, at + width + 1 - step, strength[at]))
    first, second, level = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return np.searchsorted(start, first, "right") - 1, np.searchsorted(start, second, "right") - 1, level


def _around(levels: Array, row: Integers, top: Array) -> Edges:
    """Between the segments at the image's border and the outside."""
    first = np.flatnonzero(np.diff(row, prepend=-1))  # the first segment of each row
    last = np.append(first[1:], len(row)) - 1
    upper, lower = np.arange(last[0] + 1), np.arange(first[-1], len(row))
    a = np.concatenate([first, last, upper, lower])
    level = np.concatenate([levels[:, 0], levels[:, -1], top[upper], top[lower]])
    return a, np.full_like(a, len(row)), level


def _kruskal(a: Integers, b: Integers, level: Array, peak: Integers) -> tuple[Integers, Integers, Integers]:
    """At which level each branch is swallowed, by which, and in which order; of equal peaks the later one goes on."""
    count, differ = len(peak), np.flatnonzero((a != b) & (level > 0))
    a, b, level = a[differ], b[differ], level[differ].astype(np.int64)
    highest = int(level.max(initial=0)) + 1
    pair, level = np.divmod(np.sort((np.minimum(a, b) * count + np.maximum(a, b)) * highest + level), highest)
    last_of_pair = np.flatnonzero(np.diff(pair, append=-1))  # of several, the highest
    level, pair = np.divmod(np.sort(level[last_of_pair] * count**2 + pair[last_of_pair])[::-1], count**2)
    a, b = np.divmod(pair, count)
    merge, swallower, merges = [-1] * count, list(range(count)), []
    above = swallower.copy()
    rank = np.empty(count, np.int64)
    rank[np.argsort(peak, kind="stable")] = np.arange(count)
    ranks = rank.tolist()
    for one, other, at in zip(a.tolist(), b.tolist(), level.tolist(), strict=True):
        low, high = one, other
        while above[low] != low:
            low = above[low]
        while above[high] != high:
            high = above[high]
        above[one], above[other] = low, high  # the next way is shorter
        if low == high:
            continue
        if ranks[low] > ranks[high]:
            low, high = high, low
        above[low] = swallower[low] = high
        merge[low] = at
        merges.append(low)
    return np.array(merge), np.array(swallower), np.array(merges, np.int64)
