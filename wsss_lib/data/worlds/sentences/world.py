"""The dials of the world of sentences: how much there is to confuse, and how often there is nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from wsss_lib.data.worlds.critters import DRAWING_VERSION
from wsss_lib.data.worlds.critters import World as Critters
from wsss_lib.data.worlds.dials import whole_number
from wsss_lib.files import sha256_of_text

FEWEST, MOST = 3, 6
"""Critters in an image: a target, another one of its species and a reference need three."""


@dataclass(frozen=True)
class World:
    """The dials. In ``val`` and ``test`` the species alone never says which critter is meant.

    Args:
        size: Side of the square images in pixels, at least 48.
        critters: In an image, from 3 to 6.
        alike: Most critters of the target's species in an ambiguous scene, from 2 to ``critters`` - 1; the number is
            drawn from 2 to this.
        unambiguous: Share of the scenes of ``train`` in which the target is the only one of its species, in [0, 1].
        sentences: Most sentences about an image, at least 1.
        clutter: As of critters, in [0, 1].
        contrast: As of critters, in [0, 1].
        seed: As of critters.

    Raises:
        ValueError: A dial outside its range; the message names it, its range and the value given.
    """

    size: int = 112
    critters: int = 5
    alike: int = 3
    unambiguous: float = 0.5
    sentences: int = 4
    clutter: float = 0.2
    contrast: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("size", 48, None), ("critters", FEWEST, MOST), ("sentences", 1, None)):
            value = whole_number(name, getattr(self, name))
            object.__setattr__(self, name, value)
            if value < low or (high is not None and value > high):
                upper = f"to {high}" if high is not None else "upwards"
                raise ValueError(f"{name} is {value}, expected a whole number from {low} {upper}: turn the dial back")
        object.__setattr__(self, "alike", whole_number("alike", self.alike))
        if not 2 <= self.alike < self.critters:
            raise ValueError(
                f"alike is {self.alike}, expected a whole number from 2 to {self.critters - 1}, so that one critter is "
                "left to be referred to: turn the dial back"
            )
        drawn = self.scenery()  # checks size, clutter, contrast and seed
        for name in ("clutter", "contrast", "seed"):
            object.__setattr__(self, name, getattr(drawn, name))
        if isinstance(self.unambiguous, bool) or not isinstance(self.unambiguous, int | float):
            raise ValueError(f"unambiguous is {self.unambiguous!r}, expected a number: write it without quotes")
        if not 0 <= self.unambiguous <= 1:
            raise ValueError(f"unambiguous is {self.unambiguous}, expected a number from 0 to 1: turn the dial back")

    def scenery(self) -> Critters:
        """The same dials as a world of critters, in which a critter's look tells its species for certain."""
        return Critters(
            size=self.size,
            head_evidence=1.0,
            body_evidence=1.0,
            clutter=self.clutter,
            contrast=self.contrast,
            critters=(self.critters, self.critters),
            seed=self.seed,
        )

    def fingerprint(self, split: str, count: int) -> str:
        """SHA-256 over the dials, the split, the number of images and the versions of drawing and grammar."""
        versions = [DRAWING_VERSION, GRAMMAR_VERSION]
        return sha256_of_text(json.dumps(["sentences", asdict(self), split, count, versions], sort_keys=True))


GRAMMAR_VERSION = 1
"""Raised whenever the same dials lay out other scenes, or say other sentences about them."""
