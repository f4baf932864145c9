"""A threshold is a parameter: choose it on one split, report on another.

The most common way to inflate a weakly supervised result is to sweep the threshold on the very images that are
reported. Here the choice and the report are two steps with a name each, and the second refuses the first one's split
unless the word *oracle* is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Curve:
    """A score as a function of the threshold, on one split.

    Attributes:
        metric: What is measured, for example ``"mIoU"``.
        thresholds: (T,) float64, rising.
        values: (T,) float64 in [0, 1].
        split: Name of the split, for example ``"voc2012/val"``.
        fingerprint: What tells this split from others: the records' fingerprint (``Records.fingerprint``).
        columns: Names of the parts of the score, for example classes; may be empty.
        parts: (T, len(columns)) float64, for example the IoU of each class; NaN where a part does not exist.
    """

    metric: str
    thresholds: Tensor
    values: Tensor
    split: str
    fingerprint: str
    columns: tuple[str, ...] = ()
    parts: Tensor | None = None

    def at(self, threshold: float) -> float:
        """The score at a threshold of the grid.

        Raises:
            ValueError: The threshold is not on the grid (nothing is interpolated).
        """
        return float(self.values[self.index(threshold)])

    def index(self, threshold: float) -> int:
        """Where the threshold stands in the grid; raises ValueError where it does not."""
        distance, index = (self.thresholds - threshold).abs().min(dim=0)
        if distance > 1e-6:  # more than the rounding of a float32
            raise ValueError(
                f"threshold {threshold} is not among this curve's {len(self.thresholds)}, the nearest is "
                f"{float(self.thresholds[index]):g}: draw the curve on a grid that contains it"
            )
        return int(index)


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from.

    Attributes:
        value: The threshold itself.
        rule: How it was found, in words: ``"max mIoU"``, or for a fixed one its source.
        split, fingerprint: Where it was chosen; empty for a fixed threshold.
        score: The score it had there; NaN for a fixed one.
    """

    value: float
    rule: str
    split: str = ""
    fingerprint: str = ""
    score: float = float("nan")

    @classmethod
    def fixed(cls, value: float, source: str) -> Threshold:
        """A threshold that no data chose, for example 0.2 of the maximum (Zhou et al. 2016).

        Raises:
            ValueError: No source: a fixed number comes from somewhere.
        """
        if not source:
            raise ValueError("a fixed threshold needs its source: say which paper or which earlier choice it is from")
        return cls(value=value, rule=f"fixed: {source}")


@dataclass(frozen=True)
class Report:
    """A score with what it takes to judge it.

    ``oracle`` says that the threshold was chosen on the reported images: an upper bound, not a result.
    """

    metric: str
    value: float
    split: str
    threshold: Threshold
    oracle: bool
    parts: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For ``results/``: plain numbers and strings."""
        return {
            "metric": self.metric,
            "value": self.value,
            "split": self.split,
            "threshold": self.threshold.value,
            "threshold_rule": self.threshold.rule,
            "threshold_split": self.threshold.split or None,
            "oracle": self.oracle,
            "parts": dict(self.parts),
        }


class SameSplitError(ValueError):
    """A threshold was about to be judged on the images that chose it."""


def choose_threshold(curve: Curve) -> Threshold:
    """The threshold with the best score; the lowest of equally good ones.

    Args:
        curve: On the split that may be looked at, for example train.

    Returns:
        The threshold, which remembers its split.

    Raises:
        ValueError: The curve has no number in it (no class exists, no image was counted).

    Built in chapter 1.
    """
    values = torch.nan_to_num(curve.values, nan=-1.0)
    if not len(values) or float(values.max()) < 0:
        raise ValueError(f"the curve of {curve.metric} on {curve.split} is empty: update it with images first")
    best = int(values.argmax())  # the first of equals
    return Threshold(
        value=float(curve.thresholds[best]),
        rule=f"max {curve.metric}",
        split=curve.split,
        fingerprint=curve.fingerprint,
        score=float(curve.values[best]),
    )


def report(curve: Curve, threshold: Threshold, *, oracle: bool = False) -> Report:
    """The score of one split at a threshold chosen on another.

    The splits are told apart by fingerprint. Two subsets that merely overlap have different ones: keeping them apart
    is up to you.

    Args:
        curve: On the split to report, for example val, on a grid that contains the threshold.
        threshold: From :func:`choose_threshold` or :meth:`Threshold.fixed`.
        oracle: Say True to be told the upper bound: the score with the threshold chosen on the reported split itself.

    Returns:
        The score, with everything that must stand beside it.

    Raises:
        SameSplitError: The threshold was chosen on these images, and ``oracle`` does not say so.
        ValueError: ``oracle`` is claimed for a threshold from elsewhere, or the threshold is not on the curve's grid.

    Used in chapter 1.
    """
    same = bool(threshold.fingerprint) and threshold.fingerprint == curve.fingerprint
    if same and not oracle:
        raise SameSplitError(
            f"threshold {threshold.value:g} was chosen on {threshold.split}, the split that is being reported: choose "
            "it on another split, or pass oracle=True to report an upper bound under its name"
        )
    if oracle and not same:
        raise ValueError(
            f"oracle=True, but the threshold comes from {threshold.split or threshold.rule}, not from {curve.split}: "
            "leave oracle out, this is an honest report"
        )
    index = curve.index(threshold.value)
    row = [] if curve.parts is None else [float(p) for p in curve.parts[index]]
    return Report(
        metric=curve.metric,
        value=float(curve.values[index]),
        split=curve.split,
        threshold=threshold,
        oracle=same,
        parts=dict(zip(curve.columns, row, strict=True)),
    )
