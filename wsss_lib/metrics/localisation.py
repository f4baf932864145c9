r"""Localisation by boxes: the classic accuracies, MaxBoxAcc and MaxBoxAccV2.

All of them draw boxes around what exceeds a threshold of the class's map and ask whether one of them overlaps an
annotated box with IoU ≥ δ. They differ in small conventions that move numbers: :class:`BoxProtocol` names each.
MaxBoxAcc takes the best threshold *of the whole data set, on the data set itself*; a threshold per image is a mistake
that flatters by some ten points, and a threshold from another split is what :func:`wsss_lib.metrics.report` is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from wsss_lib.maps.components import Corners, Which
from wsss_lib.metrics.accumulate import Accumulator, check_range, count_exceeded, threshold_grid
from wsss_lib.metrics.boxes import IouRule, box_iou
from wsss_lib.metrics.classification import top_k_correct
from wsss_lib.metrics.component_tree import Array, Integers
from wsss_lib.metrics.threshold_boxes import boxes_by_threshold
from wsss_lib.metrics.thresholds import Curve

_PIXELS_AT_ONCE = 2**19  # more would leave a CPU's cache


@dataclass(frozen=True)
class BoxProtocol:
    """How a map becomes boxes, and how boxes are compared.

    Attributes:
        name: For curves and tables.
        which: The largest component, the largest contour, or all contours; see :data:`wsss_lib.maps.WHICH`.
        corners: Exclusive right and bottom, or clipped to the last pixel; see :data:`wsss_lib.maps.BOX_CORNERS`.
        iou: Half-open, or the +1 rule; see :func:`wsss_lib.metrics.box_iou`.
        empty: The box where nothing exceeds the threshold: the whole image, or (0, 0, 0, 0).
        eight_bit: Whether maps are cut to 0…255 first, and thresholds to ⌊τ · the map's maximum⌋.
    """

    name: str
    which: Which
    corners: Corners
    iou: IouRule
    empty: Literal["image", "zero"]
    eight_bit: bool


HALF_OPEN = BoxProtocol("BoxAcc", "largest", "exclusive", "half-open", "image", eight_bit=False)
"""Exact geometry: what this book reports where it does not compare with a published number."""

CLASSIC = replace(HALF_OPEN, name="GT-known Loc", iou="plus-one")
"""As BAS and SAT count: the largest component by pixels, exclusive corners under the +1 rule."""

MAX_BOX_ACC = BoxProtocol("MaxBoxAcc", "contour", "clipped", "plus-one", "zero", eight_bit=True)
"""As the WSOL benchmark counts in its first version: the contour of largest polygon area (Choe et al. 2020)."""

MAX_BOX_ACC_V2 = replace(MAX_BOX_ACC, name="MaxBoxAccV2", which="all")
"""As the WSOL benchmark counts in its second version: every contour, the best one counts (Choe et al. 2020)."""


def best_overlaps(
    maps: Tensor, boxes: Sequence[Tensor], thresholds: int | Tensor = 1000, protocol: BoxProtocol = MAX_BOX_ACC_V2
) -> Tensor:
    """For each image and threshold, the largest IoU between a predicted and an annotated box.

    A component tree gives the boxes of all thresholds; there is no loop over thresholds. Trees grow on the CPU.

    Args:
        maps: (N, H, W) in [0, 1]: of each image, the map of the class to localise.
        boxes: N tensors (M, 4) xyxy in the maps' pixels, at least one box each.
        thresholds: How many (n: 0, 1/n, …) or which, rising.
        protocol: The conventions.

    Returns:
        (N, T) float64 on the CPU.

    Raises:
        ValueError: An image without a box, or shapes that do not match.
    """
    if maps.dim() != 3 or len(maps) != len(boxes):
        raise ValueError(
            f"maps are {tuple(maps.shape)} for {len(boxes)} images' boxes, expected (N, H, W) and N tensors: "
            "pick the map of each image's class"
        )
    without = [i for i, b in enumerate(boxes) if not len(b)]
    if without:
        raise ValueError(f"images {without[:5]} have no annotated box: leave them out, they cannot be localised")
    grid, step = threshold_grid(thresholds), max(1, _PIXELS_AT_ONCE // max(1, maps.shape[-1] * maps.shape[-2]))
    parts = [
        _overlaps(maps[i : i + step], boxes[i : i + step], grid, protocol) for i in range(0, max(1, len(maps)), step)
    ]
    return torch.cat(parts)


class BoxSweep(Accumulator):
    """Box accuracy at every threshold, for several δ.

    Args:
        thresholds: How many (n: 0, 1/n, …) or which, rising; the benchmark uses 1000.
        deltas: The IoUs from which a box counts.
        protocol: The conventions.

    Used in chapter 1.
    """

    _sums: ClassVar[tuple[str, ...]] = ("hits", "images")
    _settings: ClassVar[tuple[str, ...]] = ("thresholds", "deltas", "protocol")

    def __init__(
        self,
        thresholds: int | Tensor = 1000,
        deltas: Sequence[float] = (0.3, 0.5, 0.7),
        protocol: BoxProtocol = MAX_BOX_ACC_V2,
    ) -> None:
        self.thresholds = threshold_grid(thresholds)
        self.deltas = tuple(deltas)
        self.protocol = protocol
        self.hits = torch.zeros(len(self.deltas), len(self.thresholds), dtype=torch.int64)
        self.images = torch.zeros((), dtype=torch.int64)

    def update(self, maps: Tensor, boxes: Sequence[Tensor]) -> None:
        """Add a batch: maps (N, H, W) in [0, 1] of each image's class, N tensors of boxes; see `best_overlaps`."""
        best = best_overlaps(maps, boxes, self.thresholds, self.protocol)  # (N, T)
        hits = torch.stack([(best >= delta).sum(0) for delta in self.deltas])
        self._add("hits", hits.to(maps.device))
        self._add("images", torch.tensor(len(maps), device=maps.device))

    def accuracy(self) -> Tensor:
        """(len(deltas), T) float64: the share of images whose box is right; NaN before any image."""
        return self.hits.cpu().double() / self.images.cpu().double()

    def maximum(self) -> Tensor:
        """(len(deltas),) float64: the best accuracy over thresholds of the *data set*, for each δ."""
        return self.accuracy().amax(dim=1)

    def curve(self, delta: float, split: str, fingerprint: str) -> Curve:
        """The accuracy over thresholds at one δ, to choose on one split and report on another.

        Raises:
            ValueError: A δ that was not counted.
        """
        if delta not in self.deltas:
            raise ValueError(f"delta {delta} was not counted: build the sweep with it, now it has {self.deltas}")
        values = self.accuracy()[self.deltas.index(delta)]
        return Curve(f"{self.protocol.name} at IoU {delta:g}", self.thresholds, values, split, fingerprint)


