"""One map against one object: foreground IoU over thresholds, pixel average precision, and where the mass lies."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wsss_lib.data.fields import IGNORE
from wsss_lib.metrics.accumulate import (
    Accumulator,
    check_range,
    count_cells,
    count_exceeded,
    count_of_even,
    even_step,
    exact,
    threshold_grid,
)
from wsss_lib.metrics.thresholds import Curve

Over = Literal["dataset", "images"]

_PIXELS_AT_ONCE = 2**17  # on a CPU: what fits its cache


class ForegroundSweep(Accumulator):
    r"""IoU of "map exceeds t" with the object's mask, at every threshold, from one histogram per image.

    Two averages exist, and they differ: ``"dataset"`` sums the pixels of all images before dividing (large objects
    weigh more), ``"images"`` is the mean of the images' own IoUs (every image weighs the same). Say which.

    Args:
        thresholds: How many (n: 0, 1/n, …) or which, rising.
    """

    _sums: ClassVar[tuple[str, ...]] = ("histogram", "iou_sum", "images")
    _settings: ClassVar[tuple[str, ...]] = ("thresholds",)

    def __init__(self, thresholds: int | Tensor = 100) -> None:
        self.thresholds = threshold_grid(thresholds)
        self.histogram = torch.zeros(len(self.thresholds) + 1, 2, dtype=torch.int64)
        self.iou_sum = torch.zeros(len(self.thresholds), dtype=torch.float64)
        self.images = torch.zeros((), dtype=torch.int64)

    def update(self, maps: Tensor, masks: Tensor) -> None:
        """Add a batch.

        Args:
            maps: (N, H, W) in [0, 1]: of each image, the map of the class that its object belongs to.
            masks: (N, H, W) int64 (above 0 is object, 255 is ignored) or bool.

        Raises:
            ValueError: Shapes that do not match, or NaN.
        """
        _check_shapes(maps, masks)
        check_range(maps, -math.inf, math.inf)
        histogram = _histogram(maps, masks, self.thresholds, closed=False)  # (N, T + 1, 2)
        self._add("histogram", histogram.sum(0))
        curves = _iou_curve(histogram)  # (N, T); NaN without an object
        present = histogram[:, :, 1].sum(1) > 0  # (N,)
        self._add("iou_sum", torch.where(present.to(curves.device)[:, None], curves, 0.0).sum(0))
        self._add("images", present.sum())

    def curve(self, split: str, fingerprint: str, over: Over = "dataset") -> Curve:
        """The foreground IoU over thresholds; images without an object pixel are left out of ``over="images"``.

        Raises:
            ValueError: Unknown ``over``.
        """
        if over == "dataset":
            values = _iou_curve(self.histogram[None])[0].cpu()
        elif over == "images":
            values = self.iou_sum.cpu() / self.images.cpu()
        else:
            raise ValueError(f"over={over!r} is unknown: use 'dataset' or 'images'")
        return Curve(f"foreground IoU ({over})", self.thresholds, values, split, fingerprint)

    def precision_recall(self) -> tuple[Tensor, Tensor]:
        """At each threshold, over all pixels counted: the share of what exceeds it that is object, and the share of the
        object that exceeds it.

        Returns:
            Two of (T,) float64 in [0, 1]; NaN where nothing exceeds the threshold, or there is no object.
        """
        counts = exact(self.histogram).cpu()
        above = counts.flip(0).cumsum(0).flip(0)[1:]  # (T, 2): background and object beyond each threshold
        return above[:, 1] / above.sum(1), above[:, 1] / counts[:, 1].sum()


def foreground_iou(maps: Tensor, masks: Tensor, threshold: float, over: Over = "dataset") -> float:
    """The foreground IoU at one threshold; see :class:`ForegroundSweep`. The best one: its curve's maximum."""
    sweep = ForegroundSweep(torch.tensor([threshold], dtype=torch.float64))
    sweep.update(maps, masks)
    return float(sweep.curve("", "", over).values[0])


