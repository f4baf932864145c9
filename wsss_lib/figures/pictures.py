"""Images with what a method says about them: maps, masks and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch.nn import functional as F

from wsss_lib.data.fields import IGNORE
from wsss_lib.figures.lettering import plain
from wsss_lib.figures.page import Array, style, to_numpy

TRUTH: tuple[str, Any] = ("#FFFFFF", "solid")
PREDICTION: tuple[str, Any] = ("#FFB000", (0, (3.5, 1.6)))
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: what a colour weighs in grey


def overlay(
    ax: Axes,
    image: Array | None,
    map: Array | None = None,
    *,
    threshold: float | None = None,
    title: str | None = None,
    alpha: float = 0.6,
    cmap: str = "viridis",
    scale: tuple[float, float] = (0.0, 1.0),
) -> AxesImage:
    """Draw an image, or a map over the greyed image, with a dashed contour where the map crosses the threshold.

    Args:
        ax: Where.
        image: (3, H, W) or (H, W) in [0, 1], before any normalisation; None draws the map alone.
        map: (h, w) on ``scale``; enlarged to the image bilinearly, as it is before it becomes a mask. None draws the
            image alone, in colour.
        threshold: Value of the contour.
        title: Above the axes.
        alpha: Weight of the map's colours against the image's grey.
        cmap: A perceptually uniform colour map; for a signed map ``"RdBu_r"`` with a symmetric scale.
        scale: Values at the two ends of the colour map. Leave it, unless the figure is about unnormalised maps; then
            give all its panels the same.

    Returns:
        What :func:`colourbar` takes.

    Raises:
        ValueError: Wrong shape, values outside the range, or neither image nor map.
    """
    if image is None and map is None:
        raise ValueError("nothing to draw: pass an image, a map, or both")
    picture = None if image is None else image_array(image)
    heat = None if map is None else map_array(map, scale)
    if heat is not None and picture is not None:
        heat = resize(heat, picture.shape[0], picture.shape[1])
    height, width = (heat if picture is None else picture).shape[:2]  # type: ignore[union-attr]
    extent = (0.0, width, height, 0.0)  # pixel edges: a box (0, 0, W, H) frames the image
    with style():
        if picture is not None:
            under = picture if heat is None else np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
            drawn = ax.imshow(under, extent=extent)
        if heat is not None:
            weight = 1.0 if picture is None else alpha
            drawn = ax.imshow(heat, cmap=cmap, vmin=scale[0], vmax=scale[1], alpha=weight, extent=extent)
            if threshold is not None:
                contour(ax, heat, threshold, *PREDICTION)
        ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        if title is not None:
            ax.set_title(title)
    return drawn


def mask_outline(ax: Axes, mask: Array, *, predicted: bool = False) -> None:
    """Outline each class of a mask: solid for the truth, dashed for a prediction, dotted around ignored pixels.

    Args:
        ax: Axes that already show the image (drawn by :func:`overlay`).
        mask: (H, W) integers or booleans: 0 background, 255 ignore.
        predicted: Dashed instead of solid.

    Raises:
        ValueError: Not (H, W).
    """
    values = plane(mask, "mask")
    colour, dashes = PREDICTION if predicted else TRUTH
    with style():
        for value in np.unique(values[values != 0]):
            contour(ax, (values == value).astype(np.float32), 0.5, colour, (0, (1, 1.5)) if value == IGNORE else dashes)


def boxes(ax: Axes, boxes: Array, *, predicted: bool = False, labels: Sequence[str] | None = None) -> None:
    """Draw boxes: solid for the truth, dashed for a prediction.

    Args:
        ax: Axes that already show the image (drawn by :func:`overlay`).
        boxes: (M, 4) or (4,) xyxy pixels, right and bottom exclusive; M may be 0.
        predicted: Dashed instead of solid.
        labels: One short text per box, written inside its upper left corner.

    Raises:
        ValueError: Not (M, 4), or not one label per box.
    """
    corners = to_numpy(boxes)
    corners = corners.reshape(-1, 4) if corners.ndim <= 1 and corners.size in (0, 4) else corners
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ValueError(f"boxes have shape {corners.shape}: expected (M, 4), each row x0, y0, x1, y1 in pixels")
    if labels is not None and len(labels) != len(corners):
        raise ValueError(f"{len(labels)} labels for {len(corners)} boxes: pass one label per box")
    colour, dashes = PREDICTION if predicted else TRUTH
    with style():
        for index, (x0, y0, x1, y1) in enumerate(corners):
            frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linestyle=dashes, linewidth=2)
            frame.set_path_effects(casing(4))
            ax.add_patch(frame)
            if labels is not None:
                ground = {"facecolor": "#1A1A1A", "edgecolor": "none", "pad": 2}
                corner = ax.annotate(
                    plain(labels[index]), (x0, y0), (4, -4), textcoords="offset points", va="top", bbox=ground
                )
                corner.set(color=colour, annotation_clip=True)


def colourbar(
    fig: Figure,
    axes: Any,
    drawn: AxesImage | None = None,
    *,
    label: str = "map",
    threshold: float | None = None,
    truth: bool = False,
) -> Colorbar:
    """One scale below the axes, with the threshold in use marked on it.

    Args:
        fig: The figure.
        axes: The axes that share the scale.
        drawn: What :func:`overlay` returned; default viridis from 0 to 1.
        label: What the colours mean.
        threshold: Marked by a dashed line.
        truth: Whether the figure has true outlines, for the key beneath the scale.
    """
    with style():
        norm, cmap = (drawn.norm, drawn.cmap) if drawn is not None else (Normalize(0, 1), "viridis")
        bar = fig.colorbar(ScalarMappable(norm, cmap), ax=axes, location="bottom", aspect=40, shrink=0.8, pad=0.03)
        bar.outline.set_visible(False)
        if threshold is not None:
            line = bar.ax.axvline(threshold, color=PREDICTION[0], linestyle=(0, (2, 1)), linewidth=2)
            line.set_path_effects(casing(4))
        key = [] if threshold is None else [f"dashed: threshold {threshold:.2f}"]
        key += ["solid: true outline"] if truth else []
        bar.set_label("\n".join([label, ", ".join(key)]).strip())
    return bar


def contour(ax: Axes, values: NDArray[Any], level: float, colour: str, dashes: Any) -> None:
    if not (values > level).any():
        return
    height, width = values.shape
    # A frame of lower values closes the line where a region touches the image's edge.
    framed = np.pad(values, 1, constant_values=min(values.min(), level) - 1e-3)
    x, y = np.arange(-1, width + 1) + 0.5, np.arange(-1, height + 1) + 0.5
    x, y = x.clip(0.3, width - 0.3), y.clip(0.3, height - 0.3)
    lines = ax.contour(x, y, framed, levels=[level], colors=[colour], linewidths=1.6)
    lines.set(linestyle=[dashes], path_effects=casing(3.2))


def casing(width: float) -> list[patheffects.AbstractPathEffect]:
    """A dark edge around a bright line, so that it shows on any image."""
    return [patheffects.Stroke(linewidth=width, foreground="#1A1A1A"), patheffects.Normal()]


def image_array(image: Array) -> NDArray[Any]:
    """(3, H, W) or (H, W) in [0, 1] as (H, W, 3)."""
    array = to_numpy(image)
    if array.ndim == 2:
        array = np.repeat(array[None], 3, axis=0)
    if array.ndim != 3 or array.shape[0] != 3:
        raise ValueError(f"image has shape {array.shape}: expected (3, H, W) or (H, W)")
    return checked(array, (0.0, 1.0), "image", "pass it as it was before normalisation").transpose(1, 2, 0)


def map_array(map: Array, scale: tuple[float, float]) -> NDArray[Any]:
    return checked(plane(map, "map"), scale, "map", "normalise it first (wsss_lib.maps.normalise) or pass scale=")


def plane(values: Array, name: str) -> NDArray[Any]:
    array = to_numpy(values)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}: expected (H, W), one class of one image")
    return array


def checked(array: NDArray[Any], scale: tuple[float, float], name: str, way_out: str) -> NDArray[Any]:
    low, high = float(array.min()), float(array.max())
    slack = 1e-4 * (scale[1] - scale[0])
    if not (low >= scale[0] - slack and high <= scale[1] + slack):  # `not` also catches NaN
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}, expected {scale[0]:g} to {scale[1]:g}: {way_out}"
        )
    # Single precision as in the library, where 0.3 is not above 0.3; a float64 copy of it would be.
    return array.astype(np.float32).clip(*scale)


def resize(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    if values.shape == (height, width):
        return values
    plane = torch.from_numpy(values)[None, None]  # (1, 1, h, w)
    return F.interpolate(plane, size=(height, width), mode="bilinear", align_corners=False)[0, 0].numpy()
