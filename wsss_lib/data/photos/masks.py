"""Images and masks between bytes and tensors, and boxes from masks.

Data sets store a mask in three ways: as indices (VOC's own palette PNG), as the *colours* of that palette (many
conversions open the PNG and save what they see), or as numbered segments (COCO's panoptic files). Everything here ends
in indices: 0 background, k + 1 for class k, 255 for pixels that nobody should count (VOC's border).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wsss_lib.data.records import IGNORE


def image_tensor(content: bytes) -> Tensor:
    """Decode an image file.

    Pixels are taken as stored: no EXIF rotation, because masks and boxes were drawn on the pixels as stored.

    Args:
        content: The file, in any format that Pillow reads.

    Returns:
        (3, H, W) float32 in [0, 1].
    """
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)  # (H, W, 3) -> (3, H, W)


def mask_array(content: bytes) -> NDArray[np.uint8]:
    """Decode a mask file to indices.

    Args:
        content: A PNG of mode ``P`` or ``L`` (indices), or ``RGB``/``RGBA`` in the colours of VOC's palette.

    Returns:
        (H, W) uint8 indices.

    Raises:
        ValueError: A colour is not in the palette.
    """
    with Image.open(io.BytesIO(content)) as image:
        if image.mode in ("P", "L", "1"):
            return np.array(image, dtype=np.uint8)
        if image.mode in ("RGB", "RGBA"):
            return from_colours(np.array(image.convert("RGB")))
        if image.mode.startswith("I"):
            values = np.array(image)
            if values.min() < 0 or values.max() > IGNORE:
                raise ValueError(
                    f"the mask holds values from {values.min()} to {values.max()}; expected 0 to 255: "
                    "save it as 8-bit indices"
                )
            return values.astype(np.uint8)
    raise ValueError(f"a mask of Pillow mode {image.mode!r} cannot be read: save it as a palette or greyscale PNG")


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
    seen = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return [int(value) - 1 for value in seen if value not in (0, IGNORE)]


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


def content(value: Any) -> bytes:
    """The bytes of an image cell of a table, however it was stored.

    Args:
        value: ``bytes``, or the mapping ``{"bytes": …, "path": …}`` of a ``datasets`` image column.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The cell only names a file.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        return bytes(value["bytes"])
    name = value.get("path") if isinstance(value, Mapping) else value
    raise ValueError(
        f"an image cell holds no bytes (path {name!r}): write the table with the images embedded, "
        "for example with Dataset.to_parquet"
    )