class PixelAveragePrecision(Accumulator):
    r"""PxAP: the area under the precision–recall curve of pixels pooled over all images.

    .. math:: \mathrm{PxAP} = \sum_l P(\tau_l)\,[R(\tau_l) - R(\tau_{l+1})]

    where precision and recall at τ count the pixels whose value is *at least* τ. No threshold is chosen, so none can be
    chosen wrongly; the curve is binned, from the highest τ to the lowest. A constant map scores the share of object
    pixels, a perfect one 1.

    Args:
        thresholds: How many bins over [0, 1), to which the value 1 adds one of its own; the benchmark uses 1000. Or
            the bins' lower ends, rising.

    Source: Choe et al. 2020, released code. Used in chapter 1.
    """

    _sums: ClassVar[tuple[str, ...]] = ("histogram",)
    _settings: ClassVar[tuple[str, ...]] = ("thresholds",)

    def __init__(self, thresholds: int | Tensor = 1000) -> None:
        grid = threshold_grid(thresholds)
        self.thresholds = torch.cat([grid, grid.new_ones(1)]) if isinstance(thresholds, int) else grid
        self.histogram = torch.zeros(len(self.thresholds) + 1, 2, dtype=torch.int64)

    def update(self, maps: Tensor, masks: Tensor) -> None:
        """Add a batch: maps (N, H, W) in [0, 1]; masks (N, H, W) int64 with 255 ignored, or bool.

        Raises:
            ValueError: Shapes that do not match, NaN, or values outside [0, 1].
        """
        _check_shapes(maps, masks)
        check_range(maps, 0, 1)
        self._add("histogram", _histogram(maps[None], masks[None], self.thresholds, closed=True)[0])

    def value(self) -> float:
        """PxAP in [0, 1]; NaN where there is no object pixel."""
        recall, precision = self._curve()
        steps = torch.diff(recall, prepend=recall.new_zeros(1))
        return float((precision * steps).sum())

    def precision_at(self, recall: float) -> float:
        """The share of object among the pixels that are kept where this share of all object pixels is kept.

        It needs no chosen threshold: between two thresholds the curve is a straight line. NaN without object pixels.

        Args:
            recall: Above 0, at most 1.

        Raises:
            ValueError: Another recall.
        """
        if not 0 < recall <= 1:
            raise ValueError(f"recall is {recall}, expected a share above 0 and at most 1: give one")
        reached, precision = self._curve()
        right = int((reached >= recall).int().argmax())
        if right == 0:  # the highest threshold keeps as much, or there is no object
            return float(precision[0]) if reached[0] >= recall else math.nan
        share = (recall - reached[right - 1]) / (reached[right] - reached[right - 1])
        return float(torch.lerp(precision[right - 1], precision[right], share))

    def _curve(self) -> tuple[Tensor, Tensor]:
        """Recall and precision, (T + 1,) float64: at each threshold from the highest downwards, and of all pixels."""
        at_least = self.histogram.cpu().flip(0).cumsum(0).double()
        true, total = at_least[:, 1], at_least.sum(1)
        return true / true[-1], true / total.clamp(min=1)  # empty bins at the top add no recall


class MassShare(NamedTuple):
    """Shares per image, (N,) float64: of the map's mass, and of the area; NaN where there is none to share."""

    mass: Tensor
    area: Tensor


def mass_share(maps: Tensor, region: Tensor, within: Tensor | None = None) -> MassShare:
    r"""How much of a map lies on a part, beside how much of the area the part is.

    .. math:: \text{mass} = \frac{\sum_{u \in R} m(u)}{\sum_{u \in W} m(u)}, \qquad
              \text{area} = \frac{|R|}{|W|}, \qquad R \subseteq W

    A map that covers the object evenly has equal shares; one that sees the head only has mass ≫ area.

    Args:
        maps: (N, H, W), non-negative.
        region: (N, H, W) bool, the part R, for example the head; cut to ``within``.
        within: (N, H, W) bool, the whole W, for example the object; None: the image.

    Returns:
        The two shares of each image.

    Raises:
        ValueError: Shapes that do not match, or negative values (a share of signed mass means nothing).
    """
    within = torch.ones_like(region, dtype=torch.bool) if within is None else within.bool()
    if not maps.shape == region.shape == within.shape:
        raise ValueError(
            f"maps {tuple(maps.shape)}, region {tuple(region.shape)} and within {tuple(within.shape)} differ: "
            "all three must be (N, H, W)"
        )
    check_range(maps, 0, math.inf)
    part = region.bool() & within
    weights = exact(maps)

    def total(where: Tensor) -> tuple[Tensor, Tensor]:
        where = where.to(weights.device)
        return (weights * where).sum(dim=(1, 2)), where.sum(dim=(1, 2)).double()

    (part_mass, part_area), (whole_mass, whole_area) = total(part), total(within)
    return MassShare(mass=part_mass / whole_mass, area=part_area / whole_area)


