"""Habitats, clutter, companions and occluders: all that is in the picture and is not a critter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsss_lib.data.worlds.critters.shapes import capsule, coverage, ellipse, step, value_noise, wave
from wsss_lib.data.worlds.random_numbers import Draws, Floats

HABITATS: dict[str, tuple[tuple[float, float, float], ...]] = {
    # sky above, sky at the horizon, ground far, ground near, tufts
    "meadow": ((0.53, 0.75, 0.92), (0.86, 0.93, 0.95), (0.62, 0.74, 0.44), (0.43, 0.60, 0.30), (0.30, 0.47, 0.22)),
    "desert": ((0.60, 0.78, 0.90), (0.98, 0.91, 0.76), (0.91, 0.79, 0.57), (0.82, 0.65, 0.42), (0.62, 0.55, 0.30)),
    "snow": ((0.62, 0.70, 0.84), (0.91, 0.92, 0.96), (0.93, 0.95, 0.98), (0.80, 0.86, 0.93), (0.52, 0.60, 0.66)),
    "forest": ((0.36, 0.50, 0.44), (0.66, 0.74, 0.60), (0.45, 0.44, 0.28), (0.34, 0.31, 0.21), (0.22, 0.34, 0.18)),
    "shore": ((0.47, 0.70, 0.86), (0.80, 0.90, 0.93), (0.55, 0.76, 0.80), (0.88, 0.80, 0.64), (0.55, 0.58, 0.38)),
    "heath": ((0.68, 0.66, 0.82), (0.95, 0.85, 0.82), (0.66, 0.56, 0.62), (0.50, 0.42, 0.46), (0.38, 0.30, 0.40)),
}
_PALETTE = np.array(list(HABITATS.values()), np.float32)  # (6, 5, 3)


def ground_colour(habitat: NDArray[np.int64]) -> Floats:
    """(N, 3) colour of the ground where the critters stand."""
    return _PALETTE[habitat, 3]


def background(draws: Draws, habitat: NDArray[np.int64], horizon: Floats, size: int) -> Floats:
    """Sky, hills and ground: (N, 3, size, size) in [0, 1]."""
    n = len(habitat)
    pal = _PALETTE[habitat]
    y = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size))[None, :, None]
    x = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size))[None, None, :]
    hz = horizon[:, None, None]
    coarse = value_noise(draws.uniform("ground coarse", 6, 6), size, size)
    fine = value_noise(draws.uniform("ground fine", 24, 24), size, size)
    phase = draws.uniform("hills", 2)
    hills = hz - np.float32(0.10) * wave(x * np.float32(0.9) + phase[:, 0, None, None]) * wave(
        x * np.float32(0.37) + phase[:, 1, None, None]
    )
    sky_t = np.clip(y / hz, 0, 1)
    ground_t = np.clip((y - hz) / (1 - hz), 0, 1)
    tone = np.float32(0.86) + np.float32(0.16) * coarse + np.float32(0.12) * fine
    puffs = value_noise(draws.uniform("clouds", 9, 6), size, size)
    cloud = step(
        coarse * np.float32(0.3)
        + puffs * np.float32(0.6)
        + fine * np.float32(0.1)
        + (np.float32(0.5) - sky_t) * np.float32(0.2),
        0.60,
        0.14,
    )
    is_hill = step(y - hills, 0.0, 0.01)
    is_ground = step(y - hz, 0.0, 0.006)
    image = np.empty((n, 3, size, size), np.float32)
    for c in range(3):
        top, low, far, near = (pal[:, i, c][:, None, None] for i in range(4))
        sky = top + (low - top) * sky_t
        sky = sky + (1 - sky) * cloud * np.float32(0.45)
        hill = (far * np.float32(0.55) + low * np.float32(0.45)) * (np.float32(0.93) + np.float32(0.1) * fine)
        ground = (far + (near - far) * np.minimum(ground_t * np.float32(1.6), 1)) * tone
        plane = sky + (hill - sky) * is_hill
        image[:, c] = plane + (ground - plane) * is_ground
    return image


class Window:
    """A patch in each of some images, so that a small thing costs its own area and not the whole picture's."""

    def __init__(
        self, rows: NDArray[np.int64], cx: Floats, cy: Floats, reach: float | tuple[float, float], size: int
    ) -> None:
        """Windows around (cx, cy), each (R,), in the images ``rows`` (R,), pushed inside where they would stick out.

        ``reach`` is half their width and height in image sides: one number for a square, or (horizontal, vertical).
        """
        across, down = reach if isinstance(reach, tuple) else (reach, reach)

        def cells(centre: Floats, half: float) -> NDArray[np.int64]:
            side = min(size, int(2 * half * size) + 3)
            first = np.clip(np.floor(centre * size - side / 2), 0, size - side).astype(np.int64)
            return first[:, None] + np.arange(side)

        self.rows = rows[:, None, None]
        self.lines = cells(cy, down)[:, :, None]
        self.columns = cells(cx, across)[:, None, :]
        scale = np.float32(1 / size)
        self.x: Floats = (self.columns.astype(np.float32) + np.float32(0.5)) * scale - cx[:, None, None]
        self.y: Floats = (self.lines.astype(np.float32) + np.float32(0.5)) * scale - cy[:, None, None]

    def lay(self, image: Floats, colour: Floats, alpha: Floats) -> None:
        """Blend ``colour``, (R, 3) or (R, 3, h, w), into ``image`` in place, where ``alpha`` (R, h, w) says."""
        full = colour if colour.ndim == 4 else colour[:, :, None, None]
        for c in range(3):
            old = image[self.rows, c, self.lines, self.columns]
            image[self.rows, c, self.lines, self.columns] = old + (full[:, c] - old) * alpha