def max_box_acc(maps: Tensor, boxes: Sequence[Tensor], thresholds: int | Tensor = 1000) -> float:
    """MaxBoxAcc: largest contour, IoU ≥ 0.5, the best threshold of the data set, in [0, 1]. See :class:`BoxSweep`."""
    sweep = BoxSweep(thresholds, (0.5,), MAX_BOX_ACC)
    sweep.update(maps, boxes)
    return float(sweep.maximum()[0])


def max_box_acc_v2(
    maps: Tensor,
    boxes: Sequence[Tensor],
    thresholds: int | Tensor = 1000,
    deltas: Sequence[float] = (0.3, 0.5, 0.7),
) -> float:
    """MaxBoxAccV2: any contour; for each δ the best threshold of the data set; then the mean over δ, in [0, 1]."""
    sweep = BoxSweep(thresholds, deltas, MAX_BOX_ACC_V2)
    sweep.update(maps, boxes)
    return float(sweep.maximum().mean())


def gt_known(predicted: Tensor, boxes: Sequence[Tensor], delta: float = 0.5, rule: IouRule = "half-open") -> Tensor:
    """Whether the predicted box overlaps one of the image's boxes enough, the class being given ("GT-known Loc").

    Args:
        predicted: (N, 4) xyxy, one box per image, drawn from the map of its true class.
        boxes: N tensors (M, 4).
        delta: The IoU from which it counts.
        rule: ``"plus-one"`` to count as the published codes do.

    Returns:
        (N,) bool.

    Raises:
        ValueError: Another number of images, or an image without a box.
    """
    if len(predicted) != len(boxes) or any(not len(b) for b in boxes):
        raise ValueError(
            f"{len(predicted)} predicted boxes for {len(boxes)} images: each image needs one, and annotated ones"
        )
    best = [box_iou(p[None], b.to(p.device), rule).max() for p, b in zip(predicted, boxes, strict=True)]
    return torch.stack(best) >= delta if best else torch.zeros(0, dtype=torch.bool)


