"""AffinityNet in the small: features in which pixels of one object are alike, learnt from the pixels that are sure.

net = lab.build(AffinityNet)
lab.fit(net, PseudoLabels.of(records, confident, …))    # masks with 255 where nobody is sure
scores = net.walk(images, scores)                       # the maps' scores, spread within objects
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones.base import Backbone
from wsss_lib.data.records import Batch
from wsss_lib.methods.learner import Learner, Settings
from wsss_lib.refine.affinity import affinity_loss, feature_affinities, pair_offsets
from wsss_lib.refine.walk import random_walk


@dataclass(frozen=True)
class AffinityConfig(Settings):
    """Settings; the defaults are AffinityNet's, but for the width, and for SEAM's number of steps.

    Attributes:
        width: Channels that each stage adds to the features.
        radius: Of pairs, in cells of the deepest stage.
        steps: Of the walk.
        power: β of the walk.
    """

    width: int = 32
    radius: float = 5.0
    steps: int = 64
    power: float = 8.0


class AffinityNet(Learner):
    """Affinities from the last three stages of a backbone. It answers nothing by itself: it moves the scores of others.

    Args:
        backbone: Any; its deepest stage is the grid.
        num_classes: K. The network does not depend on it.
        config: None for the book's.

    Source: Ahn and Kwak 2018.
    """

    task = "masks"
    needs = ("images", "masks")
    reads_pixels = True

    def __init__(self, backbone: Backbone, num_classes: int, config: AffinityConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or AffinityConfig()
        self.stages = backbone.stages[-3:]
        self.offsets = pair_offsets(self.config.radius)
        width = self.config.width
        self.reduce = nn.ModuleList(nn.Conv2d(backbone.channels[stage], width, 1, bias=False) for stage in self.stages)
        self.mix = nn.Conv2d(width * len(self.stages), width * len(self.stages), 1, bias=False)

    def affinities(self, images: Tensor) -> Tensor:
        """Affinities (N, offsets, h, w) of images (N, 3, H, W), on the grid of the deepest stage."""
        features = self.backbone(images, self.stages)
        grid = features[self.stages[-1]].shape[2:]
        parts = [
            F.interpolate(F.elu(reduce(features[stage])), grid, mode="bilinear", align_corners=False)
            for stage, reduce in zip(self.stages, self.reduce, strict=True)
        ]
        return feature_affinities(F.elu(self.mix(torch.cat(parts, dim=1))), self.offsets)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """How wrong the affinities of sure pixels are. Masks: 0 background, k + 1 for class k, 255 not sure."""
        affinities = self.affinities(batch["images"])
        masks = F.interpolate(batch["masks"][:, None].float(), affinities.shape[2:], mode="nearest-exact")[:, 0].long()
        return {"affinity": affinity_loss(affinities, masks, self.offsets)}

    def walk(self, images: Tensor, scores: Tensor) -> Tensor:
        """Let scores walk on the grid, and enlarge them again.

        Args:
            images: (N, 3, H, W) in [0, 1].
            scores: (N, L, any, any), for example (N, K + 1, H, W) with the background's first.

        Returns:
            (N, L, H, W).
        """
        affinities = self.affinities(images)
        height, width = affinities.shape[2:]
        coarse = F.adaptive_avg_pool2d(scores, (height, width))
        walked = random_walk(coarse, affinities, self.offsets, steps=self.config.steps, power=self.config.power)
        return F.interpolate(walked, images.shape[2:], mode="bilinear", align_corners=False)
