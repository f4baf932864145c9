"""Methods with one thing changed, as ablations need them: a part left out, other maps read, another order in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch
from wsss_lib.methods import registry
from wsss_lib.methods.bas import BAS
from wsss_lib.methods.cam import CAM, class_activation_maps
from wsss_lib.methods.contract import Phase, Prediction, Progress
from wsss_lib.methods.esol import ESOL, Read
from wsss_lib.methods.losses import multilabel_soft_margin
from wsss_lib.methods.seam import SEAM, SEAMConfig
from wsss_lib.modes import default_dtype

M = TypeVar("M", bound=nn.Module)

TWO_VIEWS = SEAMConfig(equivariance=0.0, cross=0.0, background=0.0, read="cam")
"""Classification of both views and nothing else: what the second view alone is worth."""


def channels_last(method: M) -> M:
    """The same method, channels last: an order in memory. A CPU takes three quarters of the time, roundings differ."""
    return method.to(memory_format=torch.channels_last)


def drawn_in_double(kind: str | Callable[..., M]) -> Callable[..., M]:
    """The same kind of method, as :meth:`Workbench.build` takes it; its fresh weights are 64-bit draws, rounded once.

    Drawn in 32 bits they differ between processors in the last one, and a training in 64 bits begins with that.
    """
    build: Callable[..., Any] = registry.entry(kind).method.build if isinstance(kind, str) else kind

    def built(*given: Any) -> M:
        with default_dtype(torch.float64):
            method: M = build(*given)
        return method.float()

    return built


class MaxPooled(CAM):
    """The paper's ablation: each channel's strongest cell instead of its mean (Zhou et al. 2016, GoogLeNet-GMP)."""

    def predict(self, images: Tensor) -> Prediction:
        """The class activation maps, and logits (N, K) of the strongest cells."""
        features = self.features(images)  # (N, C, h, w)
        return Prediction(class_activation_maps(features, self.head.weight), self.head(features.amax(dim=(2, 3))))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The classification loss of those logits."""
        return {"classification": multilabel_soft_margin(self(batch["images"]), batch["labels"])}


class SharedTail(BAS):
    """BAS without its safeguard: f₂ and F learn from the suppression too."""

    def background(self, features: Tensor, mask: Tensor) -> Tensor:
        """The class maps outside the mask, with gradients to everything."""
        return self.tail()(features * (1 - mask)[:, None])


class EarlySuppression(BAS):
    """BAS whose suppression teaches in the first twentieth of the training, and not after it.

    Attributes:
        early: Whether it teaches then; else in the rest.
        teaches: Whether it teaches in the present update.
    """

    early = True
    teaches = True

    def before_step(self, progress: Progress) -> None:
        """Switch the suppression on or off."""
        self.teaches = (20 * progress.step < progress.steps) == self.early

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The four terms, the suppression zero where it does not teach."""
        terms = super().losses(batch)
        return terms if self.teaches else terms | {"suppression": torch.zeros_like(terms["suppression"])}


class LateSuppression(EarlySuppression):
    """BAS whose suppression teaches in the whole training but for its first twentieth."""

    early = False


class OnlyClassifying(nn.Module):
    """BAS of which nothing but the classification is trained."""

    def __init__(self, method: BAS) -> None:
        super().__init__()
        self.method = method

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Its classification loss alone."""
        logits = self.method.tail()(self.method.features(batch["images"])).mean(dim=(2, 3))  # (N, K)
        return {"classification": F.multilabel_soft_margin_loss(logits, batch["labels"])}


def reading(method: SEAM, read: str) -> SEAM:
    """The same network, of which other maps are read."""
    other = SEAM(method.backbone, method.head.out_features, replace(method.config, read=read))  # type: ignore[arg-type]
    other.head, other.embed, other.join = method.head, method.embed, method.join
    other.training = method.training  # of itself alone: the shared modules keep the modes that they are in
    return other.to(next(method.parameters()).device)


class HeadOnly(ESOL):
    """ESOL in whose last phase the copy of the head learns in place of the second sampler."""

    def phases(self) -> Sequence[Phase]:
        """As ESOL's, but for what the last one trains."""
        return [replace(p, trains=("adapted",)) if p.name == "shrink" else p for p in super().phases()]

    def head_learns(self, phase: str) -> bool:
        """In the last phase, and where it learns anyway."""
        return phase == "shrink" or super().head_learns(phase)


class WatchedESOL(ESOL):
    """ESOL that is looked at after each update.

    Attributes:
        watch: Called with the progress; it must leave the network as it is.
    """

    watch: Callable[[Progress], None] | None = None

    def after_step(self, progress: Progress) -> bool | Tensor:
        """As ESOL's, and then the look."""
        ends = super().after_step(progress)
        if self.watch is not None:
            self.watch(progress)
        return ends


class StretchedESOL(ESOL):
    """ESOL whose map is raised to a power below 1: a fuller map with the same order of pixels.

    Attributes:
        power: The exponent.
    """

    power = 0.5

    def predict(self, images: Tensor) -> Prediction:
        """The positive part of the map to that power, and the logits of the map as it was."""
        maps, logits = super().predict(images)
        return Prediction(maps.relu() ** self.power, logits)


def sampling(method: ESOL, read: Read, kind: type[ESOL] = ESOL) -> ESOL:
    """The same network, of which the map of another phase is read, or read by another ``kind``."""
    other = kind(method.backbone, method.head.out_features, replace(method.config, read=read))
    for name, part in method.named_children():
        setattr(other, name, part)
    other.training = method.training  # of itself alone: the shared modules keep the modes that they are in
    return other.to(next(method.parameters()).device)