def localisation_accuracy(
    predicted: Tensor,
    boxes: Sequence[Tensor],
    logits: Tensor,
    targets: Tensor,
    delta: float = 0.5,
    rule: IouRule = "half-open",
) -> Mapping[str, float]:
    """GT-known, Top-1 and Top-5 Loc: the box is right, and the class is (among the five) best, for the same image.

    The box is that of the *true* class's map in all three; only the class's rank is asked of the classifier.

    Args:
        predicted: (N, 4) xyxy; for the published numbers from ``maps.boxes(…, "largest", empty="image")``.
        boxes: N tensors (M, 4).
        logits: (N, K).
        targets: (N,) int64 or one-hot (N, K).
        delta: The IoU from which a box counts.
        rule: See :func:`box_iou`.

    Returns:
        ``gt_known``, ``top1``, ``top5``, each in [0, 1]; top1 ≤ top5 ≤ gt_known.

    Raises:
        ValueError: No image, or shapes that do not match.

    Used in chapter 1.
    """
    right = gt_known(predicted, boxes, delta, rule)
    if not len(right) or len(right) != len(logits):
        raise ValueError(
            f"{len(right)} boxes and {len(logits)} rows of logits: pass one of each per image, at least one"
        )
    right = right.to(logits.device)

    def share(correct: Tensor) -> float:
        return float(correct.double().mean())

    return {
        "gt_known": share(right),
        "top1": share(right & top_k_correct(logits, targets, 1)),
        "top5": share(right & top_k_correct(logits, targets, 5)),
    }


def _overlaps(maps: Tensor, boxes: Sequence[Tensor], grid: Tensor, protocol: BoxProtocol) -> Tensor:
    if not len(maps):
        return torch.zeros(0, len(grid), dtype=torch.float64)
    maps = maps.detach().float() if maps.dtype in (torch.float16, torch.bfloat16) else maps.detach()
    if protocol.eight_bit:
        check_range(maps, 0, 1)
        levels = (maps * 255).to(torch.uint8).cpu().numpy()  # truncated
        highest = levels.reshape(len(levels), -1).max(axis=1)
        cuts = (highest[:, None] * grid.numpy()).astype(np.int64)  # ⌊τ · max⌋ of each image
    else:
        levels = count_exceeded(maps, grid).to(torch.uint8 if len(grid) < 256 else torch.int32).cpu().numpy()
        cuts = np.broadcast_to(np.arange(len(grid)), (len(maps), len(grid)))
    image, height, width = np.arange(len(levels)), *levels.shape[1:]
    wanted = np.zeros((len(levels), int(cuts.max()) + 1), dtype=bool)
    wanted[image[:, None], cuts] = True  # many thresholds may cut alike
    result = boxes_by_threshold(levels, wanted, protocol.which, maps.cpu().numpy())
    corners = result.corners
    if protocol.corners == "clipped":
        corners = np.minimum(corners, [width, height, width - 1, height - 1])
    # Annotated boxes as one array; the first box stands in where an image has fewer, which changes no maximum.
    most = max(len(each) for each in boxes)
    truth = np.stack([each.double().cpu().numpy()[[*range(len(each)), *[0] * (most - len(each))]] for each in boxes])
    best = np.full(wanted.shape, -1.0)
    np.maximum.at(best, (result.image, result.cut), _best_iou(corners, truth[result.image], protocol.iou))
    blank = np.array([[0, 0, width, height] if protocol.empty == "image" else [0, 0, 0, 0]] * len(levels))
    best = np.where(best < 0, _best_iou(blank, truth, protocol.iou)[:, None], best)
    return torch.from_numpy(best[image[:, None], cuts])


def _best_iou(boxes: Integers, truth: Array, rule: IouRule) -> Array:
    """The largest IoU of each box (M, 4) with one of its truth (M, G, 4), (M,), as ``box_iou`` defines it."""
    one = 1.0 if rule == "plus-one" else 0.0
    x0, y0, x1, y1 = boxes.astype(np.float64).T
    best = np.zeros(len(boxes))
    for left, top, right, bottom in truth.transpose(1, 2, 0):
        across = (np.minimum(x1, right) - np.maximum(x0, left) + one).clip(0)
        down = (np.minimum(y1, bottom) - np.maximum(y0, top) + one).clip(0)
        both = across * down
        area = (right - left + one).clip(0) * (bottom - top + one).clip(0)
        union = (x1 - x0 + one) * (y1 - y0 + one) + area - both
        np.maximum(best, np.divide(both, union, out=np.zeros_like(both), where=union > 0), out=best)
    return best
