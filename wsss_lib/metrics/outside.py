"""Where a mask is wrong: how far from the object what is kept too much lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy import ndimage
from torch import Tensor

from wsss_lib.data.fields import IGNORE


def distances_to_object(masks: Tensor) -> Tensor:
    """How far each pixel is from the nearest pixel of an object, in pixels.

    Args:
        masks: (N, H, W) int64 (above 0 is object, 255 is ignored) or bool.

    Returns:
        (N, H, W) float32 on the CPU: 0 within an object, infinite in an image without one.
    """
    objects = (masks > 0) & (masks != IGNORE)
    planes = [torch.from_numpy(ndimage.distance_transform_edt(~plane)) for plane in objects.cpu().numpy()]
    if not planes:
        return torch.zeros(objects.shape)
    distances = torch.stack(planes).float()
    return distances.masked_fill(~objects.cpu().any(2).any(1)[:, None, None], torch.inf)


def false_positives_by_distance(kept: Tensor, masks: Tensor, edges: Sequence[float]) -> Tensor:
    """Count the pixels that are kept and are no object, by their distance from the object.

    Args:
        kept: (N, H, W) bool, such as "the map exceeds its threshold".
        masks: (N, H, W) int64 (above 0 is object, 255 is in no count) or bool.
        edges: Rising distances in pixels, B of them.

    Returns:
        (B + 1,) int64 on the CPU: up to the first edge, from the first to the second, …, beyond the last.

    Raises:
        ValueError: Shapes that do not match, or edges that do not rise.

    Built in chapter 6.
    """
    if kept.shape != masks.shape or kept.dim() != 3:
        raise ValueError(
            f"kept is {tuple(kept.shape)}, masks {tuple(masks.shape)}, expected (N, H, W) both: resize one"
        )
    bounds = torch.tensor(list(edges), dtype=torch.float32)
    if len(bounds) == 0 or bool((bounds.diff() <= 0).any()):
        raise ValueError(f"edges are {tuple(edges)}, expected distances that rise, for example (4, 8, 16)")
    wrong = kept.bool().cpu() & ~(masks > 0).cpu()
    return torch.bincount(torch.bucketize(distances_to_object(masks)[wrong], bounds), minlength=len(bounds) + 1)
