"""What a training step costs: processor time, what autograd keeps for the backward pass, floating-point operations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.modes import evaluating


def step_costs(
    methods: Mapping[str, nn.Module], batch: Any, rounds: int = 7, flops: bool = False
) -> dict[str, dict[str, float]]:
    """What the forward and backward pass of each method costs.

    Args:
        methods: By name; each has ``losses(batch)``, and stays in the mode it is in.
        batch: What the losses are of.
        rounds: How often each step is timed, after one that is not; in turns, so that another process on the machine
            slows all of them alike.
        flops: Whether operations are counted too.

    Returns:
        By name: ``time`` (the median, seconds of processor time), ``memory`` (bytes, see :func:`saved`) and ``flops``.
        No gradients are left behind.
    """
    costs = {name: {"memory": float(saved(method, batch))} for name, method in methods.items()}
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds + 1):
        for name, method in methods.items():
            method.zero_grad()
            began = time.process_time()
            _total(method, batch).backward()
            if number:
                spent[name].append(time.process_time() - began)
    for name, method in methods.items():
        costs[name]["time"] = statistics.median(spent[name])
        method.zero_grad()
        if flops:
            with FlopCounterMode(display=False) as counter:
                _total(method, batch).backward()
            costs[name]["flops"] = float(counter.get_total_flops())
            method.zero_grad()
    return costs


def answer_costs(methods: Mapping[str, nn.Module], batch: Any, rounds: int = 7) -> dict[str, float]:
    """What it costs to ask: by name, the median seconds of processor time that ``answer(batch)`` takes.

    The arguments are those of :func:`step_costs`; the methods are asked in evaluation mode, and keep their own.
    """
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds + 1):
        for name, method in methods.items():
            with torch.no_grad(), evaluating(method):
                began = time.process_time()
                method.answer(batch)  # type: ignore[operator]
                if number:
                    spent[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in spent.items()}


def saved(method: nn.Module, batch: Any) -> int:
    """Bytes that autograd keeps from a step's forward pass: each storage once, parameters not counted."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in method.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = _total(method, batch)
    del total
    return sum(sizes.values())


def _total(method: nn.Module, batch: Any) -> Tensor:
    return torch.stack(list(method.losses(batch).values())).sum()  # type: ignore[operator]
