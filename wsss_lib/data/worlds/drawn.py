"""Worlds by name: what any of them offers, so that a chapter, ``load`` and the command need not know which it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from wsss_lib.data.records import Records, Sample

WORLDS: dict[str, str] = {
    "critters": "wsss_lib.data.worlds.critters",
    "sentences": "wsss_lib.data.worlds.sentences",
    "lidar": "wsss_lib.data.worlds.lidar",
}
"""By name, the module whose ``DRAWN`` describes the world; it is imported when the world is first asked for."""


@dataclass(frozen=True)
class DrawnWorld:
    """A world that is drawn.

    Attributes:
        title: For people.
        dials: A frozen dataclass with a default for every dial, one of them ``seed``.
        records: From dials, split and number of samples (None: that of ``counts``) to the records.
        counts: Samples of each split; ``val`` chooses, ``test`` reports.
        augment: Makes the random change of samples in training, under which all that is said of them stays true: a
            mirror, say, where nobody says "left". None where there is none.
    """

    title: str
    dials: type[Any]
    records: Callable[[Any, str, int | None], Records]
    counts: Mapping[str, int]
    augment: Callable[[], Callable[..., Sample]] | None = None

    def load(self, split: str = "train", *, count: int | None = None, world: Any = None, **dials: Any) -> Any:
        """A split of the world, from the cache where it was drawn before.

        Args:
            split: Name of the split; names outside ``counts`` are other samples.
            count: Number of samples.
            world: The dials; by default the book's.
            **dials: Dials to change, for example ``body_evidence=0.1``.

        Raises:
            ValueError: A dial that does not exist or is outside its range.
        """
        known = [field.name for field in fields(self.dials)]
        if unknown := sorted(set(dials) - set(known)):
            raise ValueError(f"the world has no dial named {', '.join(unknown)}: turn one of {', '.join(known)}")
        return self.records(replace(world or self.dials(), **dials), split, count)


def drawn_world(name: str) -> DrawnWorld:
    """The world of that name in :data:`WORLDS`."""
    world: DrawnWorld = importlib.import_module(WORLDS[name]).DRAWN
    return world
