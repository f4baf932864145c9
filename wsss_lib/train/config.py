"""The settings of a training run, and the learning rate that follows from them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

Optimiser = Literal["sgd", "adamw"]
Schedule = Literal["poly", "cosine", "constant"]
Precision = Literal["no", "fp16", "bf16"]

_FREE_AT_RESUME = ("workers", "checkpoint_every", "keep", "device")
"""Settings that do not decide which weights come out (a device does so within its rounding only)."""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Exactly one of ``epochs`` and ``steps`` is given; a step is one update of the weights.

    A published learning rate belongs to its optimiser. In the public code of psa, IRN, SEAM and BAS's extension the
    weight decay lands on SGD's third positional argument, which is the momentum: their rates of 0.01 to 0.1 are those
    of SGD *without* momentum. With ``momentum`` μ a step is 1 / (1 - μ) times as long in the long run, so divide such a
    rate by 10 for μ = 0.9, or set ``momentum=0`` as they, in effect, did.

    Attributes:
        epochs: Passes through the records.
        steps: Updates of the weights, instead of ``epochs``.
        batch_size: Images in one forward pass, over all processes together: two processes halve each other's share and
            leave the mathematics as it was.
        gradient_accumulation: Forward passes for one update; the update's batch is ``batch_size`` times this.
        lr: Learning rate at the start (after the warm-up).
        head_lr: Factor on ``lr`` for those of ``method.parameter_groups(lr)`` that are called ``"head"`` and carry no
            rate of their own (10 in most WSSS papers).
        optimiser: ``"sgd"`` or ``"adamw"``.
        momentum: Of SGD; AdamW has its own (0.9, 0.999).
        nesterov: Nesterov's variant of the momentum.
        weight_decay: L2 penalty (SGD) or decoupled decay (AdamW) on every parameter whose group sets none of its own.
        schedule: ``"poly"``: lr (1 - t/T)^``power``, t counted in steps; ``"cosine"``: lr (1 + cos πt/T) / 2;
            ``"constant"``.
        power: Exponent of ``"poly"``; 0.9 in DeepLab and all of WSSS.
        warmup: Steps in which the rate first climbs linearly to ``lr``; the schedule runs over the steps that remain.
        clip_norm: Largest L2 norm of the gradient, None to leave it.
        mixed_precision: ``"no"``, ``"bf16"``, or ``"fp16"`` (with loss scaling; GPU only).
        double: Whether to compute in 64 bits, from 32-bit weights and back to them. Processors round otherwise, and
            training amplifies that; from 64 bits it does not reach the 32 that are kept within some hundred updates,
            so that all machines come to the same weights. Fresh weights must be the same as well: drawn in 32 bits
            they differ in the last one, so draw them within :func:`wsss_lib.modes.default_dtype`. About twice as slow.
            Apple's GPUs, which have no 64 bits, compute in 32.
        drop_last: Whether to leave out the images that do not fill an epoch's last update.
        seed: Decides the order of the images, the draws of the transforms and those inside the method; from 0 to
            2⁶³ - 1, as torch's generators take it.
        workers: Processes that read and transform images ahead; 0 reads them in the training process.
        checkpoint_every: Steps between checkpoints; None writes one at the end of each epoch.
        keep: How many of the newest checkpoints stay on disk.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises:
        ValueError: A setting is out of range; the message says which.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    gradient_accumulation: int = 1
    lr: float = 0.01
    head_lr: float = 1.0
    optimiser: Optimiser = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    schedule: Schedule = "poly"
    power: float = 0.9
    warmup: int = 0
    clip_norm: float | None = None
    mixed_precision: Precision = "no"
    double: bool = False
    drop_last: bool = False
    seed: int = 0
    workers: int = 0
    checkpoint_every: int | None = None
    keep: int = 2
    device: str = "auto"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"epochs is {self.epochs} and steps is {self.steps}: give exactly one of them, for example epochs=8"
            )
        for name, choices in (("optimiser", Optimiser), ("schedule", Schedule), ("mixed_precision", Precision)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(get_args(choices))}")
        for name in ("epochs", "steps", "batch_size", "gradient_accumulation", "checkpoint_every", "keep"):
            value = getattr(self, name)
            may_lack = name in ("epochs", "steps", "checkpoint_every")
            if not (value is None and may_lack) and (not _is_whole(value) or value < 1):
                raise ValueError(f"{name} is {value!r}: pass a whole number of at least 1")
        for name in ("warmup", "workers"):
            value = getattr(self, name)
            if not _is_whole(value) or value < 0:
                raise ValueError(f"{name} is {value!r}: pass a whole number of at least 0")
        for name in ("lr", "head_lr", "power") + (("clip_norm",) if self.clip_norm is not None else ()):
            if not _is_number(getattr(self, name)) or not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)!r}: pass a positive number")
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed!r}: pass a whole number from 0 to 2**63 - 1")
        if not _is_number(self.weight_decay) or not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is {self.weight_decay!r}: pass 0 or a positive number")
        if not _is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is {self.momentum!r}: pass a number from 0 up to, but not including, 1")
        if self.double and self.mixed_precision != "no":
            raise ValueError(f"double is set and mixed_precision is {self.mixed_precision!r}: choose one of both")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum: set momentum, for example to 0.9, or nesterov=False")

    def factor(self, step: int, total: int) -> float:
        """What the learning rates are multiplied with in update ``step`` (0-based) of ``total``."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        t = (step - self.warmup) / max(1, total - self.warmup)
        match self.schedule:
            case "poly":
                return (1 - t) ** self.power
            case "cosine":
                return (1 + math.cos(math.pi * t)) / 2
            case _:
                return 1.0

    def deciding(self) -> dict[str, Any]:
        """The settings that decide which weights come out: what a checkpoint and its continuation must share."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _FREE_AT_RESUME}


@dataclass(frozen=True)
class Plan:
    """A run counted out: what ``TrainConfig`` means for a number of records.

    Attributes:
        records: Images that an epoch visits.
        step_size: Images of one update; an epoch's last one may have fewer.
        steps_per_epoch: Updates in an epoch.
        steps: Updates in all.
        epochs: Epochs begun, the last one possibly not finished.
    """

    records: int
    step_size: int
    steps_per_epoch: int
    steps: int
    epochs: int

    @classmethod
    def of(cls, config: TrainConfig, records: int) -> Plan:
        """Count out a run.

        Raises:
            ValueError: Nothing to train on.
        """
        step_size = config.batch_size * config.gradient_accumulation
        if config.drop_last:
            records = records // step_size * step_size
        if not records:
            raise ValueError(
                f"the records do not fill one update of {step_size} images: pass more records, a smaller batch_size, "
                "or drop_last=False"
            )
        per_epoch = math.ceil(records / step_size)
        steps = config.steps if config.steps is not None else per_epoch * (config.epochs or 0)
        return cls(records, step_size, per_epoch, steps, math.ceil(steps / per_epoch))

    def images(self, step: int) -> int:
        """How many images update ``step`` (0-based) has."""
        within = step % self.steps_per_epoch
        return min(self.step_size, self.records - within * self.step_size)

    def images_before(self, step: int) -> int:
        """How many images the updates before ``step`` had."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return epoch * self.records + within * self.step_size
