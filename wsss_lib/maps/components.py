"""From masks to boxes: connected components and contours, in the two conventions that WSOL papers use.

All of this happens on the CPU (SciPy labels components there); the boxes come back on the maps' device.
"""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from wsss_lib.maps.masks import threshold_mask

Which = Literal["largest", "contour", "all"]
Corners = Literal["exclusive", "clipped"]
Empty = Literal["zero", "image"]

WHICH: tuple[Which, ...] = ("largest", "contour", "all")
"""``largest``: the 8-connected component with most pixels (classic). ``contour``: the outer contour around the largest
polygon area (MaxBoxAcc). ``all``: every contour, those of holes included (MaxBoxAccV2)."""

BOX_CORNERS: tuple[Corners, ...] = ("exclusive", "clipped")
"""``exclusive``: right and bottom are the first pixel outside. ``clipped``: the same, but never beyond the last pixel,
(min(x + w, W − 1), min(y + h, H − 1)), as the WSOL benchmark draws boxes."""

# Labels a stack of masks in one call: neighbours within a mask (8 or 4), none across masks.
_EIGHT = np.zeros((3, 3, 3), dtype=bool)
_EIGHT[1] = True
_FOUR = np.zeros((3, 3, 3), dtype=bool)
_FOUR[1, 1, :] = _FOUR[1, :, 1] = True


@overload
def boxes(
    maps: Tensor,
    threshold: float,
    which: Literal["largest", "contour"] = "largest",
    corners: Corners = "exclusive",
    empty: Empty = "zero",
) -> Tensor: ...
@overload
def boxes(
    maps: Tensor, threshold: float, which: Literal["all"], corners: Corners = "exclusive", empty: Empty = "zero"
) -> list[Tensor]: ...
def boxes(
    maps: Tensor, threshold: float, which: Which = "largest", corners: Corners = "exclusive", empty: Empty = "zero"
) -> Tensor | list[Tensor]:
    """Boxes around what exceeds the threshold.

    Args:
        maps: (N, h, w) or (N, K, h, w), float; or bool masks with any threshold in [0, 1).
        threshold: A pixel belongs to the object where its value *exceeds* this.
        which: One of :data:`WHICH`. Of equally large components, ``"largest"`` takes the first and ``"contour"``
            the last in reading order (by its first pixel), as the published evaluation codes happen to do.
        corners: One of :data:`BOX_CORNERS`.
        empty: The one box of a map that nowhere exceeds the threshold: ``"zero"`` (0, 0, 0, 0) as in MaxBoxAcc, or
            the whole ``"image"`` as in the classic protocol.

    Returns:
        ``"largest"``, ``"contour"``: (N, 4) or (N, K, 4) float32, xyxy pixels. ``"all"``: a list of N or N · K
        tensors (M, 4), image by image and within it class by class; components first, then holes, each in reading
        order; M is 0 where nothing exceeds the threshold.

    Raises:
        ValueError: Unknown ``which``, ``corners`` or ``empty``, or maps of another shape.

    Source: Zhou et al. 2016, §3.2 (largest component); Choe et al. 2020, released code (contours). Used in chapter 1.
    """
    _check(maps, which, corners, empty)
    masks = threshold_mask(maps, threshold).flatten(0, -3).cpu().numpy()  # (N·K, h, w)
    if not len(masks):  # SciPy labels nothing but something
        return [] if which == "all" else maps.new_zeros((*maps.shape[:-2], 4), dtype=torch.float32)
    if which == "all":
        rectangles = _all_boxes(masks)
        return [_corners(torch.from_numpy(b).float().to(maps.device), corners, maps.shape[-2:]) for b in rectangles]
    best = _largest_boxes(masks) if which == "largest" else _contour_boxes(masks)
    if empty == "image":
        best[~masks.any(axis=(1, 2))] = 0, 0, maps.shape[-1], maps.shape[-2]
    result = _corners(torch.from_numpy(best).float().to(maps.device), corners, maps.shape[-2:])
    return result.unflatten(0, maps.shape[:-2]) if maps.dim() == 4 else result


