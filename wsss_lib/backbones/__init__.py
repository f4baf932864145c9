"""Backbones: features of a network at named stages, with control over stride, batch norm and weights.

>>> net = backbone("resnet18", output_stride=16)
>>> features = net(images, stages=("layer2", "layer4"))  # images (N, 3, H, W) in [0, 1], normalised inside
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from wsss_lib.backbones import hybrid, timm_nets, torchvision_nets, vit
from wsss_lib.backbones import weights as weight_files
from wsss_lib.backbones.base import Backbone, FrozenBatchNorm2d, StagedBackbone, freeze_batch_norm
from wsss_lib.backbones.geometry import receptive_field, set_output_stride
from wsss_lib.backbones.hybrid import HybridBackbone, hybrid_vit
from wsss_lib.backbones.imagenet import CAM_NAMES, LAYOUT, ImageNetClassifier, head_of, no_cam
from wsss_lib.backbones.tiny import tiny_cnn
from wsss_lib.backbones.vit import TransformerBackbone, tiny_vit

__all__ = [
    "CAM_NAMES",
    "IMAGENET_NAMES",
    "NAMES",
    "Backbone",
    "FrozenBatchNorm2d",
    "HybridBackbone",
    "ImageNetClassifier",
    "StagedBackbone",
    "TransformerBackbone",
    "backbone",
    "check_name",
    "freeze_batch_norm",
    "hybrid_vit",
    "imagenet_classifier",
    "no_cam",
    "receptive_field",
    "set_output_stride",
    "tiny_cnn",
    "tiny_vit",
]

IMAGENET_NAMES = (*torchvision_nets.NAMES, *timm_nets.NAMES, *vit.NAMES)
"""Backbones of the book that have an ImageNet classifier."""
NAMES = ("tiny_cnn", "tiny_vit", hybrid.NAME, *IMAGENET_NAMES)
"""Every backbone of the book; :func:`backbone` builds timm's other convolutional networks too."""
_OPTIONS = {
    "tiny_cnn": ("widths",),
    "tiny_vit": ("dim", "depth", "heads", "patch", "mlp_ratio", "image_size"),
    hybrid.NAME: hybrid.OPTIONS,
}
_STEM = {"stem": timm_nets.NAMES[0], "stage": "stage5"}
"""The convolutional network of a hybrid of which no other is named, without its last 1 × 1 convolution."""


def backbone(
    name: str,
    *,
    weights: str | Path | None = None,
    output_stride: int | None = None,
    frozen_bn: bool = False,
    dilate: bool = False,
    **options: Any,
) -> Backbone:
    """Build a backbone. Used in chapter 1.

    Args:
        name: One of ``NAMES``, or a convolutional network of timm by its name there, such as ``"regnety_002"``.
        weights: ``None``: random, from torch's generator (``torch.manual_seed`` first). ``"published"``: the ImageNet
            weights of torchvision (V1) or timm; those of ``tf_efficientnet_lite0`` come with the extra ``photos``.
            Of ``hybrid_vit``, they are the stem's, and its blocks stay random.
            ``"shipped"``: the tiny ones that come with this package. Or a path: a safetensors file or a folder that
            holds ``<name>.safetensors``, in its publishers' layout with the head, or as saved from a backbone's own
            ``state_dict()``.
        output_stride: Pixels per cell of the deepest grid (8, 16 or 32); ``None`` keeps the network's own.
        frozen_bn: Batch norm as a fixed affine map that ``.train()`` does not wake: for fine-tuning with batches of 16
            or fewer, and necessary for weights into which batch norm was folded.
        dilate: Compensate removed strides by dilation; off, as in the CAM literature
            (see :func:`~wsss_lib.backbones.geometry.set_output_stride`).
        **options: For ``tiny_cnn``: ``widths``. For ``tiny_vit``: ``dim``, ``depth``, ``heads``, ``patch``,
            ``mlp_ratio``, ``image_size``. For ``hybrid_vit``: ``stem``, the name of a convolutional network, and
            those of :func:`~wsss_lib.backbones.hybrid.hybrid_vit`.

    Returns:
        A :class:`Backbone` in train mode.

    Raises:
        ValueError: Unknown name or option, an impossible stride, or weights that do not fit.
        FileNotFoundError: Weights that are not there, or no network to fetch them.
    """
    net, _ = _build(name, weights, output_stride, dilate, frozen_bn, options)
    net.built_by = {"name": name, "output_stride": output_stride, "frozen_bn": frozen_bn, "dilate": dilate, **options}
    return net


