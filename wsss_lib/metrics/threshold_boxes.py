"""The boxes of *every* threshold at once: how far each component of a map reaches at each level.

They follow from few numbers: of each branch of the :mod:`~wsss_lib.metrics.component_tree`, how far its pixels of each
level reach. A metric that takes the best over thresholds needs no loop over them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wsss_lib.maps.components import WHICH, Which
from wsss_lib.metrics.component_tree import OUTSIDE, Array, Integers, Tree, gap_tree, object_tree


class Boxes(NamedTuple):
    """Boxes of one image, M rows.

    ``threshold`` (M,) int64: index of the threshold at which the box exists; ``corners`` (M, 4) int64 xyxy, right and
    bottom exclusive.
    """

    threshold: Integers
    corners: Integers


def boxes_by_threshold(levels: Array, cuts: Integers, which: Which, heights: Array | None = None) -> Boxes:
    """All boxes of all thresholds; at one threshold they are those of :func:`wsss_lib.maps.boxes`.

    Args:
        levels: (h, w) whole numbers from 0, for example a map in 0…255.
        cuts: (T,) whole numbers, rising, from 0: the mask at threshold index t is ``levels > cuts[t]``.
        which: ``"largest"``, ``"contour"`` or ``"all"``.
        heights: (h, w), what the levels were cut from: where a level is higher, the height is. It changes no box; a
            map's plateaus fall into fewer segments by it.

    Returns:
        The boxes; of ``"largest"`` and ``"contour"`` at most one a threshold.

    Raises:
        ValueError: Unknown ``which``, levels or cuts that are no whole numbers from 0, or cuts that do not rise.
    """
    if which not in WHICH:
        raise ValueError(f"which={which!r} is unknown: use one of {', '.join(WHICH)}")
    if levels.ndim != 2 or levels.dtype.kind not in "iu" or (levels.dtype.kind == "i" and (levels < 0).any()):
        raise ValueError("levels must be (h, w) whole numbers from 0: count the thresholds that each pixel exceeds")
    if len(cuts) and (cuts[0] < 0 or (np.diff(cuts) <= 0).any()):
        raise ValueError("cuts must be whole numbers from 0 that rise: sort them and drop repetitions")
    top = int(levels.max()) if levels.size else 0
    cuts = cuts[: np.searchsorted(cuts, top)]  # at the others nothing exceeds the threshold
    if not len(cuts):
        return Boxes(np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    levels = np.ascontiguousarray(levels)
    if which == "all":
        outer = _spread(object_tree(levels, heights), cuts + 1)
        inner = _spread(gap_tree(levels, heights, top), top - cuts[::-1])
        # A hole's contour runs through the pixels around it, one to each side.
        holes = Boxes(len(cuts) - 1 - inner.threshold, inner.corners + np.array([-1, -1, 1, 1]))
        return Boxes(*(np.concatenate(column) for column in zip(outer, holes, strict=True)))
    if which == "contour":  # fills the holes of every threshold's mask at once
        levels, heights = _fill_holes(levels, heights, top), None
    return _largest(object_tree(levels, heights), cuts + 1, contour=which == "contour")


class _Lives:
    """A cell for each branch and each wanted level at which it is a component, C cells in all.

    A branch's cells stand together, the highest level first. One more at their end takes what lies below all of them.

    Args:
        tree: Of which the outside gets no cells.
        wanted: (T,) levels, rising.
    """

    def __init__(self, tree: Tree, wanted: Integers) -> None:
        self.tree, self.wanted = tree, wanted
        inside = tree.peak < OUTSIDE
        self.branches = int(inside.sum())
        self.until = np.searchsorted(wanted, tree.peak[inside], "right")
        self.cells = self.until - np.searchsorted(wanted, tree.merge[inside], "right") + 1
        self.starts = self.cells.cumsum() - self.cells
        self._ends = self.starts + self.until
        self.branch = np.repeat(np.arange(self.branches), self.cells)  # (C,)
        self.within = np.arange(len(self.branch)) - self.starts[self.branch]
        self._below = np.searchsorted(wanted, np.arange(int(tree.levels.max()) + 1), "right")

    def at(self, branch: Integers, level: Array, values: Array) -> tuple[Integers, Array]:
        """The cells of M branches, or of what has swallowed them by then, at M levels, and their values (M, …).

        What is part of the outside by then has no cell, and is left out.
        """
        branch, level, values = self._inside(branch, level, values)
        at = np.flatnonzero(level <= self.tree.merge.take(branch))
        branch = branch.copy() if len(at) else branch
        while len(at):
            branch[at] = self.tree.swallower.take(branch.take(at))
            at = at[level.take(at) <= self.tree.merge.take(branch.take(at))]
        branch, level, values = self._inside(branch, level, values)
        return self._ends.take(branch) - self._below.take(level), values

    def _inside(self, branch: Integers, level: Array, values: Array) -> tuple[Integers, Array, Array]:
        if self.branches == len(self.tree.peak):  # there is no outside
            return branch, level, values
        kept = np.flatnonzero(branch < self.branches)
        return branch.take(kept), level.take(kept), values.take(kept, axis=0)

    def components(self, new: Array, add: np.ufunc) -> Array:
        """From what is new in each cell, (C, …), to what holds of the component there: ``add`` of it and all above."""
        whole = add.reduceat(new, self.starts)  # of each branch, in the end with all that it has swallowed
        merges = self.tree.merges
        into = self.tree.swallower[merges]
        for low, high in zip(merges.tolist(), into.tolist(), strict=True):
            if high < self.branches:
                whole[high] = add(whole[high], whole[low])
        low = merges[into < self.branches]
        cell, values = self.at(self.tree.swallower[low], self.tree.merge[low], whole[low])
        add.at(new, cell, values)
        if add is np.add:
            total = new.cumsum(axis=0)
            return total - (total - new)[self.starts][self.branch]
        # Each branch lies deeper than all before it, so that none reaches into the next.
        depth = self.branch.reshape(-1, *[1] * (new.ndim - 1)) * (2 * int(np.abs(new).max(initial=0)) + 1)
        return add.accumulate(new - depth, axis=0) + depth


def _reach(lives: _Lives) -> Integers:
    """The box of each cell's component, (C, 4) xyxy."""
    tree = lives.tree
    height, width = tree.levels.shape
    small = np.uint8 if len(tree.peak) < 256 else np.int32
    columns = np.ascontiguousarray(tree.of_pixels(tree.branch.astype(small)).T)  # (w, h)
    change = np.ones((width, height), dtype=bool)
    np.not_equal(columns[:, 1:], columns[:, :-1], out=change[:, 1:])
    start = np.flatnonzero(change)
    top = np.maximum.reduceat(np.ascontiguousarray(tree.levels.T).ravel(), start)
    new = np.full((len(lives.branch), 4), height + width)  # x0, y0, −x1, −y1: the least of each
    for axis, branch, level, position in (
        (0, columns.ravel()[start].astype(np.int64), top, start // height),
        (1, tree.branch, tree.top, tree.row),
    ):
        cell, position = lives.at(branch, level, position)
        # Positions rise, and of several values that are put in one place the last one stays.
        new[cell[::-1], axis] = position[::-1]
        new[cell, axis + 2] = -1 - position
    return lives.components(new, np.minimum) * np.array([1, 1, -1, -1])


def _spread(tree: Tree, wanted: Integers) -> Boxes:
    """The boxes of all components at the wanted levels."""
    lives = _Lives(tree, wanted)
    kept = lives.within < lives.cells[lives.branch] - 1
    if not kept.any():
        return Boxes(np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    return Boxes((lives.until[lives.branch] - 1 - lives.within)[kept], _reach(lives)[kept])


def _largest(tree: Tree, wanted: Integers, *, contour: bool) -> Boxes:
    """The boxes of the components of most pixels, or of the largest polygon, at the wanted levels."""
    lives = _Lives(tree, wanted)
    levels, branch = tree.levels.astype(np.int64), tree.of_pixels(tree.branch)
    cell, pixel = lives.at(branch.ravel(), levels.ravel(), np.arange(levels.size))
    first = np.full(len(lives.branch), levels.size)
    first[cell[::-1]] = pixel[::-1]  # of several in one place the last one stays
    if contour:
        late, level = _late_corners(branch, levels)
        cell, _ = lives.at(late, level, late)
    size = np.bincount(cell, minlength=len(first))
    first, size = lives.components(first, np.minimum), lives.components(size, np.add)
    threshold = lives.until[lives.branch] - 1 - lives.within
    kept = np.flatnonzero(lives.within < lives.cells[lives.branch] - 1)
    # The last of each threshold: the largest, and of equals the first; of contours the last.
    order = kept[np.lexsort(((first if contour else -first)[kept], size[kept], threshold[kept]))]
    last = order[np.flatnonzero(np.diff(threshold[order], append=-1))]
    return Boxes(threshold[last], _reach(lives)[last])


def _late_corners(branch: Integers, levels: Integers) -> tuple[Integers, Integers]:
    """Half a pixel of polygon (see ``polygon_areas``) where the third and where the fourth of 2 × 2 pixels appears.

    Returns:
        Branches and levels, each (2 · (h − 1) · (w − 1),).
    """
    a, b, c, d = levels[:-1, :-1], levels[:-1, 1:], levels[1:, :-1], levels[1:, 1:]
    low, high = np.minimum(a, d), np.maximum(a, d)
    other_low, other_high = np.minimum(b, c), np.maximum(b, c)
    fourth = np.minimum(low, other_low)
    third = np.minimum(np.maximum(low, other_low), np.minimum(high, other_high))
    member = np.where(a > d, branch[:-1, :-1], branch[1:, 1:])  # of a pixel that is in the component by then
    return np.tile(member.ravel(), 2), np.concatenate([third.ravel(), fourth.ravel()])


def _fill_holes(levels: Array, heights: Array | None, top: int) -> Array:
    """Grey-level hole filling: ``_fill_holes(levels) > t`` is ``levels > t`` with its holes filled, for every t."""
    gaps = gap_tree(levels, heights, top)
    outside = len(gaps.peak) - 1
    opens = np.zeros(len(gaps.peak), gaps.levels.dtype)  # the level at which a gap and the outside are one
    opens[outside] = top
    for low in gaps.merges[::-1]:  # what swallows comes before what it has swallowed
        high = gaps.swallower[low]
        opens[low] = gaps.merge[low] if high == outside else opens[high]
    return top - np.minimum(gaps.levels, gaps.of_pixels(opens[gaps.branch]))
