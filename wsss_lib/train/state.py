"""The weights of a method by name, as checkpoints hold them: the names that it has without ``torch.compile``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_COMPILED = "_orig_mod."


def plain_name(name: str) -> str:
    """The name of a parameter or buffer without what ``torch.compile`` puts into it."""
    return name.replace(_COMPILED, "")


def original(method: nn.Module) -> nn.Module:
    """The module itself, where it is one that ``torch.compile`` wraps."""
    return getattr(method, _COMPILED[:-1], method)


def tensors_of(method: nn.Module) -> dict[str, Any]:
    """Parameters and persistent buffers by their plain names."""
    return {plain_name(name): value for name, value in method.state_dict().items()}


def load(method: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Give a method the weights of a checkpoint.

    Args:
        method: Of the shape of the one trained.
        tensors: By plain names.
        source: Where they come from, for the message.

    Raises:
        ValueError: Names, shapes or types differ, or a number is none; the message says which, and what to do.
    """
    wanted = method.state_dict()
    names = {plain_name(name): name for name in wanted}
    absent, surplus = [name for name in names if name not in tensors], sorted(set(tensors) - set(names))
    if absent or surplus:
        parts = [f"lacks {_some(absent)}"] * bool(absent) + [f"holds {_some(surplus)} besides"] * bool(surplus)
        raise ValueError(
            f"{source} {' and '.join(parts)}, so it is not of this {type(original(method)).__name__}: build the method "
            "and its backbone as they were trained"
        )
    for name, full in names.items():
        shape, expected = tuple(tensors[name].shape), tuple(wanted[full].shape)
        if shape != expected:
            raise ValueError(
                f"{name} has shape {shape} in {source}, expected {expected}: "
                "build the method with as many classes and with the settings that it was trained with"
            )
        if tensors[name].is_floating_point() != wanted[full].is_floating_point():
            raise ValueError(
                f"{name} in {source} is of {tensors[name].dtype}, expected {wanted[full].dtype}: take an earlier "
                "checkpoint, whose weights are as they were trained"
            )
        if tensors[name].is_floating_point() and not bool(torch.isfinite(tensors[name]).all()):
            raise ValueError(f"{name} in {source} holds NaN or infinity: train again, or take an earlier checkpoint")
    method.load_state_dict({names[name]: value for name, value in tensors.items()})


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
