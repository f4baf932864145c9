r"""The component trees of maps: which components each level has, and what they become as the level falls.

Raise a threshold, and the object's components shrink, split and vanish; lower it, and they appear, grow and merge. A
component is born at a *peak*. It grows as the level falls, until it is swallowed where it first meets a higher one.
That is a *branch*, and there are only as many branches as the map has peaks.

1. Each row is cut at its valleys. A *segment* between two cuts rises to one top and falls again, so that at any
   threshold what exceeds it there is one run of pixels, or nothing.
2. A segment that touches another one at its very top is never a component of its own: it belongs to the other's
   branch. On a smooth map that leaves a handful of branches.
3. Branches merge from the highest saddle to the lowest, as in Kruskal's algorithm. The one of higher peak goes on.
   Whoever meets a higher one at its own highest saddle is swallowed there, whatever the others do; so many merge in
   one step, as in Borůvka's algorithm.

The tree is the max-tree of mathematical morphology (Salembier et al. 1998). All of it happens on the CPU, on whole
numbers, for a stack of images at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.int64]

OUTSIDE = np.iinfo(np.int64).max
"""The peak of what lies around the images: nothing swallows it."""


_NEIGHBOURS = {
    1: (np.s_[:, :-1], np.s_[:, 1:]),
    2: (np.s_[:, :, :-1], np.s_[:, :, 1:]),
}
"""The first and the second pixel of all pairs along an axis of (N, h, w)."""


class Tree(NamedTuple):
    """The S segments of N images, and the B branches that they form."""

    levels: Array  # (N, h, w)
    column_tops: Integers  # (C,) pixels: where each column begins to fall, and where it starts if it falls at once
    start: Integers  # (S,) each segment's first pixel
    row: Integers  # (S,) counted over all images
    top: Array  # (S,) its highest level
    branch: Integers  # (S,)
    image: Integers  # (B,)
    peak: Integers  # (B,) the highest level; of the outside, which is the last branch if there is one, OUTSIDE
    merge: Integers  # (B,) the level at which it is swallowed, −1 for none; it lives at merge < level <= peak
    swallower: Integers  # (B,) the branch that swallows it; itself for none

    def of_pixels(self, values: Array) -> Array:
        """Values (S,) of segments, as (N, h, w)."""
        lengths = np.diff(self.start, append=self.levels.size)
        return np.repeat(values, lengths).reshape(self.levels.shape)


def object_tree(levels: Array, heights: Array | None) -> Tree:
    """Of what exceeds the thresholds: 8-connected."""
    return _tree(levels, levels if heights is None else heights, outside=False)


def gap_tree(levels: Array, heights: Array | None, top: int) -> Tree:
    """Of what does not: 4-connected, levels counted down from the top, and open to what lies around the image."""
    return _tree(top - levels, levels if heights is None else heights, outside=True)


def _tree(levels: Array, heights: Array, *, outside: bool) -> Tree:
    height, width = levels.shape[1:]
    falls = _falls(heights, axis=2, outside=outside)
    cut = np.zeros(levels.shape, dtype=bool)
    cut[..., :1] = True
    np.greater(falls[..., :-1], falls[..., 1:], out=cut[..., 1:])  # it fell to this pixel, and does not fall from it
    start = np.flatnonzero(cut)
    row = start // width
    top = levels.ravel().take(_tops(falls, axis=2))  # one a segment
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
    owner = _ends(owner[:count])
    root = np.flatnonzero(owner == np.arange(count))
    number = np.empty(count, np.int64)
    number[root] = np.arange(len(root))
    branch = number.take(owner)
    peak = top.take(root).astype(np.int64)
    image = np.append(row, 0).take(root) // height
    merge, swallower = _merge(branch.take(a), branch.take(b), level, peak)
    column_tops = _tops(_falls(heights, axis=1, outside=outside), axis=1)
    return Tree(levels, column_tops, start, row, top[: len(start)], branch[: len(start)], image, peak, merge, swallower)


def _falls(heights: Array, axis: int, *, outside: bool) -> NDArray[np.bool_]:
    """Whether the map falls from a pixel to the next one of its row (axis 2) or column (axis 1); it does behind all."""
    falls = np.ones(heights.shape, dtype=bool)
    first, second = _NEIGHBOURS[axis]
    (np.less if outside else np.greater)(heights[first], heights[second], out=falls[first])
    return falls


def _tops(falls: NDArray[np.bool_], axis: int) -> Integers:
    """The pixels, counted over all images, at which it begins to fall."""
    begins = falls.copy()
    first, second = _NEIGHBOURS[axis]
    np.greater(falls[second], falls[first], out=begins[second])
    return np.flatnonzero(begins)


Edges = tuple[Integers, Integers, Array]
"""Pairs of segments, a < b, and the highest level at which they are one component; level 0 is none."""


def _beside(levels: Array, start: Integers, row: Integers) -> Edges:
    flat = levels.ravel()
    right = np.flatnonzero(row[1:] == row[:-1]) + 1
    first = start.take(right)
    return right - 1, right, np.minimum(flat.take(first - 1), flat.take(first))


def _below(levels: Array, cut: NDArray[np.bool_]) -> Edges:
    height, width = levels.shape[1:]
    levels, cut = levels.reshape(-1, width), cut.reshape(-1, width)
    at = np.flatnonzero(cut[:-1] | cut[1:])  # where the segment above or the one below is another
    if not len(at):
        return at, at, levels.ravel()[:0]
    both = np.minimum(levels[:-1], levels[1:])
    both[height - 1 :: height] = 0  # there another image begins
    above, below = (part.ravel().take(at).cumsum() - 1 for part in (cut[:-1], cut[1:]))
    return above, below + np.count_nonzero(cut[0]), np.maximum.reduceat(both.ravel(), at)


def _diagonal(levels: Array, start: Integers) -> Edges:
    """Only where neither of the two pixels between would do."""
    (height, width), flat = levels.shape[1:], levels.ravel()
    size = max(0, flat.size - width - 1)
    a, b, c, d = (flat[i : i + size] for i in (0, 1, width, width + 1))  # of a block, and of some that are none
    pairs = []
    for (one, other), (between, beyond), step in (((a, d), (b, c), 0), ((b, c), (a, d), 1)):
        strength = np.minimum(one, other)
        at = np.flatnonzero(strength > np.maximum(between, beyond))
        at = at[(at % width < width - 1) & (at // width % height < height - 1)]  # no block spans rows or images
        pairs.append((at + step, at + width + 1 - step, strength.take(at)))
    first, second, level = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return np.searchsorted(start, first, "right") - 1, np.searchsorted(start, second, "right") - 1, level


def _around(levels: Array, row: Integers, top: Array) -> Edges:
    """Between the segments at the images' borders and the outside."""
    height = levels.shape[1]
    first = np.flatnonzero(np.diff(row, prepend=-1))  # the first segment of each row
    last = np.append(first[1:], len(row)) - 1
    in_image = row % height
    ends = np.flatnonzero((in_image == 0) | (in_image == height - 1))
    a = np.concatenate([first, last, ends])
    level = np.concatenate([levels[..., 0].ravel(), levels[..., -1].ravel(), top.take(ends)])
    return a, np.full_like(a, len(row)), level


