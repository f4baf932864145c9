"""Many images at once, with their maps and a text that tells what the maps cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsss_lib.data.fields import IGNORE
from wsss_lib.figures.lettering import plain
from wsss_lib.figures.page import WIDTH, Array, canvas
from wsss_lib.figures.pictures import colourbar, image_array, map_array, mask_outline, overlay, plane, resize


def gallery(
    images: Array,
    maps: Array | Mapping[str, Array] | None = None,
    masks: Array | None = None,
    *,
    titles: Sequence[str] | None = None,
    threshold: float | Mapping[str, float] | None = None,
    columns: int = 4,
    label: str = "map",
) -> tuple[Figure, str]:
    """A grid of images with their maps, the contour at the threshold, the true outlines and one colour scale.

    Args:
        images: (N, 3, H, W) in [0, 1], or a sequence of (3, H, W).
        maps: (N, h, w) in [0, 1], one panel an image; or ``{"CAM": …, "Grad-CAM": …}``: one row an image, first the
            image alone, then a column a method.
        masks: (N, H, W), true masks, outlined.
        titles: One an image: above the panel, or beside the row.
        threshold: Of the contour; one for all, or one a method.
        columns: Panels a row, where ``maps`` is not a mapping.
        label: What the colours mean.

    Returns:
        The figure, and a text that tells for each map which share of the image lies above the threshold and its
        overlap (IoU) with the mask.

    Raises:
        ValueError: Counts that do not agree, or no image.
    """
    count, several = len(images), isinstance(maps, Mapping)
    methods: dict[str, Any] = dict(maps) if isinstance(maps, Mapping) else {label: maps} if maps is not None else {}
    given: dict[str, Any] = {"masks": masks, "titles": titles, **methods}
    uneven = {name: len(value) for name, value in given.items() if value is not None and len(value) != count}
    if count == 0 or uneven:
        raise ValueError(f"{count} images and {uneven or 'no more'}: pass the same number of each, at least one")
    columns = len(methods) + 1 if several else min(columns, count)
    rows = count if several else -(-count // columns)
    height, width = image_array(images[0]).shape[:2]
    heads = 0.3 * (several + (0 if several or titles is None else rows))
    beside = 0.3 * (several and titles is not None)
    panel = min((WIDTH - beside) / columns, 3.2)  # inches; a single panel is narrower than its colour scale's text
    keys = 0.2 * (threshold is not None or masks is not None)
    size = (max(4.5, panel * columns + beside), panel * height / width * rows + heads + (0.7 + keys) * bool(methods))
    fig, axes = canvas(rows, columns, size=size)
    grid = np.array(axes, dtype=object).reshape(rows, columns)
    names = [str(t) for t in titles] if titles is not None else [f"image {i + 1}" for i in range(count)]
    facts: list[str] = []
    for index in range(count):
        head = None if several or titles is None else plain(names[index])
        panels = list(zip(grid[index, 1:] if several else [grid.flat[index]], methods or [""], strict=True))
        if several:
            _panel(grid[index, 0], images[index], None, masks, index, None, "image" if index == 0 else None)
            if titles is not None:
                grid[index, 0].set_ylabel(plain(names[index]))
        for ax, method in panels:
            heat = methods[method][index] if methods else None
            cut = threshold.get(method) if isinstance(threshold, Mapping) else threshold
            _panel(ax, images[index], heat, masks, index, cut, method if several and index == 0 else head)
            if heat is not None and cut is not None:
                who = f"{names[index]}, {method}" if several else names[index]
                facts.append(f"{who}: {_covered(heat, cut, images[index], masks, index)}.")
    for ax in [] if several else grid.flat[count:]:
        ax.set_axis_off()
    if methods:
        common, words = (
            (None, f"{label} (dashed: the threshold of each method)")
            if isinstance(threshold, Mapping)
            else (threshold, label)
        )
        colourbar(fig, list(grid.flat), label=words, threshold=common, truth=masks is not None)
    return fig, _gallery_text(count, list(methods) if several else [], label, bool(methods), masks is not None, facts)


def _panel(
    ax: Axes, image: Array, heat: Array | None, masks: Any, index: int, threshold: float | None, title: str | None
) -> None:
    overlay(ax, image, heat, threshold=threshold, title=title)
    if masks is not None:
        mask_outline(ax, masks[index])


def _gallery_text(
    count: int, methods: list[str], label: str, maps: bool, masks: bool, facts: list[str], most: int = 8
) -> str:
    what = f"{count} image{'s' * (count > 1)}"
    if methods:
        what += f", each beside its maps by {', '.join(methods)}"
    elif maps:
        what += f", each under its {label}"
    what += ", with the true outlines" if masks else ""
    rest = f" And {len(facts) - most} more." if len(facts) > most else ""
    return f"Gallery of {what}." + "".join(f" {fact[0].upper()}{fact[1:]}" for fact in facts[:most]) + rest


def _covered(heat: Array, threshold: float, image: Array, masks: Any, index: int) -> str:
    height, width = image_array(image).shape[:2]
    above = resize(map_array(heat, (0.0, 1.0)), height, width) > threshold
    text = f"{above.mean():.0%} of the image above the threshold"
    if masks is None:
        return text
    mask = plane(masks[index], "mask")
    counted, true = mask != IGNORE, (mask > 0) & (mask != IGNORE)
    union = ((above | true) & counted).sum()
    return f"{text}, IoU {(above & true).sum() / union:.2f}" if union else f"{text}, no object"
