"""SSC: a map that spreads over the object must keep to the image's structure, or it spreads over its edge.

Chen et al., *Spatial Structure Constraints for Weakly Supervised Semantic Segmentation*, IEEE TIP 2024. Built in
chapter 6; equations and settings are those of the released code.

DRS (:mod:`~wsss_lib.methods.drs`) makes a classifier's map F, of raw scores, spread. Two losses hold it:

    L = L_cls(⟨F⟩, y) + β_p L_p(decoder(F), I) + β_a L_a(F, superpixels)

*Coarse*: from F alone a decoder redraws the image I. *Fine*: F must be even within superpixels, but where it is
reliable it stays. With N(z) = ReLU(z) / max ReLU(z), and F̄ the mean of F over each superpixel:

    A = N(F),  M = erode(A > 0.3),  A* = max(N(F̄), A ⊙ M),  L_a = mean (A − [A*]sg)²

Means are taken before the ReLU: evidence against the class counts. [·]sg stops the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones.base import StagedBackbone
from wsss_lib.data.records import Batch
from wsss_lib.maps import normalise
from wsss_lib.methods.cam import class_activation_maps
from wsss_lib.methods.contract import Method, Prediction, Progress, Settings
from wsss_lib.methods.drs import DELTA, drs
from wsss_lib.methods.losses import multilabel_soft_margin, precise
from wsss_lib.methods.redrawing import RandomFeatures, Redrawing, perceptual_loss
from wsss_lib.methods.registry import register
from wsss_lib.refine import superpixel_mean

if TYPE_CHECKING:
    from wsss_lib.backbones import Backbone


@dataclass(frozen=True)
class SSCConfig(Settings):
    """Settings of :class:`SSC`; the defaults are the book's.

    Attributes:
        delta: Share of a channel's maximum at which DRS cuts it.
        expanded: Stages behind which DRS stands; None: the deepest alone. An empty tuple leaves DRS out.
        reconstruction: Weight β_p of the redrawn image.
        alignment: Weight β_a of the evenness within superpixels. The differences are small, and squared.
        warm_up: Share of the training before the alignment begins. It must be long enough for every class to be learnt:
            after a fifth of the training, the alignment still makes the classifier worse (chapter 6).
        reliable: What exceeds this share of a map's maximum is kept as it is, but for a rim.
        rim: Side of the square by which it is eroded, over the maps' side; rounded up to an odd number of pixels.
        size: Side on which both constraints compare, over the images' side.
        width: Channels of the decoder.
        decoder_lr: The decoder's learning rate over the backbone's.
    """

    delta: float = DELTA
    expanded: tuple[str, ...] | None = None
    reconstruction: float = 0.3
    alignment: float = 200.0
    warm_up: float = 2 / 3
    reliable: float = 0.3
    rim: float = 1 / 32
    size: float = 0.5
    width: int = 24
    decoder_lr: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.delta <= 1 or not 0 < self.size <= 1 or not 0 <= self.rim < 1:
            raise ValueError(
                f"delta is {self.delta}, size {self.size}, rim {self.rim}, expected shares in (0, 1], (0, 1] and [0, 1)"
            )
        if not 0 <= self.warm_up <= 1 or not 0 <= self.reliable <= 1:
            raise ValueError(f"warm_up is {self.warm_up}, reliable {self.reliable}, expected shares in [0, 1]")
        if min(self.reconstruction, self.alignment, self.decoder_lr) < 0 or self.width < 1:
            raise ValueError(f"{self} has a negative weight or rate, or no width: a weight of 0 leaves a loss out")

    @classmethod
    def paper(cls) -> SSCConfig:
        """As released for VOC: ResNet-50 at stride 16, 512 px, both weights 1, two of ten epochs of warm-up.

        There, DRS stands in each block of layer 4, and in training behind layer 2 too; here behind layer 4 alone.
        There, images are redrawn at their full size and compared by VGG-19.
        """
        return cls(reconstruction=1.0, alignment=1.0, warm_up=0.2, width=256, decoder_lr=0.005)


def erode(masks: Tensor, side: int) -> Tensor:
    """Keep the pixels whose whole neighbourhood is set; what lies outside of the picture counts as set.

    Args:
        masks: (N, K, h, w) of zeros and ones.
        side: Of the square neighbourhood, odd.

    Returns (N, K, h, w) of zeros and ones. Built in chapter 6.

    Raises:
        ValueError: An even side, which has no centre.
    """
    if side % 2 == 0:
        raise ValueError(f"side is {side}, expected an odd number of pixels: an even square has no centre")
    return 1 - F.max_pool2d(1 - masks, side, stride=1, padding=side // 2)


class Alignment(NamedTuple):
    """What maps are and should become, each (N, K, h, w).

    Attributes:
        activation: A, with a gradient.
        even: N(F̄), the means over superpixels.
        reliable: M, 1 where the activation is kept as it is.
        target: A*. These three have no gradient.
    """

    activation: Tensor
    even: Tensor
    reliable: Tensor
    target: Tensor


def aligned(scores: Tensor, superpixels: Tensor, reliable: float = 0.3, side: int = 1) -> Alignment:
    """What maps are, and what they are asked to become.

    Args:
        scores: F (N, K, h, w), raw class scores.
        superpixels: (N, h, w) int64, of the same size.
        reliable: Activation above which a pixel is reliable.
        side: Odd side of the square by which reliable regions are eroded.

    Returns the four maps; of F = (4, 2, 1, −1) with superpixels {0, 1} and {2, 3}: A = (1, 0.5, 0.25, 0) and
    N(F̄) = (1, 1, 0, 0). Built in chapter 6.
    """
    activation = normalise(scores, how="max")  # A
    with torch.no_grad():
        even = normalise(superpixel_mean(scores, superpixels), how="max")
        kept = erode((activation > reliable).to(scores), side)
        target = torch.maximum(even, activation * kept)  # A*
    return Alignment(activation, even, kept, target)


def alignment_loss(activation: Tensor, target: Tensor, labels: Tensor) -> Tensor:
    """L_a: mean squared difference of A and A*, over pixels and over the classes that the images show.

    Args:
        activation: A (N, K, h, w) in [0, 1].
        target: A* (N, K, h, w) in [0, 1]; without gradient.
        labels: (N, K) multi-hot.

    Returns a scalar ≥ 0; 0 where no image shows a class. Built in chapter 6.
    """
    each = (activation - target.detach()).square().mean((2, 3))  # (N, K)
    return (each * labels).sum() / labels.sum().clamp_min(1)


def nearest(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Whole numbers (N, H, W) at another size (h, w): row i is row ⌊i H / h⌋, column j likewise.

    As ``F.interpolate`` does by ``"nearest"``, without the roundings of its scale.
    """
    (height, width), (h, w) = labels.shape[1:], size
    rows = torch.arange(h, device=labels.device) * height // h
    columns = torch.arange(w, device=labels.device) * width // w
    return labels[:, rows[:, None], columns]  # (N, h, w)


