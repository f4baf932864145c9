"""Masks between files and indices, and what they say: classes and boxes.

Data sets store a mask in three ways: as indices (VOC's own palette PNG), as the *colours* of that palette (many
conversions open the PNG and save what they see), or as numbered segments (COCO's panoptic files). Everything here ends
in indices: 0 background, k + 1 for class k, 255 for pixels that nobody should count (VOC's border).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wsss_lib.data.photos.convert import ImageSource, as_stored, decoded, orientation_of
from wsss_lib.data.records import IGNORE

_INDICES = "save the mask as a grey PNG that holds 0 for background, k + 1 for class k, and 255 for pixels not to count"


def stored_mask(source: ImageSource) -> tuple[NDArray[np.uint8], int]:
    """Decode a mask file to indices, its pixels as stored.

    Args:
        source: The content or the path of a lossless file: grey levels that are indices, a palette, or the colours of
            VOC's palette. A palette that holds VOC's colours in another order is read by its colours.

    Returns:
        mask: (H, W) uint8 indices.
        orientation: The EXIF orientation, 1 to 8; 1 is upright.

    Raises:
        ValueError: No image, a lossy one, or one whose values have no certain meaning.
    """
    with decoded(source, "the mask") as (image, _):
        indices = torch.from_numpy(_indices(image))
        return as_stored(indices, image).numpy(), orientation_of(image)


def mask_array(source: ImageSource) -> NDArray[np.uint8]:
    """The indices of :func:`stored_mask` alone."""
    return stored_mask(source)[0]


def _indices(image: Image.Image) -> NDArray[np.uint8]:
    if image.format in ("JPEG", "MPO", "JPEG2000") or image.info.get("compression") == "jpeg":
        raise ValueError(f"the mask is a JPEG, whose values are no longer exact: {_INDICES}")
    if image.mode == "P":
        return _from_palette(image)
    if image.mode in ("L", "1"):
        return np.array(image, dtype=np.uint8)
    if image.mode in ("RGB", "RGBA"):
        if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
            raise ValueError(f"the mask has transparent pixels, which are no class: {_INDICES}")
        return from_colours(np.array(image.convert("RGB")))
    if image.mode.startswith("I"):
        values = np.array(image)
        if values.min() < 0 or values.max() > IGNORE:
            raise ValueError(
                f"the mask holds values from {values.min()} to {values.max()}; expected 0 to 255: "
                "save it as 8-bit indices"
            )
        return values.astype(np.uint8)
    raise ValueError(f"a mask of Pillow mode {image.mode!r} cannot be read: {_INDICES}")


def _from_palette(image: Image.Image) -> NDArray[np.uint8]:
    """Indices of a palette image; the indices as stored mean classes unless the colours say otherwise."""
    indices = np.array(image, dtype=np.uint8)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    colours = np.zeros((256, 3), np.uint8)
    listed = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    colours[: len(listed)] = listed
    shown = colours[used]
    is_grey_ramp = (shown == used[:, None]).all()
    if is_grey_ramp or (shown == palette()[used]).all() or (shown == shown[0]).all():
        return indices
    if np.isin(_codes(shown), _codes(palette())).all():
        return from_colours(colours[indices])
    if black := [int(v) for v in used if v and not colours[v].any()]:
        raise ValueError(
            f"the mask's palette shows its value {black[0]} in black, the background's usual colour, so that its "
            f"values may not be class numbers: {_INDICES}"
        )
    return indices


@cache
def palette() -> NDArray[np.uint8]:
    """PASCAL VOC's colour map, (256, 3): index 1 is dark red, 255 the cream of the borders.

    The bits of the index are dealt in turn to red, green and blue, from the most significant bit down
    (VOC development kit, ``VOClabelcolormap``).
    """
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        rest = index
        for bit in range(7, -1, -1):
            for channel in range(3):
                colours[index, channel] |= ((rest >> channel) & 1) << bit
            rest >>= 3
    return colours


def from_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Indices of colours of :func:`palette`.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: A colour is not in the palette.
    """
    codes = _codes(pixels)
    known = _codes(palette())
    order = np.argsort(known)
    place = order[np.searchsorted(known, codes, sorter=order).clip(max=255)]
    if (unknown := known[place] != codes).any():
        y, x = np.argwhere(unknown)[0]
        raise ValueError(
            f"the colour {tuple(int(c) for c in pixels[y, x])} at row {y}, column {x} is not in VOC's palette: "
            "save the mask as indices, or in the palette's exact colours"
        )
    return place.astype(np.uint8)


