"""BAS: a part of the object satisfies the cross-entropy; the activation that the rest keeps shows what is missing.

Wu, Zhai and Cao, *Background Activation Suppression for Weakly Supervised Object Localization*, CVPR 2022, and its
extension to segmentation, IJCV 2023. Built in chapter 3.

A classifier is cut in two: f₁ gives features F, f₂ class maps P, whose spatial means are the scores s. A generator, one
convolution on F, draws the mask M of a class c, and learns from what the *complement* of its mask still says:

    S  = ReLU(⟨P_c⟩)                        all that the image says for the class, held fixed
    Sᵇ = ReLU(⟨f₂(F ⊙ (1 − M))_c⟩)          what it says outside the mask; F and f₂'s parameters held fixed
    L_bas = Sᵇ / S                          1, a constant, where Sᵇ > S
    L_ac  = ⟨M⟩                             the mask's area
    L_frg = classification of ⟨P ⊙ M⟩       what lies under the mask must still be of the class
    L     = L_cls + α L_frg + β L_ac + L_bas

What is held fixed is the method: were f₂ free in Sᵇ, silencing it would be cheaper than to find the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from wsss_lib.backbones import Backbone, StagedBackbone
from wsss_lib.data.records import Batch
from wsss_lib.methods.contract import Method, Normalisation, Prediction, Settings
from wsss_lib.methods.losses import Classification, classification_loss, precise
from wsss_lib.methods.registry import register
from wsss_lib.modes import evaluating

Rectify = Literal["cells", "score"]


@dataclass(frozen=True)
class BASConfig(Settings):
    """Settings of :class:`BAS`; the defaults are the book's.

    Attributes:
        stage: Where the network is cut: the backbone's stage whose features the generator reads. None: the last but
            one.
        alpha: α, weight of the foreground term.
        beta: β, weight of the mask's area. A cell is worth covering where its share of the activation exceeds β times
            the mean, so β sets how large the masks are; published values do not carry over to another network. The
            book's α and β are the best of a few, on the boxes and masks of 100 validation images of critters.
        suppression: Weight of L_bas; 1 but for ablations.
        rectify: Where the ReLU of S and Sᵇ sits: behind the mean of the class map, the ``"score"`` (IJCV), which is
            silent as soon as the cells that speak against the class outweigh those that speak for it; or in the
            ``"cells"`` (CVPR), so that every cell that speaks for the class counts; β must then be larger. The CVPR
            code's f₂ ends in that ReLU, so that its L_cls and L_frg read rectified maps too; here they read P.
        loss: What L_cls and L_frg are, see :func:`wsss_lib.methods.losses.classification_loss`.
        detach_foreground: Whether L_frg teaches the generator alone (IJCV) or the class maps too (CVPR).
        copy_norm: Batch norm inside Sᵇ while training: ``"batch"`` by the statistics of the masked features, as the
            released code does, ``"running"`` by the running ones. Frozen batch norm knows no difference.
        head: Channels of two 3 × 3 convolutions with ReLU before the classifier; None for none: then the classifier
            is that of CAM.
        bias: Whether generator and classifier have biases, zero at first.
        pool: Max pooling between F and f₂, 1 for none.
        top_k: The map is the mean over this many predicted classes; 1: each class has its own.
        normalisation: See :func:`wsss_lib.maps.normalise`.
    """

    stage: str | None = None
    alpha: float = 1.0
    beta: float = 0.5
    suppression: float = 1.0
    rectify: Rectify = "score"
    loss: Classification = "multilabel"
    detach_foreground: bool = False
    copy_norm: Literal["batch", "running"] = "batch"
    head: int | None = None
    bias: bool = False
    pool: int = 1
    top_k: int = 1
    normalisation: Normalisation = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("alpha", 0), ("beta", 0), ("suppression", 0), ("pool", 1), ("top_k", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}: a weight of 0 is off")

    @classmethod
    def paper(cls, task: Literal["localisation", "segmentation"] = "localisation") -> BASConfig:
        """The released settings for a ResNet-50 (code of the extension, IJCV 2023).

        ``"localisation"``: CUB-200, backbone at output stride 8 (224 px: F of 28 × 28) and a max pooling behind F; maps
        of the 200 classes averaged, for all are birds. ILSVRC: α = 1, β = 2, top_k = 1. ``"segmentation"``: VOC,
        output stride 16.
        """
        if task == "segmentation":
            loss: Classification = "against_absent"
            return cls("layer3", alpha=0.2, beta=1.2, loss=loss, detach_foreground=True)
        shared: dict[str, Any] = {"loss": "softmax", "normalisation": "minmax"}
        return cls("layer3", alpha=0.5, beta=1.5, head=1024, bias=True, pool=2, top_k=200, **shared)


def sample_class(labels: Tensor) -> Tensor:
    """One present class an image, drawn evenly: (N, K) multi-hot → (N,); 0 where none is. Built in chapter 3."""
    present = (labels > 0).float()
    return torch.multinomial(present + (present.sum(dim=1, keepdim=True) == 0), 1)[:, 0]


def of_class(values: Tensor, classes: Tensor) -> Tensor:
    """The entries of one class an image: (N, K, …) and (N,) → (N, …). Built in chapter 3."""
    return values[torch.arange(len(values), device=values.device), classes]


def activation(class_maps: Tensor, rectify: Rectify) -> Tensor:
    """How strongly each class is activated: ⟨ReLU(P)⟩, or ReLU(⟨P⟩); (..., h, w) → (...). Built in chapter 3."""
    if rectify == "cells":
        return class_maps.relu().mean(dim=(-2, -1))
    return class_maps.mean(dim=(-2, -1)).relu()


def suppression_loss(background: Tensor, whole: Tensor) -> Tensor:
    """L_bas of each image: Sᵇ / (S + 10⁻⁸), and the constant 1 where Sᵇ > S.

    Args:
        background: Sᵇ (N,), ≥ 0.
        whole: S (N,), ≥ 0, without gradient.

    Returns:
        (N,) in [0, 1]. Wu et al. 2022, eq. 4; the constant is that of the extension's code. Built in chapter 3.
    """
    return torch.where(background > whole, torch.ones_like(whole), background / (whole + 1e-8))


@register("bas", title="BAS", settings=BASConfig, chapter=3)
class BAS(Method):
    """A classifier cut in two and a mask generator between the halves.

    Args:
        backbone: A convolutional one, see :func:`wsss_lib.backbones.backbone`. Up to ``config.stage`` it is f₁; the
            rest and the head are f₂.
        num_classes: K.
        config: The settings.

    Attributes:
        generator: 3 × 3 convolution from F's channels to K; its sigmoid is the masks.
        head: 1 × 1 convolution to K (behind two 3 × 3 ones, if ``config.head``).
    """

    backbone: StagedBackbone

    def __init__(self, backbone: Backbone, num_classes: int, config: BASConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or BASConfig()
        self.normalisation = self.config.normalisation
        if not isinstance(backbone, StagedBackbone):
            raise ValueError(f"{backbone.name} cannot be cut in two by its stages: choose a convolutional backbone")
        stage = self.config.stage or backbone.stages[-2]
        if stage not in backbone.stages:
            raise ValueError(f"{backbone.name} has no stage {stage!r}; its stages are {', '.join(backbone.stages)}.")
        self.stage = stage
        width, bias = backbone.channels[backbone.stages[-1]], self.config.bias
        self.generator = nn.Conv2d(backbone.channels[stage], num_classes, 3, padding=1, bias=bias)
        self.head = nn.Sequential()
        if self.config.head is not None:
            for inputs in (width, self.config.head):
                self.head.extend([nn.Conv2d(inputs, self.config.head, 3, padding=1), nn.ReLU()])
            width = self.config.head
        self.head.append(nn.Conv2d(width, num_classes, 1, bias=bias))
        for new in (self.generator, *self.head):
            if isinstance(new, nn.Conv2d):
                nn.init.xavier_uniform_(new.weight)
                if new.bias is not None:
                    nn.init.zeros_(new.bias)

    def features(self, images: Tensor) -> Tensor:
        """F (N, C, h, w) of images (N, 3, H, W) in [0, 1]: f₁."""
        return self.backbone(images, stages=(self.stage,))[self.stage]

    def tail(self) -> nn.Sequential:
        """f₂ as one module, which shares its layers with the backbone and the head."""
        behind = self.backbone.stages[self.backbone.stages.index(self.stage) + 1 :]
        pool = [nn.MaxPool2d(self.config.pool)] if self.config.pool > 1 else []
        return nn.Sequential(*pool, *(self.backbone.blocks[name] for name in behind), *self.head)

    def masks(self, features: Tensor) -> Tensor:
        """The generator's masks (N, K, h, w) in (0, 1) of features F."""
        return self.generator(features).sigmoid()

    def background(self, features: Tensor, mask: Tensor) -> Tensor:
        """The class maps that the complement of a mask keeps, f₂(F ⊙ (1 − M)), with all but the mask held fixed.

        Not a copy of f₂: its own layers run with detached parameters, and buffers that are cloned, so that batch norm
        does not remember the masked features.

        Args:
            features: F (N, C, h, w).
            mask: (N, h, w) in [0, 1], one class an image.

        Returns:
            (N, K, h', w'), with a gradient to ``mask`` only.
        """
        tail = self.tail()
        fixed = {name: p.detach() for name, p in tail.named_parameters()}
        fixed |= {name: b.clone() for name, b in tail.named_buffers()}
        masked = features.detach() * (1 - mask)[:, None]  # (N, C, h, w)
        if self.config.copy_norm == "batch":
            return functional_call(tail, fixed, masked)
        with evaluating(tail):
            return functional_call(tail, fixed, masked)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The four terms, weighted, of a batch with ``images`` and ``labels``; means over the images.

        An image without any class counts in the classification only. Draws one class an image from torch's generator.
        """
        images, labels = self.supervision(batch)
        config, present = self.config, labels > 0
        drawn, some = sample_class(present), present.any(dim=1)  # (N,) both
        features = self.features(images)  # (N, C, h, w)
        class_maps = self.tail()(features)  # P (N, K, h', w')
        logits = class_maps.mean(dim=(2, 3))  # (N, K)
        mask = of_class(self.masks(features), drawn)  # M (N, h, w)

        whole = precise(activation(of_class(class_maps.detach(), drawn), config.rectify))  # S (N,)
        kept = precise(activation(of_class(self.background(features, mask), drawn), config.rectify))  # Sᵇ (N,)
        under = F.adaptive_avg_pool2d(mask[:, None], class_maps.shape[-2:])  # (N, 1, h', w')
        foreground = (class_maps.detach() if config.detach_foreground else class_maps) * under
        terms = {
            "suppression": config.suppression * suppression_loss(kept, whole),
            "area": config.beta * mask.mean(dim=(1, 2)),
            "foreground": config.alpha
            * classification_loss(foreground.mean(dim=(2, 3)), present, config.loss, only=drawn),
        }
        classification = classification_loss(logits, present, config.loss).mean()
        return {"classification": classification} | {name: (term * some).mean() for name, term in terms.items()}

    def predict(self, images: Tensor) -> Prediction:
        """The generator's masks (N, K, h, w) in (0, 1), and scores s (N, K).

        With ``top_k``, every class has the mean of the masks of the ``top_k`` best ones.
        """
        features = self.features(images)  # (N, C, h, w)
        masks, scores = self.masks(features), self.tail()(features).mean(dim=(2, 3))  # (N, K, h, w), (N, K)
        if self.config.top_k > 1:
            best = scores.topk(min(self.config.top_k, scores.shape[1]), dim=1).indices  # (N, k)
            mean = torch.stack([of_class(masks, classes) for classes in best.T]).mean(dim=0)  # (N, h, w)
            masks = mean[:, None].expand_as(masks)
        return Prediction(masks, scores)