def polygon_areas(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    r"""The area within each outermost contour of a mask, the contour running through pixel *centres*.

    Fill the holes; then every 2 × 2 block of pixel centres is a unit square of which 4 foreground pixels enclose all,
    3 enclose half (a triangle) and fewer enclose nothing:

    .. math:: A = \#\{\text{blocks of 4}\} + \tfrac12 \#\{\text{blocks of 3}\}

    A lone pixel and a line one pixel wide have area 0.

    Args:
        mask: (h, w) bool.

    Returns:
        ``(labels, areas)``: (h, w) int64, 0 outside, i + 1 within the i-th outermost contour (in reading order), holes
        filled; and (M,) float64, the M areas in pixels.
    """
    filled = ndimage.binary_fill_holes(mask)  # fills what is not 4-connected to the outside
    labels, count = ndimage.label(filled, structure=np.ones((3, 3)))
    blocks = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])  # (4, h−1, w−1)
    members = (blocks > 0).sum(0)
    owner = blocks.max(0)  # foreground pixels of a block touch, so they share one label
    areas = np.bincount(owner[members == 4], minlength=count + 1) + 0.5 * np.bincount(
        owner[members == 3], minlength=count + 1
    )
    return labels.astype(np.int64), areas[1:]


def _check(maps: Tensor, which: str, corners: str, empty: str) -> None:
    if which not in WHICH:
        raise ValueError(f"which={which!r} is unknown: use one of {', '.join(WHICH)}")
    if corners not in BOX_CORNERS:
        raise ValueError(f"corners={corners!r} is unknown: use one of {', '.join(BOX_CORNERS)}")
    if empty not in ("zero", "image"):
        raise ValueError(f"empty={empty!r} is unknown: use 'zero' or 'image'")
    if maps.dim() not in (3, 4):
        raise ValueError(f"maps have {maps.dim()} dimensions, expected (N, h, w) or (N, K, h, w): add or index one")


def _corners(rectangles: Tensor, corners: Corners, size: tuple[int, ...]) -> Tensor:
    if corners == "exclusive":
        return rectangles
    height, width = size
    last = torch.tensor([width, height, width - 1, height - 1], dtype=rectangles.dtype, device=rectangles.device)
    return torch.minimum(rectangles, last)


def _slices(masks: NDArray[np.bool_], structure: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Label a stack; return the labels and, per component, (map, x0, y0, x1, y1), in reading order."""
    labels, count = ndimage.label(masks, structure=structure)
    rows = np.empty((count, 5), dtype=np.int64)
    for i, (n, y, x) in enumerate(ndimage.find_objects(labels)):
        rows[i] = n.start, x.start, y.start, x.stop, y.stop
    return labels, rows


def _largest_boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels, rows = _slices(masks, _EIGHT)
    sizes = np.bincount(labels.ravel(), minlength=len(rows) + 1)[1:]
    result = np.zeros((len(masks), 4), dtype=np.int64)
    for i in np.argsort(-sizes, kind="stable")[::-1]:  # the largest, and of equals the first, is written last
        result[rows[i, 0]] = rows[i, 1:]
    return result


def _contour_boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    # A hole's contour never encloses more than the contour around it, so the outermost ones suffice.
    result = np.zeros((len(masks), 4), dtype=np.int64)
    for n, mask in enumerate(masks):
        labels, areas = polygon_areas(mask)
        if len(areas):
            winner = len(areas) - int(np.argmax(areas[::-1]))  # the last of equals; labels start at 1
            y, x = ndimage.find_objects(labels, max_label=winner)[winner - 1]
            result[n] = x.start, y.start, x.stop, y.stop
    return result


def _all_boxes(masks: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    _, outer = _slices(masks, _EIGHT)
    # A hole is background not 4-connected to the outside. The frame of background makes the outside one component,
    # the first in reading order. A hole's contour runs through the object's pixels around it: one pixel wider.
    _, gaps = _slices(np.pad(~masks, ((0, 0), (1, 1), (1, 1)), constant_values=True), _FOUR)
    holes = gaps[gaps[:, 1] > 0] + np.array([0, -2, -2, 0, 0])  # frame shifts by −1, widening by ∓1
    borders = np.arange(1, len(masks))
    pairs = zip(*(np.split(b[:, 1:], np.searchsorted(b[:, 0], borders)) for b in (outer, holes)), strict=True)
    return [np.concatenate(pair) for pair in pairs]
