"""The geometry of convolutions: how fine a network's grid is, and how much of the image one cell sees.

Both questions are answered from kernel, stride and dilation alone, so they hold for any weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation

from wsss_lib.backbones.base import Backbone, StagedBackbone


class StridelessMaxPool2d(nn.Module):
    """Max pooling with an even kernel whose stride was removed: stride 1, padded at the right and bottom.

    (N, C, h, w) → (N, C, h, w). PyTorch pads both sides alike, which cannot keep the size of a 2 × 2 window.
    """

    def __init__(self, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.stride = kernel_size, dilation, 1

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}"

    def forward(self, x: Tensor) -> Tensor:
        margin = self.dilation * (self.kernel_size - 1)
        x = F.pad(x, (0, margin, 0, margin), value=-torch.inf)
        return F.max_pool2d(x, self.kernel_size, stride=1, dilation=self.dilation)


def set_output_stride(stages: Sequence[nn.Sequential], output_stride: int, dilate: bool = False) -> list[int]:
    """Make the grid of a network that is already built finer, in place, keeping every weight.

    From the first unit on whose stride would exceed ``output_stride``, strides become 1. That alone is what the field's
    code does for CAM (IRN, BAS, wsolevaluation: "layer4 with stride 1", dilation stays 1): each later filter then
    covers half as many input pixels as in its pre-training, and fine-tuning makes up for it.
    With ``dilate=True`` the taps of all later filters move apart by the strides removed ("à trous"): the finer grid
    then contains the values of the coarse one exactly, at every second cell of it, and the network needs no
    fine-tuning; it costs the same and sees as much of the image as before.

    Args:
        stages: Stages from shallow to deep, each a sequence of units (a residual block, a convolution, a pooling).
        output_stride: Largest stride to allow, in input pixels per cell; a power of two.
        dilate: Whether to compensate by dilation.

    Returns:
        The stride at the end of each stage.

    Raises:
        ValueError: ``output_stride`` is not a power of two, or exceeds what the network has.
    """
    if output_stride < 1 or output_stride & (output_stride - 1):
        raise ValueError(f"Output stride {output_stride} is not a power of two; choose 8, 16 or 32.")
    stride, removed, strides = 1, 1, []
    for stage in stages:
        for position, unit in enumerate(stage):
            step = stride_of(unit)
            spread = removed if dilate else 1
            if step > 1 and stride * step > output_stride:
                stage[position] = _without_stride(unit, spread, dilate)
                removed *= step
            else:
                stride *= step
                if spread > 1:
                    for layer in _windows(unit):
                        _spread(layer, spread)
        strides.append(stride)
    if stride < output_stride:
        raise ValueError(
            f"Output stride {output_stride} is coarser than the network's own {stride}; choose at most {stride}."
        )
    return strides


def receptive_field(backbone: Backbone, stage: str | None = None) -> int:
    """Return the side, in input pixels, of the square that can influence one cell of a stage.

    Layer by layer, r ← r + (k − 1) · d · j and j ← j · s, from r = j = 1, with kernel k, dilation d, stride s. Where it
    reaches the size of the objects, class evidence leaks into a halo around them and every map looks bad for the wrong
    reason; keep it below about half an object, or use pretrained features. Shortcuts see less than the path around
    which they lead and do not count; squeeze-and-excitation (MobileNetV3) scales whole channels by a global mean and is
    not counted either. Used in chapter 1.

    Args:
        backbone: A convolutional backbone.
        stage: One of its stages; ``None`` means the deepest.

    Raises:
        ValueError: Unknown stage, or a transformer, each of whose tokens sees the whole image.
    """
    if not isinstance(backbone, StagedBackbone):
        raise ValueError(f"{backbone.name} attends to all patches: every cell sees the whole image, whatever its size.")
    last = stage or backbone.stages[-1]
    if last not in backbone.stages:
        raise ValueError(f"{backbone.name} has no stage {last!r}; its stages are {', '.join(backbone.stages)}.")
    size, jump = 1, 1
    for name in backbone.stages[: backbone.stages.index(last) + 1]:
        for layer in _windows(backbone.blocks[name]):
            size += (_first(layer.kernel_size) - 1) * _first(layer.dilation) * jump
            jump *= _first(layer.stride)
    return size


def _windows(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the convolutions and poolings on the main path of ``module``, in the order in which it applies them."""
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | StridelessMaxPool2d):
        yield module
        return
    for name, child in module.named_children():
        # A shortcut's 1 × 1 convolution runs beside the main path; a gate looks at the whole map.
        if name != "downsample" and not isinstance(child, SqueezeExcitation):
            yield from _windows(child)


def stride_of(unit: nn.Module) -> int:
    """By how much a unit shrinks the grid: the product of the strides on its main path."""
    stride = 1
    for layer in _windows(unit):
        stride *= _first(layer.stride)
    return stride


def _without_stride(unit: nn.Module, spread: int, dilate: bool) -> nn.Module:
    """Set all strides of ``unit`` to 1; filters up to the strided one get ``spread``, those after it more."""
    if isinstance(unit, nn.MaxPool2d) and _first(unit.kernel_size) % 2 == 0:
        return StridelessMaxPool2d(_first(unit.kernel_size), spread)
    for layer in _windows(unit):
        step = _first(layer.stride)
        if spread > 1:
            _spread(layer, spread)
        if isinstance(layer, nn.MaxPool2d):
            layer.stride = 1
        spread *= step if dilate else 1
    for module in unit.modules():  # all of them: the shortcut must keep step with the main path
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return unit


def _spread(layer: nn.Module, factor: int) -> None:
    """Move the taps of a filter apart by ``factor`` and pad accordingly."""
    if isinstance(layer, StridelessMaxPool2d):
        layer.dilation *= factor
    elif isinstance(layer, nn.MaxPool2d):
        layer.dilation, layer.padding = _first(layer.dilation) * factor, _first(layer.padding) * factor
    elif isinstance(layer, nn.Conv2d):
        layer.dilation = (layer.dilation[0] * factor, layer.dilation[1] * factor)
        layer.padding = (int(layer.padding[0]) * factor, int(layer.padding[1]) * factor)


def _first(value: object) -> int:
    return int(value[0]) if isinstance(value, tuple) else int(value)  # type: ignore[call-overload]
