"""A teacher: the moving average of a network that learns.

The learner makes it in ``__init__``, and has it follow in ``after_step``::

    self.teacher = Teacher(self.student)
    self.teacher.follow(self.student, momentum=0.99)
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Teacher(nn.Module):
    """A copy of a network that follows it slowly. Gradients do not reach it, and it is always in evaluation mode.

    Args:
        student: What is copied.

    Source: Tarvainen and Valpola 2017 (mean teacher).
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        return super().train(False)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        """What the copy says, without gradients."""
        return self.network(*inputs)

    @torch.no_grad()
    def follow(self, student: nn.Module, momentum: float) -> None:
        r"""Move towards the student: :math:`\theta' \leftarrow m \theta' + (1 - m) \theta`.

        Buffers, such as the statistics of batch norm, are averaged too; counters are copied.

        Args:
            student: The network that learns.
            momentum: m in [0, 1].

        Raises:
            ValueError: A momentum outside [0, 1].
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}, expected a share of the teacher's past from 0 to 1")
        new = student.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(new[name].to(value), 1 - momentum)
            else:
                value.copy_(new[name])
