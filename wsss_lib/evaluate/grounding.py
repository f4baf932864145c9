"""Grounding: one box for each sentence. Nothing is chosen, and kinds of sentences are told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wsss_lib import metrics
from wsss_lib.data.records import Batch, Records
from wsss_lib.evaluate.protocol import Measurement, count


class GroundingMeasurement(Measurement):
    """Sentences whose box is right.

    Args:
        records: With ``sentence_boxes``, and ``sentence_kinds`` if there are several kinds.
        kinds: Names of the kinds of sentences; one or none: they are not told apart.
        delta: The IoU from which a box counts.

    Attributes:
        sentences: Right ones and all, by kind.
    """

    def __init__(self, records: Records, kinds: Sequence[str] = (), delta: float = 0.5) -> None:
        super().__init__(records)
        self.kinds = tuple(kinds)
        self.sentences = metrics.GroundingAccuracy(self.kinds or ("any",), delta)

    def update(self, batch: Batch, prediction: Sequence[Tensor]) -> None:
        """Count boxes: of each image (Q, 4) xyxy pixels, one a sentence.

        Raises:
            ValueError: A batch without the fields that are needed, or another number of images.
        """
        needed = ["sentence_boxes", *(["sentence_kinds"] if self.kinds else [])]
        lacking = [name for name in needed if name not in batch]
        if lacking:
            raise ValueError(f"{self.split} has no {' and no '.join(lacking)} to measure against: choose another")
        truth = batch["sentence_boxes"]
        kinds = batch["sentence_kinds"] if self.kinds else [None] * len(truth)
        if len(prediction) != len(truth):
            raise ValueError(f"{len(prediction)} images are predicted, expected {len(truth)}: one entry for each image")
        for predicted, boxes, names in zip(prediction, truth, kinds, strict=True):
            self.sentences.update(predicted, boxes, names)

    def numbers(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """``accuracy`` over all sentences, and ``accuracy: KIND`` of each kind."""
        each = {f"accuracy: {kind}": share for kind, share in self.sentences.by_kind().items() if self.kinds}
        return {"accuracy": self.sentences.value()} | each

    def conditions(self) -> dict[str, Any]:
        """``delta``."""
        return {"delta": self.sentences.delta}


def measure_grounding(
    predict: Callable[[Batch], Sequence[Tensor]],
    records: Records,
    *,
    kinds: Sequence[str] = (),
    delta: float = 0.5,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> GroundingMeasurement:
    """Ground every sentence of a split and count; the arguments are those of :func:`count` and the measurement."""
    return count(GroundingMeasurement(records, kinds, delta), records, predict, batch_size=batch_size, device=device)
