"""Who stands where: species, looks, sizes and places of an image's critters, drawn from its key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsss_lib.data.worlds.critters.animal import Look, make_look
from wsss_lib.data.worlds.critters.scenery import Window
from wsss_lib.data.worlds.critters.species import COATS, COMPANIONS, companion_of, tables
from wsss_lib.data.worlds.critters.world import World
from wsss_lib.data.worlds.random_numbers import Draws, Floats


@dataclass
class Layer:
    """The j-th critter of every image: who, how it looks, where it stands."""

    species: NDArray[np.int64]  # (N,) class
    look: Look
    coat: NDArray[np.int64]
    present: NDArray[np.bool_]
    extent: Floats  # (N,) longer side of its box, image sides
    unit: Floats  # (N,) image sides per body unit
    cx: Floats  # (N,) where the body's origin is, image sides
    cy: Floats
    foot: Floats  # (N,) y of its feet: who stands lower is nearer
    facing: Floats  # (N,) 1 right, -1 left
    companion: NDArray[np.int64]
    with_companion: NDArray[np.bool_]

    def room(self, rows: NDArray[np.int64], size: int) -> Window:
        """A window that holds each of these critters whole, turned by up to 0.1 rad and with its outline."""
        left, top, right, bottom = (edge[rows] * self.unit[rows] for edge in self.look.extent())
        lower, upper = np.where(self.facing[rows] > 0, left, -right), np.where(self.facing[rows] > 0, right, -left)
        half_width, half_height = (right - left) / 2, (bottom - top) / 2
        # Ears, tails and feet may reach a little beyond the nominal extent.
        slack = np.float32(0.06) * self.extent[rows] + np.float32(2 / size)
        reach_x = (half_width + np.float32(0.1) * np.maximum(-top, bottom) + slack).max()
        reach_y = (half_height + np.float32(0.1) * np.maximum(-left, right) + slack).max()
        middle_x = (self.cx[rows] + (lower + upper) / 2).astype(np.float32)
        middle_y = (self.cy[rows] + (top + bottom) / 2).astype(np.float32)
        return Window(rows, middle_x, middle_y, (float(reach_x), float(reach_y)), size)


def lay_out(world: World, draws: Draws, horizon: Floats) -> list[Layer]:
    kinds = len(world.species)
    table = tables(world.species)
    fewest, most = world.critters
    count = fewest + draws.integers("count", count=most - fewest + 1)
    layers = []
    shelf = draws.uniform("shelf")  # where the first stands; the others stand beside it
    for j in range(most):
        d = draws.child(f"critter {j}")
        species = d.integers("species", count=kinds)
        look = make_look(d, table, species, world.head_evidence, world.body_evidence)
        left, top, right, bottom = look.extent()
        low, high = world.scale
        extent = d.uniform("scale", low=low, high=high)
        # Several share the room; one alone has all of it, for its divisor is 1.
        extent = extent / np.maximum(1, np.float32(0.45) * count.astype(np.float32) + np.float32(0.30))
        unit = extent / np.maximum(right - left, bottom - top)
        facing = np.where(d.uniform("facing") < 0.5, np.float32(-1), np.float32(1))
        reach_left = np.where(facing > 0, -left, right) * unit
        reach_right = np.where(facing > 0, right, -left) * unit
        slot = (
            d.uniform("x") if most == 1 else (shelf + (j + d.uniform("x", low=-0.2, high=0.2)) / count) % np.float32(1)
        )
        margin = np.float32(0.02)
        cx = reach_left + margin + slot * np.maximum(1 - 2 * margin - reach_left - reach_right, 0)
        height = (bottom - top) * unit
        lowest = np.maximum(horizon + np.float32(0.06), height + margin)
        foot = lowest + d.uniform("depth") * np.maximum(np.float32(0.97) - lowest, 0)
        foot = np.minimum(foot, np.float32(0.97))
        companion = np.array([COMPANIONS.index(companion_of(s)) for s in world.species])
        sociable = np.array([name not in world.loners for name in world.species])
        follows = (d.uniform("follows") < np.float32(world.cooccurrence)) & sociable[species]
        strays = d.uniform("strays") < np.float32(0.25)
        layers.append(
            Layer(
                species=species,
                look=look,
                coat=d.integers("coat", count=len(COATS)),
                present=j < count,
                extent=extent,
                unit=unit,
                cx=cx,
                cy=foot - bottom * unit,
                foot=foot,
                facing=facing,
                companion=np.where(follows, companion[species], d.integers("stray kind", count=len(COMPANIONS))),
                with_companion=(j < count) & (follows | strays),
            )
        )
    return layers
