"""Training and evaluation mode: changed for a while, and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode and, on leaving, each of its submodules back into the mode it was in.

    In evaluation mode batch norm uses its running statistics, so that the images of a batch do not influence one
    another, and nothing is counted or dropped.

    Args:
        module: Any module; submodules frozen in evaluation mode inside a training module stay so afterwards.
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        # The flag itself, not .eval(): a module that overrides train() may do more there than can be undone.
        for part, training in modes:
            if training:
                part.training = False
        yield
    finally:
        for part, training in modes:
            if part.training != training:
                part.training = training