def _merge(a: Integers, b: Integers, level: Array, peak: Integers) -> tuple[Integers, Integers]:
    """At which level each branch is swallowed, and by which; of equal peaks the later one goes on."""
    merge, swallower = np.full(len(peak), -1), np.arange(len(peak))
    rank = np.empty(len(peak), np.int64)
    rank[np.argsort(peak, kind="stable")] = np.arange(len(peak))
    kept = np.flatnonzero((a != b) & (level > 0))
    kept = kept[np.argsort(level.take(kept), kind="stable")]  # rising
    a, b, level = a.take(kept), b.take(kept), level.take(kept)
    while len(a):
        # Of several that are put in one place the last one stays: each branch's highest edge.
        best = np.full(len(peak), -1)
        best[np.stack([a, b], axis=1).ravel()] = np.repeat(np.arange(len(a)), 2)
        low = np.flatnonzero(best >= 0)
        best = best.take(low)
        high = a.take(best) + b.take(best) - low
        gone = np.flatnonzero(rank.take(low) < rank.take(high))
        low, high = low.take(gone), high.take(gone)
        merge[low] = level.take(best.take(gone))
        swallower[low] = high
        one = np.arange(len(peak))
        one[low] = high
        one = _ends(one)  # what was swallowed has its edges, which are all lower, in common with what swallowed it
        a, b = one.take(a), one.take(b)
        kept = np.flatnonzero(a != b)
        a, b, level = a.take(kept), b.take(kept), level.take(kept)
    return merge, _alive(swallower, merge, swallower, merge)


def _alive(branch: Integers, level: Integers, swallower: Integers, merge: Integers) -> Integers:
    """What each branch belongs to at a level: itself, or who has swallowed it by then, in the end."""
    steps = [(swallower, merge)]  # 1, 2, 4, … swallowers on; the lowest of the levels at which that many swallow
    while True:
        to, lowest = steps[-1]
        further = to.take(to)
        if (further == to).all():
            break
        steps.append((further, np.minimum(lowest, lowest.take(to))))
    for to, lowest in reversed(steps):
        branch = np.where(level <= lowest.take(branch), to.take(branch), branch)
    return branch


def _ends(following: Integers) -> Integers:
    """Where the chain i, following[i], following[following[i]], … ends, for each i."""
    while ((further := following.take(following)) != following).any():
        following = further
    return following
