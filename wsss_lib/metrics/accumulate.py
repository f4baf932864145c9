"""Counts that add up: over chunks of a data set, and over processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Accumulator:
    """A metric as sums, so that chunks and processes can be added in any order.

    One process: ``update`` per batch, then read the result. Several: each updates on its own share, then

    >>> total = metric.load_state(accelerator.reduce(metric.state(), reduction="sum"))  # doctest: +SKIP

    with Hugging Face Accelerate, or ``merge`` where the objects are at hand. Beware of samplers that repeat images to
    make the shares equal: repeated images are counted twice.

    A ranking has no sums. Metrics that rank keep rows, one a prediction, which are joined, not added: several processes
    exchange the objects (``accelerate.utils.gather_object``) and merge them.

    Subclasses list the sums in ``_sums``, the rows in ``_rows``, and what must agree between two objects in
    ``_settings``.
    """

    _sums: ClassVar[tuple[str, ...]] = ()
    _rows: ClassVar[tuple[str, ...]] = ()
    _settings: ClassVar[tuple[str, ...]] = ()

    def state(self) -> dict[str, Tensor]:
        """The sums and rows, as tensors by name; copies, so that later updates do not change them."""
        return {name: getattr(self, name).clone() for name in (*self._sums, *self._rows)}

    def load_state(self, state: Mapping[str, Tensor]) -> Self:
        """Replace the sums and rows by those of ``state``, for example after an all-reduce.

        Raises:
            ValueError: Other names or shapes than this metric's.
        """
        for name in (*self._sums, *self._rows):
            skip = 1 if name in self._rows else 0  # there may be any number of rows
            shape = tuple(getattr(self, name).shape)[skip:]
            if name not in state or tuple(state[name].shape)[skip:] != shape:
                given = tuple(state[name].shape) if name in state else "nothing"
                raise ValueError(
                    f"the state's {name} is {given}, expected a tensor of shape {shape}: "
                    "load the state of a metric with the same settings"
                )
        for name in (*self._sums, *self._rows):
            setattr(self, name, state[name].clone())
        return self

    def merge(self, other: Self) -> Self:
        """Add the other's sums to these, and its rows.

        Raises:
            ValueError: The other measures something else, or on another grid.
        """
        if type(other) is not type(self):
            raise ValueError(f"cannot add a {type(other).__name__} to a {type(self).__name__}: merge equal metrics")
        for name in self._settings:
            mine, theirs = getattr(self, name), getattr(other, name)
            same = torch.equal(mine.cpu(), theirs.cpu()) if isinstance(mine, Tensor) else mine == theirs
            if not same:
                raise ValueError(f"cannot merge: {name} differs ({mine} and {theirs}); build both with equal settings")
        for name in self._sums:
            mine = getattr(self, name)
            setattr(self, name, mine + getattr(other, name).to(mine.device))
        for name in self._rows:
            self._append(name, getattr(other, name))
        return self

    def _add(self, name: str, value: Tensor) -> None:
        # The sums live where the first batch lives.
        setattr(self, name, getattr(self, name).to(value.device) + value)

    def _append(self, name: str, rows: Tensor) -> None:
        setattr(self, name, torch.cat([getattr(self, name).to(rows.device), rows]))


def threshold_grid(thresholds: int | Tensor) -> Tensor:
    """The thresholds to try: n means 0, 1/n, …, (n − 1)/n.

    Args:
        thresholds: Their number, or the values themselves, rising.

    Returns:
        (T,) float64 on the CPU.

    Raises:
        ValueError: No threshold, or values that do not rise.
    """
    if isinstance(thresholds, int):
        if thresholds < 1:
            raise ValueError(f"thresholds is {thresholds}, expected at least 1")
        # i · (1/n) and not i/n: the WSOL benchmark's arange(0, 1, 0.001) to the last bit.
        return torch.arange(thresholds, dtype=torch.float64) * (1.0 / thresholds)
    grid = thresholds.detach().double().cpu()
    if grid.dim() != 1 or not len(grid) or bool((grid[1:] <= grid[:-1]).any()):
        raise ValueError("thresholds must be a list of rising numbers: sort it and drop repetitions")
    return grid


def count_exceeded(maps: Tensor, thresholds: Tensor, *, closed: bool = False) -> Tensor:
    """How many thresholds each pixel exceeds: ``maps > thresholds[t]`` exactly where the count is above t.

    Args:
        maps: (...) floating; half precisions are compared as float32.
        thresholds: (T,) float64, rising; rounded to the maps' precision, as in ``maps > float(t)``.
        closed: Whether a pixel counts as well where it equals the threshold.

    Returns:
        (...) int32 in 0..T.

    Raises:
        ValueError: NaN in a map: it exceeds no threshold and yet is no zero.
    """
    if maps.dtype in (torch.float16, torch.bfloat16):
        maps = maps.float()
    check_range(maps, -math.inf, math.inf)
    if maps.device.type == "cpu" and (step := even_step(thresholds)):
        return torch.from_numpy(count_of_even(maps.detach().numpy(), len(thresholds), step, closed=closed))
    return torch.bucketize(maps.contiguous(), thresholds.to(maps.device, maps.dtype), right=closed, out_int32=True)


def even_step(thresholds: Tensor) -> float:
    """Between thresholds 0, s, 2s, …; 0 for others, and for so many that a float32 hardly tells them apart."""
    if not 2 <= len(thresholds) <= 10_000:
        return 0.0
    step = float(thresholds[1])
    return step if torch.equal(thresholds, torch.arange(len(thresholds), dtype=torch.float64) * step) else 0.0


def count_of_even(values: NDArray[np.floating], number: int, step: float, *, closed: bool = False) -> NDArray[np.int32]:
    """``count_exceeded`` of thresholds 0, s, 2s, … by a division, on a CPU many times as fast as a search.

    The quotient may be wrong in its last digits. So it is cut once a little too low and once a little too high, and
    where the two differ the threshold between them decides. In NumPy, whose comparisons are faster.

    Args:
        values: (...) float32 or float64, without NaN.
        number: How many thresholds there are, T ≤ 10,000.
        step: Their distance s, as :func:`even_step` finds it.
        closed: Whether a pixel counts as well where it equals the threshold.

    Returns:
        (...) int32 in 0..T.
    """
    values = np.ascontiguousarray(values)
    kind = values.dtype.type
    margin = 4 * np.finfo(kind).eps * (number + 1)  # five roundings, each of at most half an ε, cannot exceed it
    with np.errstate(over="ignore"):
        quotient = values * kind(1 / step)
    np.clip(quotient, -0.5, number - 0.5, out=quotient)
    quotient += kind(1 - margin)
    count = quotient.astype(np.int32)
    quotient += kind(2 * margin)
    near = np.flatnonzero(quotient.astype(np.int32) != count)
    if len(near):
        low = count.ravel().take(near)
        value, threshold = values.ravel().take(near), (low * step).astype(kind)  # the very numbers that thresholds are
        count.ravel()[near] = low + (value >= threshold if closed else value > threshold)
    return count


def check_range(maps: Tensor, low: float, high: float) -> None:
    """Refuse maps that leave their range (an infinite ``high``: any), at one synchronisation with their device.

    Raises:
        ValueError: A value below ``low`` or above ``high``, or NaN.
    """
    if not maps.numel():
        return
    smallest, largest = torch.stack(maps.aminmax()).tolist()  # NaN where there is one
    if smallest >= low and largest <= high:
        return
    if math.isnan(smallest):
        raise ValueError("a map contains NaN: find where it arises, or set it to 0 on purpose with torch.nan_to_num")
    # All digits: 1.0000001 is outside as well.
    expected = f"[{low:g}, {high:g}]" if math.isfinite(high) else "no negative value"
    raise ValueError(
        f"maps range over [{smallest:.9g}, {largest:.9g}], expected {expected}: normalise them after the last change "
        "of their size, or cut what rounding left outside with clamp"
    )


def count_cells(cells: Tensor, counted: Tensor, size: int) -> Tensor:
    """How often each cell occurs.

    Args:
        cells: (...) int32 or int64 in 0..size − 1 where they count; anything elsewhere.
        counted: (...) bool.
        size: Number of cells.

    Returns:
        (size,) int64 on the cells' device.
    """
    cells = cells.masked_fill(~counted, size).flatten()  # what does not count has a cell of its own
    if cells.device.type == "cpu":
        return torch.bincount(cells, minlength=size + 1)[:size]
    # Elsewhere bincount makes the host wait, and so does picking out what counts.
    counts = torch.zeros(size + 1, dtype=torch.int64, device=cells.device)
    return counts.scatter_add_(0, cells.long(), torch.ones_like(cells, dtype=torch.int64))[:size]


def index_type(size: int) -> torch.dtype:
    """A type that holds the numbers of so many cells, and one more: 32 bits where they suffice, for they are faster."""
    return torch.int32 if size < 2**31 else torch.int64


def check_classes(name: str, classes: Tensor, counted: Tensor, size: int) -> None:
    """Refuse classes outside 0..size − 1, at one synchronisation with their device.

    Raises:
        ValueError: A counted pixel of another class.
    """
    if not classes.numel():
        return
    smallest, largest = torch.stack(classes.masked_fill(~counted, 0).aminmax()).tolist()
    if smallest >= 0 and largest < size:
        return
    smallest, largest = classes[counted].aminmax()
    raise ValueError(
        f"the {name} holds class {int(smallest)}..{int(largest)}, expected 0..{size - 1} (or 255 in the target): "
        "check num_classes"
    )


def exact(counts: Tensor) -> Tensor:
    """As float64, on the counts' device if it has this type; else on the CPU."""
    return (counts.cpu() if counts.device.type == "mps" else counts).double()
