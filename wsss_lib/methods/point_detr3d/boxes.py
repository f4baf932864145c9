"""What teacher and student share: they answer with boxes in 3D, know mean sizes, and bring networks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from wsss_lib.methods.learner import Learner

if TYPE_CHECKING:
    from wsss_lib.backbones import Backbone


def flat_block(channels: int, width: int) -> nn.Sequential:
    """A convolution 3 × 3, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


class BoxLearner(Learner):
    """Base of what answers with boxes in 3D.

    Args:
        num_classes: K.
        sizes: Mean length, width and height of each class, in metres.

    Raises:
        ValueError: Another number of sizes than of classes.
    """

    task = "boxes3d"
    takes_backbone = False
    sizes: Tensor

    def __init__(self, num_classes: int, sizes: Sequence[tuple[float, float, float]]) -> None:
        super().__init__(num_classes=num_classes)
        if len(sizes) != num_classes:
            raise ValueError(f"there are mean sizes of {len(sizes)} classes, expected {num_classes}: one for each")
        self.register_buffer("sizes", torch.tensor(sizes), persistent=False)

    @classmethod
    def build(cls, backbone: Backbone | None, num_classes: int, settings: Any = None) -> Self:
        """The system; it brings networks of its own, and leaves the backbone aside."""
        return cls(num_classes, settings)
