"""What the methods on transformers share (SAT, TS-CAM): no method of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from wsss_lib.backbones import TransformerBackbone


def check_transformer(backbone: nn.Module, method: str) -> None:
    """Say in one sentence that a method needs tokens.

    Raises:
        ValueError: The backbone is no transformer.
    """
    from wsss_lib.backbones import TransformerBackbone

    if not isinstance(backbone, TransformerBackbone):
        name = getattr(backbone, "name", type(backbone).__name__)
        raise ValueError(
            f"{method} needs a transformer, whose tokens attend to each other, got {name}: "
            "take tiny_vit, deit_tiny or deit_small"
        )


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
