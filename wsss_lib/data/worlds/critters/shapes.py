"""Signed distances and textures: what the world is drawn with.

A signed distance is negative inside, positive outside, zero on the edge, in the units of its coordinates. Every
function takes coordinate arrays (N, H, W) and parameters that broadcast against them, (N, 1, 1).
"""

from __future__ import annotations

import numpy as np

from wsss_lib.data.worlds.random_numbers import Floats


def ellipse(u: Floats, v: Floats, cx: Floats, cy: Floats, a: Floats, b: Floats) -> Floats:
    """Distance to an axis-parallel ellipse, to first order: exact on the edge, as anti-aliasing needs."""
    x, y = (u - cx) / a, (v - cy) / b
    level = np.sqrt(x * x + y * y)
    slope = np.sqrt((x / a) ** 2 + (y / b) ** 2)
    return level * (level - 1) / (slope + np.float32(1e-6))


def capsule(
    u: Floats, v: Floats, start: tuple[Floats, Floats], end: tuple[Floats, Floats], r0: Floats, r1: Floats
) -> Floats:
    """Distance to a line segment thickened by a radius that runs from ``r0`` at its start to ``r1`` at its end."""
    x, y = u - start[0], v - start[1]
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + np.float32(1e-9)), 0, 1)
    x = x - along * dx
    y = y - along * dy
    return np.sqrt(x * x + y * y) - (r0 + along * (r1 - r0))


def blend(d0: Floats, d1: Floats, radius: float) -> Floats:
    """Union with a rounded joint (polynomial smooth minimum, Quilez): a neck grows out of a body."""
    k = np.float32(radius)
    h = np.maximum(k - np.abs(d0 - d1), 0)
    return np.minimum(d0, d1) - h * h * (np.float32(0.25) / k)


def coverage(distance: Floats, pixel: Floats | np.float32) -> Floats:
    """Share of each pixel that lies inside, in [0, 1]: the edge is one pixel wide."""
    return np.clip(np.float32(0.5) - distance / pixel, 0, 1)


def wave(x: Floats) -> Floats:
    """Triangle wave of period 1, in [0, 1], 1 at the integers."""
    return np.abs((x - np.floor(x)) * 2 - 1)


def step(x: Floats, edge: float, width: float) -> Floats:
    """0 below ``edge - width``, 1 above ``edge + width``, linear between."""
    return np.clip((x - np.float32(edge - width)) * np.float32(0.5 / width), 0, 1)


def turn(angle: Floats) -> tuple[Floats, Floats]:
    """(cos, sin) of angles in about [-1, 1] rad, by polynomials: error < 3e-4, and the same bits everywhere."""
    s = angle * angle
    return 1 - s * (np.float32(0.5) - s * np.float32(1 / 24)), angle * (
        1 - s * (np.float32(1 / 6) - s * np.float32(1 / 120))
    )


def value_noise(lattice: Floats, height: int, width: int) -> Floats:
    """Smooth noise: values on a coarse lattice, interpolated with a smoothstep.

    Args:
        lattice: (N, g, k) values in [0, 1]: g rows and k columns of corners.
        height, width: Size of the result.

    Returns:
        (N, height, width) in [0, 1].
    """

    def positions(length: int, cells: int) -> tuple[np.ndarray, Floats]:
        x = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(cells) / np.float32(length)
        low = np.minimum(np.floor(x).astype(np.int64), cells - 1)
        t = x - low.astype(np.float32)
        return low, t * t * (3 - 2 * t)

    y, ty = positions(height, lattice.shape[1] - 1)
    x, tx = positions(width, lattice.shape[2] - 1)
    rows = lattice[:, y] + (lattice[:, y + 1] - lattice[:, y]) * ty[None, :, None]
    left = rows[:, :, x]
    return left + (rows[:, :, x + 1] - left) * tx[None, None]
