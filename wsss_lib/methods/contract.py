"""What a method is: one forward pass gives maps and logits, and everything else is written here once.

    predict(images)            the method's own: raw maps and logits, in the mode that the module is in
    losses(batch)              the method's own, if it is trained: named scalars
    localize(images, labels)   made of predict: evaluation mode, maps in [0, 1], absent classes zero

A method whose training has a history (a warm-up, several phases, a teacher) overrides ``phases``, ``before_step`` and
``after_step``; the training loop calls them. What changes meanwhile is a parameter or a persistent buffer.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Literal, NamedTuple, Self, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from wsss_lib.backbones.base import Backbone
from wsss_lib.data.records import Batch
from wsss_lib.maps import normalise
from wsss_lib.modes import evaluating

Normalisation = Literal["max", "minmax"]
"""How a raw map becomes one in [0, 1]: see :func:`wsss_lib.maps.normalise`."""


class Prediction(NamedTuple):
    """What one forward pass says.

    Attributes:
        maps: (N, K, h, w), or (N, 1, h, w) of a method whose map knows no class.
        logits: (N, K), or None of a method without a classifier.
    """

    maps: Tensor
    logits: Tensor | None


@dataclass(frozen=True)
class Phase:
    """A part of a training run.

    Attributes:
        name: What the history calls it.
        share: Of the run's steps, in (0, 1]; a method's shares sum to 1.
        trains: Names of the parameter groups that are updated; None for all.
        maximises: Whether the step goes up the gradient of the losses instead of down.
        lr: Factor on the learning rate.
    """

    name: str
    share: float
    trains: tuple[str, ...] | None = None
    maximises: bool = False
    lr: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and 0 < self.lr < math.inf):
            raise ValueError(
                f"phase {self.name!r} has share {self.share} and lr {self.lr}, expected a share of the steps in (0, 1] "
                "and a positive factor on the learning rate"
            )


@dataclass(frozen=True)
class Progress:
    """Where a training run is, counted in updates of the weights.

    Attributes:
        step: From 0.
        steps: Of the run.
        phase: Its name.
        phase_step: From 0, within the phase.
        phase_steps: Of the phase.
    """

    step: int
    steps: int
    phase: str
    phase_step: int
    phase_steps: int


@dataclass(frozen=True)
class Settings:
    """Base of a method's settings: refuses numbers that are none, and what is not among the choices of a ``Literal``.

    Raises:
        ValueError: As said, with the name of the setting.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name in (field.name for field in fields(self)):
            value, hint = getattr(self, name), hints[name]
            if get_origin(hint) is Literal and value not in get_args(hint):
                raise ValueError(f"{name} is {value!r}, expected one of {get_args(hint)}: choose one of them")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}, expected a finite number")


