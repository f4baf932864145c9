"""torchvision's classifiers cut into stages: ResNet, VGG16, MobileNetV2 and V3.

Each function takes the classifier that torchvision built, so weights are loaded in torchvision's own layout, strictly,
before anything is cut; the modules are then shared, not copied.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torchvision import models
from torchvision.models import vgg

from wsss_lib.backbones.base import StagedBackbone, without_inplace
from wsss_lib.backbones.geometry import set_output_stride

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
MOBILENETS = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
NAMES = (*RESNETS, "vgg16", *MOBILENETS)


def build(name: str) -> nn.Module:
    """Return torchvision's classifier ``name`` for 1000 classes, random weights from torch's generator."""
    return models.get_model(name, weights=None)


def build_without_head(name: str) -> nn.Module:
    """As :func:`build`, for a network that is cut at once: VGG16 lacks its head, 124 of its 138 million parameters."""
    if name != "vgg16":
        return build(name)
    net = nn.Module()
    net.add_module("features", vgg.make_layers(vgg.cfgs["D"]))
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):  # torchvision's initialisation
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return net


def cut(name: str, classifier: nn.Module, output_stride: int | None = None, dilate: bool = False) -> StagedBackbone:
    """Cut a torchvision classifier into a backbone of named stages; the head is left behind.

    Stages, with strides before ``output_stride`` changes them:

    - ResNet: ``stem`` (convolution and max pooling, 4), ``layer1`` 4, ``layer2`` 8, ``layer3`` 16, ``layer4`` 32.
    - VGG16: ``conv1`` 1 … ``conv5`` 16, each from the pooling before it to its last ReLU. The fifth pooling belongs
      to the head, as in the CAM literature. A pooling whose stride is removed stays as a maximum with stride 1.
    - MobileNet: a stage for each stride, ``stage1`` 2 … ``stage5`` 32, then ``final``, the last 1 × 1 convolution
      (1280 channels in V2, 576 and 960 in V3 small and large), whose mean the head reads.

    Args:
        name: One of ``NAMES``.
        classifier: What :func:`build` returned, weights loaded.
        output_stride: Stride of the deepest grid in pixels; ``None`` keeps the network's own.
        dilate: Compensate removed strides by dilation (:func:`~wsss_lib.backbones.geometry.set_output_stride`).
    """
    if name in RESNETS:
        stages = _resnet_stages(classifier)
    elif name == "vgg16":
        stages = _vgg_stages(classifier.features.children())  # type: ignore[union-attr]
    else:
        stages = _mobilenet_stages(classifier.features.children())  # type: ignore[union-attr]
    without_inplace(nn.ModuleList(stages.values()))
    native = 16 if name == "vgg16" else 32
    strides = set_output_stride(list(stages.values()), native if output_stride is None else output_stride, dilate)
    channels = {stage: _width(block) for stage, block in stages.items()}
    return StagedBackbone(name, stages, channels, dict(zip(stages, strides, strict=True)))


def _resnet_stages(net: nn.Module) -> dict[str, nn.Sequential]:
    stem = nn.Sequential()
    for name in ("conv1", "bn1", "relu", "maxpool"):
        stem.add_module(name, net.get_submodule(name))
    stages = {"stem": stem}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        layer = net.get_submodule(name)
        assert isinstance(layer, nn.Sequential)
        stages[name] = layer
    return stages


def _vgg_stages(layers: Iterable[nn.Module]) -> dict[str, nn.Sequential]:
    groups: list[list[nn.Module]] = [[]]
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            groups.append([])
        groups[-1].append(layer)
    # The sixth group is the last pooling alone.
    return {f"conv{i}": nn.Sequential(*group) for i, group in enumerate(groups[:5], start=1)}


def _mobilenet_stages(units: Iterable[nn.Module]) -> dict[str, nn.Sequential]:
    *body, final = units
    groups: list[list[nn.Module]] = []
    for unit in body:
        if any(isinstance(layer, nn.Conv2d) and layer.stride[0] > 1 for layer in unit.modules()):
            groups.append([])
        groups[-1].append(unit)
    stages = {f"stage{i}": nn.Sequential(*group) for i, group in enumerate(groups, start=1)}
    stages["final"] = nn.Sequential(final)
    return stages


def _width(block: nn.Sequential) -> int:
    """Output channels: those of the last convolution on the main path (a ResNet's ``downsample`` is as wide)."""
    return [layer.out_channels for layer in block.modules() if isinstance(layer, nn.Conv2d)][-1]
