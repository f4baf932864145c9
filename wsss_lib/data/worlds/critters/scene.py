"""From dials to pictures: lays out each scene, paints it back to front, and keeps account of what is visible."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_lib.data.worlds.critters.animal import paint
from wsss_lib.data.worlds.critters.layout import Layer, lay_out
from wsss_lib.data.worlds.critters.scenery import HABITATS, Window, background, bush, companion, ground_colour, scatter
from wsss_lib.data.worlds.critters.shapes import ellipse, turn
from wsss_lib.data.worlds.critters.species import COATS, COMPANIONS, PATTERNS, SPECIES
from wsss_lib.data.worlds.critters.world import World
from wsss_lib.data.worlds.random_numbers import Draws, Floats, grain, image_keys

# Pixels of the images drawn together: with smaller planes, two threads wait for each other more than they draw.
_PIXELS = 2_000_000
_HABITAT_NAMES = tuple(HABITATS)
_MIN_VISIBLE = 0.12  # share of a critter that must be seen for it to count as being in the image


@dataclass
class Scenes:
    """Pictures and everything that is true of them.

    Attributes:
        images: (N, 3, S, S) uint8.
        masks: (N, S, S) uint8, 0 background, k + 1 for class k; what is visible, pixel by pixel.
        parts: (N, S, S) uint8, 0 none, 1 body, 2 head.
        instances: (N, S, S) uint8, 0 none, i + 1 for the i-th entry of the image's ``objects``.
        labels: (N, K) float32 multi-hot.
        objects: One list an image, an entry a visible critter: species, class, box (xyxy pixels, right and bottom
            exclusive), centre (x, y in image sides), extent (image sides), facing, coat, pattern, habitat, companion,
            visible share.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    labels: Floats
    objects: list[list[dict[str, Any]]]


Layout = Callable[[World, Draws, Floats], list[Layer]]
"""From dials, draws and horizons (N,) to who stands where."""


def render(
    world: World,
    split: str = "train",
    indices: NDArray[np.int64] | range = range(16),
    workers: int = 2,
    layout: Layout = lay_out,
) -> Scenes:
    """Draw images of the world.

    Args:
        world: The dials.
        split: Name of the split; part of each image's key.
        indices: Positions in the split. An image depends on its own position only, not on its neighbours.
        workers: Threads; the result does not depend on it.
        layout: Says who stands where; other worlds of critters bring one of their own.

    Returns:
        The scenes, in the order of ``indices``.
    """
    where = np.asarray(indices, dtype=np.int64)
    keys = image_keys(world.seed, split, where)
    together = max(8, _PIXELS // world.size**2)
    chunks = [keys[i : i + together] for i in range(0, len(keys), together)]
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        drawn = list(pool.map(lambda k: _draw(world, k, layout), chunks))
    if not drawn:
        raise ValueError("no indices to draw: pass at least one position")
    joined: dict[str, Any] = {}
    for field in fields(Scenes):
        parts = [getattr(scene, field.name) for scene in drawn]
        joined[field.name] = [o for p in parts for o in p] if field.name == "objects" else np.concatenate(parts)
    return Scenes(**joined)


def _draw(world: World, keys: NDArray[np.uint64], layout: Layout) -> Scenes:
    size, n = world.size, len(keys)
    draws = Draws(keys)
    habitat = draws.integers("habitat", count=len(HABITATS))
    horizon = draws.uniform("horizon", low=0.22, high=0.45)
    image = background(draws, habitat, horizon, size)
    scatter(image, draws, habitat, horizon, world.clutter)
    layers = layout(world, draws, horizon)
    for j, layer in enumerate(layers):
        side = draws.child(f"companion {j}").uniform("side", low=-0.42, high=0.42)
        foot = layer.foot - np.float32(0.05 * world.companion_size)
        where = layer.cx + side, foot
        companion(image, COMPANIONS, layer.companion, layer.with_companion, *where, world.companion_size)

    owner = np.zeros((n, size, size), np.uint8)  # which layer is seen at each pixel, 0 none
    parts = np.zeros((n, size, size), np.uint8)
    full = np.zeros((n, len(layers)), np.int64)
    # Painter's order per image: the r-th to be painted is the r-th from the back.
    order = np.argsort(np.stack([layer.foot for layer in layers], 1), axis=1, kind="stable")
    for rank in range(len(layers)):
        for j, layer in enumerate(layers):
            turn_now = (order[:, rank] == j) & layer.present
            rows = np.flatnonzero(turn_now)
            if len(rows):
                _add(world, image, owner, parts, full, j, layer, rows, habitat, draws)
    visible = np.stack([(owner == j + 1).sum((1, 2)) for j in range(len(layers))], 1)
    kept = np.stack([layer.present for layer in layers], 1) & (visible >= np.maximum(_MIN_VISIBLE * full, 4))

    gain = draws.uniform("light", low=0.90, high=1.08)[:, None, None, None]
    image = image * gain + (grain(keys, size, size) * np.float32(0.030))[:, None]
    pixels = (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return _account(world, layers, owner, parts, kept, full, visible, habitat, pixels)


def _add(
    world: World, image: Floats, owner: NDArray[np.uint8], parts: NDArray[np.uint8], full: NDArray[np.int64], j: int,
    layer: Layer, rows: NDArray[np.int64], habitat: NDArray[np.int64], draws: Draws,
) -> None:  # fmt: skip
    """Paint layer ``j`` of the images ``rows`` over what is there: shadow, critter, and the bush before it."""
    tilt = draws.child(f"tilt {j}").uniform("angle", low=-0.10, high=0.10)
    # Critters of about one size share a window: it need be no larger than the largest of them.
    by_size = rows[np.argsort(layer.extent[rows], kind="stable")]
    for group in np.array_split(by_size, min(4, len(rows))):
        _shade(image, layer, group)
        window = layer.room(group, world.size)
        x, y = _positions(window, world.size)
        unit = layer.unit[group, None, None]
        dx, dy = (x - layer.cx[group, None, None]) * layer.facing[group, None, None], y - layer.cy[group, None, None]
        c, s = turn(tilt[group, None, None])
        u = ((dx * c + dy * s) / unit).astype(np.float32, copy=False)
        v = ((dy * c - dx * s) / unit).astype(np.float32, copy=False)
        look = layer.look.take(group)
        pixel = np.float32(1 / world.size) / unit
        done = paint(u, v, look, pixel, 0.65 * world.contrast, ground_colour(habitat[group]), world.contrast)
        window.lay(image, done.colour, done.alpha)
        inside = np.minimum(done.body, done.head) < 0
        full[group, j] = inside.sum((1, 2))
        at = window.rows, window.lines, window.columns
        owner[at] = np.where(inside, j + 1, owner[at])
        parts[at] = np.where(done.head < 0, 2, np.where(inside, 1, parts[at]))
    if world.occlusion > 0:
        d = draws.child(f"bush {j}")
        side = d.uniform("place", low=-0.35, high=0.35)[rows]
        span = layer.extent[rows]
        scene, hidden = image[rows], np.zeros((len(rows), world.size, world.size), np.float32)
        bush(
            scene, hidden, d.take(rows), habitat[rows],
            layer.cx[rows] + side * span, (layer.cy[rows] + layer.foot[rows]) * np.float32(0.5),
            span * np.float32(world.occlusion * 0.5),
        )  # fmt: skip
        image[rows] = scene
        owner[rows] = np.where(hidden > 0.5, 0, owner[rows])
        parts[rows] = np.where(hidden > 0.5, 0, parts[rows])


def _positions(window: Window, size: int) -> tuple[Floats, Floats]:
    """Where the pixels of a window are, in image sides: (R, 1, w) and (R, h, 1)."""
    grid = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)).astype(np.float32)
    return grid[window.columns], grid[window.lines]


