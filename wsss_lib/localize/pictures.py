"""A result as pictures: the map as grey PNG, the overlay with contour and boxes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from wsss_lib import figures, maps
from wsss_lib.files import write_atomically
from wsss_lib.localize.names import marked
from wsss_lib.localize.photos import size_within, to_tensor

LONGEST_OVERLAY = 1200
"""Pixels of the longer side of the photo inside an overlay; the map and the boxes keep the photo's own size."""


def save_map(map: Tensor, path: Path) -> None:
    """Write a map (H, W) in [0, 1] as a grey PNG of 16 bits: value = round(65535 · map)."""
    buffer = io.BytesIO()
    Image.fromarray((map.numpy() * 65535).round().astype(np.uint16)).save(buffer, format="PNG")
    write_atomically(path, marked(buffer.getvalue()))


def save_overlay(
    photo: Image.Image, map: Tensor, entry: dict[str, Any], method: str, threshold: float, path: Path
) -> str:
    """Draw the map over the greyed photo, dashed contour at the threshold, boxes; return its alternative text."""
    height, width = size_within(photo.height, photo.width, LONGEST_OVERLAY)
    image = to_tensor(photo, (height, width))[0]  # (3, h, w)
    name = "what stands out" if entry["index"] is None else entry["class"]
    score = "" if entry["score"] is None else f", probability {entry['score']:.2f}"
    drawn_height = min(max(figures.WIDTH * height / width, 1.5), 2 * figures.WIDTH)  # inches; thin strips stay legible
    fig, ax = figures.canvas(size=(figures.WIDTH, drawn_height + 1.2))
    drawn = figures.overlay(
        ax,
        image,
        maps.resize(map[None, None], (height, width))[0, 0],
        threshold=threshold,
        title=figures.plain(f"{name}{score} ({method})"),
    )
    scale = np.array([width / photo.width, height / photo.height] * 2)
    figures.boxes(ax, np.array(entry["boxes"], dtype=float).reshape(-1, 4) * scale, predicted=True)
    figures.colourbar(fig, ax, drawn, label="share of the map's maximum", threshold=threshold)
    write_atomically(path, marked(figures.png(fig, dpi=150)))
    where = "; ".join(f"from ({x0}, {y0}) to ({x1}, {y1})" for x0, y0, x1, y1 in entry["boxes"]) or "nowhere"
    return (
        f"{method} map of {name}{score} over the photo in grey; {entry['coverage']:.0%} of the pixels exceed the "
        f"threshold {threshold:g}, boxes in pixels: {where}."
    )
