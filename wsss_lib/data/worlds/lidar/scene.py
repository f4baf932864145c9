"""Objects, clicks and returns of many scenes at once; a pure function of seed, split and index.

All is computed in 64 bits and rounded to 1/1024 m, so that the last bit of a sine, which depends on the processor,
does not decide a coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_lib.data.worlds.lidar.world import HALF, MEAN_SIZES, REFLECTS, SPREADS, LidarWorld
from wsss_lib.data.worlds.random_numbers import Draws, image_keys, mix

Floats = NDArray[np.float64]
TRIES = 12
"""Places that are tried for an object before it is left out."""
BONNET = 0.3
"""Share of a car's length, at its front, that is lower than its roof."""
BONNET_HEIGHT = 0.6
"""Height of that part, as a share of the car's."""
NOISE = 0.05
"""Standard deviation of a return's place, in metres."""


@dataclass(frozen=True)
class Objects:
    """What stands in N scenes, M places each: not all of them are taken.

    Attributes:
        boxes: (N, M, 7): centre x, y, z, length, width, height in metres, yaw in radians.
        labels: (N, M) 0-based class.
        there: (N, M) whether the place is taken.
        clicks: (N, M, 3) in metres.
        paint: (N, M) in [0, 1): what colour the object has.
    """

    boxes: Floats
    labels: NDArray[np.int64]
    there: NDArray[np.bool_]
    clicks: Floats
    paint: Floats


def rounded(metres: Floats) -> Floats:
    """To 1/1024 m."""
    return np.round(metres * 1024) / 1024


def place(world: LidarWorld, draws: Draws) -> Objects:
    """Objects that do not overlap, each at the first of :data:`TRIES` places that is free.

    Args:
        world: The dials.
        draws: Of N scenes.
    """
    count, most = len(draws.keys), world.objects[1]

    def uniform(name: str, *shape: int) -> Floats:
        return draws.uniform(name, *shape).astype(np.float64)

    wanted = world.objects[0] + draws.integers("objects", count=most - world.objects[0] + 1)  # (N,)
    labels = (uniform("class", most) < world.pedestrians).astype(np.int64)  # (N, M)
    sizes = np.array(MEAN_SIZES)[labels] + np.array(SPREADS)[labels] * (2 * uniform("size", most, 3) - 1)
    yaws = (2 * uniform("yaw", most) - 1) * np.pi
    radii = np.hypot(sizes[..., 0], sizes[..., 1]) / 2 + 0.2
    near, far = world.distance
    distances = near + (far - near) * uniform("distance", most, TRIES)
    angles = (2 * uniform("angle", most, TRIES) - 1) * np.pi
    x, y = distances * np.cos(angles), distances * np.sin(angles)  # (N, M, T)
    centres, there = np.zeros((count, most, 2)), np.zeros((count, most), bool)
    for k in range(most):
        apart = np.hypot(*(part[:, k, :, None] - centres[:, None, :k, i] for i, part in enumerate((x, y))))  # (N, T, k)
        free = (apart > radii[:, None, :k] + radii[:, k, None, None]) | ~there[:, None, :k]
        # Nothing stands so near that the sensors would be inside of it; the dial keeps centres inside the square.
        fits = free.all(-1) & (distances[:, k] > radii[:, k, None] + 0.5)
        first = fits.argmax(1)
        centres[:, k] = np.stack([part[np.arange(count), k, first] for part in (x, y)], -1)
        there[:, k] = fits.any(1) & (k < wanted)
    boxes = np.concatenate([centres, sizes[..., 2:] / 2, sizes, yaws[..., None]], -1)
    shares = (2 * uniform("click", most, 3) - 1) * world.click_noise  # of half a side
    clicks = boxes[..., :3] + turned(shares * sizes / 2, yaws)
    return Objects(rounded(boxes), labels, there, rounded(clicks), uniform("paint", most))


def turned(points: Floats, yaws: Floats) -> Floats:
    """Points (…, 2 or more) turned by ``yaws`` (…) about the vertical axis."""
    cos, sin = np.cos(yaws), np.sin(yaws)
    x, y = points[..., 0], points[..., 1]
    rest = [points[..., i] for i in range(2, points.shape[-1])]
    return np.stack([cos * x - sin * y, sin * x + cos * y, *rest], -1)


