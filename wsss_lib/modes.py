"""Modes that are changed for a while, and given back: training and evaluation, the precision of new tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
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


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Within the block, new tensors of floating-point numbers have this type where nothing else is said."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
