"""Hugging Face Accelerate, set up for one run and taken down after it.

Accelerate keeps the state of the process (device, precision, processes) in singletons: the second ``Accelerator`` of a
process could not have another precision than the first. Each run gets fresh ones; what was there before comes back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, parse_flag_from_env

from wsss_lib.train.config import TrainConfig


def choose_device(name: str) -> torch.device:
    """``"auto"``: a CUDA GPU, else Apple's, else the CPU; anything else by its name.

    Raises:
        ValueError: This machine has no such device.
    """
    offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        if parse_flag_from_env("ACCELERATE_USE_CPU"):  # `accelerate launch --cpu`
            return torch.device("cpu")
        return torch.device(next(kind for kind, there in offered.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not offered.get(device.type, False):
        raise ValueError(
            f"device is {name!r}, and this machine offers {', '.join(k for k, there in offered.items() if there)}: "
            "choose one of them or 'auto'"
        )
    if device.index is not None and device.type == "cuda":
        if "LOCAL_RANK" in os.environ:
            raise ValueError(
                f"device is {name!r}, but the launcher gives each process its own: set device='cuda' and choose "
                "the GPUs by CUDA_VISIBLE_DEVICES"
            )
        if device.index >= torch.cuda.device_count():
            raise ValueError(f"device is {name!r}, and there are {torch.cuda.device_count()} GPUs, counted from 0")
    return device


@contextmanager
def accelerated(config: TrainConfig) -> Iterator[Accelerator]:
    """An accelerator of its own for one run.

    Processes that ``torchrun`` or ``accelerate launch`` started find each other here (gloo on CPUs, NCCL on GPUs); the
    process group outlives the run, for the next one.

    Raises:
        ValueError: No such device, or a precision that it lacks.
    """
    device = choose_device(config.device)
    if device.type == "cpu" and config.mixed_precision == "fp16":
        raise ValueError("mixed_precision is 'fp16', which needs a GPU: on a CPU choose 'bf16' or 'no'")
    singletons = (PartialState, AcceleratorState, GradientState)
    before = [dict(singleton._shared_state) for singleton in singletons]
    # Emptied in place, not replaced: objects of the caller share these dictionaries.
    for singleton in singletons:
        singleton._shared_state.clear()
    try:
        with torch.cuda.device(device) if device.index is not None and device.type == "cuda" else nullcontext():
            yield Accelerator(
                cpu=device.type == "cpu",
                mixed_precision=config.mixed_precision,
                # The loop weighs each forward pass by its images; Accelerate must not divide once more, not even where
                # `accelerate launch` set ACCELERATE_GRADIENT_ACCUMULATION_STEPS, which overrides the plain argument.
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
                # Networks often have parameters that a loss does not reach, such as an unused classifier.
                kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
            )
    finally:
        for singleton, state in zip(singletons, before, strict=True):
            singleton._shared_state.clear()
            singleton._shared_state.update(state)
