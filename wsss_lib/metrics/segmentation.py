r"""Intersection over union, over the whole data set, and its curve over thresholds from one histogram.

.. math:: \mathrm{IoU}_c = \frac{\mathrm{TP}_c}{T_c + P_c - \mathrm{TP}_c}, \qquad
          \mathrm{mIoU} = \frac1{|\mathcal C|}\sum_{c \in \mathcal C} \mathrm{IoU}_c

:math:`T` counts true pixels, :math:`P` predicted ones, :math:`\mathrm{TP}` those that are both, *summed over all
images before dividing*: a mean of per-image IoUs is another, usually higher, number. Pixels whose target is 255 are in
none of the three, whatever is predicted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from wsss_lib.data.fields import IGNORE
from wsss_lib.maps import keep_labels
from wsss_lib.metrics.accumulate import (
    Accumulator,
    check_classes,
    count_cells,
    count_exceeded,
    index_type,
    threshold_grid,
)
from wsss_lib.metrics.thresholds import Curve

Absent = Literal["skip", "penalise"]


def confusion(prediction: Tensor, target: Tensor, num_classes: int, ignore: int = IGNORE) -> Tensor:
    """Count pixels by true and predicted class.

    Args:
        prediction: (...) integer in 0..num_classes − 1 wherever the target counts; free elsewhere.
        target: Same shape, integer in 0..num_classes − 1, or ``ignore``.
        num_classes: C, the background included.
        ignore: Target value of pixels that do not count.

    Returns:
        (C, C) int64: row true, column predicted.

    Raises:
        ValueError: Shapes differ, or a class is out of range.

    Built in chapter 1.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"the prediction is {tuple(prediction.shape)}, the target {tuple(target.shape)}: "
            "resize the maps to the masks before taking the arg max"
        )
    true, predicted, counted = target.long(), prediction.long(), target != ignore
    for name, values in (("target", true), ("prediction", predicted)):
        check_classes(name, values, counted, num_classes)
    return count_cells(true * num_classes + predicted, counted, num_classes**2).view(num_classes, num_classes)


def iou(matrix: Tensor) -> Tensor:
    """IoU of each class from a confusion matrix (..., C, C), as (..., C) float64; NaN where a class has no pixel."""
    true_positive = matrix.diagonal(dim1=-2, dim2=-1)
    return _divide(true_positive, matrix.sum(-1) + matrix.sum(-2) - true_positive)


def mean_iou(matrix: Tensor, absent: Absent = "skip") -> Tensor:
    """Mean IoU over the classes that exist, (...,) float64 from (..., C, C).

    Args:
        matrix: Counts over the *whole* data set.
        absent: What to do with a class that no target contains. ``"skip"``: it is not in the mean. Its false positives
            still count, in the classes whose pixels they take; and the mean runs over the same classes at every
            threshold. ``"penalise"``: if it is predicted anywhere, it enters the mean with IoU 0 (``nanmean`` over
            unions, common in segmentation toolkits). They agree where every class occurs, as in VOC.

    Returns:
        In [0, 1]; NaN where no class exists.

    Raises:
        ValueError: Unknown ``absent``.
    """
    per_class = iou(matrix)
    return _mean_over(per_class, _exists(matrix.sum(-1), per_class, absent))


class MaskScores(NamedTuple):
    """Of each class, (..., C) float64 in [0, 1]; NaN where there is nothing to divide by.

    With TP, T and P as above and the union U = T + P − TP: ``iou`` TP/U, ``precision`` TP/P, ``recall`` TP/T,
    ``false_positives`` (P − TP)/U: what is taken too much, ``false_negatives`` (T − TP)/U: what is missed. IoU, false
    positives and false negatives sum to 1.
    """

    iou: Tensor
    precision: Tensor
    recall: Tensor
    false_positives: Tensor
    false_negatives: Tensor


def mask_scores(matrix: Tensor) -> MaskScores:
    """What kind of error each class suffers from, from a confusion matrix (..., C, C).

    Source of the last two: released evaluation code of psa (Ahn & Kwak 2018).
    """
    both = matrix.diagonal(dim1=-2, dim2=-1)
    true, predicted = matrix.sum(-1), matrix.sum(-2)
    union = true + predicted - both
    return MaskScores(
        iou=_divide(both, union),
        precision=_divide(both, predicted),
        recall=_divide(both, true),
        false_positives=_divide(predicted - both, union),
        false_negatives=_divide(true - both, union),
    )


def mean_mask_scores(matrix: Tensor) -> dict[str, float]:
    """Means over the classes that occur, the background included; a class that is never predicted has no precision.

    Args:
        matrix: (C, C), counts over the *whole* data set.

    Returns:
        ``miou``, ``precision``, ``recall``, ``false_positives`` and ``false_negatives``, each in [0, 1]; NaN where no
        class has one.
    """
    exists = matrix.sum(-1).cpu() > 0
    means = {name: float(values[exists].nanmean()) for name, values in mask_scores(matrix)._asdict().items()}
    means.pop("iou")
    return {"miou": float(mean_iou(matrix)), **means}


