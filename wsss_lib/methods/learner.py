"""What is trained, whatever question it answers: parameter groups, phases, hooks, settings.

A system whose training has a history (a warm-up, several phases, a teacher) overrides ``phases``, ``before_step`` and
``after_step``; the training loop calls them. What changes meanwhile is a parameter or a persistent buffer.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from torch import Tensor, nn

from wsss_lib.backbones.base import Backbone
from wsss_lib.data.records import Batch

Task = Literal["maps", "masks", "grounding", "boxes3d"]
"""What is asked: where each class is, what each pixel is, which box each sentence means, or which boxes a scene in 3D
has."""


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


class Learner(nn.Module):
    """Base of every registered system. One that says where classes are is a :class:`~wsss_lib.methods.contract.Method`.

    Args:
        backbone: What gives features; None for a system that brings its own, or looks into a model that it is handed.
        num_classes: K; None where a system knows no classes, or takes those of its model.

    Attributes:
        task: What it answers.
        needs: The fields of a batch that its losses read.
        takes_backbone: Whether it is built over a backbone; one that is not brings networks of its own.
        decays_scales: Whether weight decay acts on the biases and scales of the backbone too.
        waits: Whether a forward pass asks the device for a value, so that the host waits for it.
        reads_pixels: Whether training looks at the images themselves, beside what the backbone makes of them, so that
            features of a frozen trunk cannot stand for them (:mod:`wsss_lib.train.features`).
        stages: Stages of the backbone that it reads besides the deepest.
        companions: What training reads besides where features of a frozen trunk stand for the images: options of
            :class:`wsss_lib.train.features.FeatureRecords`, such as a smaller view.

    Raises:
        ValueError: Another network than a backbone, or no class.
    """

    task: ClassVar[Task]
    needs: tuple[str, ...] = ("images", "labels")
    takes_backbone = True
    decays_scales = True
    waits = False
    reads_pixels = False
    stages: tuple[str, ...] = ()
    companions: Mapping[str, Any] = MappingProxyType({})
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
        if num_classes is not None and (
            not isinstance(num_classes, Integral) or isinstance(num_classes, bool) or num_classes < 1
        ):
            raise ValueError(f"num_classes is {num_classes}, expected at least 1: count the foreground classes only")
        self.num_classes = num_classes

    @classmethod
    def build(cls, backbone: Backbone, num_classes: int, settings: Any = None) -> Self:
        """The method over a backbone, as :func:`wsss_lib.methods.registry.build` makes it."""
        return cls(backbone, num_classes, *(() if settings is None else (settings,)))

    def answer(self, batch: Batch) -> Any:
        """What the measurement of its task counts (:mod:`wsss_lib.evaluate`): for each image boxes, say."""
        raise NotImplementedError(f"{type(self).__name__} has no answer(batch): return what its task is measured by")

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

    def group_names(self) -> tuple[str, ...]:
        """Names that :meth:`phases` may mention: those of :meth:`parameter_groups`, and of groups that are frozen."""
        return ("backbone", "backbone, no decay", *self.rates(), "head")

    def phases(self) -> Sequence[Phase]:
        """The parts of a training run in their order; their shares sum to 1."""
        return (Phase("training", 1.0),)

    def before_step(self, progress: Progress) -> None:
        """Called before the losses of an update: for what depends on time, such as a warm-up of a loss's weight."""

    def after_step(self, progress: Progress) -> bool | Tensor | None:
        """Called after the optimiser's step, for example to move a teacher's average; True ends the phase early.

        What depends on a value of the device is best returned as a tensor: on a GPU that is read every so many updates,
        so that no update waits for it.
        """


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
