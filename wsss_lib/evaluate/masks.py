"""Masks: how well a segmentation agrees with the truth, and whether it takes too much or too little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from wsss_lib import metrics
from wsss_lib.data.records import Batch, Records
from wsss_lib.evaluate.protocol import Measurement, count


class MaskMeasurement(Measurement):
    """Pixels by true and predicted class; nothing is chosen yet.

    Args:
        records: With masks.
        choices: Values, rising, of a setting that is to be chosen, such as a threshold: there is one prediction for
            each. None where nothing is chosen.

    Attributes:
        confusions: One confusion matrix a choice, or one.
    """

    def __init__(self, records: Records, choices: Sequence[float] | None = None) -> None:
        super().__init__(records)
        self.choices = None if choices is None else metrics.threshold_grid(torch.tensor(choices, dtype=torch.float64))
        number = 1 if self.choices is None else len(self.choices)
        self.confusions = [metrics.ConfusionMatrix(len(self.classes) + 1) for _ in range(number)]

    def update(self, batch: Batch, prediction: Tensor) -> None:
        """Count masks (N, H, W) int64, 0 background, k + 1 for class k; with choices (choices, N, H, W).

        Raises:
            ValueError: A batch without masks, or another number of predictions than choices.
        """
        if "masks" not in batch:
            raise ValueError(f"{self.split} has no masks to measure against: choose another")
        each = prediction[None] if self.choices is None else prediction
        if len(each) != len(self.confusions) or each.dim() != 4:
            raise ValueError(
                f"the prediction is {tuple(prediction.shape)}, expected (N, H, W), or (choices, N, H, W) with one mask "
                f"for each of {len(self.confusions)} choices"
            )
        for matrix, masks in zip(self.confusions, each, strict=True):
            matrix.update(masks, batch["masks"])

    def curves(self) -> dict[str, metrics.Curve]:
        """``miou`` over the choices, if there are some."""
        if self.choices is None:
            return {}
        matrices = torch.stack([confusion.matrix.cpu() for confusion in self.confusions])  # (T, C, C)
        curve = metrics.Curve(
            metric="mIoU",
            thresholds=self.choices,
            values=metrics.mean_iou(matrices),
            split=self.split,
            fingerprint=self.fingerprint,
            columns=("background", *self.classes),
            parts=metrics.iou(matrices),
        )
        return {"miou": curve}

    def numbers(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """Means over the classes that occur: ``miou``, ``precision``, ``recall``, ``false_positives`` and
        ``false_negatives`` (of the union), all at the choice of ``miou``.
        """
        if self.choices is None:
            return metrics.mean_mask_scores(self.confusions[0].matrix)
        if "miou" not in chosen:
            return {}
        at = int((self.choices - chosen["miou"]).abs().argmin())
        return metrics.mean_mask_scores(self.confusions[at].matrix)


def measure_masks(
    predict: Callable[[Batch], Tensor],
    records: Records,
    *,
    choices: Sequence[float] | None = None,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> MaskMeasurement:
    """Segment every image of a split and count; the arguments are those of :func:`count` and the measurement.

    Returns:
        The counts. A class of the data without a pixel anywhere is in no mean.
    """
    return count(MaskMeasurement(records, choices), records, predict, batch_size=batch_size, device=device)
