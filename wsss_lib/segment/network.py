"""A small segmentation network: a backbone, context, a light decoder; learnt from masks.

It cannot tell pseudo-labels from the truth. It can end better than the masks that it was taught: what is wrong in them
differs from image to image, and what is right does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones.base import Backbone
from wsss_lib.data.records import Batch
from wsss_lib.maps import likeliest
from wsss_lib.methods.learner import Learner, Settings
from wsss_lib.segment.losses import PixelLoss, pixel_loss


@dataclass(frozen=True)
class SegmenterConfig(Settings):
    """Settings of the network.

    Attributes:
        width: Channels of each branch, and of the decoder.
        dilations: Of the 3 × 3 convolutions that see the deepest stage side by side (DeepLab's atrous pyramid).
        scene: Whether what the whole image shows counts at each pixel: scores of the deepest stage's mean are added.
            (DeepLabv3 joins that mean before its last layers.) Without it a pixel far from the part that tells the
            class hardly learns which class it is.
        shallow: The stage whose fine features the decoder adds; None takes the first one, "" none.
        loss: See :func:`wsss_lib.segment.losses.pixel_loss`.
        trust: β of bootstrapping.

    Raises:
        ValueError: No width, no dilation, or trust outside [0, 1].
    """

    width: int = 48
    dilations: tuple[int, ...] = (1, 3, 6)
    scene: bool = True
    shallow: str | None = None
    loss: PixelLoss = "cross_entropy"
    trust: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            self.width < 4
            or self.width % 4
            or not self.dilations
            or min(self.dilations) < 1
            or not 0 <= self.trust <= 1
        ):
            raise ValueError(
                f"width {self.width}, dilations {self.dilations}, trust {self.trust}: expected a multiple of 4, at "
                "least one dilation from 1, and trust from 0 to 1"
            )


class Segmenter(Learner):
    """A segmentation network over any backbone.

    Args:
        backbone: Its deepest stage sees the scene, its first one the outlines.
        num_classes: K foreground classes; the network has K + 1 labels, 0 the background.
        config: None for the book's.

    Raises:
        ValueError: The backbone has no stage ``shallow``.

    Source: after Chen et al. 2018 (DeepLabv3+), much smaller; group norm, so that small batches do no harm.
    """

    task = "masks"
    needs: tuple[str, ...] = ("images", "masks")

    def __init__(self, backbone: Backbone, num_classes: int, config: SegmenterConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or SegmenterConfig()
        deep, shallow = backbone.stages[-1], self.config.shallow
        shallow = backbone.stages[0] if shallow is None else shallow
        if shallow and shallow not in backbone.stages:
            raise ValueError(f"{backbone.name} has no stage {shallow!r}: choose one of {', '.join(backbone.stages)}")
        self.stages = (shallow, deep) if shallow and shallow != deep else (deep,)
        self.reads_pixels = len(self.stages) > 1
        width = self.config.width
        self.context = nn.ModuleList(_unit(backbone.channels[deep], width, 3, d) for d in self.config.dilations)
        self.scene = nn.Conv2d(backbone.channels[deep], num_classes + 1, 1) if self.config.scene else None
        self.mix = _unit(width * len(self.config.dilations), width)
        fine = 4 * max(1, width // 16) if len(self.stages) > 1 else 0  # a multiple of the four groups
        self.fine = _unit(backbone.channels[shallow], fine) if fine else None
        self.decode = nn.Sequential(_unit(width + fine, width, 3), nn.Conv2d(width, num_classes + 1, 1))

    def forward(self, images: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Scores of each label at each pixel.

        Args:
            images: (N, 3, H, W) in [0, 1]; or what the frozen trunk of the backbone makes of them, where the network
                reads nothing else (``shallow=""``).
            size: (height, width) of the scores; None for (H, W).

        Returns:
            (N, K + 1, height, width) logits.
        """
        features = self.backbone(images, self.stages)
        deep = features[self.stages[-1]]  # (N, C, h, w)
        x = self.mix(torch.cat([branch(deep) for branch in self.context], dim=1))  # (N, width, h, w)
        if self.fine is not None:
            fine = self.fine(features[self.stages[0]])  # (N, fine, h', w')
            x = torch.cat([_enlarged(x, fine.shape[2:]), fine], dim=1)
        scores = self.decode(x)  # (N, K + 1, h', w')
        if self.scene is not None:
            scores = scores + self.scene(deep.mean(dim=(2, 3), keepdim=True))
        return _enlarged(scores, size or images.shape[2:])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """How wrong the labels of pixels are, by the masks of the batch, whoever made them."""
        scores = self(batch["images"], tuple(batch["masks"].shape[1:]))
        return {"pixels": pixel_loss(scores, batch["masks"], self.config.loss, self.config.trust)}

    def answer(self, batch: Batch) -> Tensor:
        """The likeliest label of each pixel, (N, H, W) int64."""
        return likeliest(self(batch["images"]))

    def answer_given(self, batch: Batch) -> Tensor:
        """The same among the background and the classes that the image labels name, as pseudo-labels are made.

        Nobody gives the labels of a new image: this is for comparing the network with what it learnt from.
        """
        return likeliest(only_given(self(batch["images"]), batch["labels"]))


def only_given(scores: Tensor, labels: Tensor) -> Tensor:
    """Logits (N, K + 1, H, W) of the background and the classes of image labels (N, K); those of others are -inf."""
    known = torch.cat([torch.ones_like(labels[:, :1]), labels], dim=1) > 0  # (N, K + 1)
    return scores.masked_fill(~known[:, :, None, None], -torch.inf)


def _unit(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, group norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.GroupNorm(4, outputs), nn.ReLU())


def _enlarged(planes: Tensor, size: Any) -> Tensor:
    return F.interpolate(planes, size=tuple(size), mode="bilinear", align_corners=False)
