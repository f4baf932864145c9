"""Training with a history: which phase of its method a run is in, and the hooks around an update."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wsss_lib.methods.contract import Method, Phase, Progress
from wsss_lib.train.config import TrainConfig
from wsss_lib.train.history import History
from wsss_lib.train.ledger import asked_every
from wsss_lib.train.machine import Machine


def phases_of(method: nn.Module) -> tuple[Phase, ...]:
    """The phases that a method asks for, or one.

    Raises:
        ValueError: Their shares do not sum to 1, or two have the same name.
    """
    asked = getattr(method, "phases", None)
    phases: tuple[Phase, ...] = (Phase("training", 1.0),) if asked is None else tuple(asked())
    total = sum(phase.share for phase in phases)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"the phases of {type(method).__name__} have shares that sum to {total:g}, expected 1")
    if len({phase.name for phase in phases}) < len(phases):
        raise ValueError(f"two phases of {type(method).__name__} have the same name: give each its own")
    return phases


def ends_of(phases: Sequence[Phase], steps: int) -> list[int]:
    """After how many updates each phase ends: its share of the steps, and at least one.

    Raises:
        ValueError: There are more phases than steps.
    """
    if steps < len(phases):
        raise ValueError(f"the run has {steps} updates for {len(phases)} phases: train for more epochs or steps")
    ends: list[int] = []
    share = 0.0
    for number, phase in enumerate(phases, start=1):
        share += phase.share
        least, most = (ends[-1] if ends else 0) + 1, steps - (len(phases) - number)
        ends.append(min(max(round(steps * share), least), most))
    return ends


class Course:
    """A run through the phases of its method: call :meth:`begin` before each update and :meth:`end` after it.

    Which phase an update belongs to follows from its number alone, so that a run which goes on from a checkpoint needs
    nothing but :meth:`resume`.

    Args:
        method: With or without the hooks ``phases``, ``before_step`` and ``after_step``.
        optimiser: Over its parameter groups; ``trains`` of a phase names them.
        steps: Of the run, as planned.

    Attributes:
        planned: After how many updates each phase is to end.
        ends: The same, moved to the front where a phase ended early.

    Raises:
        ValueError: Phases that are none, or name groups that there are not.
    """

    def __init__(self, method: nn.Module, optimiser: Optimizer, steps: int) -> None:
        self.method, self.optimiser = method, optimiser
        self.phases = phases_of(method)
        self.planned = ends_of(self.phases, steps)
        self.ends = list(self.planned)
        self.current: int | None = None
        # The base's hook does nothing: the processes need not agree after each update on what it says.
        self.may_end = getattr(type(method), "after_step", Method.after_step) is not Method.after_step
        groups = {group["name"] for group in optimiser.param_groups}
        # A frozen group, as a backbone may be, learns nothing and may be named.
        frozen: tuple[str, ...] = getattr(method, "group_names", tuple)()
        for phase in self.phases:
            if unknown := sorted(set(phase.trains or ()) - groups - set(frozen)):
                raise ValueError(
                    f"phase {phase.name!r} of {type(method).__name__} trains {', '.join(unknown)}, and its parameter "
                    f"groups are {', '.join(sorted(groups))}: name those"
                )

    @property
    def steps(self) -> int:
        """Of the run, as it stands now."""
        return self.ends[-1]

    def resume(self, history: History) -> None:
        """Go on after the updates of a history; a fresh one learns of the phases here."""
        self.ends = list(history.phases.values()) or self.ends
        self._note(history)

    def factor(self, step: int, config: TrainConfig) -> float:
        """What the learning rates are multiplied with in update ``step`` (0-based).

        An early end of a phase leaves the rates of the later ones as they were planned.
        """
        index, within = self._place(step)
        planned = within + (self.planned[index - 1] if index else 0)
        return config.factor(planned, self.planned[-1]) * self.phases[index].lr

    def sign(self, step: int) -> int:
        """What the losses are multiplied with for the backward pass: -1 in a phase that goes up their gradient."""
        return -1 if self.phases[self._place(step)[0]].maximises else 1

    def begin(self, step: int) -> None:
        """Let the phase's parameter groups learn and no others, and call ``before_step``."""
        index, within = self._place(step)
        phase = self.phases[index]
        if index != self.current and any(each.trains is not None for each in self.phases):
            for group in self.optimiser.param_groups:
                for parameter in group["params"]:
                    parameter.requires_grad_(phase.trains is None or group["name"] in phase.trains)
        self.current = index
        if index and within == 0 and phase.maximises != self.phases[index - 1].maximises:
            self.optimiser.state.clear()  # a momentum gathered uphill must not pull downhill
        if hasattr(self.method, "before_step"):
            self.method.before_step(self._progress(step))  # type: ignore[operator]

    def end(self, step: int, machine: Machine, history: History) -> None:
        """Call ``after_step``; where it says so, the phase ends here, and the later ones begin so much earlier."""
        if not self.may_end:
            return
        with torch.no_grad():
            stops = self.method.after_step(self._progress(step))  # type: ignore[operator]
        if machine.any(self._answer(stops, step)):
            index, _ = self._place(step)
            left = self.ends[index] - (step + 1)
            self.ends[index:] = [end - left for end in self.ends[index:]]
            self._note(history)

    @staticmethod
    def _answer(stops: bool | Tensor | None, step: int) -> bool:
        """What ``after_step`` said; a device that works on its own is asked every so many updates."""
        if isinstance(stops, Tensor) and (step + 1) % asked_every(stops.device):
            return False
        return bool(stops)

    def _place(self, step: int) -> tuple[int, int]:
        """The index of an update's phase, and how many updates of the phase there were before."""
        index = bisect_right(self.ends, step)
        return index, step - (self.ends[index - 1] if index else 0)

    def _progress(self, step: int) -> Progress:
        index, within = self._place(step)
        return Progress(step, self.steps, self.phases[index].name, within, self.ends[index] - step + within)

    def _note(self, history: History) -> None:
        history.phases = {phase.name: end for phase, end in zip(self.phases, self.ends, strict=True)}