def imagenet_classifier(
    name: str = "mobilenet_v2",
    weights: str | Path | None = "published",
    *,
    output_stride: int | None = None,
    frozen_bn: bool = True,
    dilate: bool = False,
) -> ImageNetClassifier:
    """Build an ImageNet classifier in eval mode: its backbone, its head and the names of its classes.

    Args:
        name: One of ``IMAGENET_NAMES``, or a network of timm whose head is average pooling and one linear layer.
        weights: As for :func:`backbone`; a file must hold the head for 1000 classes too.
        output_stride: As for :func:`backbone`.
        frozen_bn: As for :func:`backbone`; on by default, because published statistics are to be kept.
        dilate: As for :func:`backbone`.

    Raises:
        ValueError: As for :func:`backbone`, or a backbone that was never trained on ImageNet.
        FileNotFoundError: As for :func:`backbone`.
    """
    if name in NAMES and name not in IMAGENET_NAMES:
        raise ValueError(f"There is no ImageNet classifier {name!r}; choose one of {', '.join(IMAGENET_NAMES)}.")
    net, head = _build(name, weights, output_stride, dilate, frozen_bn, {}, with_head=True)
    assert head is not None
    return ImageNetClassifier(net, head).eval()


def check_name(name: str) -> None:
    """Whether there is a backbone of that name.

    Raises:
        ValueError: There is none.
    """
    if not isinstance(name, str) or (name not in NAMES and not timm_nets.knows(name)):
        raise ValueError(
            f"There is no backbone {name!r}; choose one of {', '.join(NAMES)}, or a convolutional network of timm."
        )


def _build(
    name: str,
    weights: str | Path | None,
    output_stride: int | None,
    dilate: bool,
    frozen_bn: bool,
    options: dict[str, Any],
    with_head: bool = False,
) -> tuple[Backbone, nn.Module | None]:
    check_name(name)
    known = _OPTIONS.get(name, ())
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known) or 'none'}.")
    if name == hybrid.NAME:
        of_stem, weights = (weights, None) if weights == "published" else (None, weights)
        options = _STEM | options if "stem" not in options else options
        stem, _ = _build(options.pop("stem"), of_stem, output_stride or 16, dilate, frozen_bn, {})
    state = None if weights is None else weight_files.read(name, weights)
    foreign = False  # whether the file has its publishers' layout rather than a backbone's own
    head: nn.Module | None = None
    net: Backbone
    if name == "tiny_cnn":
        net = tiny_cnn(output_stride=output_stride, dilate=dilate, **options)
    elif name == "tiny_vit":
        net = tiny_vit(**options)
    elif name == hybrid.NAME:
        net = hybrid_vit(stem, **options)
    else:
        # A backbone's own keys begin with "vit." or a stage's name; timm's blocks are numbered.
        foreign = state is not None and (with_head or not any(re.match(r"vit\.|blocks\.[a-z]", key) for key in state))
        classifier = _classifier(name, with_head or foreign)
        if state is not None and foreign:
            weight_files.load(classifier, state, name, LAYOUT)
        head = head_of(name, classifier) if with_head else None
        if isinstance(classifier, vit.VisionTransformer):
            net = TransformerBackbone(name, classifier)
        else:
            cut = torchvision_nets.cut if name in torchvision_nets.NAMES else timm_nets.cut
            net = cut(name, classifier, output_stride, dilate)
    if isinstance(net, TransformerBackbone) and output_stride not in (None, net.patch):
        raise ValueError(
            f"{name} has one token for each patch of {net.patch} px, so its output stride is {net.patch} and "
            f"cannot be {output_stride}: resize the image instead."
        )
    if state is not None and not foreign:
        weight_files.load(net, state, name, "the layout of a backbone's own state_dict()")
    if frozen_bn:
        freeze_batch_norm(net)
    elif state is not None and weight_files.is_folded(state):
        warnings.warn(
            f"Batch norm was folded into these weights of {name}: pass frozen_bn=True, or never call .train(), "
            "or its placeholder statistics are lost.",
            stacklevel=3,
        )
    return net, head


def _classifier(name: str, with_head: bool) -> nn.Module:
    if name in vit.NAMES:
        return vit.build(name)
    if name in torchvision_nets.NAMES:
        return torchvision_nets.build(name) if with_head else torchvision_nets.build_without_head(name)
    return timm_nets.build(name)
