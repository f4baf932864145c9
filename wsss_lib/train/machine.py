"""Where a run is computed: its device, its precision, and the processes that share it.

Processes are started and find each other through Hugging Face Accelerate (``accelerate launch``, ``torchrun``, MPI);
the exchange of gradients, autocast and loss scaling are torch's. A run in one process asks nothing of Accelerate.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env, reduce
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from wsss_lib.data.records import Batch, to_device
from wsss_lib.devices import pick_device
from wsss_lib.train.config import TrainConfig

_TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_MPI = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def choose_device(name: str) -> torch.device:
    """The device that a run's settings name, within what its launcher allows.

    Raises:
        ValueError: The name is none, or one GPU is named where the launcher gives each process its own.
        RuntimeError: This machine has no such device.
    """
    if name == "auto" and parse_flag_from_env("ACCELERATE_USE_CPU"):  # `accelerate launch --cpu`
        return torch.device("cpu")
    device = pick_device(name)
    if device.index is not None and device.type == "cuda" and "LOCAL_RANK" in os.environ:
        raise ValueError(
            f"device is {name!r}, but the launcher gives each process its own: set device='cuda' and choose "
            "the GPUs by CUDA_VISIBLE_DEVICES"
        )
    return device


def processes(device: torch.device) -> PartialState | None:
    """The processes that a launcher started, connected (gloo on CPUs, NCCL on GPUs); None for one by itself.

    They stay connected after a run, for the next one.

    Raises:
        ValueError: The environment tells of several processes, and not where they meet.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return PartialState(cpu=device.type == "cpu") if torch.distributed.get_world_size() > 1 else None
    by_mpi = any(_count(name) > 1 for name in _MPI)
    if not by_mpi and _count("WORLD_SIZE") < 2:
        return None
    absent = [name for name in _TORCHRUN if name not in os.environ]
    if absent and not by_mpi:
        raise ValueError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} in the environment, but {', '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} not set: a launcher sets all of them, so start the script with "
            "torchrun or accelerate launch, or unset WORLD_SIZE to train in one process"
        )
    return PartialState(cpu=device.type == "cpu")


def _count(variable: str) -> int:
    """How many processes an environment variable tells of; 1 where it is not set."""
    text = os.environ.get(variable) or "1"
    if not text.strip().isdigit():
        raise ValueError(f"{variable} is {text!r} in the environment, expected a whole number: correct or unset it")
    return int(text)


class Machine:
    """The device, the precision and the processes of one run.

    Args:
        config: The settings.

    Attributes:
        device: Of this process.
        count: How many processes share the run.
        index: Which of them this is, from 0.
        is_main: Whether this process is the one that writes and prints.
        scaler: Of the loss, for ``"fp16"``; else None.

    Raises:
        ValueError: No such name, or a precision that the device lacks, or processes that cannot meet.
        RuntimeError: This machine has no such device.
    """

    def __init__(self, config: TrainConfig) -> None:
        device = choose_device(config.device)
        if device.type == "cpu" and config.mixed_precision == "fp16":
            raise ValueError("mixed_precision is 'fp16', which needs a GPU: on a CPU choose 'bf16' or 'no'")
        self.state = processes(device)
        self.device = device if self.state is None else self.state.device
        self.count = 1 if self.state is None else self.state.num_processes
        self.index = 0 if self.state is None else self.state.process_index
        self.is_main = self.index == 0
        self.double = config.double and self.device.type != "mps"
        self.dtype = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[config.mixed_precision]
        self.scaler = torch.amp.GradScaler(device.type) if config.mixed_precision == "fp16" else None

    @contextmanager
    def used(self) -> Iterator[None]:
        """Within the block, CUDA's current device is this run's."""
        chosen = self.device.type == "cuda" and self.device.index is not None
        with torch.cuda.device(self.device) if chosen else nullcontext():
            yield

    @contextmanager
    def holding(self, method: nn.Module) -> Iterator[None]:
        """Within the block, the method is on the device and has the run's precision; it stays on the device.

        Raises:
            ValueError: ``double`` is set for a method whose weights have not 32 bits.
        """
        method.to(self.device)
        kinds = {value.dtype for value in method.state_dict().values() if value.is_floating_point()}
        if self.double and kinds != {torch.float32}:
            raise ValueError(
                f"double is set, and the method's weights are {', '.join(sorted(map(str, kinds)))}, expected "
                "torch.float32: call method.float() first, or set double=False"
            )
        try:
            if self.double:
                method.double()
            yield
        finally:
            if self.double:
                method.float()

    def read(self, batch: Batch) -> Batch:
        """A batch on the device, its floats in the precision of a run in 64 bits."""
        here = to_device(batch, self.device)
        return cast(Batch, {key: _doubled(value) for key, value in here.items()}) if self.double else here

    def shared(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the processes in each backward pass but :meth:`without_exchange`."""
        if self.count == 1:
            return module
        index = None if self.device.type == "cpu" else [self.device]
        # Networks often have parameters that a loss does not reach, such as an unused classifier.
        return DistributedDataParallel(module, device_ids=index, find_unused_parameters=True)

    def without_exchange(self, module: nn.Module) -> AbstractContextManager[None]:
        """Within the block, backward passes through what :meth:`shared` returned exchange nothing."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()

    def autocast(self) -> AbstractContextManager[None]:
        """Within the block, forward passes have the run's precision."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, dtype=self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled where the precision needs it."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def clip(self, optimiser: Optimizer, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Shorten the gradient of all parameters together to an L2 norm of at most ``norm``."""
        if self.scaler is not None:
            self.scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(parameters, norm)

    def step(self, optimiser: Optimizer) -> None:
        """Update the parameters; in ``"fp16"`` an update whose gradients overflowed is left out."""
        if self.scaler is None:
            optimiser.step()
        else:
            self.scaler.step(optimiser)
            self.scaler.update()

    def sum(self, values: Tensor) -> Tensor:
        """The sum of each process's tensor, in all of them."""
        return values if self.count == 1 else reduce(values, reduction="sum")

    def any(self, value: bool) -> bool:
        """Whether the value is true in any process; all of them must ask."""
        return value if self.count == 1 else bool(self.sum(torch.tensor(float(value), device=self.device)))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.state is not None:
            self.state.wait_for_everyone()


def _doubled(value: Any) -> Any:
    """Floats, also those in a list of tensors, in 64 bits."""
    if isinstance(value, list):
        return [_doubled(item) for item in value]
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
