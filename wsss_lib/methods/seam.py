"""SEAM: the map of a resized image must be the resized map of the image; and pixels that look alike share their class.

Wang et al., *Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation*, CVPR 2020.
Built in chapter 5.

One network sees an image I and a smaller copy R I. Each branch gives class maps c (those of CAM) and, by the *pixel
correlation module*, maps r in which every pixel takes the mean of c over the pixels that resemble it:

    r(j) = Σ_i ĉ(i) a_ij / Σ_i a_ij ,   a_ij = ReLU(cos(f_i, f_j))
    L = L_cls + |R N(c₁) − N(c₂)| + T|[N(c₂)]sg − N(r₁)| + T|[N(c₁)]sg − N(r₂)| + the darkest quarter of r

N stretches a map to [0, 1], T keeps the largest errors, [·]sg stops the gradient. Only L_cls and the first difference
train the class maps; the others train three 1 × 1 convolutions that make f of shallow features and the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch
from wsss_lib.methods.cam import class_activation_maps
from wsss_lib.methods.contract import Method, Prediction, Settings
from wsss_lib.methods.losses import multilabel_soft_margin
from wsss_lib.methods.registry import register
from wsss_lib.modes import evaluating

if TYPE_CHECKING:
    from wsss_lib.backbones import Backbone

EPS = 1e-5  # the released code's, in every denominator


@dataclass(frozen=True)
class SEAMConfig(Settings):
    """Settings of :class:`SEAM`; the defaults are the book's.

    Attributes:
        scale: Size of the second view over the first.
        antialias: Whether the image is smoothed before it is made smaller; the released code does not.
        equivariance: Weight of the difference of the class maps (L_ER), a mean over *all* K classes, of which an image
            shows few: the paper's 1 at 20 classes pulls as hard as K / 20 at K. Too much flattens the maps.
        cross: Weight of the cross regularisation (L_ECR), which trains the pixel correlation module.
        background: Weight of L_rvmin, the prior that a quarter of each image is background; in the released code only.
        hard: Share of each image's cross errors that count, the largest ones; 1: all.
        count: Errors among which the share is taken. ``"all"``: of all K + 1 channels, zeros included, as released;
            with 20 classes and at most three in an image this mines nothing, it multiplies the mean (by 5 for 0.2).
            ``"present"``: those of the image's classes and the background, which mines.
        read: Which maps ``localize`` reads: ``"pcm"`` (r) or ``"cam"`` (c).
        stages: Stages that tell the pixels apart, beside the image; None: the two before the deepest.
        width: Channels of the pixel features f.
        module_lr: Rate of the module over the backbone's. To Adam no weight of a loss matters that alone reaches it.
        dropout: Share of the deepest channels dropped before the classifier in training.
    """

    scale: float = 0.5
    antialias: bool = True
    equivariance: float = 1.0
    cross: float = 1.0
    background: float = 1.0
    hard: float = 0.2
    count: Literal["present", "all"] = "all"
    read: Literal["pcm", "cam"] = "pcm"
    stages: tuple[str, ...] | None = None
    width: int = 48
    module_lr: float = 0.3
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale <= 0 or self.scale == 1:
            raise ValueError(f"scale is {self.scale}, expected a positive factor other than 1, for example 0.5")
        if not 0 < self.hard <= 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"hard is {self.hard}, dropout {self.dropout}, expected shares in (0, 1] and in [0, 1)")
        if min(self.equivariance, self.cross, self.background, self.module_lr) < 0 or self.width < 3:
            raise ValueError(f"{self} has a negative weight or rate, or a width below 3: a weight of 0 leaves it out")

    @classmethod
    def paper(cls) -> SEAMConfig:
        """Wang et al. 2020 as released for VOC's 20 classes: 448 px beside 0.3 of it, ResNet-38 at stride 8.

        Batch norm frozen; SGD without momentum (see ``TrainConfig``), rate 0.01, ten times that for new layers.
        """
        return cls(scale=0.3, antialias=False, equivariance=1.0, width=192, module_lr=10.0, dropout=0.5)


def max_norm(maps: Tensor) -> Tensor:
    """Keep what speaks for a class, stretched to [0, 1]: N(p) = ReLU(q − min q − ε) / (max q − min q + ε), q = ReLU(p).

    Each map on its own; gradients flow through minimum and maximum too. A constant map becomes zero, and stays so: it
    has no gradient left. Shapes (N, K, h, w), any range → [0, 1). Built in chapter 5.
    """
    maps = maps.relu()
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)  # (N, K, 1, 1)
    return (maps - low - EPS).relu() / (high - low + EPS)


def add_background(maps: Tensor) -> Tensor:
    """Put the background before the classes: 1 − max_c m_c, strong where no class is.

    Shapes (N, K, h, w) in [0, 1] → (N, K + 1, h, w). Built in chapter 5.
    """
    return torch.cat([1 - maps.amax(1, keepdim=True), maps], dim=1)  # (N, K + 1, h, w)


def keep_strongest(maps: Tensor) -> Tensor:
    """At each pixel, set all classes but the strongest to zero; the background, channel 0, stays as it is.

    Shapes (N, K + 1, h, w) → the same, a new tensor. Built in chapter 5.
    """
    classes = maps[:, 1:]
    return torch.cat([maps[:, :1], classes * (classes == classes.amax(1, keepdim=True))], dim=1)


def competing(raw: Tensor) -> Tensor:
    """What the pixel correlation module spreads: classes scaled by their maxima, the background, one class a pixel.

    Classes that the image does not show take part: the module does not see the label.
    Shapes (N, K, h, w), any range → (N, K + 1, h, w) in [0, 1], background first. Built in chapter 5.
    """
    maps = raw.relu()
    maps = (maps - EPS).relu() / (maps.amax((2, 3), keepdim=True) + EPS)
    return keep_strongest(add_background(maps))


def pixel_correlation(maps: Tensor, features: Tensor) -> Tensor:
    """Each pixel takes the mean of the maps over the pixels that resemble it:

        a_ij = ReLU(f_i · f_j / |f_i||f_j|),   r(j) = Σ_i m(i) a_ij / Σ_i a_ij

    No softmax, no residual, no learned values: r stays within the range of m.

    Args:
        maps: (N, K, h, w).
        features: (N, C, h, w), any range, on the same grid.

    Returns (N, K, h, w). Wang et al. 2020, section 3.3. Built in chapter 5.
    """
    f = features.flatten(2)  # (N, C, hw)
    f = f / (f.norm(dim=1, keepdim=True) + EPS)
    m = F.pad(maps.flatten(2), (0, 0, 0, 1), value=1.0)  # (N, K + 1, hw): a row of ones gathers the sums
    few = max(1, 2**21 // f.shape[2] ** 2)  # images whose pairs fit into a cache: those of a batch wait for memory
    parts = [part @ (g.mT @ g).relu_() for g, part in zip(f.split(few), m.split(few), strict=True)]
    gathered = torch.cat(parts)  # (N, K + 1, hw)
    return (gathered[:, :-1] / (gathered[:, -1:] + EPS)).unflatten(2, maps.shape[2:])  # (N, K, h, w)


def hard_mean(errors: Tensor, share: float, channels: Tensor | int) -> Tensor:
    """The mean of each image's largest errors, averaged over the images.

    Args:
        errors: (N, C, h, w), ≥ 0.
        share: Of the errors counted, in (0, 1].
        channels: How many, for all images or (N,) each; the largest ⌊share · channels · hw⌋ are taken, one at least.

    Returns a scalar. Built in chapter 5.
    """
    flat = errors.flatten(1).sort(dim=1, descending=True).values  # (N, C·h·w)
    cells = errors.shape[2] * errors.shape[3]
    kept = (torch.as_tensor(channels, device=errors.device) * cells * share + 1e-6).floor().clamp_min(1)
    among = torch.arange(flat.shape[1], device=errors.device) < kept.expand(len(flat))[:, None]
    return ((flat * among).sum(1) / kept).mean()


def darkest_quarter(maps: Tensor) -> Tensor:
    """How bright the darkest quarter of an image's strongest map is: it should be background.

    Maps (N, K, h, w), zero where a class is not shown → scalar ≥ 0. Wang et al. 2020, code. Built in chapter 5.
    """
    flat = maps.amax(1).flatten(1)  # (N, hw)
    return flat.topk(max(1, flat.shape[1] // 4), dim=1, largest=False).values.relu().mean()


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate (N, C, …) with corner cells on the corners, as networks with padded strides lay their cells."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


class Branch(NamedTuple):
    """What one view gives: class maps ``raw`` (N, K, h, w), and ``refined`` (N, K + 1, h, w), background first."""

    raw: Tensor
    refined: Tensor


@register("seam", title="SEAM", settings=SEAMConfig, chapter=5)
class SEAM(Method):
    """CAM with a pixel correlation module, trained on two sizes of each image.

    Maps stay on the network's grid, and three things differ from the released code. There the network enlarges its maps
    to the image with aligned corners, in training and in use, and losses compare them at the small view's size. Here
    losses compare on the first view's grid, still with aligned corners; of what ``localize`` gives,
    :func:`wsss_lib.maps.resize` sees cells as areas. And of refined maps the minimum is subtracted at each scale; there
    it is subtracted once, from the sum over scales.

    Args:
        backbone: With named stages, and a small output stride (8 in the paper). Batch norm is best frozen.
        num_classes: K.
        config: The settings.

    Attributes:
        head: The classifier, weight (K, C), no bias.
        embed, join: The module, 1 × 1 convolutions: one for each stage, then one over them and the image.
    """

    def __init__(self, backbone: Backbone, num_classes: int, config: SEAMConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or SEAMConfig()
        colours = {"colours": True} if self.refines else {}
        self.companions = {"small": self.config.scale, "antialias": self.config.antialias} | colours
        self.deepest = backbone.stages[-1]
        self.stages = self.config.stages or backbone.stages[-3:-1]
        if unknown := [stage for stage in self.stages if stage not in backbone.stages]:
            raise ValueError(f"stages name {unknown[0]!r}, expected some of {', '.join(backbone.stages)}: choose these")
        self.head = nn.Linear(backbone.channels[self.deepest], num_classes, bias=False)
        parts = sum(range(1, len(self.stages) + 1))  # deeper stages get more of the width: 1/3 and 2/3
        widths = [max(1, self.config.width * (i + 1) // parts) for i in range(len(self.stages))]
        channels = [backbone.channels[stage] for stage in self.stages]
        self.embed = nn.ModuleList(nn.Conv2d(c, w, 1, bias=False) for c, w in zip(channels, widths, strict=True))
        self.join = nn.Conv2d(sum(widths) + 3, self.config.width, 1, bias=False)
        for layer in self.embed:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
        nn.init.xavier_uniform_(self.join.weight, gain=4)

    @property
    def refines(self) -> bool:
        """Whether a loss looks at refined maps, and so at colours."""
        return self.config.cross > 0 or self.config.background > 0

    def pixel_features(self, images: Tensor, features: dict[str, Tensor], grid: Sequence[int]) -> Tensor:
        """What tells pixels apart, (N, width, h, w): the image and its shallow features, which get no gradient."""
        parts = [resized(self.backbone.normalise(images), grid)]
        for stage, embed in zip(self.stages, self.embed, strict=True):
            parts.append(embed(resized(features[stage].detach(), grid)).relu())
        return self.join(torch.cat(parts, dim=1))

    def branch(self, images: Tensor, refine: bool = True, colours: Tensor | None = None) -> Branch:
        """The maps of images (N, 3, H, W) in [0, 1], in the mode that the module is in.

        Of a trunk's features in their place, ``colours`` (N, 3, h, w) are the images on its grid.
        """
        features = self.backbone(images, (*self.stages, self.deepest) if refine else (self.deepest,))
        deep = F.dropout2d(features[self.deepest], self.config.dropout, self.training)
        raw = class_activation_maps(deep, self.head.weight)  # (N, K, h, w)
        if not refine:
            return Branch(raw, raw[:, :0])
        like = self.pixel_features(images if colours is None else colours, features, raw.shape[2:])
        # Detached, or this path would teach the class maps to be what is made of them.
        return Branch(raw, pixel_correlation(competing(raw.detach()), like))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``classification``, ``equivariance``, ``cross`` and ``background``, each times its weight."""
        (images, labels), settings = self.supervision(batch), self.config
        if (small := batch.get("small")) is None:  # features of a trunk bring theirs
            small = F.interpolate(images, scale_factor=settings.scale, mode="bilinear", antialias=settings.antialias)
        first = self.branch(images, self.refines, batch.get("colours"))
        with evaluating(self.backbone):  # batch statistics differ across scales
            second = self.branch(small, self.refines, batch.get("small_colours"))
        scores = [branch.raw.mean((2, 3)) for branch in (first, second)]  # (N, K) each
        shown = labels[:, :, None, None]  # (N, K, 1, 1)
        c1 = max_norm(first.raw) * shown
        c2 = resized(max_norm(second.raw), c1.shape[2:]) * shown
        zero = c1.new_zeros(())
        return {
            "classification": sum((multilabel_soft_margin(s, labels) for s in scores), zero) / 2,
            "equivariance": settings.equivariance * (c1 - c2).abs().mean(),
            "cross": settings.cross * self.cross(first, second, c1, c2, labels) if self.refines else zero,
            "background": settings.background * self.dark(first, second, labels) if self.refines else zero,
        }

    def cross(self, first: Branch, second: Branch, c1: Tensor, c2: Tensor, labels: Tensor) -> Tensor:
        """L_ECR: the refined maps of each view must be the class maps of the other, on the first view's grid."""
        shown = F.pad(labels, (1, 0), value=1.0)[:, :, None, None]  # (N, K + 1, 1, 1): the background always is
        r1, r2 = max_norm(first.refined) * shown, resized(max_norm(second.refined), c1.shape[2:]) * shown
        channels = shown.sum((1, 2, 3)) if self.config.count == "present" else shown.shape[1]
        errors = [(keep_strongest(add_background(c.detach())) - r).abs() for c, r in ((c2, r1), (c1, r2))]
        return hard_mean(errors[0], self.config.hard, channels) + hard_mean(errors[1], self.config.hard, channels)

    def dark(self, first: Branch, second: Branch, labels: Tensor) -> Tensor:
        """L_rvmin, the mean of both views."""
        both = [darkest_quarter(view.refined[:, 1:] * labels[:, :, None, None]) for view in (first, second)]
        return (both[0] + both[1]) / 2

    def predict(self, images: Tensor) -> Prediction:
        """Maps (N, K, h, w), class maps c or refined maps r less each one's minimum; logits (N, K), the means of c."""
        raw, refined = self.branch(images, refine=self.config.read == "pcm")
        logits = raw.mean((2, 3))  # (N, K)
        if self.config.read == "cam":
            return Prediction(raw, logits)
        classes = refined[:, 1:]
        return Prediction(classes - classes.amin((2, 3), keepdim=True), logits)

    def rates(self) -> Mapping[str, tuple[Iterable[nn.Module], float]]:
        """The pixel correlation module at ``module_lr`` times the backbone's rate."""
        return {"module": ((*self.embed, self.join), self.config.module_lr)}
