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
from torch.nn import functional as F

from wsss_lib.data.records import Batch
from wsss_lib.methods.taps import Normalisation, check_labels, evaluating, finish

if TYPE_CHECKING:
    from wsss_lib.backbones import Backbone


@dataclass(frozen=True)
class CAMConfig:
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
        for name, value, allowed in (
            ("loss", self.loss, ("multilabel", "softmax")),
            ("normalisation", self.normalisation, ("max", "minmax")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}, expected one of {allowed}: choose one of them")
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


def multilabel_soft_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Ask of every class on its own whether it is in the image.

    ℓ(s, y) = −1/K Σ_c [y_c log σ(s_c) + (1 − y_c) log σ(−s_c)], averaged over the batch.

    Args:
        logits: (N, K), any range.
        labels: (N, K) multi-hot.

    Returns:
        Scalar ≥ 0. For s = (2, −1, 0), y = (1, 0, 0) it is 0.37778. Built in chapter 1.
    """
    return -(labels * F.logsigmoid(logits) + (1 - labels) * F.logsigmoid(-logits)).mean()


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Ask which one class the image shows: −log softmax(s)_y, averaged over the batch.

    Args:
        logits: (N, K), any range.
        labels: (N, K) one-hot.

    Returns:
        Scalar ≥ 0. Used in chapter 1.

    Raises:
        ValueError: A row of the labels names no class or several.
    """
    if not bool((labels.sum(dim=1) == 1).all()):
        raise ValueError(
            "the softmax loss got labels with no class or several in one image, expected exactly one: "
            'use loss="multilabel"'
        )
    return -(labels * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


class CAM(nn.Module):
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
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}, expected at least 1: count the foreground classes only")
        self.config = config or CAMConfig()
        self.backbone = backbone
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

        net, weight, bias, categories = imagenet_classifier(name, weights, **backbone_options)
        cam = cls(net, len(categories), CAMConfig(loss="softmax", bias=True))
        with torch.no_grad():
            cam.head.weight.copy_(weight)
            cam.head.bias.copy_(bias)
        cam.classes = tuple(categories)
        return cam.eval()

    def features(self, images: Tensor) -> Tensor:
        """Features A (N, C, h, w) of images (N, 3, H, W) in [0, 1], those that the pooling averages."""
        return self.neck(self.backbone(images)[self.stage])  # (N, C, h, w)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) in [0, 1]."""
        return self.head(global_average_pool(self.features(images)))  # (N, K)

    def raw_maps(self, images: Tensor) -> Tensor:
        """Class activation maps (N, K, h, w) before ReLU and normalisation; their spatial mean is the logit less bias.

        In the mode that the module is in, so that other methods can train through it.
        """
        return class_activation_maps(self.features(images), self.head.weight)  # (N, K, h, w)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``{"classification": scalar}`` of a batch with ``images`` and ``labels`` (N, K)."""
        loss = multilabel_soft_margin if self.config.loss == "multilabel" else softmax_cross_entropy
        logits, labels = self(batch["images"]), batch["labels"]  # (N, K) both
        check_labels(labels, batch["images"], logits.shape[1])
        return {"classification": loss(logits, labels.float())}

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Where each class is, at the resolution of the features; :func:`wsss_lib.maps.resize` enlarges.

        Runs in evaluation mode and restores the mode. Differentiable; for plain use, call it under
        ``torch.no_grad()``.

        Args:
            images: (N, 3, H, W) in [0, 1].
            labels: (N, K) multi-hot; maps of absent classes become zero. Say so when you report numbers: image labels
                at test time hide the classifier's errors. None keeps every class.

        Returns:
            (N, K, h, w) in [0, 1], each map scaled on its own: a class that is absent from the image, and was not
            excluded by ``labels``, has a map that reaches 1 as well.
        """
        with evaluating(self):
            maps = self.raw_maps(images)
        present = None if labels is None else check_labels(labels, images, maps.shape[1])
        return finish(maps, self.config.normalisation, present)

    def parameter_groups(self, lr: float, head_factor: float | None = None) -> list[dict[str, Any]]:
        """Parameters for an optimiser, the backbone's and the new layers' apart.

        A pretrained backbone needs small steps, the new head large ones: 10 times as large in psa, IRN and SEAM
        (``TrainConfig(head_lr=10)``). From scratch one rate serves both.

        Args:
            lr: Learning rate of the backbone.
            head_factor: The head's rate over ``lr``. None leaves it to the training loop's ``head_lr``; an optimiser
                of your own then gives the head its default rate.

        Returns:
            Groups named ``"backbone"`` and ``"head"`` (neck included), without frozen parameters.
        """
        new = [*self.neck.parameters(), *self.head.parameters()]
        head: dict[str, Any] = {"name": "head", "params": [p for p in new if p.requires_grad]}
        if head_factor is not None:
            head["lr"] = lr * head_factor
        backbone = {"name": "backbone", "params": [p for p in self.backbone.parameters() if p.requires_grad], "lr": lr}
        return [group for group in (backbone, head) if group["params"]]
