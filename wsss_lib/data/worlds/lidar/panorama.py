"""The camera: a panorama of the whole horizon, one ray a column, near objects before far ones.

Columns run from straight behind over the left side, ahead and the right side to behind again; rows run down from
``TOP`` degrees above the horizon, one degree each.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_lib.data.worlds.lidar.scene import BONNET, BONNET_HEIGHT, Floats, Objects, turned
from wsss_lib.data.worlds.random_numbers import grain

ROWS, COLUMNS = 24, 384
"""Size of the panorama in pixels."""
TOP = 4.0
"""Degrees above the horizon of the upper border; a row is one degree high."""
EYE = 1.6
"""Height of the camera above the ground, in metres."""
PAINTS = np.array(
    [
        [0.78, 0.16, 0.14],
        [0.13, 0.33, 0.62],
        [0.88, 0.88, 0.86],
        [0.20, 0.22, 0.25],
        [0.93, 0.70, 0.16],
        [0.22, 0.5, 0.3],
    ]
)
"""Colours of cars and of shirts."""
GLASS, TYRE, LAMP, TAIL = (0.24, 0.32, 0.40), (0.08, 0.08, 0.09), (1.0, 0.97, 0.72), (0.86, 0.05, 0.08)
SKIN, TROUSERS = (0.87, 0.68, 0.55), (0.18, 0.20, 0.30)
SKY_HIGH, SKY_LOW, GRASS, ROAD = (0.55, 0.74, 0.93), (0.86, 0.92, 0.97), (0.52, 0.62, 0.38), (0.50, 0.50, 0.52)


def column_of(azimuth: Tensor) -> Tensor:
    """Columns, in pixels from the left border, of directions in radians (0 ahead, π/2 to the left)."""
    return (torch.pi - azimuth) / (2 * torch.pi) * COLUMNS


def row_of(height: Tensor, distance: Tensor) -> Tensor:
    """Rows, in pixels from the upper border, of what is ``height`` metres above ground at a distance in metres."""
    return TOP - torch.rad2deg(torch.atan2(height - EYE, distance))


def paint(objects: Objects, keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The panoramas of N scenes.

    Args:
        objects: What stands in them.
        keys: (N,) of the scenes, for the grain.

    Returns:
        (N, 3, ROWS, COLUMNS) uint8.
    """
    azimuths = np.pi - (np.arange(COLUMNS) + 0.5) / COLUMNS * 2 * np.pi
    rise = np.tan(np.radians(TOP - (np.arange(ROWS) + 0.5)))[:, None]  # metres up for each metre ahead, (H, 1)
    picture = np.repeat(_ground(rise, azimuths)[None], len(keys), axis=0)  # (N, H, W, 3)
    depth, face, along = _hits(objects, azimuths)  # (N, M, W)
    order = np.where(np.isfinite(depth), -depth, np.inf).argsort(1)  # the farthest first, what is missed last
    rows = np.arange(len(keys))[:, None]
    columns = np.arange(COLUMNS)
    for k in range(depth.shape[1]):
        one = order[:, k]  # (N, W) which object comes next in this column
        at = depth[rows, one, columns]
        here, side, u = np.isfinite(at), face[rows, one, columns], along[rows, one, columns]
        at = np.where(here, at, 1.0)
        label, tall = objects.labels[rows, one], objects.boxes[rows, one, 5]
        v = (EYE + at[:, None] * rise) / tall[:, None]  # (N, H, W) height above ground, as a share of the object's
        u, side, label, here = u[:, None], side[:, None], label[:, None], here[:, None]
        bonnet = (label == 0) & (side >= 2) & (u > 1 - BONNET)
        seen = here & (v >= 0) & (v < np.where(bonnet, BONNET_HEIGHT, 1.0))
        body = PAINTS[(objects.paint[rows, one] * len(PAINTS)).astype(int)][:, None]  # (N, 1, W, 3)
        colour = np.where((label == 0)[..., None], _car(side, u, v, body), _person(v, body))
        haze = (at / 90)[:, None, :, None]  # at most a third: the dial ends at 25 m
        picture = np.where(seen[..., None], colour * (1 - haze) + np.array(SKY_LOW) * haze, picture)
    noisy = picture + 0.03 * grain(keys, ROWS, COLUMNS)[..., None]
    return np.moveaxis(np.round(noisy.clip(0, 1) * 255), -1, 1).astype(np.uint8)


