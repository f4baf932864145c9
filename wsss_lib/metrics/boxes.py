"""Boxes against boxes: overlap in the two conventions, and the mappings that benchmarks apply to ground truth."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

IouRule = Literal["half-open", "plus-one"]


def box_iou(a: Tensor, b: Tensor, rule: IouRule = "half-open") -> Tensor:
    r"""Intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a: (..., M, 4) xyxy pixels.
        b: (..., G, 4) xyxy pixels; leading dimensions broadcast.
        rule: ``"half-open"``: right and bottom are exclusive, a box covers (x₁ − x₀)(y₁ − y₀). ``"plus-one"``: they
            are inclusive, a box covers (x₁ − x₀ + 1)(y₁ − y₀ + 1); the published WSOL codes use it, although the
            boxes that they feed it are exclusive, so that each side counts one pixel too many. On a 20-pixel object
            that moves the IoU by some percent.

    Returns:
        (..., M, G) float64 in [0, 1]; 0 where both boxes are empty (half-open) — under plus-one no box is empty, and
        two zero boxes are one and the same pixel: 1.

    Raises:
        ValueError: Unknown rule, or tensors whose last dimension is not 4.
    """
    if rule not in ("half-open", "plus-one"):
        raise ValueError(f"rule={rule!r} is unknown: use 'half-open' or 'plus-one'")
    if a.shape[-1] != 4 or b.shape[-1] != 4:
        raise ValueError(f"boxes are {tuple(a.shape)} and {tuple(b.shape)}, expected (..., 4) xyxy")
    one = 1.0 if rule == "plus-one" else 0.0
    a, b = a.double()[..., :, None, :], b.double()[..., None, :, :]  # (..., M, 1, 4), (..., 1, G, 4)
    corner, opposite = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (opposite - corner + one).clamp(min=0).prod(-1)

    def area(boxes: Tensor) -> Tensor:
        return (boxes[..., 2:] - boxes[..., :2] + one).clamp(min=0).prod(-1)

    union = area(a) + area(b) - intersection
    return torch.where(union > 0, intersection / union, torch.zeros_like(union))


def resize_boxes(boxes: Tensor, old_size: tuple[int, int], new_size: tuple[int, int], truncate: bool = False) -> Tensor:
    """Boxes after the image was resized.

    Args:
        boxes: (M, 4) xyxy pixels of the old image.
        old_size, new_size: (height, width).
        truncate: Whether to cut to whole pixels, as the WSOL benchmark does with ground truth.

    Returns:
        (M, 4), dtype of ``boxes`` if floating, else float64.
    """
    (old_h, old_w), (new_h, new_w) = old_size, new_size
    exact = boxes.cpu().double()
    # Multiplied before dividing: 35 · 2 / 10 is 7, 2 · 3.5 need not be.
    exact = exact * exact.new_tensor([new_w, new_h, new_w, new_h]) / exact.new_tensor([old_w, old_h, old_w, old_h])
    exact = exact.trunc() if truncate else exact
    return exact.to(boxes.device, boxes.dtype) if boxes.is_floating_point() else exact.to(boxes.device)


def centre_crop_boxes(boxes: Tensor, old_size: tuple[int, int], resized: int = 256, crop: int = 224) -> Tensor:
    """Ground truth of the classic protocol: resize to a square, crop its centre, clip to [0, crop − 1], truncate.

    Args:
        boxes: (M, 4) xyxy pixels of the original image.
        old_size: (height, width) of the original image.
        resized: Side after resizing (aspect ratio is not kept).
        crop: Side of the crop.

    Returns:
        (M, 4), whole pixels of the crop.

    Source: released evaluation code of BAS (Wu et al. 2022).
    """
    shifted = resize_boxes(boxes, old_size, (resized, resized)) - (resized - crop) / 2
    return shifted.clamp(0, crop - 1).trunc()
