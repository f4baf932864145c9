"""The optimiser of a method: its parameter groups, and its state by parameter name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wsss_lib.train.config import TrainConfig
from wsss_lib.train.state import plain_name


def parameter_groups(method: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """The groups that a method asks for, or one of all its parameters; frozen parameters are left out.

    ``method.parameter_groups(lr)``, if it has one, returns dictionaries like torch's: ``params``, and optionally
    ``lr``, ``weight_decay`` and ``name``. A group called ``"head"`` without a rate gets ``config.lr * config.head_lr``.

    Returns:
        Groups with ``params``, ``lr``, ``initial_lr``, ``weight_decay`` and ``name``.

    Raises:
        ValueError: A trainable parameter is in no group or not the method's, or ``head_lr`` concerns no group.
    """
    names = {parameter: name for name, parameter in method.named_parameters()}
    grouping = getattr(method, "parameter_groups", None)
    asked = list(grouping(config.lr)) if grouping is not None else [{"params": list(method.parameters())}]
    groups, used = [], False
    for group in asked:
        parameters = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if strangers := sum(parameter not in names for parameter in parameters):
            raise ValueError(
                f"parameter_groups() of {type(method).__name__} names {strangers} parameters that are not among its "
                "parameters(): register the module they belong to as an attribute of the method"
            )
        rate = group.get("lr")
        if rate is None:
            is_head = group.get("name") == "head"
            used |= is_head
            rate = config.lr * (config.head_lr if is_head else 1.0)
        settings = {"name": "all", "weight_decay": config.weight_decay, **group, "lr": rate, "initial_lr": rate}
        groups.append({**settings, "params": [p for p in parameters if p.requires_grad]})
    if config.head_lr != 1 and not used:
        raise ValueError(
            f"head_lr is {config.head_lr}, but {type(method).__name__}.parameter_groups() has no group that is called "
            "'head' and leaves its rate to the settings: name one so, or set head_lr=1"
        )
    grouped = {parameter for group in groups for parameter in group["params"]}
    missing = [name for parameter, name in names.items() if parameter.requires_grad and parameter not in grouped]
    if missing:
        raise ValueError(
            f"parameter_groups() of {type(method).__name__} leaves out {', '.join(missing[:3])}"
            f"{' …' * (len(missing) > 3)}, which would get gradients: add them to a group, or freeze them by "
            "requires_grad_(False)"
        )
    if not grouped:
        raise ValueError(f"{type(method).__name__} has no parameter that requires a gradient: nothing can be trained")
    return [group for group in groups if group["params"]]


def build(method: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimiser of the settings over :func:`parameter_groups`."""
    groups = parameter_groups(method, config)
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)


def set_rate(optimiser: Optimizer, factor: float) -> None:
    """Each group's learning rate becomes ``factor`` times its first one."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def read_state(optimiser: Optimizer, method: nn.Module) -> dict[str, Tensor]:
    """What the optimiser remembers: tensors by ``"<parameter name>/<quantity>"``, such as ``"head.weight/exp_avg"``."""
    names: dict[Tensor, str] = {parameter: plain_name(name) for name, parameter in method.named_parameters()}
    state: dict[str, Tensor] = {}
    for parameter, quantities in optimiser.state.items():
        for quantity, value in quantities.items():
            if value is not None:  # SGD without momentum remembers a None
                state[f"{names[parameter]}/{quantity}"] = torch.as_tensor(value)
    return state


def write_state(optimiser: Optimizer, method: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give an optimiser back what :func:`read_state` read."""
    parameters = {plain_name(name): parameter for name, parameter in method.named_parameters()}
    position = {p: i for i, p in enumerate(p for group in optimiser.param_groups for p in group["params"])}
    by_position: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        name, quantity = key.rsplit("/", 1)
        by_position.setdefault(position[parameters[name]], {})[quantity] = value
    optimiser.load_state_dict({"state": by_position, "param_groups": optimiser.state_dict()["param_groups"]})