def expected_returns(world: LidarWorld, distances: Floats, labels: NDArray[np.int64]) -> Floats:
    """Mean number of returns of objects whose centres are so many metres away: density / r² of a car."""
    return world.density * np.array(REFLECTS)[labels] / distances**2


def poisson(means: Floats, uniform: Floats) -> NDArray[np.int64]:
    """Poisson counts for uniform numbers in [0, 1): the smallest n at which the distribution function exceeds them."""
    counts = np.zeros(means.shape, np.int64)
    term = np.exp(-means)
    reached = term.copy()
    for n in range(1, 40 + int(means.max(initial=0) + 10 * np.sqrt(means.max(initial=0)))):
        counts += uniform >= reached
        term = term * means / n
        reached = reached + term
    return counts


def returns(world: LidarWorld, objects: Objects, keys: Any) -> list[NDArray[np.float32]]:
    """The points of each scene.

    The returns of an object lie on the one or two of its sides that face the sensor, the more on a side the wider it
    looks. Where one object hides another is not taken into account.

    Args:
        world: The dials.
        objects: Of N scenes.
        keys: (N,) of the scenes.

    Returns:
        N arrays (P, 3): x, y, z in metres.
    """
    scene, number = objects.there.nonzero()
    boxes, labels = objects.boxes[scene, number], objects.labels[scene, number]
    own = mix(keys[scene] + (number.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    means = expected_returns(world, np.hypot(boxes[:, 0], boxes[:, 1]), labels)
    counts = poisson(means, Draws(own).uniform("returns").astype(np.float64))
    of = np.repeat(np.arange(len(own)), counts)
    order = np.arange(len(of)) - np.repeat(counts.cumsum() - counts, counts)
    draws = Draws(mix(own[of] + (order.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)))
    points = on_sides(boxes[of], labels[of], draws) + noise(draws)
    clutter = Draws(keys).uniform("clutter", world.clutter, 3).astype(np.float64)
    clutter = clutter * [2 * HALF, 2 * HALF, 2.0] - [HALF, HALF, 0.0]
    each = [np.concatenate([points[scene[of] == i], clutter[i]]) for i in range(len(keys))]
    return [rounded(part).astype(np.float32) for part in each]


def noise(draws: Draws) -> Floats:
    """(P, 3) displacements in metres: sums of uniform numbers, bounded and nearly Gaussian."""
    return (draws.uniform("noise", 3, 4).astype(np.float64).sum(-1) - 2) * np.sqrt(3) * NOISE


def on_sides(boxes: Floats, labels: NDArray[np.int64], draws: Draws) -> Floats:
    """A place (P, 3) on a side that faces the sensor, for each of the boxes (P, 7)."""
    length, width, height, yaw = boxes[:, 3], boxes[:, 4], boxes[:, 5], boxes[:, 6]
    sensor = turned(-boxes[:, :2], -yaw)  # in the box's frame: x ahead, y to the left
    ahead, left = sensor[:, 0], sensor[:, 1]
    # How wide each of the two sides looks: nothing where the sensor is beside it.
    end = np.where(np.abs(ahead) > length / 2, width * (np.abs(ahead) - length / 2), 0)
    flank = np.where(np.abs(left) > width / 2, length * (np.abs(left) - width / 2), 0)
    at_end = draws.uniform("side").astype(np.float64) * (end + flank) < end
    along = draws.uniform("along").astype(np.float64) - 0.5
    x = np.where(at_end, np.sign(ahead) * length / 2, along * length)
    y = np.where(at_end, along * width, np.sign(left) * width / 2)
    low = (labels == 0) & (x > (0.5 - BONNET) * length)
    top = height * np.where(low, BONNET_HEIGHT, 1.0)
    z = 0.15 + (top - 0.15) * draws.uniform("height").astype(np.float64)
    return np.concatenate([boxes[:, :2] + turned(np.stack([x, y], -1), yaw), z[:, None]], -1)


def scenes(world: LidarWorld, split: str, indices: NDArray[np.int64]) -> tuple[Objects, list[NDArray[np.float32]]]:
    """Objects and returns of some scenes of a split."""
    keys = image_keys(world.seed, split, indices)
    objects = place(world, Draws(keys))
    return objects, returns(world, objects, keys)