def _shade(image: Floats, layer: Layer, rows: NDArray[np.int64]) -> None:
    """Darken the ground under the critters, in place."""
    reach = layer.look.body[rows, 0] * layer.unit[rows]
    r = reach[:, None, None]
    # The penumbra ends where the distance is 0.11 reach, at most 1.6 reach to the side and 0.34 above and below.
    window = Window(rows, layer.cx[rows], layer.foot[rows], (1.6 * reach.max(), 0.34 * reach.max()), image.shape[-1])
    x, y = _positions(window, image.shape[-1])
    cx, foot = layer.cx[rows, None, None], layer.foot[rows, None, None]
    distance = ellipse(x, y, cx, foot, r * np.float32(1.25), r * np.float32(0.22))
    dark = np.clip(np.float32(0.5) - distance / (r * np.float32(0.22)), 0, 1) * np.float32(0.38)
    for channel in range(3):
        image[window.rows, channel, window.lines, window.columns] *= 1 - dark


def _account(
    world: World, layers: list[Layer], owner: NDArray[np.uint8], parts: NDArray[np.uint8], kept: NDArray[np.bool_],
    full: NDArray[np.int64], visible: NDArray[np.int64], habitat: NDArray[np.int64], pixels: NDArray[np.uint8],
) -> Scenes:  # fmt: skip
    """Masks, boxes, labels and attributes of what can be seen."""
    n, size = len(owner), world.size
    labels = np.zeros((n, len(world.species)), np.float32)
    rank = np.cumsum(kept, 1) * kept  # 1-based position among the kept ones, 0 for the others
    every = np.arange(n)
    instances = np.zeros_like(owner)
    masks = np.zeros_like(owner)
    boxes = np.zeros((n, len(layers), 4), np.int64)
    for j, layer in enumerate(layers):
        here = (owner == j + 1) & kept[:, j, None, None]
        instances = np.where(here, rank[:, j, None, None], instances).astype(np.uint8)
        masks = np.where(here, (layer.species + 1)[:, None, None], masks).astype(np.uint8)
        labels[every[kept[:, j]], layer.species[kept[:, j]]] = 1
        columns, lines = here.any(1), here.any(2)
        boxes[:, j] = np.stack(
            [columns.argmax(1), lines.argmax(1), size - columns[:, ::-1].argmax(1), size - lines[:, ::-1].argmax(1)], 1
        )
    parts = np.where(masks > 0, parts, 0).astype(np.uint8)
    objects: list[list[dict[str, Any]]] = []
    for i in range(n):
        entries = []
        for j, layer in enumerate(layers):
            if not kept[i, j]:
                continue
            left, top, right, bottom = (int(b) for b in boxes[i, j])
            entries.append(
                {
                    "species": world.species[layer.species[i]],
                    "class": int(layer.species[i]),
                    "box": [left, top, right, bottom],
                    "centre": [(left + right) / 2 / size, (top + bottom) / 2 / size],
                    "extent": max(right - left, bottom - top) / size,
                    "facing": "right" if layer.facing[i] > 0 else "left",
                    "coat": list(COATS)[layer.coat[i]],
                    "pattern": PATTERNS[int(layer.look.pattern[i].argmax())],
                    "habitat": _HABITAT_NAMES[habitat[i]],
                    "companion": COMPANIONS[layer.companion[i]] if layer.with_companion[i] else None,
                    "visible": round(int(visible[i, j]) / max(1, int(full[i, j])), 3),
                }
            )
        objects.append(entries)
    return Scenes(pixels, masks, parts, instances, labels, objects)


__all__ = ["SPECIES", "Scenes", "render"]