def _codes(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    return (red << 16) | (green << 8) | blue


def from_segments(segments: NDArray[np.uint8], values: Sequence[int]) -> NDArray[np.uint8]:
    """A class mask from numbered segments.

    Args:
        segments: (H, W), pixel value k for the k-th segment, 0 for none.
        values: What each segment becomes, in order: a mask value, 0 to drop it, 255 to ignore it.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: The picture holds more segments than ``values``.
    """
    if segments.max(initial=0) > len(values):
        raise ValueError(
            f"the picture has a segment {segments.max()}, but only {len(values)} are described: is the row complete?"
        )
    table = np.zeros(256, np.uint8)
    table[1 : len(values) + 1] = values
    return table[segments]


def encode(mask: NDArray[np.uint8]) -> bytes:
    """The mask as a palette PNG: indices for programs, VOC's colours for people."""
    image = Image.fromarray(mask)  # mode L; a palette makes it P without touching the indices
    image.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def present(mask: NDArray[np.uint8]) -> list[int]:
    """The classes with at least one pixel, 0-based and ascending; background and 255 are no classes."""
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return [int(value) - 1 for value in values if value not in (0, IGNORE)]


def check_values(mask: NDArray[np.uint8], classes: int) -> None:
    """Refuse a mask with a value that is no class.

    Args:
        mask: (H, W) uint8.
        classes: Their number K.

    Raises:
        ValueError: It holds a value above K that is not 255.
    """
    shown = present(mask)
    if shown and shown[-1] >= classes:
        raise ValueError(f"the mask holds {shown[-1] + 1}, but there are {classes} classes (and 255): {_INDICES}")


def check_labels(
    mask: NDArray[np.uint8], labels: Sequence[int] | None, names: Sequence[str], says: str = "labels"
) -> None:
    """Refuse a mask that contradicts the image's labels.

    Args:
        mask: (H, W) uint8.
        labels: 0-based classes in the image; None where only the mask says them.
        names: Of the classes.
        says: What the labels are taken from, ``"labels"`` or ``"box_labels"``.

    Raises:
        ValueError: It shows a class that the labels do not name, or no class although they name one; or it alone
            says what is in the image, and that is all to be ignored.
    """
    shown = present(mask)
    ignored = bool((mask == IGNORE).any())
    if labels is None:
        if not shown and ignored:
            raise ValueError(f"the mask holds only 0 and 255, and 255 is ignored, so that it shows nothing: {_INDICES}")
        return
    named = ", ".join(names[k] for k in labels) or "nothing"
    if more := sorted(set(shown) - set(labels)):
        raise ValueError(
            f"the mask shows {names[more[0]]!r} (its value {more[0] + 1}), but the labels name {named}: correct one of "
            f"them, pass names= in the order of the mask's values, or take the labels from the mask with "
            f"columns={{{says!r}: None}}"
        )
    if labels and not shown:
        held = "only 0 and 255, and 255 is ignored" if ignored else "only 0, the background"
        raise ValueError(f"the mask holds {held}, but the labels name {named}: {_INDICES}")


def boxes_from_mask(mask: Tensor) -> tuple[Tensor, Tensor]:
    """One box per class present, around all of its pixels.

    Two dogs in one image give one box: a class mask cannot tell them apart. Border pixels (255) belong to nobody.

    Args:
        mask: (H, W) int64.

    Returns:
        boxes: (M, 4) float32 xyxy pixels, right and bottom exclusive.
        classes: (M,) int64, 0-based, ascending.
    """
    counts = torch.bincount(mask.flatten(), minlength=256)  # several times faster than unique
    values = [int(v) for v in counts.nonzero() if v not in (0, IGNORE)]
    boxes = torch.zeros(len(values), 4)
    for row, value in enumerate(values):
        inside = mask == value
        ys, xs = inside.any(1).nonzero(), inside.any(0).nonzero()
        boxes[row] = torch.stack([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]).squeeze(1)
    return boxes, torch.tensor(values, dtype=torch.int64) - 1
