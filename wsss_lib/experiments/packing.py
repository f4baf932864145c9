"""Maps as text, small enough for a record of a few of them."""

from __future__ import annotations

import base64

import torch
from torch import Tensor


def packed(maps: Tensor) -> str:
    """Maps (N, s, s) in [0, 1] as base64 of their bytes, rounded to 1/255."""
    return base64.b64encode(bytes((maps * 255).round().clamp(0, 255).byte().flatten().tolist())).decode()


def unpacked(text: str, side: int) -> Tensor:
    """What :func:`packed` made: (N, s, s) in [0, 1]."""
    values = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return values.reshape(-1, side, side).float() / 255
