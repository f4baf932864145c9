"""A backbone of the tests' own: what they check must not change when the book's backbones do."""

from __future__ import annotations

import torch
from torch import nn

from wsss_lib.backbones import StagedBackbone


def small_backbone(seed: int = 0) -> StagedBackbone:
    """Three stages of stride 2, 4, 4 and 4, 6, 8 channels, with batch norm that is not the identity; float64."""
    torch.manual_seed(seed)
    blocks: dict[str, nn.Sequential] = {}
    channels = {"stage1": 4, "stage2": 6, "stage3": 8}
    strides = {"stage1": 2, "stage2": 4, "stage3": 4}
    before = 3
    for (name, after), stride in zip(channels.items(), (2, 2, 1), strict=True):
        norm = nn.BatchNorm2d(after)
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        blocks[name] = nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=1), norm, nn.ReLU())
        before = after
    return StagedBackbone("small", blocks, channels, strides).double()
