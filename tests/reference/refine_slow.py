"""Refinement the slow way, written from the equations: pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def superpixel_mean(plane: Tensor, labels: Tensor) -> Tensor:
    """The mean of each superpixel, of one plane (H, W)."""
    result = torch.zeros_like(plane)
    for label in labels.unique():
        result[labels == label] = plane[labels == label].mean()
    return result