def _at(value: Floats) -> Floats:
    return value[:, None, None]


PETALS = np.array([[0.93, 0.79, 0.30], [0.86, 0.44, 0.52], [0.95, 0.95, 0.98], [0.55, 0.50, 0.80]], np.float32)


def scatter(image: Floats, draws: Draws, habitat: NDArray[np.int64], horizon: Floats, clutter: float) -> None:
    """Clutter on the ground, drawn in place: tufts, stones, flowers; ``clutter`` 1 means 16 things, 0 none."""
    f = np.float32
    size = image.shape[-1]
    pixel = f(1 / size)
    for k in range(16):
        d = draws.child(f"clutter {k}")
        present = d.uniform("present") < f(clutter)
        depth = d.uniform("depth")
        across = d.uniform("x")
        down = horizon + (f(0.98) - horizon) * depth
        length = (f(0.020) + f(0.040) * depth) * d.uniform("size", low=0.7, high=1.5)
        kind = d.integers("kind", count=3)
        shade = d.uniform("shade")
        petal = d.integers("petal", count=len(PETALS))
        for which in range(3):
            rows = np.flatnonzero(present & (kind == which))
            if not len(rows):
                continue
            w = Window(rows, across[rows], down[rows], 0.10, size)
            r = _at(length[rows])
            zero = np.zeros_like(r)
            green = _PALETTE[habitat[rows], 4]
            if which == 0:  # a stone, lit from above
                stone = ellipse(w.x, w.y, zero, zero, r * f(1.3), r * f(0.8))
                grey = (f(0.42) + f(0.3) * shade[rows])[:, None] * np.array([1.0, 0.97, 0.92], np.float32)
                lit = np.clip(1 - w.y / r * f(0.25), 0.7, 1.2)[:, None] * grey[:, :, None, None]
                w.lay(image, lit, coverage(stone, pixel))
            elif which == 1:  # a tuft of three blades
                root = (zero, r * f(0.5))
                blades = [
                    capsule(w.x, w.y, root, (r * f(lean), -r * f(1.4)), r * f(0.28), r * f(0.04))
                    for lean in (-0.9, -0.1, 0.8)
                ]
                tuft = np.minimum(np.minimum(blades[0], blades[1]), blades[2])
                w.lay(image, green * (f(0.85) + f(0.35) * shade[rows])[:, None], coverage(tuft, pixel))
            else:  # a flower
                stalk = capsule(w.x, w.y, (zero, r), (zero, -r), r * f(0.12), r * f(0.12))
                w.lay(image, green, coverage(stalk, pixel))
                bloom = ellipse(w.x, w.y, zero, -r, r * f(0.6), r * f(0.55))
                w.lay(image, PETALS[petal[rows]], coverage(bloom, pixel))