class Method(nn.Module):
    """Base of every method. A subclass implements :meth:`predict` and, if it is trained, ``losses(batch)``.

    Args:
        backbone: What gives features; None for a method that looks into a model which it is handed.
        num_classes: K; None where a method knows no classes, or takes those of its model.

    Attributes:
        normalisation: How :meth:`localize` brings raw maps into [0, 1].
        decays_scales: Whether weight decay acts on the biases and scales of the backbone too.
        waits: Whether a forward pass asks the device for a value, so that the host waits for it.

    Raises:
        ValueError: Another network than a backbone, or no class.
    """

    normalisation: Normalisation = "max"
    decays_scales = True
    waits = False
    backbone: Backbone

    def __new__(cls, *arguments: Any, **named: Any) -> Self:
        # Before Python counts the arguments: CAM(resnet18()) lacks a class count too, but that is not what is wrong.
        first = next(iter(inspect.signature(cls).parameters), "")
        if arguments and first == "backbone":
            check_backbone(cls.__name__, arguments[0])
        return super().__new__(cls)

    def __init__(self, backbone: Backbone | None = None, num_classes: int | None = None) -> None:
        super().__init__()
        if backbone is not None:
            check_backbone(type(self).__name__, backbone)
            self.backbone = backbone
        if num_classes is not None and not (isinstance(num_classes, Integral) and num_classes >= 1):
            raise ValueError(f"num_classes is {num_classes}, expected at least 1: count the foreground classes only")
        self.num_classes = num_classes

    @classmethod
    def build(cls, backbone: Backbone, num_classes: int, settings: Any = None) -> Self:
        """The method over a backbone, as :func:`wsss_lib.methods.registry.build` makes it."""
        return cls(backbone, num_classes, *(() if settings is None else (settings,)))

    @classmethod
    def explaining(cls, classifier: Method, settings: Any = None) -> Self:
        """The method on a trained classifier's backbone, as :func:`wsss_lib.methods.registry.explain` makes it."""
        return cls.build(classifier.backbone, classifier.num_classes or 1, settings)

    # --- saying where ---

    def predict(self, images: Tensor) -> Prediction:
        """Raw maps and logits of images (N, 3, H, W) in [0, 1], in one forward pass, in the mode of the module."""
        raise NotImplementedError(f"{type(self).__name__} has no predict(images): return a Prediction there")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) in [0, 1].

        Raises:
            ValueError: A method without a classifier.
        """
        logits = self.predict(images).logits
        if logits is None:
            raise ValueError(f"{type(self).__name__} classifies nothing: call localize(images) for its maps")
        return logits

    def raw_maps(self, images: Tensor) -> Tensor:
        """Maps before their normalisation, as :class:`Prediction` has them: those that are summed over scales."""
        return self.predict(images).maps

    def infer(self, images: Tensor, labels: Tensor | None = None) -> Prediction:
        """What :meth:`localize` gives, and the logits of the same forward pass."""
        with evaluating(self):
            prediction = self.predict(images)
        return Prediction(self.normalised(prediction.maps, labels), prediction.logits)

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Where each class is, at the resolution of the method's grid; :func:`wsss_lib.maps.resize` enlarges.

        Runs in evaluation mode and restores the mode. Call it under ``torch.no_grad()`` where no gradient is needed.

        Args:
            images: (N, 3, H, W) in [0, 1].
            labels: (N, K) multi-hot; maps of absent classes become zero. Say so when you report numbers: image labels
                at test time hide the classifier's errors. None keeps every class.

        Returns:
            (N, K, h, w) in [0, 1], each map scaled on its own: a class that is absent from the image, and was not
            excluded by ``labels``, has a map that reaches 1 as well. A map that knows no class is copied for each
            present class, and is (N, 1, h, w) without labels.

        Raises:
            ValueError: Labels of another shape.
        """
        return self.infer(images, labels).maps

    def normalised(self, maps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raw maps (N, K, h, w) as :meth:`localize` returns them."""
        maps = normalise(maps, how=self.normalisation, eps=0)  # raw maps may be tiny: any ε > 0 would darken them
        if labels is None:
            return maps
        classes = maps.shape[1] if self.num_classes is None and maps.shape[1] > 1 else self.num_classes
        return torch.where(check_labels(labels, maps, classes)[..., None, None], maps, 0)  # (N, K, h, w)

    # --- being trained ---

    def supervision(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) and labels (N, K) of a batch, the labels multi-hot in the images' precision.

        Raises:
            ValueError: Labels of another shape.
        """
        images, labels = batch["images"], batch["labels"]
        check_labels(labels, images, self.num_classes)
        return images, labels.to(images)

    def rates(self) -> Mapping[str, tuple[Iterable[nn.Module], float]]:
        """Parts with a learning rate of their own: name of the group → modules, factor on the rate."""
        return {}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters for an optimiser, without frozen ones.

        A pretrained backbone needs small steps, the new head large ones: 10 times as large in psa, IRN and SEAM
        (``TrainConfig(head_lr=10)``). From scratch one rate serves both.

        Args:
            lr: Learning rate of the backbone.

        Returns:
            Group ``"backbone"`` at ``lr``; ``"backbone, no decay"`` with its biases and scales, if ``decays_scales``
            is off; those of :meth:`rates`; and all others as ``"head"``, whose rate the training loop decides.
        """
        pretrained = list(self.backbone.parameters()) if "backbone" in self._modules else []
        spared = [p for p in pretrained if p.ndim <= 1 and not self.decays_scales]
        decayed = [p for p in pretrained if p.ndim > 1 or self.decays_scales]
        groups: list[dict[str, Any]] = [
            {"name": "backbone", "params": decayed, "lr": lr},
            {"name": "backbone, no decay", "params": spared, "lr": lr, "weight_decay": 0.0},
        ]
        for name, (modules, factor) in self.rates().items():
            parameters = [p for module in modules for p in module.parameters()]
            groups.append({"name": name, "params": parameters, "lr": lr * factor})
        grouped = {p for group in groups for p in group["params"]}
        groups.append({"name": "head", "params": [p for p in self.parameters() if p not in grouped]})
        learnt = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]
        return [group for group in learnt if group["params"]]

    def phases(self) -> Sequence[Phase]:
        """The parts of a training run in their order; their shares sum to 1."""
        return (Phase("training", 1.0),)

    def before_step(self, progress: Progress) -> None:
        """Called before the losses of an update: for what depends on time, such as a warm-up of a loss's weight."""

    def after_step(self, progress: Progress) -> bool | None:
        """Called after the optimiser's step, for example to move a teacher's average; True ends the phase early."""


def check_backbone(method: str, network: Any) -> None:
    """Whether a method was given a backbone.

    Raises:
        ValueError: It was given another network.
    """
    if not isinstance(network, Backbone):
        raise ValueError(
            f"{method} got {type(network).__name__}, expected a backbone with named stages: build one by "
            "wsss_lib.backbones.backbone, or look into a network as it is by GradCAM or EigenCAM"
        )


def check_labels(labels: Tensor, images: Tensor, classes: int | None = None) -> Tensor:
    """Whether each class is present, (N, K) bool on the images' device.

    Raises:
        ValueError: The labels are not multi-hot (N, K).
    """
    if labels.ndim != 2 or labels.shape[0] != images.shape[0] or classes not in (None, labels.shape[1]):
        expected = f"({images.shape[0]}, {'K' if classes is None else classes})"
        remedy = "class indices become multi-hot by torch.nn.functional.one_hot"
        if labels.ndim == 2 and labels.shape[0] == images.shape[0]:
            remedy = (
                f"they are of {labels.shape[1]} classes and the method of {classes}, so build it with "
                "num_classes=len(records.classes), or load the records with the classes that it was built for"
            )
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected multi-hot {expected}: {remedy}")
    return labels.to(images.device) > 0