def _ground(rise: Floats, azimuths: Floats) -> Floats:
    """Sky, grass and a road that runs ahead, (H, W, 3)."""
    sky = np.clip(rise / rise.max(), 0, 1)[..., None]
    above = np.array(SKY_HIGH) * sky + np.array(SKY_LOW) * (1 - sky)  # (H, 1, 3)
    reach = EYE / np.maximum(-rise, 1e-3)  # where a ray meets the ground, in metres
    aside = np.abs(reach * np.sin(azimuths))  # (H, W)
    road = (aside < 4)[..., None]
    line = (np.abs(aside - 3.6) < 0.15)[..., None]
    below = np.where(line, 0.9, np.where(road, np.array(ROAD), np.array(GRASS)))
    haze = np.minimum(reach / 90, 0.6)[..., None]
    below = below * (1 - haze) + np.array(SKY_LOW) * haze
    return np.where((rise >= 0)[..., None], above, below)


def _hits(objects: Objects, azimuths: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Where each column's ray enters each box: distance (∞: it does not), side (0 front, 1 rear, 2 left, 3 right) and
    place along that side in [0, 1], from rear to front or from right to left; (N, M, W) each."""
    boxes = objects.boxes
    origin = turned(-boxes[..., :2], -boxes[..., 6])[:, :, None]  # (N, M, 1, 2)
    angle = azimuths - boxes[..., 6, None]
    ray = np.stack([np.cos(angle), np.sin(angle)], -1)  # (N, M, W, 2)
    ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
    half = boxes[:, :, None, 3:5] / 2
    first, second = (-half - origin) / ray, (half - origin) / ray
    enter, leave = np.minimum(first, second), np.maximum(first, second)
    at = enter.max(-1)
    hit = (at < leave.min(-1)) & (at > 0) & objects.there[..., None]
    ends = enter[..., 0] > enter[..., 1]  # through the front or the rear
    face = np.where(ends, np.where(ray[..., 0] < 0, 0, 1), np.where(ray[..., 1] < 0, 2, 3))
    place = (origin + at[..., None] * ray) / half  # from -1 to 1
    along = (np.where(ends, place[..., 1], place[..., 0]) + 1) / 2
    return np.where(hit, at, np.inf), face, along


def _car(side: NDArray[np.int64], u: Floats, v: Floats, body: Floats) -> Floats:
    """Colour of a car at a place of a side: glass above, lamps in front and at the rear, wheels at the flanks."""
    ends = side < 2
    colour = body * np.where(ends, 1.0, 0.82)[..., None]
    margin = np.abs(2 * u - 1)
    glass = (v > 0.6) & (v < 0.92) & np.where(ends, margin < 0.85, (u > 0.08) & (u < 0.68) & (np.abs(u - 0.4) > 0.02))
    wheel = ~ends & (v < 0.3) & ((np.abs(u - 0.2) < 0.09) | (np.abs(u - 0.82) < 0.09))
    lamp = ends & (v > 0.3) & (v < 0.55) & (margin > 0.5)
    colour = np.where(glass[..., None], np.array(GLASS), colour)
    colour = np.where((wheel | (v < 0.12))[..., None], np.array(TYRE), colour)
    lamps = np.where((side == 0)[..., None], np.array(LAMP), np.array(TAIL))
    return np.where(lamp[..., None], lamps, colour)


def _person(v: Floats, body: Floats) -> Floats:
    """Colour of a pedestrian at a height: head, shirt, trousers."""
    return np.where((v > 0.86)[..., None], np.array(SKIN), np.where((v > 0.48)[..., None], body, np.array(TROUSERS)))
