"""The boxes of *every* threshold at once: how far each component of a map reaches at each level.

They follow from few numbers: of each branch of the :mod:`~wsss_lib.metrics.component_tree`, how far its pixels of each
level reach. A metric that takes the best over thresholds needs no loop over them.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from wsss_lib.maps.components import WHICH, Which
from wsss_lib.metrics.component_tree import OUTSIDE, Array, Integers, Tree, gap_tree, object_tree


class Boxes(NamedTuple):
    """Boxes of N images at the levels that cut them, M rows.

    ``image`` (M,) and ``cut`` (M,) int64: the box is of the mask ``levels[image] > cut``; ``corners`` (M, 4) int64
    xyxy, right and bottom exclusive.
    """

    image: Integers
    cut: Integers
    corners: Integers


def boxes_by_threshold(levels: Array, cuts: Array, which: Which, heights: Array | None = None) -> Boxes:
    """All boxes of all thresholds; at one threshold they are those of :func:`wsss_lib.maps.boxes`.

    Args:
        levels: (N, h, w) whole numbers from 0, for example maps in 0…255.
        cuts: (N, L) bool: whether an image is cut at a level, ``levels > level``.
        which: ``"largest"``, ``"contour"`` or ``"all"``.
        heights: (N, h, w), what the levels were cut from: where a level is higher, the height is. It changes no box; a
            map's plateaus fall into fewer segments by it.

    Returns:
        The boxes; of ``"largest"`` and ``"contour"`` at most one a cut.

    Raises:
        ValueError: Unknown ``which``, or levels that are no whole numbers from 0.
    """
    if which not in WHICH:
        raise ValueError(f"which={which!r} is unknown: use one of {', '.join(WHICH)}")
    if levels.ndim != 3 or levels.dtype.kind not in "iu" or (levels.dtype.kind == "i" and (levels < 0).any()):
        raise ValueError("levels must be (N, h, w) whole numbers from 0: count the thresholds that each pixel exceeds")
    top = int(levels.max()) if levels.size else 0
    if not top:
        return Boxes(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    levels = np.ascontiguousarray(levels)
    wanted = np.zeros((len(levels), top + 1), dtype=bool)  # at level v is what exceeds v − 1
    wanted[:, 1 : cuts.shape[1] + 1] = cuts[:, :top]
    if which == "all":
        outer = _spread(object_tree(levels, heights), wanted)
        # At the level v counted down is what does not exceed top − v.
        inner = _spread(gap_tree(levels, heights, top), np.roll(wanted[:, ::-1], 1, axis=1))
        image, cut = np.append(outer.image, inner.image), np.append(outer.cut - 1, top - inner.cut)
        # A hole's contour runs through the pixels around it, one to each side.
        return Boxes(image, cut, np.concatenate([outer.corners, inner.corners + np.array([-1, -1, 1, 1])]))
    if which == "contour":  # fills the holes of every threshold's mask at once
        levels, heights = _fill_holes(levels, heights, top), None
    image, cut, corners = _largest(object_tree(levels, heights), wanted, contour=which == "contour")
    return Boxes(image, cut - 1, corners)


class _Lives:
    """A cell for each branch and each wanted level at which it is a component, C cells in all.

    A branch's cells stand together, the highest level first. One more at their end takes what lies below all of them.

    Args:
        tree: Of which the outside gets no cells.
        wanted: (N, L) bool, of each image which levels.
    """

    def __init__(self, tree: Tree, wanted: Array) -> None:
        self.tree = tree
        self.branches = len(tree.peak) - int(tree.peak[-1] == OUTSIDE)
        image, peak, merge = (column[: self.branches] for column in (tree.image, tree.peak, tree.merge))
        self._columns = wanted.shape[1]
        self._upto = wanted.cumsum(axis=1).ravel()  # of an image, how many of the levels up to this one are wanted
        self._until = self._upto.take(image * self._columns + peak)
        cells = self._until - self._upto.take(image * self._columns + np.maximum(merge, 0)) + 1
        self.starts = cells.cumsum() - cells
        self.branch = np.repeat(np.arange(self.branches), cells)  # (C,)
        within = np.arange(len(self.branch)) - self.starts.take(self.branch)
        # Of the cells with a level of their own: which they are, whose, and the level.
        self.kept = np.flatnonzero(within < (cells - 1).take(self.branch))
        owner = self.branch.take(self.kept)
        self.image = image.take(owner)
        images, levels = np.nonzero(wanted)
        first = np.searchsorted(images, self.image)
        self.level = levels.take(first + self._until.take(owner) - 1 - within.take(self.kept))

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
        upto = self._upto.take(self.tree.image.take(branch) * self._columns + level)
        return (self.starts + self._until).take(branch) - upto, values

    def _inside(self, branch: Integers, level: Array, values: Array) -> tuple[Integers, Array, Array]:
        if self.branches == len(self.tree.peak):  # there is no outside
            return branch, level, values
        kept = np.flatnonzero(branch < self.branches)
        return branch.take(kept), level.take(kept), values.take(kept, axis=0)

    def components(self, new: Array, add: np.ufunc) -> Array:
        """From what is new in each cell, (C, …), to what holds of the component there: ``add`` of it and all above."""
        whole = add.reduceat(new, self.starts)  # of each branch, in the end with all that it has swallowed
        for low, cell in self._swallowed:
            part = whole.take(low, axis=0)
            add.at(whole, self.branch.take(cell), part)
            add.at(new, cell, part)
        if add is np.add:
            total = new.cumsum(axis=0)
            return total - (total - new).take(self.starts, axis=0).take(self.branch, axis=0)
        # Each branch lies deeper than all before it, so that none reaches into the next.
        depth = self.branch.reshape(-1, *[1] * (new.ndim - 1)) * (2 * int(np.abs(new).max(initial=0)) + 1)
        return add.accumulate(new - depth, axis=0) + depth

    @cached_property
    def _swallowed(self) -> list[tuple[Integers, Integers]]:
        """Branches and the cells that take them, in groups: whoever swallows comes after what it has swallowed."""
        low = np.flatnonzero(self.tree.merge[: self.branches] >= 0)
        cell, low = self.at(self.tree.swallower.take(low), self.tree.merge.take(low), low)
        into = np.arange(self.branches)
        into[low] = self.branch.take(cell)
        groups, high = [], into.take(low)
        while len(low):  # those that are as many steps from the root
            at_root = into.take(high) == high
            groups.append((low[at_root], cell[at_root]))
            low, cell, high = (column[~at_root] for column in (low, cell, into.take(high)))
        return groups[::-1]


def _reach(lives: _Lives) -> Integers:
    """The box of each cell's component, (C, 4) xyxy.

    Up and down a component reaches where a segment does at its top, and to the sides where a column does at a top of
    its own: from any other pixel one climbs to such a one without leaving the component.
    """
    tree = lives.tree
    height, width = tree.levels.shape[1:]
    tops = tree.column_tops
    of_tops = tree.branch.take(np.searchsorted(tree.start, tops, "right") - 1)
    new = np.full((4, len(lives.branch)), height + width)  # x0, y0, −x1, −y1: the least of each
    for axis, branch, level, position in (
        (0, of_tops, tree.levels.ravel().take(tops), tops % width),
        (1, tree.branch, tree.top, tree.row % height),
    ):
        cell, position = lives.at(branch, level, position)
        np.minimum.at(new[axis], cell, position)
        np.minimum.at(new[axis + 2], cell, -1 - position)
    return lives.components(np.ascontiguousarray(new.T), np.minimum) * np.array([1, 1, -1, -1])


def _spread(tree: Tree, wanted: Array) -> Boxes:
    """The boxes of all components at the wanted levels."""
    lives = _Lives(tree, wanted)
    corners = _reach(lives).take(lives.kept, axis=0) if len(lives.kept) else np.zeros((0, 4), np.int64)
    return Boxes(lives.image, lives.level, corners)


def _largest(tree: Tree, wanted: Array, *, contour: bool) -> Boxes:
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
    first, size = (lives.components(each, add).take(lives.kept) for each, add in ((first, np.minimum), (size, np.add)))
    # The last of each image and level: the largest, and of equals the first; of contours the last.
    mask = lives.image * wanted.shape[1] + lives.level
    order = np.lexsort((first if contour else -first, size, mask))
    last = order[np.flatnonzero(np.diff(mask.take(order), append=-1))]
    return Boxes(lives.image[last], lives.level[last], _reach(lives).take(lives.kept.take(last), axis=0))


def _late_corners(branch: Integers, levels: Integers) -> tuple[Integers, Integers]:
    """Half a pixel of polygon (see ``polygon_areas``) where the third and where the fourth of 2 × 2 pixels appears.

    Returns:
        Branches and levels, each (2 · N · (h − 1) · (w − 1),).
    """
    a, b, c, d = levels[:, :-1, :-1], levels[:, :-1, 1:], levels[:, 1:, :-1], levels[:, 1:, 1:]
    low, high = np.minimum(a, d), np.maximum(a, d)
    other_low, other_high = np.minimum(b, c), np.maximum(b, c)
    fourth = np.minimum(low, other_low)
    third = np.minimum(np.maximum(low, other_low), np.minimum(high, other_high))
    member = np.where(a > d, branch[:, :-1, :-1], branch[:, 1:, 1:])  # of a pixel that is in the component by then
    return np.tile(member.ravel(), 2), np.concatenate([third.ravel(), fourth.ravel()])


def _fill_holes(levels: Array, heights: Array | None, top: int) -> Array:
    """Grey-level hole filling: ``_fill_holes(levels) > t`` is ``levels > t`` with its holes filled, for every t."""
    gaps = gap_tree(levels, heights, top)
    # A gap is open where it, and all that have swallowed one another on the way to the outside, have been swallowed.
    opens, following = np.maximum(gaps.merge, 0), gaps.swallower
    opens[-1] = top
    while not np.array_equal(following, further := following.take(following)):
        opens, following = np.minimum(opens, opens.take(following)), further
    opens = np.minimum(opens, opens.take(following)).astype(gaps.levels.dtype)
    return top - np.minimum(gaps.levels, gaps.of_pixels(opens.take(gaps.branch)))
