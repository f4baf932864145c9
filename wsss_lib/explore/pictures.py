"""Pictures of controls: small enough that several fit into a chapter."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from wsss_lib.figures.page import Array, png, style, to_numpy
from wsss_lib.figures.pictures import image_array, mask_outline, overlay

SIDE = 320
"""Pixels: the longer side of a picture of an image."""
WIDEST = 640
"""Pixels: the longest side of anything, which a figure with text needs."""
QUALITY = 60
"""Of WebP: seven tenths of the bytes of 80 (maps over critters), and to the eye the same."""

Picture = NDArray[np.uint8]
"""(H, W, 3) in 0..255."""


def picture(
    image: Array | None,
    map: Array | None = None,
    *,
    threshold: float | None = None,
    truth: Array | None = None,
    cmap: str = "viridis",
    scale: tuple[float, float] = (0.0, 1.0),
) -> Picture:
    """An image with a map, drawn as :func:`wsss_lib.figures.overlay` draws it, without margins.

    Args:
        image: (3, H, W) or (H, W) in [0, 1]; None draws the map alone.
        map: (h, w) on ``scale``; None draws the image alone.
        threshold: Where the map has a dashed contour.
        truth: (H, W) integers or booleans, outlined; 0 is background, 255 ignored.
        cmap: A perceptually uniform colour map; for a signed map ``"RdBu_r"`` with a symmetric scale.
        scale: Values at the two ends of the colour map.

    Returns:
        (H', W', 3) uint8, its longer side 320 pixels.
    """
    shape = to_numpy(map if image is None else image).shape[-2:]  # type: ignore[arg-type]
    height, width = (side / max(shape) * SIDE / 100 for side in shape)
    with style():
        fig = Figure(figsize=(width, height), dpi=100)
        fig.set_layout_engine("none")
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
    overlay(ax, image, map, threshold=threshold, cmap=cmap, scale=scale)
    if truth is not None:
        mask_outline(ax, truth)
    ax.set(position=(0, 0, 1, 1), aspect="auto")
    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=100)
    return np.asarray(Image.open(buffer).convert("RGB"))


def as_picture(values: Any) -> Picture:
    """Whatever an author has at hand as (H, W, 3) uint8.

    Args:
        values: A matplotlib ``Figure``; an image (3, H, W) or (H, W) in [0, 1]; or a picture (H, W, 3) uint8.

    Raises:
        ValueError: Another shape, or values outside [0, 1].
    """
    if isinstance(values, Figure):
        return np.asarray(Image.open(io.BytesIO(png(values))).convert("RGB"))
    if isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3:
        return values
    if np.ndim(values) == 3 and np.shape(values)[0] != 3:
        raise ValueError(
            f"a picture has shape {tuple(np.shape(values))}: expected a figure, an image (3, H, W) in [0, 1] or a "
            "picture (H, W, 3) in uint8"
        )
    return np.round(image_array(values) * 255).astype(np.uint8)


def enlarged(picture: Picture) -> Picture:
    """A picture of 320 to 640 pixels: small ones enlarged here, so that every browser shows them alike."""
    height, width = picture.shape[:2]
    side = min(max(height, width, SIDE), WIDEST)
    if max(height, width) == side:
        return picture
    size = (round(width * side / max(height, width)), round(height * side / max(height, width)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def webp(picture: Picture, *, quality: int = QUALITY) -> str:
    """The picture as a data URI that needs no other file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=quality, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def packed(values: NDArray[np.uint8]) -> str:
    """Bytes for a ``data-`` attribute."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
