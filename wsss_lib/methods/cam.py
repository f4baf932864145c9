"""CAM: a classifier that pools by averaging has computed where its evidence lies, and only forgets it.

Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016. Built in chapter 1.

A network ends in features A (K channels on a grid), their spatial mean ⟨A_k⟩ and one linear layer W (section 2):

    s_c = Σ_k W_ck ⟨A_k⟩ (+ b_c)          the score of class c
    M_c(u) = Σ_k W_ck A_k(u)              its class activation map at the grid cell u
    s_c − b_c = ⟨M_c⟩                     averaging and the linear layer commute

The score is the mean of the map: to know where, leave the averaging out. The bias belongs to no place, and is
never part of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from wsss_lib.data.records import Batch
from wsss_lib.methods.contract import Method, Normalisation, Prediction, Settings
from wsss_lib.methods.losses import multilabel_soft_margin, softmax_cross_entropy
from wsss_lib.methods.registry import register

if TYPE_CHECKING:
    from wsss_lib.backbones import Backbone


@dataclass(frozen=True)
class CAMConfig(Settings):
    """Settings of :class:`CAM`; the defaults are the book's.

    Attributes:
        loss: ``"multilabel"`` where an image may show several classes, ``"softmax"`` where it shows exactly one.
        bias: Whether the linear layer has one. Weakly supervised segmentation does without (Ahn & Kwak 2018): then
            nothing but the map decides the score.
        neck: Channels of a 3 × 3 convolution with ReLU between backbone and pooling; None for none.
        normalisation: ``"max"``: ReLU, then division by each map's maximum. ``"minmax"``: the signed map stretched from
            its minimum to its maximum, as in the localisation benchmarks (Choe et al. 2020).
    """

    loss: Literal["multilabel", "softmax"] = "multilabel"
    bias: bool = False
    neck: int | None = None
    normalisation: Normalisation = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neck is not None and self.neck < 1:
            raise ValueError(f"neck is {self.neck}, expected a positive number of channels, or None for no neck")

    @classmethod
    def paper(cls) -> CAMConfig:
        """Zhou et al. 2016, section 3.1: single labels, a 3 × 3 convolution of 1024 units before the pooling.

        Their backbones are VGG16 and GoogLeNet cut where the grid is 14 × 14 for 224 px, hence a stride of 16; their
        boxes are cut at 20 % of the map's maximum.
        """
        return cls(loss="softmax", bias=True, neck=1024)


def global_average_pool(features: Tensor) -> Tensor:
    """Average every channel over the grid: ⟨A_k⟩ = Σ_u A_k(u) / hw.

    Args:
        features: (N, C, h, w).

    Returns:
        (N, C). Built in chapter 1.
    """
    return features.mean(dim=(2, 3))  # (N, C)


def class_activation_maps(features: Tensor, weight: Tensor) -> Tensor:
    """Apply the classifier's weights in every grid cell instead of to the average: M_c(u) = Σ_k W_ck A_k(u).

    Args:
        features: (N, C, h, w), any range.
        weight: (K, C), the linear layer's.

    Returns:
        (N, K, h, w), signed: negative where a cell speaks against the class. Zhou et al. 2016, eq. 2.
        Built in chapter 1.
    """
    return torch.einsum("nchw,kc->nkhw", features, weight)  # (N, K, h, w)


@register("cam", title="CAM", settings=CAMConfig, chapter=1)
class CAM(Method):
    """A backbone, average pooling and one linear layer, which is at once a classifier and a localiser.

    Args:
        backbone: Images in, ``{stage: (N, C, h, w)}`` out, see :func:`wsss_lib.backbones.backbone`; its deepest stage
            is used. It decides how fine the map is: an output stride of 16 or 8 is usual.
        num_classes: K.
        config: The settings.

    Attributes:
        head: The linear layer, weight (K, C).
        classes: Names of the K classes, where they are known (:meth:`from_imagenet`).
    """

    def __init__(self, backbone: Backbone, num_classes: int, config: CAMConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or CAMConfig()
        self.normalisation = self.config.normalisation
        self.stage = backbone.stages[-1]
        channels = backbone.channels[self.stage]
        self.neck: nn.Module = nn.Identity()
        if self.config.neck is not None:
            self.neck = nn.Sequential(nn.Conv2d(channels, self.config.neck, 3, padding=1), nn.ReLU())
            channels = self.config.neck
        self.head = nn.Linear(channels, num_classes, bias=self.config.bias)
        self.classes: tuple[str, ...] | None = None

    @classmethod
    def from_imagenet(cls, name: str, weights: str | Path | None = "published", **backbone_options: Any) -> CAM:
        """A published ImageNet classifier as a CAM over its 1000 classes: nothing is trained.

        Args:
            name: A backbone whose classifier is average pooling and one linear layer, such as ``"resnet50"`` or
                ``"mobilenet_v2"``.
            weights: As :func:`wsss_lib.backbones.imagenet_classifier` takes them: ``"published"``, a path or None.
            **backbone_options: Passed on, for example ``output_stride=16``.

        Returns:
            The CAM in evaluation mode; ``.classes`` holds the 1000 names.
        """
        from wsss_lib.backbones import imagenet_classifier

        classifier = imagenet_classifier(name, weights, **backbone_options)
        cam = cls(classifier.backbone, len(classifier.categories), CAMConfig(loss="softmax", bias=True))
        with torch.no_grad():
            cam.head.weight.copy_(classifier.weight)
            cam.head.bias.copy_(classifier.bias)
        cam.classes = classifier.categories
        return cam.eval()

    def features(self, images: Tensor) -> Tensor:
        """Features A (N, C, h, w) of images (N, 3, H, W) in [0, 1], those that the pooling averages."""
        return self.neck(self.backbone(images)[self.stage])  # (N, C, h, w)

    def predict(self, images: Tensor) -> Prediction:
        """Class activation maps (N, K, h, w), signed, and logits (N, K): the maps' spatial mean, plus the bias."""
        features = self.features(images)  # (N, C, h, w)
        logits = self.head(global_average_pool(features))  # (N, K)
        return Prediction(class_activation_maps(features, self.head.weight), logits)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``{"classification": scalar}`` of a batch with ``images`` and ``labels`` (N, K)."""
        images, labels = self.supervision(batch)
        loss = multilabel_soft_margin if self.config.loss == "multilabel" else softmax_cross_entropy
        return {"classification": loss(self.head(global_average_pool(self.features(images))), labels)}