class ConfusionMatrix(Accumulator):
    """Dataset-level IoU of predicted masks, batch by batch.

    Args:
        num_classes: C, the background included (K + 1).
    """

    _sums: ClassVar[tuple[str, ...]] = ("matrix",)
    _settings: ClassVar[tuple[str, ...]] = ("num_classes",)

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, predictions: Tensor, masks: Tensor) -> None:
        """Add a batch: predictions and masks (N, H, W) int64."""
        self._add("matrix", confusion(predictions, masks, self.num_classes))

    def iou(self) -> Tensor:
        """(C,) float64; NaN where a class neither occurs nor is predicted."""
        return iou(self.matrix)

    def mean_iou(self, absent: Absent = "skip") -> float:
        """See :func:`mean_iou`."""
        return float(mean_iou(self.matrix, absent))


class ThresholdSweep(Accumulator):
    r"""The mIoU of seeds at every background threshold, from one histogram.

    At threshold t a pixel is foreground where the largest map exceeds t, and then of the class whose map that is: the
    class does not depend on t. So it suffices to count pixels by (thresholds exceeded, winning class, target), once,
    and to cumulate: T · K · (K + 1) numbers instead of T passes over the pixels. Equal to ``maps.seeds`` at each
    threshold, exactly.

    Args:
        num_classes: K, the background *not* included, as in maps.
        thresholds: How many (n: 0, 1/n, …) or which, rising.
    """

    _sums: ClassVar[tuple[str, ...]] = ("histogram",)
    _settings: ClassVar[tuple[str, ...]] = ("num_classes", "thresholds")

    def __init__(self, num_classes: int, thresholds: int | Tensor = 100) -> None:
        self.num_classes = num_classes
        self.thresholds = threshold_grid(thresholds)
        self.histogram = torch.zeros(len(self.thresholds) + 1, num_classes, num_classes + 1, dtype=torch.int64)

    def update(self, maps: Tensor, masks: Tensor, labels: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            maps: (N, K, H, W) in [0, 1], at the masks' size.
            masks: (N, H, W) int64 with 255 ignored.
            labels: (N, K) multi-hot: maps of absent classes are set to zero first, which hides the classifier's
                errors. None: not.

        Raises:
            ValueError: Shapes that do not match, a class out of range, or NaN.
        """
        n, k = maps.shape[:2]
        if k != self.num_classes or maps.shape[-2:] != masks.shape[-2:] or n != len(masks):
            raise ValueError(
                f"maps are {tuple(maps.shape)} and masks {tuple(masks.shape)}, expected (N, {self.num_classes}, H, W) "
                "and (N, H, W): resize the maps with maps.resize"
            )
        if labels is not None:
            maps = keep_labels(maps, labels)
        best, winner = maps.max(dim=1)  # (N, H, W); the first of equals, as in maps.seeds
        bins = count_exceeded(best, self.thresholds)
        # (bin, winner) is the "prediction"; targets take the other axis.
        counted = masks != IGNORE
        check_classes("target", masks, counted, k + 1)  # before a narrower type could make another class of it
        kind = index_type(self.histogram.numel())
        cell = (bins.to(kind) * k + winner.to(kind)) * (k + 1) + masks.to(kind)
        self._add("histogram", count_cells(cell, counted, self.histogram.numel()).view(self.histogram.shape))

    def confusions(self) -> Tensor:
        """The confusion matrix at each threshold, (T, K + 1, K + 1) int64."""
        above = self.histogram.flip(0).cumsum(0).flip(0)[1:]  # (T, K, C): bins beyond threshold t, i.e. max > t
        background = self.histogram.sum(dim=(0, 1)) - above.sum(1)  # (T, C)
        return torch.cat([background[:, :, None], above.transpose(1, 2)], dim=2)  # (T, true, predicted)

    def curve(
        self, split: str, fingerprint: str, classes: Sequence[str] | None = None, absent: Absent = "skip"
    ) -> Curve:
        """The mIoU over thresholds, with each class's IoU in ``parts``.

        Args:
            split: Its name, for the report.
            fingerprint: ``Records.fingerprint`` of the images counted.
            classes: K names; None numbers them.
            absent: See :func:`mean_iou`.
        """
        names = tuple(classes) if classes is not None else tuple(f"class {k + 1}" for k in range(self.num_classes))
        matrices = self.confusions()
        return Curve(
            metric="mIoU",
            thresholds=self.thresholds,
            values=mean_iou(matrices, absent).cpu(),
            split=split,
            fingerprint=fingerprint,
            columns=("background", *names),
            parts=iou(matrices).cpu(),
        )


def threshold_curve(
    maps: Tensor,
    masks: Tensor,
    labels: Tensor | None = None,
    *,
    split: str,
    fingerprint: str,
    thresholds: int | Tensor = 100,
) -> Curve:
    """The mIoU over thresholds of one batch that holds the whole split; see :class:`ThresholdSweep` for chunks."""
    sweep = ThresholdSweep(maps.shape[1], thresholds)
    sweep.update(maps, masks, labels)
    return sweep.curve(split, fingerprint)


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    # On the CPU: some accelerators lack float64, and these are a few numbers.
    return numerator.cpu().double() / denominator.cpu().double()


def _exists(true: Tensor, per_class: Tensor, absent: Absent) -> Tensor:
    if absent == "skip":
        return true.cpu() > 0
    if absent == "penalise":
        return ~per_class.isnan()
    raise ValueError(f"absent={absent!r} is unknown: use 'skip' or 'penalise'")


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    kept = torch.where(chosen, values, torch.zeros_like(values))
    return kept.sum(-1) / chosen.sum(-1)
