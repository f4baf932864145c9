"""The global random generators: seeded for a run, kept in its checkpoints, and given back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Plain = dict[str, Any]
"""What JSON can hold."""


def read(device: torch.device) -> tuple[dict[str, Tensor], Plain]:
    """The states of torch's generators (CPU, and ``device``'s), and those of ``random`` and NumPy."""
    tensors = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        tensors["device"] = _module(device).get_rng_state()
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    plain = {
        "python": [version, list(internal), gauss],
        "numpy": [str(name), np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }
    return tensors, plain


def write(device: torch.device, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Put the generators into states that :func:`read` read."""
    torch.set_rng_state(tensors["cpu"].cpu())
    if device.type != "cpu" and "device" in tensors:  # a run that goes on elsewhere than it began has none
        _module(device).set_rng_state(tensors["device"].cpu())
    version, internal, gauss = plain["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = plain["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002


def seed(device: torch.device, value: int) -> None:
    """Seed the same generators, and no other device's."""
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        _module(device).manual_seed(value)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002


@contextmanager
def preserved(device: torch.device) -> Iterator[None]:
    """Whatever the block draws or seeds, the generators are afterwards in the state that they had before."""
    tensors, plain = read(device)
    try:
        yield
    finally:
        write(device, tensors, plain)


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)
