"""Backbones small enough to train from scratch on two cores: a CNN for 96-pixel worlds, and a ViT (in ``vit.py``)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from wsss_lib.backbones.base import StagedBackbone
from wsss_lib.backbones.geometry import set_output_stride

TINY_MEAN = (0.5, 0.5, 0.5)
TINY_STD = (0.25, 0.25, 0.25)


def tiny_cnn(
    widths: Sequence[int] = (16, 24, 40, 64), output_stride: int | None = None, dilate: bool = False
) -> StagedBackbone:
    """Build the small convolutional network of the first chapters. Used in chapter 1.

    Four 3 × 3 convolutions and one 1 × 1, each with batch norm and ReLU, no pooling:

    ======== ====================== ====== ===============
    stage    convolutions           stride receptive field
    ======== ====================== ====== ===============
    stage1   3 × 3, stride 2        2      3 px
    stage2   3 × 3, stride 2        4      7 px
    stage3   3 × 3                  4      15 px
    stage4   3 × 3, 1 × 1           4      23 px
    ======== ====================== ====== ===============

    At 96 px: a grid of 24 × 24, 25 million multiply-adds an image, 43 thousand parameters. The receptive field stays
    below half of a critter on purpose: with one as large as the image, class evidence spreads into a halo and plain
    CAM's IoU falls from 0.66 to 0.26 on the same data.

    Args:
        widths: Channels of the four stages.
        output_stride: 4 (default), 2 or 1.
        dilate: Compensate removed strides by dilation.

    Raises:
        ValueError: Not four positive widths, or an output stride that the network cannot have.
    """
    if len(widths) != 4 or min(widths) < 1:
        raise ValueError(f"tiny_cnn has four stages; expected four positive widths, got {tuple(widths)}.")
    w1, w2, w3, w4 = widths
    stages = {
        "stage1": nn.Sequential(_unit(3, w1, stride=2)),
        "stage2": nn.Sequential(_unit(w1, w2, stride=2)),
        "stage3": nn.Sequential(_unit(w2, w3)),
        "stage4": nn.Sequential(_unit(w3, w4), _unit(w4, w4, kernel=1)),
    }
    strides = set_output_stride(list(stages.values()), 4 if output_stride is None else output_stride, dilate)
    return StagedBackbone(
        "tiny_cnn",
        stages,
        channels=dict(zip(stages, widths, strict=True)),
        strides=dict(zip(stages, strides, strict=True)),
        mean=TINY_MEAN,
        std=TINY_STD,
    )


def _unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU. The convolution needs no bias: batch norm would subtract it again."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    unit = nn.Sequential()
    unit.add_module("conv", conv)
    unit.add_module("bn", nn.BatchNorm2d(outputs))
    unit.add_module("relu", nn.ReLU())
    return unit
