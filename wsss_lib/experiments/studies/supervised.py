"""The upper bound of the world: a network of the classifier's size that is told every pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones import Backbone
from wsss_lib.data.records import Batch


class Supervised(nn.Module):
    """The classifier's sibling that learns from masks: the same backbone and a 1 × 1 convolution.

    It shows what there is to win: how well a network of this size can outline critters at all.

    Args:
        backbone: As the classifier has it.
        classes: K.
    """

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.stage = backbone.stages[-1]
        self.head = nn.Conv2d(backbone.channels[self.stage], classes, 1)

    def scores(self, images: Tensor) -> Tensor:
        """Logits of "this pixel belongs to class k", (N, K, H, W)."""
        grid = self.head(self.backbone(images)[self.stage])  # (N, K, h, w)
        return F.interpolate(grid, size=images.shape[-2:], mode="bilinear", align_corners=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy over the pixels of the classes that the image shows."""
        logits, labels = self.scores(batch["images"]), batch["labels"]
        classes = torch.arange(1, logits.shape[1] + 1, device=logits.device)[None, :, None, None]
        truth = (batch["masks"][:, None] == classes).to(logits)  # (N, K, H, W)
        each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))  # (N, K)
        return {"pixels": (each * labels).sum(1).mean()}

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Probabilities (N, K, H, W); absent classes are zero where labels are given."""
        probabilities = self.scores(images).sigmoid()
        return probabilities if labels is None else probabilities * labels[:, :, None, None]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Backbone and head apart, as the classifier has them."""
        return [
            {"name": "backbone", "params": list(self.backbone.parameters()), "lr": lr},
            {"name": "head", "params": list(self.head.parameters())},
        ]
