"""What the methods on transformers share (SAT, TS-CAM): no method of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from wsss_lib.backbones import TransformerBackbone


def check_transformer(backbone: nn.Module, num_classes: int, method: str, blocks: int = 1) -> None:
    """Say in one sentence what a method cannot be built on.

    Args:
        backbone: What was given.
        num_classes: K.
        method: Its name, for the message.
        blocks: How many of the last blocks it uses.

    Raises:
        ValueError: The backbone is no transformer or has fewer blocks, or there is no class.
    """
    from wsss_lib.backbones import TransformerBackbone

    if not isinstance(backbone, TransformerBackbone):
        name = getattr(backbone, "name", type(backbone).__name__)
        raise ValueError(
            f"{method} needs a transformer, whose tokens attend to each other, got {name}: "
            "take tiny_vit, deit_tiny or deit_small"
        )
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, expected at least 1: count the foreground classes only")
    if blocks > len(backbone.layers):
        raise ValueError(
            f"blocks is {blocks}, but {backbone.name} has {len(backbone.layers)}: {method} can use as many or fewer"
        )


def whole_patches(images: Tensor, patch: int) -> Tensor:
    """Images that a transformer can cut: sides that are no multiples of its patch are stretched to the nearest ones.

    Photographs are measured at their own sizes. To stretch by half a patch at most keeps the map over the whole image,
    where padding would add patches of nothing to what is looked at.

    Args:
        images: (N, 3, H, W).
        patch: Side of a patch in pixels.

    Returns:
        (N, 3, h · patch, w · patch), bilinear; the same tensor where nothing is to be done.
    """
    height, width = (max(1, int(side / patch + 0.5)) * patch for side in images.shape[-2:])
    if (height, width) == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)


def copied(maps: Tensor, present: Tensor) -> Tensor:
    """Give each present class a copy of a map that knows no class.

    Args:
        maps: (N, 1, h, w).
        present: (N, K) bool.

    Returns:
        (N, K, h, w), zero for absent classes.
    """
    return torch.where(present[..., None, None], maps, 0)  # (N, K, h, w)


def transformer_groups(backbone: TransformerBackbone, new: Iterable[nn.Parameter], lr: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser: the backbone's, the new ones (``"head"``), biases and scales without weight decay.

    Args:
        backbone: The transformer.
        new: Parameters that were not pretrained.
        lr: Learning rate of the backbone; the loop's ``head_lr`` decides the new ones'.

    Returns:
        Groups without frozen parameters.
    """
    learnt = [p for p in backbone.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"name": "backbone", "params": [p for p in learnt if p.ndim > 1], "lr": lr},
        {"name": "backbone, no decay", "params": [p for p in learnt if p.ndim <= 1], "lr": lr, "weight_decay": 0.0},
        {"name": "head", "params": [p for p in new if p.requires_grad]},
    ]
    return [group for group in groups if group["params"]]