def centre_gaussian(size: tuple[int, int], sigma: float = 0.5) -> Tensor:
    """The baseline that looks at no image: a round bump in the middle.

    Args:
        size: (height, width) in pixels.
        sigma: Standard deviation as a share of the shorter side. Under best-threshold metrics (MaxBoxAcc, PxAP) it
            changes next to nothing: only the order of the values counts.

    Returns:
        (height, width) float32 in (0, 1], its maximum at the centre.

    Source: the baseline of Choe et al. 2020.
    """
    height, width = size
    y = torch.arange(height) - (height - 1) / 2
    x = torch.arange(width) - (width - 1) / 2
    distance = (y[:, None] ** 2 + x[None, :] ** 2) / (2 * (sigma * min(height, width)) ** 2)
    return torch.exp(-(distance - distance.min()))


def _check_shapes(maps: Tensor, masks: Tensor) -> None:
    if maps.shape != masks.shape or maps.dim() != 3:
        raise ValueError(
            f"maps are {tuple(maps.shape)}, masks {tuple(masks.shape)}, expected (N, H, W) both: pick each image's "
            "class and resize the maps with maps.resize"
        )


def _histogram(maps: Tensor, masks: Tensor, thresholds: Tensor, *, closed: bool) -> Tensor:
    """Pixels of images (N, …) by bin and by (background, object), (N, T + 1, 2).

    Args:
        maps: (N, …) without NaN.
        masks: (N, …) int64 or bool.
        thresholds: (T,) float64, rising.
        closed: Whether a pixel counts as well where it equals the threshold.
    """
    n, bins = len(maps), len(thresholds) + 1
    if maps.device.type == "cpu" and (step := even_step(thresholds)):
        return _histogram_of_even(maps, masks, bins, step, closed)
    cell = count_exceeded(maps, thresholds, closed=closed)
    image = torch.arange(n, device=maps.device).view(-1, *[1] * (maps.dim() - 1))
    cell = (image * bins + cell) * 2 + (masks > 0)
    return count_cells(cell, masks != IGNORE, n * bins * 2).view(n, bins, 2)


def _histogram_of_even(maps: Tensor, masks: Tensor, bins: int, step: float, closed: bool) -> Tensor:
    """``_histogram`` of thresholds 0, s, 2s, … on a CPU, in pieces that its cache holds."""
    maps = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps.detach()
    values, truth = maps.flatten(1).numpy(), masks.cpu().flatten(1).numpy()
    n, pixels = values.shape
    rows, columns = max(1, _PIXELS_AT_ONCE // max(1, pixels)), min(max(1, pixels), _PIXELS_AT_ONCE)
    result = torch.zeros(n, 3, bins, dtype=torch.int64)
    for first in range(0, n, rows):
        part = result[first : first + rows]
        offset = (np.arange(len(part), dtype=np.int32) * (3 * bins))[:, None]
        for left in range(0, pixels, columns):
            piece = slice(first, first + rows), slice(left, left + columns)
            group = (truth[piece] > 0).view(np.uint8)  # background, object; and ignored
            group += (truth[piece] == IGNORE).view(np.uint8)
            cell = group.astype(np.int32)
            cell *= bins
            cell += count_of_even(values[piece], bins - 1, step, closed=closed)
            if rows > 1:
                cell += offset
            part += torch.from_numpy(cell.ravel()).bincount(minlength=part.numel()).view_as(part)  # int32 as it is
    return result[:, :2].transpose(1, 2)


def _iou_curve(histogram: Tensor) -> Tensor:
    """IoU at each threshold, (N, T) float64 from (N, T + 1, 2)."""
    counts = exact(histogram)
    above = counts.flip(1).cumsum(1).flip(1)[:, 1:]  # (N, T, 2): predicted at t, by truth
    true = counts[:, :, 1].sum(1)  # (N,)
    return above[..., 1] / (true[:, None] + above[..., 0])