_Part = tuple[Floats, tuple[float, float, float], Floats]  # distance, colour, tone


def _stump(x: Floats, y: Floats, lit: Floats) -> list[_Part]:
    f, zero = np.float32, np.zeros_like(x[:, :1, :1])
    trunk = np.maximum(np.abs(x) - f(0.55) - y * f(0.12), np.abs(y + f(0.2)) - f(0.55))
    top = ellipse(x, y + f(0.75), zero, zero, zero + f(0.62), zero + f(0.22))
    return [
        (trunk, (0.43, 0.31, 0.22), lit * (f(0.86) + f(0.2) * wave(x * f(3.1)))),
        (top, (0.82, 0.68, 0.48), f(0.8) + f(0.25) * wave(top * f(7))),
    ]


def _toadstool(x: Floats, y: Floats, lit: Floats) -> list[_Part]:
    f, zero = np.float32, np.zeros_like(x[:, :1, :1])
    stem = capsule(x, y, (zero, zero + f(0.35)), (zero, zero - f(0.4)), zero + f(0.2), zero + f(0.15))
    cap = np.maximum(ellipse(x, y + f(0.45), zero, zero, zero + f(0.75), zero + f(0.55)), y + f(0.32))
    dots = np.maximum(cap, f(0.16) - wave(x * f(2.4)) * wave(y * f(2.6) + f(0.4)) * f(0.36))
    return [(stem, (0.94, 0.91, 0.82), lit), (cap, (0.80, 0.22, 0.20), lit), (dots, (0.97, 0.95, 0.90), lit)]


def _fence(x: Floats, y: Floats, lit: Floats) -> list[_Part]:
    f = np.float32
    posts = np.maximum(np.abs(np.abs(x) - f(0.6)) - f(0.11), np.abs(y + f(0.2)) - f(0.75))
    rails = np.maximum(np.abs(np.abs(y + f(0.25)) - f(0.28)) - f(0.09), np.abs(x) - f(1.0))
    return [(np.minimum(posts, rails), (0.70, 0.58, 0.42), lit)]


def _cactus(x: Floats, y: Floats, lit: Floats) -> list[_Part]:
    f, zero = np.float32, np.zeros_like(x[:, :1, :1])
    green = capsule(x, y, (zero, zero + f(0.4)), (zero, zero - f(0.85)), zero + f(0.2), zero + f(0.18))
    thick = zero + f(0.12)
    for side in (-1.0, 1.0):
        elbow = (zero + f(0.5 * side), zero - f(0.15 + 0.12 * side))
        green = np.minimum(green, capsule(x, y, (zero, elbow[1]), elbow, thick, thick))
        green = np.minimum(green, capsule(x, y, elbow, (elbow[0], elbow[1] - f(0.35)), thick, thick))
    return [(green, (0.30, 0.52, 0.33), lit * (f(0.85) + f(0.2) * wave(x * f(6))))]


