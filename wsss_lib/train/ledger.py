"""Losses on their way from the device to the history: a device that is asked for each of them is kept waiting."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wsss_lib.train.config import Plan
from wsss_lib.train.history import History
from wsss_lib.train.machine import Machine

EVERY = 20
"""After so many updates a device that works on its own, such as a GPU, is asked for what it has computed."""


def asked_every(device: torch.device) -> int:
    """After how many updates a device is asked: a CPU, which has it at hand, after each."""
    return 1 if device.type == "cpu" else EVERY


class Ledger:
    """The losses of a run; those that were not read yet stay on the device.

    Reading waits until all that was asked of the device is done, so it happens as seldom as :func:`asked_every` says,
    and whenever the history is needed.

    Args:
        history: Of the updates so far; what is read is added to it.
        machine: On which the run is.
        plan: The run.
    """

    def __init__(self, history: History, machine: Machine, plan: Plan) -> None:
        self.history, self.machine, self.plan = history, machine, plan
        self.every = asked_every(machine.device)
        self.names = list(history.terms)
        self._unread: list[tuple[Tensor, float]] = []

    @property
    def updates(self) -> int:
        """How many were noted, read or not."""
        return len(self.history) + len(self._unread)

    def note(self, names: list[str], terms: Tensor, lr: float) -> None:
        """An update's terms, before its step; read where it is time to.

        Args:
            names: The terms' names, the same in each update.
            terms: (terms,): what this process adds to the mean of each over the update's images.
            lr: The first parameter group's learning rate.

        Raises:
            FloatingPointError: A term that was read is not finite.
        """
        self.names = names
        self._unread.append((terms, lr))
        if len(self._unread) >= self.every:
            self.read()

    def read(self) -> None:
        """Add to the history what was not read yet; all processes must ask.

        Raises:
            FloatingPointError: A term is not finite.
        """
        if not self._unread:
            return
        rows = self.machine.sum(torch.stack([row for row, _ in self._unread])).tolist()  # (updates, terms)
        rates, made = [lr for _, lr in self._unread], self.updates
        for values, lr in zip(rows, rates, strict=True):
            terms = dict(zip(self.names, values, strict=True))
            self._check_finite(terms, made)
            self.history.add(sum(terms.values()), terms, lr)
        self._unread.clear()

    def _check_finite(self, terms: dict[str, float], made: int) -> None:
        step = len(self.history)
        for name, value in terms.items():
            if not math.isfinite(value):
                since = made - (step + 1)
                raise FloatingPointError(
                    f"the loss term {name!r} is {value} in update {step + 1} of {self.plan.steps} (epoch "
                    f"{step // self.plan.steps_per_epoch + 1}), expected a finite number: lower lr, set clip_norm, or "
                    "look for a logarithm of or division by zero in it; the parameters are those before "
                    + ("this update" if since == 0 else f"update {made}, since the device was not asked sooner")
                )
