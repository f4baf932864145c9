"""The dials of the world."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

from wsss_lib.files import sha256_of_text

CLASSES = ("car", "pedestrian")
"""What stands in a scene."""
MEAN_SIZES = ((4.5, 1.9, 1.5), (0.7, 0.65, 1.75))
"""Mean length, width and height of each class in metres."""
SPREADS = ((0.4, 0.15, 0.1), (0.05, 0.05, 0.15))
"""How far a size may be from its mean, in metres; all between are equally likely."""
HALF = 25.6
"""Metres from the sensor to each side of the square that is looked at."""
REFLECTS = (1.0, 0.2)
"""Returns of each class, as a share of a car's."""
DRAWING_VERSION = 1
"""Raised whenever the same dials draw other scenes."""


@dataclass(frozen=True)
class LidarWorld:
    """The dials; built in chapter 11.

    Args:
        objects: Fewest and most objects of a scene, from 0 to 12. An object for which there is no free place is left
            out.
        distance: Nearest and farthest distance of their centres in metres, from 3 to 25; all between are equally
            likely.
        pedestrians: Share of the objects that are pedestrians, in [0, 1].
        density: Mean number of returns of a car at 1 m. At r metres it is density / r²: 30 at 10 m for 3000.
        clutter: Returns of a scene that belong to no object, at least 0.
        click_noise: How far a click may be from the centre of its box, along each side of the box, as a share of half
            that side, in [0, 1]. 0: it is the centre. 1/3: it lies in the central third, as in Point-DETR3D.
        labelled: Share of the scenes of ``train`` that have boxes, in (0, 1]; all others have clicks alone.
        seed: A whole number from 0 to 2⁶³ − 1.

    Raises:
        ValueError: A dial outside its range.
    """

    objects: tuple[int, int] = (6, 10)
    distance: tuple[float, float] = (4.0, 24.0)
    pedestrians: float = 0.35
    density: float = 3000.0
    clutter: int = 60
    click_noise: float = 1 / 3
    labelled: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            for value in _several(getattr(self, field.name)):
                if not isinstance(value, Real) or isinstance(value, bool):
                    raise ValueError(f"{field.name} is {value!r}, expected a number: write it without quotes")
        for name in ("clutter", "seed", "objects"):
            for value in _several(getattr(self, name)):
                if not isinstance(value, Integral):
                    raise ValueError(f"{name} is {value}, expected a whole number: round it")
        for name in ("objects", "distance"):
            if len(_several(getattr(self, name))) != 2:
                raise ValueError(f"{name} is {getattr(self, name)}, expected two numbers: the smallest and the largest")
        (few, many), (near, far) = self.objects, self.distance
        allowed = {
            "objects": 0 <= few <= many <= 12,
            "distance": 3 <= near <= far <= 25,
            "pedestrians": 0 <= self.pedestrians <= 1,
            "density": 0 <= self.density <= 20_000,
            "clutter": 0 <= self.clutter <= 5_000,
            "click_noise": 0 <= self.click_noise <= 1,
            "labelled": 0 < self.labelled <= 1,
            "seed": 0 <= self.seed < 2**63,
        }
        for name, right in allowed.items():
            if not right:
                raise ValueError(f"{name} is {getattr(self, name)}: turn the dial back into the range that it states")

    def fingerprint(self, split: str, count: int) -> str:
        """SHA-256 over the dials that decide the scenes, the split, their number and the version of the drawing."""
        dials = {name: value for name, value in asdict(self).items() if name != "labelled"}
        return sha256_of_text(json.dumps([dials, split, count, DRAWING_VERSION], sort_keys=True))


def _several(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
