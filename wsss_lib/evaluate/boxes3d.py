"""Boxes in 3D: average precision by centres, errors of what is matched, and F1 at a score that another split chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from wsss_lib import metrics
from wsss_lib.data.records import Batch, Records
from wsss_lib.evaluate.protocol import Measurement, count


class Boxes3DMeasurement(Measurement):
    """Boxes matched with objects; nothing is chosen yet.

    Args:
        records: With ``boxes3d`` and ``box3d_labels``.
        overlap: The IoU in space from which a box is right for ``overlap_ap``, for all classes or for each.

    Attributes:
        detections: The matches by distance of centres.
        overlaps: The matches by overlap.
    """

    def __init__(self, records: Records, overlap: float | Sequence[float] = 0.5) -> None:
        super().__init__(records)
        self.detections = metrics.CentreDistance(len(self.classes))
        self.overlaps = metrics.OverlapPrecision(len(self.classes), overlap)

    def update(self, batch: Batch, prediction: Sequence[metrics.Boxes3D]) -> None:
        """Count the boxes of each scene.

        Raises:
            ValueError: A batch without boxes.
        """
        if "boxes3d" not in batch or "box3d_labels" not in batch:
            raise ValueError(f"{self.split} has no boxes3d with box3d_labels to measure against: choose another")
        truth = [metrics.Boxes3D(*pair) for pair in zip(batch["boxes3d"], batch["box3d_labels"], strict=True)]
        self.detections.update(prediction, truth)
        self.overlaps.update(prediction, truth)

    def curves(self) -> dict[str, metrics.Curve]:
        """``f1`` of the boxes within 2 m, over the score that a box must exceed."""
        return {"f1": self.detections.curve(self.split, self.fingerprint, self.classes)}

    def numbers(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """``mean_ap`` and ``ap_0.5`` … ``ap_4`` by metres; ``translation``, ``scale`` and ``orientation`` errors;
        ``spnds``, which sums them up; ``overlap_ap``, which asks for IoU. None of them needs a threshold.
        """
        mean_ap, errors = self.detections.mean_average_precision(), self.detections.errors()
        by_distance = self.detections.average_precision().nanmean(0).tolist()
        names = [f"ap_{distance:g}" for distance in self.detections.distances]
        each = dict(zip(names, by_distance, strict=True))
        overlap_ap = self.overlaps.mean_average_precision()
        summed = metrics.spnds(mean_ap, **errors)
        return {"mean_ap": mean_ap, **each, **errors, "spnds": summed, "overlap_ap": overlap_ap}

    def conditions(self) -> dict[str, Any]:
        """``overlap``."""
        return {"overlap": list(self.overlaps.least)}


def measure_boxes3d(
    predict: Callable[[Batch], Sequence[metrics.Boxes3D]],
    records: Records,
    *,
    overlap: float | Sequence[float] = 0.5,
    batch_size: int = 8,
    device: str | torch.device | None = None,
) -> Boxes3DMeasurement:
    """Detect the objects of every scene of a split and count; the arguments are those of :func:`count`, and the
    measurement's."""
    return count(Boxes3DMeasurement(records, overlap), records, predict, batch_size=batch_size, device=device)
