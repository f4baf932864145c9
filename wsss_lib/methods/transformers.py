"""What the methods on transformers share (SAT, TS-CAM): no method of its own."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def check_transformer(backbone: nn.Module, method: str, blocks: int = 1) -> None:
    """Say in one sentence what a method cannot be built on.

    Args:
        backbone: What was given.
        method: Its name, for the message.
        blocks: How many of the last blocks it uses.

    Raises:
        ValueError: The backbone is no transformer, or has fewer blocks.
    """
    from wsss_lib.backbones import TransformerBackbone

    if not isinstance(backbone, TransformerBackbone):
        name = getattr(backbone, "name", type(backbone).__name__)
        raise ValueError(
            f"{method} needs a transformer, whose tokens attend to each other, got {name}: "
            "take tiny_vit, hybrid_vit, deit_tiny or deit_small"
        )
    if blocks > len(backbone.layers):
        raise ValueError(
            f"blocks is {blocks}, but {backbone.name} has {len(backbone.layers)}: {method} can use as many or fewer"
        )


def whole_patches(images: Tensor, patch: int) -> Tensor:
    """Images that a transformer can cut: sides that are no multiples of its patch are stretched to the nearest ones.

    Photographs are measured at their own sizes. To stretch by half a patch at most keeps the map over the whole image,
    where padding would add patches of nothing to what is looked at.

    Args:
        images: (N, 3, H, W); what has other than three channels is no image, but features of a frozen stem.
        patch: Side of a patch in pixels.

    Returns:
        (N, 3, h · patch, w · patch), bilinear; the same tensor where nothing is to be done, and for features.
    """
    if images.shape[1] != 3:
        return images
    height, width = (max(1, int(side / patch + 0.5)) * patch for side in images.shape[-2:])
    if (height, width) == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
