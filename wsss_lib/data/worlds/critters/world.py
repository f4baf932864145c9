"""The world and its dials: every failure that a method of this book mends is a dial that a reader can turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Real

from wsss_lib.data.worlds.critters.species import NURSERY, SPECIES
from wsss_lib.data.worlds.dials import whole_number
from wsss_lib.files import sha256_of_text


@dataclass(frozen=True)
class World:
    """The dials. The defaults are what the chapters' numbers speak of; built in the chapter *The world*.

    Args:
        size: Side of the square images in pixels, at least 16.
        species: The K classes, out of :data:`SPECIES` (the chapters') and :data:`NURSERY` (the backbones');
            at least two.
        head_evidence: Share of the head's look (shape and face) that is the species' own, in [0, 1]; the rest is that
            of a species drawn at random. 1: the head tells the class for certain. 0: it tells nothing.
        body_evidence: The same for the body (shape and coat pattern). Low values make a classifier look at heads only.
        scale: Smallest and largest extent of a critter (the longer side of its box) in image sides.
        clutter: Chance of each of 16 places on the ground to hold a tuft, a stone or a flower, in [0, 1].
        contrast: 1: coat, markings and contour line stand out from the ground; 0: the critter is painted like the
            ground and little but a darker head tells where it ends.
        cooccurrence: Chance that a species' own habitat object stands beside it, in [0, 1]; beyond it an object of
            any kind appears one time in four, whatever the species.
        critters: Fewest and most critters in an image.
        occlusion: Share of a critter's length that a bush in front of it hides, in [0, 1]; 0: no bush.
        companion_size: Size of the habitat objects, in their usual size (about 0.3 image sides), in [0.5, 3].
        loners: Species that have no habitat object of their own.
        seed: A whole number from 0 to 2⁶³ − 1. Worlds of other seeds are other draws from the same distribution.

    Raises:
        ValueError: A dial outside its range; the message names it, its range and the value given.
    """

    size: int = 96
    species: tuple[str, ...] = SPECIES
    head_evidence: float = 1.0
    body_evidence: float = 0.50
    scale: tuple[float, float] = (0.55, 0.90)
    clutter: float = 0.5
    contrast: float = 0.9
    cooccurrence: float = 0.0
    critters: tuple[int, int] = (1, 1)
    occlusion: float = 0.0
    companion_size: float = 1.0
    loners: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("head_evidence", "body_evidence", "clutter", "contrast", "cooccurrence", "occlusion"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, expected a number from 0 to 1: turn the dial back into its range"
                )
        object.__setattr__(self, "companion_size", float(_number("companion_size", self.companion_size)))
        object.__setattr__(self, "size", whole_number("size", self.size))
        object.__setattr__(self, "seed", whole_number("seed", self.seed))
        object.__setattr__(self, "species", tuple(_sequence("species", self.species)))
        object.__setattr__(self, "loners", tuple(_sequence("loners", self.loners)))
        object.__setattr__(self, "scale", tuple(float(_number("scale", s)) for s in _sequence("scale", self.scale)))
        object.__setattr__(
            self, "critters", tuple(whole_number("critters", c) for c in _sequence("critters", self.critters))
        )
        if self.size < 16:
            raise ValueError(f"size is {self.size}, expected at least 16 pixels: a smaller critter has no head to see")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}, expected a whole number from 0 to 2**63 - 1: choose one of these")
        unknown = [s for s in self.species if s not in SPECIES + NURSERY]
        if unknown or len(self.species) < 2 or len(set(self.species)) < len(self.species):
            raise ValueError(f"species is {self.species}, expected two or more different ones of {SPECIES}")
        if len(self.scale) != 2 or not 0.1 <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(
                f"scale is {self.scale}, expected (smallest, largest) with 0.1 <= smallest <= largest <= 1"
            )
        if len(self.critters) != 2 or not 1 <= self.critters[0] <= self.critters[1] <= 6:
            raise ValueError(f"critters is {self.critters}, expected (fewest, most) with 1 <= fewest <= most <= 6")

        if not 0.5 <= self.companion_size <= 3:
            raise ValueError(f"companion_size is {self.companion_size}, expected a number from 0.5 to 3: turn it back")
        if strange := [name for name in self.loners if name not in self.species]:
            raise ValueError(
                f"loners holds {strange[0]!r}, which is none of {self.species}: name species of this world"
            )

    def fingerprint(self, split: str, count: int) -> str:
        """SHA-256 over the dials, the split, the number of images and the version of the drawing."""
        text = json.dumps([self._dials(), split, count, DRAWING_VERSION], sort_keys=True)
        return sha256_of_text(text)

    def _dials(self) -> dict[str, object]:
        """By name, but for those of :data:`ADDED` that stand as before they were there."""
        return {name: value for name, value in asdict(self).items() if name not in ADDED or value != ADDED[name]}

    def __repr__(self) -> str:
        return f"World({', '.join(f'{name}={value!r}' for name, value in self._dials().items())})"


def _number(name: str, value: object) -> float:
    """A dial's value as a number of Python's, if it is one."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected a number: write it without quotes")
    return value if isinstance(value, int | float) else float(value)


def _sequence(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, expected several values: write them as (…, …)")
    return value


ADDED: dict[str, object] = {"companion_size": 1.0, "loners": ()}
"""Dials that came later, and where they change nothing: caches and results from before them stay valid."""
DRAWING_VERSION = 1
"""Raised whenever the same dials draw other bytes: old caches and recorded results are then not mixed in."""
