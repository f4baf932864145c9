"""ESOL: look where the classifier would rather not, then give back what it does not need.

Li et al., *Expansion and Shrinkage of Localization for Weakly-Supervised Semantic Segmentation*, NeurIPS 2022. No code
was ever released; what the paper's figure leaves open is decided here. Built in chapter 7.

A classifier is trained in three phases. X are the backbone's features, W₁ and W₂ the weights of two deformable
convolutions (:mod:`wsss_lib.methods.deformable`), Δ₁(X) and Δ₂(F₁) their offsets, each from one convolution:

    classify   F₀ = ReLU(bn(conv(X; W₁)))                        backbone, W₁, bn and head go down L_cls
    expand     F₁ = clip(ReLU(bn(deform(X; W₁, Δ₁))))            Δ₁ goes up L_cls; a copy of the head goes down
    shrink     F₂ = deform(F₁; W₂, Δ₂)                           Δ₂ goes down L_cls + λ L_area

Going up the loss, the first sampler reads what is less telling: more of the object, and of the background. The clip
caps each channel at a share β of its maximum. L_area is the mean of the present classes' maps over their maximum.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from wsss_lib.data.records import Batch
from wsss_lib.methods.cam import class_activation_maps
from wsss_lib.methods.contract import Method, Phase, Prediction, Progress, Settings
from wsss_lib.methods.deformable import Offsets, deformable_convolution, mean_reach
from wsss_lib.methods.drs import drs
from wsss_lib.methods.losses import multilabel_soft_margin, precise
from wsss_lib.methods.registry import register
from wsss_lib.modes import evaluating

if TYPE_CHECKING:
    from wsss_lib.backbones import Backbone

Read = Literal["baseline", "expansion", "shrinkage"]


@dataclass(frozen=True)
class ESOLConfig(Settings):
    """Settings of :class:`ESOL`; the defaults are the book's. The paper's values are not known to us.

    Attributes:
        stage: The backbone's stage whose features are X. None: the last but one, so that W₁ stands in the place of the
            last stage and sees as far as it does.
        width: Channels of F; None: those of the backbone's last stage.
        clip: Cap β of each channel as a share of its maximum, in (0, 1]; 1 clips nothing.
        area: λ, weight of the area. Too little and the second sampler expands the map, for every cell then reads where
            the evidence is.
        reach: Mean length of Δ₁, in cells, at which the expansion stops. Ascent has no end of its own.
        shares: Of the run's updates, for the three phases; they sum to 1, and a phase whose share is 0 is left out.
        expand_lr, shrink_lr: Factors on the learning rate in these phases.
        adapts: When the copy of the head learns: in the ``"expansion"``; in ``"both"`` later phases, as the paper's
            figure has it; or ``"never"``.
        read: Which maps ``localize`` reads: those of F₀, F₁ or F₂.
    """

    stage: str | None = None
    width: int | None = None
    clip: float = 0.1
    area: float = 4.0
    reach: float = 0.1
    shares: tuple[float, float, float] = (0.75, 0.125, 0.125)
    expand_lr: float = 0.1
    shrink_lr: float = 0.3
    adapts: Literal["expansion", "both", "never"] = "expansion"
    read: Read = "shrinkage"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.clip <= 1 or self.area < 0 or self.reach <= 0:
            raise ValueError(
                f"clip is {self.clip}, area {self.area}, reach {self.reach}, expected a share in (0, 1], a weight "
                "of at least 0, and a positive number of cells"
            )
        if len(self.shares) != 3 or min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares are {self.shares}, expected three of at least 0 that sum to 1")

    @classmethod
    def paper(cls) -> ESOLConfig:
        """For a ResNet-50, which later papers name as its backbone: a bottleneck over its last stage.

        At 32 × 32 cells a 3 × 3 convolution of 2048 channels would cost more than the whole network. All else is the
        book's, for the paper's values are not known to us.
        """
        return cls(stage="layer4", width=256)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def reverse_gradient(values: Tensor) -> Tensor:
    """The same values; what lies before them climbs the loss that others descend (Ganin & Lempitsky 2015)."""
    return _Reversed.apply(values)


def area_loss(maps: Tensor, labels: Tensor) -> Tensor:
    """How large the maps of the present classes are: Σ_c y_c ⟨ReLU(M_c) / (sg max ReLU(M_c) + 10⁻⁵)⟩ / Σ_c y_c.

    Args:
        maps: M (N, K, h, w), any range. The maximum gets no gradient.
        labels: (N, K) multi-hot.

    Returns:
        Scalar in [0, 1]; 0 where no image shows a class. One positive cell of 4 × 4: 1/16. Built in chapter 7.
    """
    positive = precise(maps).relu()
    top = positive.detach().amax((2, 3), keepdim=True)  # (N, K, 1, 1)
    areas = (positive / (top + 1e-5)).mean((2, 3))  # (N, K)
    return (areas * labels).sum() / labels.sum().clamp_min(1)


def fixed(module: nn.Module, *inputs: Tensor) -> Tensor:
    """What a module gives, without a gradient to its parameters; one to its inputs there is."""
    held = {name: p.detach() for name, p in module.named_parameters()} | dict(module.named_buffers())
    return functional_call(module, held, inputs)


@register("esol", title="ESOL", settings=ESOLConfig, chapter=7, recipe={"schedule": "constant"})
class ESOL(Method):
    """A classifier with two samplers: the first expands its map, the second shrinks it.

    W₂ is the identity: F₂(p) = F₁(p + Δ₂(p)), one tap, whose kernel of 3 × 3 would have eight zeros around it.

    Args:
        backbone: See :func:`wsss_lib.backbones.backbone`.
        num_classes: K.
        config: The settings.

    Attributes:
        neck: The convolution W₁ and its batch norm.
        head: The classifier, weight (K, width), no bias.
        adapted: The head's copy behind the samplers; it follows the head until the expansion.
        expansion, shrinkage: The convolutions that give Δ₁ and Δ₂.
        moved: Mean length of Δ₁ in the last update that trained it, in cells.
    """

    moved: Tensor

    def __init__(self, backbone: Backbone, num_classes: int, config: ESOLConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or ESOLConfig()
        self.stage = self.config.stage or backbone.stages[-2]
        if self.stage not in backbone.stages:
            raise ValueError(f"{backbone.name} has no stage {self.stage!r}: choose one of {', '.join(backbone.stages)}")
        channels = backbone.channels[self.stage]
        width = self.config.width or backbone.channels[backbone.stages[-1]]
        self.neck = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, num_classes, bias=False)
        self.adapted = copy.deepcopy(self.head)
        self.expansion, self.shrinkage = Offsets(channels, taps=9), Offsets(width, taps=1)
        self.register_buffer("moved", torch.zeros(()))
        self.phase = "classify"

    def features(self, images: Tensor) -> Tensor:
        """X (N, C, h, w) of images (N, 3, H, W) in [0, 1]."""
        return self.backbone(images, stages=(self.stage,))[self.stage]

    def plain(self, x: Tensor) -> Tensor:
        """F₀ (N, width, h, w) of X: the first convolution as it is."""
        return self.neck(x).relu()

    def expanded(self, x: Tensor, offsets: Tensor) -> Tensor:
        """F₁ (N, width, h, w) of X and Δ₁ (N, 18, h, w), clipped; W₁ and its batch norm get no gradient."""
        conv, norm = self.neck
        weight: Tensor = conv.weight.detach()  # type: ignore[operator]
        return drs(fixed(norm, deformable_convolution(x, weight, offsets)), self.config.clip)

    def shrunk(self, f: Tensor, offsets: Tensor) -> Tensor:
        """F₂ of F₁ and Δ₂ (N, 2, h, w): each cell reads at one place."""
        identity = torch.eye(f.shape[1], device=f.device, dtype=f.dtype)[:, :, None, None]
        return deformable_convolution(f, identity, offsets)

    def maps(self, images: Tensor, read: Read) -> Tensor:
        """The class maps (N, K, h, w), signed, of F₀, F₁ or F₂."""
        x = self.features(images)
        if read == "baseline":
            return class_activation_maps(self.plain(x), self.head.weight)
        f = self.expanded(x, self.expansion(x))
        if read == "shrinkage":
            f = self.shrunk(f, self.shrinkage(f))
        return class_activation_maps(f, self.adapted.weight)

    def predict(self, images: Tensor) -> Prediction:
        """The maps that ``config.read`` names, and logits (N, K), their means."""
        maps = self.maps(images, self.config.read)
        return Prediction(maps, maps.mean((2, 3)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``classification``, and ``area`` times λ, which is zero but in the last phase.

        Before a run, and outside one, they are those of the first phase.
        """
        images, labels = self.supervision(batch)
        if self.phase == "classify":
            maps = class_activation_maps(self.plain(self.features(images)), self.head.weight)
        else:
            with evaluating(self):  # what is held has the statistics that it had
                maps = self.moving_maps(images)
        scores = maps.mean((2, 3))  # (N, K)
        area = self.config.area * area_loss(maps, labels) if self.phase == "shrink" else scores.new_zeros(())
        return {"classification": multilabel_soft_margin(scores, labels), "area": area}

    def moving_maps(self, images: Tensor) -> Tensor:
        """The maps of the phase, with a gradient to what it trains and to nothing else."""
        with torch.no_grad():
            x = self.features(images)
        if self.phase == "expand":
            offsets = self.expansion(x)
            self.moved.copy_(mean_reach(offsets))
            f = self.expanded(x, reverse_gradient(offsets))
        else:
            with torch.no_grad():
                f = self.expanded(x, self.expansion(x))
            f = self.shrunk(f, self.shrinkage(f))
        weight = self.adapted.weight if self.head_learns(self.phase) else self.adapted.weight.detach()
        return class_activation_maps(f, weight)

    def head_learns(self, phase: str) -> bool:
        """Whether the copy of the head learns in a phase after the first."""
        return self.config.adapts == "both" or (self.config.adapts, phase) == ("expansion", "expand")

    def rates(self) -> Mapping[str, tuple[Iterable[nn.Module], float]]:
        """The samplers and the head's copy, each a group at the backbone's rate."""
        return {name: ((self.get_submodule(name),), 1.0) for name in ("expansion", "shrinkage", "adapted")}

    def phases(self) -> Sequence[Phase]:
        """``classify``, ``expand`` and ``shrink``, those of which the share is not 0."""
        config = self.config
        copied = {phase: ("adapted",) if self.head_learns(phase) else () for phase in ("expand", "shrink")}
        every = (
            ("classify", ("backbone", "head"), 1.0),
            ("expand", ("expansion", *copied["expand"]), config.expand_lr),
            ("shrink", ("shrinkage", *copied["shrink"]), config.shrink_lr),
        )
        return [
            Phase(name, share, trains, lr=lr)
            for (name, trains, lr), share in zip(every, config.shares, strict=True)
            if share
        ]

    def before_step(self, progress: Progress) -> None:
        """Note the phase, by which :meth:`losses` goes."""
        self.phase = progress.phase

    def after_step(self, progress: Progress) -> bool | Tensor:
        """Let the copy follow the head while that learns; end the expansion where the offsets reach far enough."""
        if progress.phase == "classify":
            self.adapted.weight.copy_(self.head.weight)
        return progress.phase == "expand" and self.moved >= self.config.reach