@register("ssc", title="SSC", settings=SSCConfig, chapter=6)
class SSC(Method):
    """CAM with DRS, trained to redraw its image and to be even within superpixels. In use it costs what CAM costs.

    Args:
        backbone: A convolutional one, see :func:`wsss_lib.backbones.backbone`.
        num_classes: K.
        config: The settings.

    Attributes:
        head: The classifier, weight (K, C), no bias.
        decoder: Redraws images from F; used in training only.
        features: The fixed random features by which images are compared.
        aligning: Whether the alignment counts: not before the end of the warm-up.
    """

    needs: tuple[str, ...] = ("images", "labels", "superpixels")
    companions: Mapping[str, Any] = MappingProxyType({"pixels": True})  # to redraw them
    backbone: StagedBackbone

    def __init__(self, backbone: Backbone, num_classes: int, config: SSCConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or SSCConfig()
        if not self.config.alignment:  # what no loss looks at is not read either
            self.needs = tuple(name for name in self.needs if name != "superpixels")
        if not (self.config.alignment or self.config.reconstruction):
            self.companions = {}
        if not isinstance(backbone, StagedBackbone):
            raise ValueError(f"{backbone.name} has no stages to put DRS behind: choose a convolutional backbone")
        deepest = backbone.stages[-1]
        self.expanded = (deepest,) if self.config.expanded is None else self.config.expanded
        if unknown := [stage for stage in self.expanded if stage not in backbone.stages]:
            raise ValueError(
                f"expanded names {unknown[0]!r}, expected some of {', '.join(backbone.stages)}: choose these"
            )
        self.head = nn.Linear(backbone.channels[deepest], num_classes, bias=False)
        doublings = max(0, round(math.log2(backbone.strides[deepest] * self.config.size)))
        self.decoder = Redrawing(num_classes, self.config.width, doublings)
        self.features = RandomFeatures()
        self.aligning = True

    def scores(self, images: Tensor) -> Tensor:
        """F (N, K, h, w), raw class scores of images (N, 3, H, W) in [0, 1]."""
        stages = self.backbone.stages
        first = min((stages.index(stage) for stage in self.expanded), default=len(stages) - 1)
        x = self.backbone(images, (stages[first],))[stages[first]]  # (N, C, h, w): no DRS so far
        for number, stage in enumerate(stages[first:]):
            x = self.backbone.blocks[stage](x) if number else x
            if stage in self.expanded:
                x = drs(x, self.config.delta)
        return class_activation_maps(x, self.head.weight)  # (N, K, h, w)

    def predict(self, images: Tensor) -> Prediction:
        """F (N, K, h, w), signed, and logits (N, K): its spatial mean."""
        scores = self.scores(images)
        return Prediction(scores, scores.mean((2, 3)))

    def before_step(self, progress: Progress) -> None:
        """End the warm-up when its share of the steps has passed."""
        self.aligning = progress.step >= self.config.warm_up * progress.steps

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``classification``, ``reconstruction`` and ``alignment``, each times its weight.

        The batch has ``images``, ``labels`` (N, K) and ``superpixels`` (N, H, W). Where features of a trunk stand for
        the images, it has ``pixels`` (N, 3, H, W) beside them, of the superpixels' size. A weight of zero asks for
        nothing: without alignment no superpixels are read, and with neither constraint no pixels.
        """
        (images, labels), config = self.supervision(batch), self.config
        scores = self.scores(images)  # (N, K, h, w)
        pixels = batch.get("pixels", images)  # (N, 3, H, W)
        size = [max(1, round(side * config.size)) for side in pixels.shape[2:]]
        zero = scores.new_zeros(())
        return {
            "classification": multilabel_soft_margin(scores.mean((2, 3)), labels),
            "reconstruction": config.reconstruction * self.redrawn_loss(scores, pixels, size)
            if config.reconstruction
            else zero,
            "alignment": config.alignment * self.uneven_loss(scores, batch["superpixels"], labels, size)
            if config.alignment and self.aligning
            else zero,
        }

    def redrawn_loss(self, scores: Tensor, images: Tensor, size: Sequence[int]) -> Tensor:
        """L_p of images redrawn from F, at ``size``. Its gradient reaches the decoder and everything behind F."""
        target = 2 * F.interpolate(images, size=tuple(size), mode="area") - 1  # (N, 3, …), in [−1, 1] as tanh gives
        redrawn = F.interpolate(self.decoder(scores), size=tuple(size), mode="bilinear")
        with torch.no_grad():
            original = self.features(target)
        return perceptual_loss(self.features(redrawn), original)

    def uneven_loss(self, scores: Tensor, superpixels: Tensor, labels: Tensor, size: Sequence[int]) -> Tensor:
        """L_a of F at ``size``. Its gradient reaches everything behind F."""
        enlarged = F.interpolate(precise(scores), size=tuple(size), mode="bilinear")
        side = round(max(size) * self.config.rim) | 1
        maps = aligned(enlarged, nearest(superpixels, size), self.config.reliable, side)
        return alignment_loss(maps.activation, maps.target, labels)

    def rates(self) -> Mapping[str, tuple[Iterable[nn.Module], float]]:
        """The decoder at ``decoder_lr`` times the backbone's rate."""
        return {"decoder": ((self.decoder,), self.config.decoder_lr)}
