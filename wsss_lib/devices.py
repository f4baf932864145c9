"""Devices: what a name such as ``"auto"`` or ``"cuda"`` means on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What a device may be called; ``"cuda:1"`` is the second GPU."""


def pick_device(choice: str = "auto") -> torch.device:
    """The device of this name; torch is imported when it is asked for.

    Args:
        choice: ``"auto"`` (a GPU if there is one, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Raises:
        ValueError: The name is none of these.
        RuntimeError: The device is not there.
    """
    import torch

    kind, _, index = str(choice).partition(":")
    if kind not in DEVICES or (":" in choice and not index.isdecimal()):
        raise ValueError(f"device is {choice!r}, expected one of {', '.join(DEVICES)}: use 'auto' when unsure")
    offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(name for name, offers in offered.items() if offers))
    if not offered[kind]:
        raise RuntimeError(f"device is {choice!r}, but this machine has none: use 'auto' or 'cpu'")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise RuntimeError(f"device is {choice!r}, and there are {torch.cuda.device_count()} GPUs, counted from 0")
    return torch.device(choice)
