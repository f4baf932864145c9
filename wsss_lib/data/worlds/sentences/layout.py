"""Who stands where in a scene that sentences are said about: a target, others like it, and one to refer to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_lib.data.worlds.critters import World
from wsss_lib.data.worlds.critters.animal import COAT_TABLE, make_look
from wsss_lib.data.worlds.critters.layout import Layer
from wsss_lib.data.worlds.critters.species import tables
from wsss_lib.data.worlds.random_numbers import Draws, Floats

SMALLEST, LARGEST = 0.16, 0.36
"""Extents of critters, in image sides."""
RANKED = 0.4
"""Share of scenes in which the reference stands between the target and all others like it in size, which chance alone
brings about too seldom."""
ATTEMPTS = 48
"""Draws of all places of a scene, of which the first with little overlap is taken, or else that with the least."""
OVERLAP = 0.05
"""Share of the smaller of two boxes that may be hidden or hide."""
MARGIN = np.float32(0.02)


def lay_out(world: World, draws: Draws, horizon: Floats, *, alike: int, unambiguous: float) -> list[Layer]:
    """Critters of one image each, the same number in all.

    Critter 0 and those like it are the species that is spoken of; they have unlike coats. Every other critter is the
    only one of its species, as long as the species suffice.

    Args:
        world: Of critters.
        draws: Of the N images.
        horizon: (N,) in image sides.
        alike: Most critters of the target's species, at least 2.
        unambiguous: Share of scenes in which there is one.
    """
    number, kinds = world.critters[1], len(world.species)
    several = 2 + draws.integers("alike", count=alike - 1)
    together = np.where(draws.uniform("unambiguous") < np.float32(unambiguous), 1, several)  # (N,)
    shuffled = _permutations(draws, "species", kinds)  # (N, kinds)
    others = np.maximum(np.arange(number)[None] - together[:, None] + 1, 0) % kinds  # 0 for those alike, then 1, 2, …
    species = np.take_along_axis(shuffled, others, 1)  # (N, number)
    coats = _permutations(draws, "coats", len(COAT_TABLE))[:, np.arange(number) % len(COAT_TABLE)]
    table = tables(world.species)
    sizes = _sizes(draws, together, number)  # (N, number)
    looks, extents, facings = [], [], []
    for j in range(number):
        d = draws.child(f"critter {j}")
        look = make_look(d, table, species[:, j], world.head_evidence, world.body_evidence)
        tint = d.uniform("tint", 3, low=0.94, high=1.06)
        looks.append(replace(look, coat=COAT_TABLE[coats[:, j]] * tint))
        extents.append(sizes[:, j])
        facings.append(np.where(d.uniform("facing") < 0.5, np.float32(-1), np.float32(1)))
    shapes = [_shape(look.extent(), e, f) for look, e, f in zip(looks, extents, facings, strict=True)]
    places = _places(draws, horizon, shapes)  # (N, number, 2): x of the origin, y of the feet
    order = _permutations(draws, "order", number)  # so that the target is not always the first
    layers = []
    for j in range(number):
        unit, _, bottom = shapes[j][0], shapes[j][1], shapes[j][2]
        foot = places[:, j, 1]
        layers.append(
            Layer(
                species=species[:, j],
                look=looks[j],
                coat=coats[:, j],
                present=np.ones(len(species), bool),
                extent=extents[j],
                unit=unit,
                cx=places[:, j, 0],
                cy=foot - bottom,
                foot=foot,
                facing=facings[j],
                companion=np.zeros(len(species), np.int64),
                with_companion=np.zeros(len(species), bool),
            )
        )
    return [_mixed(layers, order[:, j]) for j in range(number)]


def _sizes(draws: Draws, together: NDArray[np.int64], number: int) -> Floats:
    """Extents of the critters, (N, number) in image sides; the first ``together`` of each image are alike."""
    sizes = draws.uniform("sizes", number, low=SMALLEST, high=LARGEST)
    j = np.arange(number)[None]
    wanted = np.where(j == 0, np.float32(0), np.where(j < together[:, None], np.float32(1), np.float32(0.5)))
    wanted = np.where(j > together[:, None], draws.uniform("ranks", number), wanted)  # neither alike nor the reference
    wanted = np.where(draws.uniform("smallest")[:, None] < 0.5, wanted, 1 - wanted)
    ranks = np.argsort(np.argsort(wanted, axis=1, kind="stable"), axis=1, kind="stable")
    ranked = np.take_along_axis(np.sort(sizes, axis=1), ranks, 1)
    return np.where(draws.uniform("ranked")[:, None] < np.float32(RANKED), ranked, sizes).astype(np.float32)


Shape = tuple[Floats, Floats, Floats, Floats, Floats]


def _shape(frame: tuple[Floats, Floats, Floats, Floats], extent: Floats, facing: Floats) -> Shape:
    """Image sides per body unit, and how far a critter reaches up, down, left and right of its origin, each (N,)."""
    left, top, right, bottom = frame
    unit = extent / np.maximum(right - left, bottom - top)
    to_left = np.where(facing > 0, -left, right) * unit
    to_right = np.where(facing > 0, right, -left) * unit
    return unit, -top * unit, bottom * unit, to_left, to_right


def _places(draws: Draws, horizon: Floats, shapes: list[Shape]) -> Floats:
    """Where each critter stands, (N, number, 2): boxes overlap as little as in the best of :data:`ATTEMPTS` draws."""
    _, up, down, left, right = (np.stack(part, 1) for part in zip(*shapes, strict=True))  # (N, number)
    n, number = up.shape
    best, least = np.zeros((n, number, 2), np.float32), np.full(n, np.inf, np.float32)
    for attempt in range(ATTEMPTS):
        at = draws.uniform(f"place {attempt}", number, 2)
        x = left + MARGIN + at[..., 0] * np.maximum(1 - 2 * MARGIN - left - right, 0)
        lowest = np.maximum(horizon[:, None] + np.float32(0.06), up + down + MARGIN)
        foot = lowest + at[..., 1] * np.maximum(np.float32(0.97) - lowest, 0)
        foot = np.minimum(foot, np.float32(0.97))
        worst = _overlap(x - left, foot - up - down, x + right, foot)
        better = (worst < least) & (least > np.float32(OVERLAP))  # the first that is good enough stays
        best[better], least[better] = np.stack([x, foot], 2)[better], worst[better]
    return best


def _overlap(x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> Floats:
    """The largest share of the smaller of two boxes that both cover, (N,), of boxes given as (N, number) each."""
    wide = np.minimum(x1[:, :, None], x1[:, None]) - np.maximum(x0[:, :, None], x0[:, None])
    high = np.minimum(y1[:, :, None], y1[:, None]) - np.maximum(y0[:, :, None], y0[:, None])
    area = (x1 - x0) * (y1 - y0)
    share = np.maximum(wide, 0) * np.maximum(high, 0) / np.minimum(area[:, :, None], area[:, None])
    diagonal = np.arange(x0.shape[1])
    share[:, diagonal, diagonal] = 0
    return np.asarray(share.max((1, 2)), np.float32)


def _permutations(draws: Draws, name: str, count: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1 for each image, (N, count)."""
    return np.argsort(draws.bits(name, count), axis=1, kind="stable").astype(np.int64)


def _mixed(layers: list[Layer], which: NDArray[np.int64]) -> Layer:
    """A layer that is, in each image, another one of the layers."""
    rows = np.arange(len(which))

    def pick(values: list[Any]) -> Any:
        return np.stack(values)[which, rows]

    look = type(layers[0].look)(
        **{name: pick([getattr(each.look, name) for each in layers]) for name in vars(layers[0].look)}
    )
    rest = {name: pick([getattr(each, name) for each in layers]) for name in vars(layers[0]) if name != "look"}
    return Layer(look=look, **rest)
