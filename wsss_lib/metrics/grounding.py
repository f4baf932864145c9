r"""Grounding: is the thing that a sentence means in the predicted box?

.. math:: \text{accuracy} = \frac1Q \sum_{q=1}^{Q} [\mathrm{IoU}(\hat b_q, b_q) \ge 0.5]

One box is predicted for each sentence. Sentences of different kinds (an attribute, a relation) are easy or hard for
different reasons: the accuracy of each kind stands beside the mean over all sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from wsss_lib.metrics.accumulate import Accumulator, exact
from wsss_lib.metrics.boxes import box_iou


class GroundingAccuracy(Accumulator):
    """Share of sentences whose predicted box overlaps the meant one enough, over all and by kind.

    Args:
        kinds: Names of the kinds of sentences.
        delta: The IoU from which a box counts.

    Source: the protocol of RefCOCO (Yu et al. 2016); by kind as in DTMR (Sun et al. 2021).
    """

    _sums: ClassVar[tuple[str, ...]] = ("hits", "sentences")
    _settings: ClassVar[tuple[str, ...]] = ("kinds", "delta")

    def __init__(self, kinds: Sequence[str] = ("any",), delta: float = 0.5) -> None:
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError(f"kinds are {tuple(kinds)}, expected at least one, each once")
        self.kinds, self.delta = tuple(kinds), delta
        self.hits = torch.zeros(len(self.kinds), dtype=torch.int64)
        self.sentences = torch.zeros(len(self.kinds), dtype=torch.int64)

    def update(self, predicted: Tensor, boxes: Tensor, kinds: Sequence[str] | None = None) -> None:
        """Add sentences, of one image or of several.

        Args:
            predicted: (Q, 4) xyxy pixels.
            boxes: (Q, 4) xyxy pixels, what each sentence means.
            kinds: Q names; None where all sentences are of the first kind.

        Raises:
            ValueError: Numbers of boxes or kinds that differ, boxes that are no numbers, or an unknown kind.
        """
        kinds = [self.kinds[0]] * len(boxes) if kinds is None else list(kinds)
        if predicted.shape != boxes.shape or boxes.shape[1:] != (4,) or len(kinds) != len(boxes):
            raise ValueError(
                f"{tuple(predicted.shape)} predicted boxes and {len(kinds)} kinds for {tuple(boxes.shape)} meant ones, "
                "expected (Q, 4), Q and (Q, 4): predict one box for each sentence"
            )
        unknown = sorted(set(kinds) - set(self.kinds))
        if unknown:
            raise ValueError(f"the kinds {unknown} are not among {self.kinds}: build the metric with them")
        if not bool(predicted.isfinite().all() & boxes.isfinite().all().to(predicted.device)):
            raise ValueError("a box is NaN or infinite: find where it arises")
        overlaps = box_iou(predicted[:, None], boxes.to(predicted.device)[:, None])[:, 0, 0]  # (Q,)
        kind = torch.tensor([self.kinds.index(name) for name in kinds], dtype=torch.int64, device=predicted.device)
        none = torch.zeros(len(self.kinds), dtype=torch.int64, device=predicted.device)
        self._add("hits", none.scatter_add(0, kind, (overlaps >= self.delta).long()))
        self._add("sentences", none.scatter_add(0, kind, torch.ones_like(kind)))

    def value(self) -> float:
        """The accuracy over all sentences, in [0, 1]; NaN before any."""
        return float(exact(self.hits.sum()) / exact(self.sentences.sum()))

    def by_kind(self) -> dict[str, float]:
        """The accuracy of each kind, in [0, 1]; NaN for a kind without a sentence."""
        shares = exact(self.hits) / exact(self.sentences)
        return dict(zip(self.kinds, shares.tolist(), strict=True))
