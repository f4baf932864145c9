r"""MARS while training: a teacher fills what the debiased labels left open, and says how sure it is.

A segmentation network learns from debiased pseudo-labels (:mod:`wsss_lib.segment.debiasing`), 255 where a label was
dropped. There its teacher, its own moving average, gives the label, weighted by the teacher's certainty of a class:

.. math:: L = -\frac1P\sum_p W_p \log P_p(Y_p), \qquad
          W_p = \max_{c\,\in\,\text{image}} \hat P_p(c) \text{ where the teacher filled}, \quad 1 \text{ elsewhere.}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.backbones.base import Backbone
from wsss_lib.data.records import IGNORE, Batch
from wsss_lib.maps import likeliest
from wsss_lib.methods.learner import Progress
from wsss_lib.segment.averaging import Teacher
from wsss_lib.segment.network import Segmenter, SegmenterConfig

Refill = Literal["weighted", "equal", "none"]
"""What becomes of dropped labels: refilled and weighted by certainty, refilled and counted like others, or ignored."""


@dataclass(frozen=True)
class MARSConfig(SegmenterConfig):
    """Settings of the network, and of its teacher.

    Attributes:
        refill: See :data:`Refill`.
        momentum: Of the teacher, in [0, 1]; the paper names none.

    Raises:
        ValueError: A momentum outside [0, 1].
    """

    refill: Refill = "weighted"
    momentum: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum is {self.momentum}, expected a share of the teacher's past from 0 to 1")

    @classmethod
    def paper(cls) -> Self:
        """With the momentum of the trainer that the authors released for their next method."""
        return cls(momentum=0.999)


class MARS(Segmenter):
    """A segmentation network with a teacher.

    Args:
        backbone: As of :class:`Segmenter`.
        num_classes: K.
        config: None for the book's.

    Attributes:
        teacher: The moving average of the network. Without a refill it follows, and nobody asks it.

    Source: Jo et al. 2023. Built in chapter 8.
    """

    needs = ("images", "labels", "masks")
    config: MARSConfig

    def __init__(self, backbone: Backbone, num_classes: int, config: MARSConfig | None = None) -> None:
        super().__init__(backbone, num_classes, config or MARSConfig())
        self.teacher = Teacher(self)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted cross-entropy, with masks of 255 where labels were dropped."""
        images, masks, weights = batch["images"], batch["masks"], None
        size = tuple(masks.shape[1:])  # that of the images, or of the grid beside features of a trunk
        if self.config.refill != "none":
            sure = self.teacher(images, size).softmax(dim=1)  # (N, K + 1, H, W)
            masks, weights = complement(masks, sure, batch["labels"])
        if self.config.refill == "equal":
            weights = None
        return {"pixels": weighted_cross_entropy(self(images, size), masks, weights)}

    def after_step(self, progress: Progress) -> None:
        """Move the teacher."""
        self.teacher.follow(self, self.config.momentum)


def complement(masks: Tensor, probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What the teacher says where a label was dropped, and how much that counts.

    Args:
        masks: (N, H, W) int64, 255 where a label was dropped.
        probabilities: (N, K + 1, H, W) of the teacher, the background's first.
        labels: (N, K) multi-hot.

    Returns:
        Masks (N, H, W) without 255; weights (N, H, W) in [0, 1]: the largest probability of a class of the image where
        the teacher filled, 1 elsewhere. So a background that the teacher is sure of counts little.

    Source: Jo et al. 2023, section 3.4 and eq. 6.
    """
    dropped = masks == IGNORE
    certainty = torch.where(labels[:, :, None, None] > 0, probabilities[:, 1:], 0).amax(1)  # (N, H, W)
    strongest = likeliest(probabilities)
    return torch.where(dropped, strongest, masks), torch.where(dropped, certainty, 1)


def weighted_cross_entropy(scores: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of weighted pixels over their number.

    Args:
        scores: (N, L, H, W) logits.
        masks: (N, H, W) int64, from 0 to L − 1, or 255: not asked.
        weights: (N, H, W) ≥ 0; None for 1 everywhere.

    Returns:
        Scalar ≥ 0: the sum over the pixels that are asked, divided by their *number*, not by their weights; 0 where
        none is.

    Source: Jo et al. 2023, eq. 7; the division is ours.
    """
    each = F.cross_entropy(scores, masks, ignore_index=IGNORE, reduction="none")  # (N, H, W), 0 where not asked
    if weights is not None:
        each = each * weights
    return each.sum() / (masks != IGNORE).sum().clamp(min=1)