def _boulder(x: Floats, y: Floats, lit: Floats) -> list[_Part]:
    f, zero = np.float32, np.zeros_like(x[:, :1, :1])
    big = ellipse(x, y, zero - f(0.15), zero - f(0.1), zero + f(0.75), zero + f(0.6))
    small = ellipse(x, y, zero + f(0.5), zero + f(0.1), zero + f(0.45), zero + f(0.38))
    return [(np.minimum(big, small), (0.52, 0.51, 0.52), np.clip(lit - x * f(0.12), 0.6, 1.3))]


def _pond(x: Floats, y: Floats, lit: Floats) -> list[_Part]:
    f, zero = np.float32, np.zeros_like(x[:, :1, :1])
    water = ellipse(x, y, zero, zero + f(0.15), zero + f(1.15), zero + f(0.42))
    ripple = f(0.85) + f(0.25) * wave(y * f(4) + wave(x) * f(0.4))
    return [(water - f(0.08), (0.42, 0.38, 0.28), np.ones_like(x)), (water, (0.36, 0.60, 0.74), ripple)]


_COMPANIONS = {
    "stump": _stump, "toadstool": _toadstool, "fence": _fence, "cactus": _cactus, "boulder": _boulder, "pond": _pond,
}  # fmt: skip


def companion(
    image: Floats, names: tuple[str, ...], kind: NDArray[np.int64], present: NDArray[np.bool_], cx: Floats, cy: Floats,
    usual: float,
) -> None:  # fmt: skip
    """Stand habitat objects at (cx, cy), in place.

    Args:
        image: (N, 3, S, S).
        names: What ``kind`` counts through.
        kind: (N,) index into ``names``.
        present: (N,) whether there is one.
        cx, cy: (N,) where, in image sides.
        usual: Their size, in the usual one.
    """
    size = image.shape[-1]
    reach = np.float32(0.15 * usual)
    pixel = np.float32(1 / size) / reach
    for index, name in enumerate(names):
        rows = np.flatnonzero(present & (kind == index))
        if not len(rows):
            continue
        window = Window(rows, cx[rows], cy[rows], 0.20 * usual, size)
        x, y = window.x / reach, window.y / reach
        lit = np.clip(1 - y * np.float32(0.22), 0.7, 1.2)
        for distance, rgb, tone in _COMPANIONS[name](x, y, lit):
            colour = np.array(rgb, np.float32)[None, :, None, None] * tone[:, None]
            window.lay(image, colour, coverage(distance, pixel))


def bush(
    image: Floats, hidden: Floats, draws: Draws, habitat: NDArray[np.int64], cx: Floats, cy: Floats, reach: Floats
) -> None:
    """A bush before every image's critter, painted in place; ``hidden`` (N, H, W) becomes 1 where it hides things."""
    f = np.float32
    size = image.shape[-1]
    window = Window(np.arange(len(cx)), cx, cy, min(0.5, float(reach.max(initial=0)) * 1.8 + 0.02), size)
    r = _at(np.maximum(reach, f(1e-3)))
    offsets = draws.uniform("leaves", 5, 2, low=-0.5, high=0.5)
    shape = np.full_like(window.x, 9)
    for k in range(5):
        ox, oy = _at(offsets[:, k, 0]) * f(1.6) * r, _at(offsets[:, k, 1]) * r
        shape = np.minimum(shape, ellipse(window.x, window.y, ox, oy, r * f(0.62), r * f(0.58)))
    alpha = coverage(shape, f(1 / size) + np.zeros_like(r))
    clump = wave(window.x / r * f(1.7) + f(0.3)) * wave(window.y / r * f(1.9)) + wave(
        (window.x + window.y) / r * f(2.6)
    ) * f(0.4)
    leafy = f(0.70) + f(0.42) * clump
    tone = leafy * np.clip(1 - window.y / r * f(0.25), 0.7, 1.2)
    window.lay(image, _PALETTE[habitat, 4][:, :, None, None] * tone[:, None], alpha)
    old = hidden[window.rows, window.lines, window.columns]
    hidden[window.rows, window.lines, window.columns] = np.maximum(old, alpha)
