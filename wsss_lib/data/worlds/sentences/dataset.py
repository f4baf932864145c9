"""Scenes and what is said of them, as records."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsss_lib.data.records import Batch, Records, Sample, positions, record_number
from wsss_lib.data.worlds.critters import COATS, SPECIES, Scenes, render
from wsss_lib.data.worlds.critters.cache import kept_scenes
from wsss_lib.data.worlds.dials import whole_number
from wsss_lib.data.worlds.drawn import DrawnWorld
from wsss_lib.data.worlds.random_numbers import Draws, image_keys
from wsss_lib.data.worlds.sentences.grammar import PHRASES, Statement, said, statements
from wsss_lib.data.worlds.sentences.layout import lay_out
from wsss_lib.data.worlds.sentences.world import World
from wsss_lib.files import cache_folder

COUNTS = {"train": 1200, "val": 300, "test": 300}
"""Scenes of each split; ``val`` chooses, ``test`` reports."""

WORDS = (*SPECIES, *COATS, "large", "small", *PHRASES)
"""Every word that a triad of this world may have."""


class Sentences(Records):
    """A split of the world: scenes of critters, and for each some sentences that single one out.

    A sample has ``sentences``, ``sentence_boxes`` and ``sentence_kinds``, and as ``proposals`` (P, 4) the true boxes,
    in an order that says nothing: what a detector without faults would propose.

    Args:
        world: The dials.
        split: ``"train"``, ``"val"``, ``"test"`` or another name, which is other scenes. In all but ``"train"`` the
            species alone never says which critter is meant.
        count: Number of scenes; by default that of :data:`COUNTS` (300 for other names).
        cache: Folder for drawn splits; None draws anew. See :func:`wsss_lib.files.cache_folder`.

    Attributes:
        statements: Of each scene, what is said of it.

    Raises:
        ValueError: ``count`` is no positive whole number.
    """

    name = "sentences"

    def __init__(
        self, world: World | None = None, split: str = "train", count: int | None = None, cache: Path | None = None
    ) -> None:
        self.world, self.split = world or World(), split
        self.count = COUNTS.get(split, 300) if count is None else whole_number("count", count)
        if self.count < 1:
            raise ValueError(f"count is {self.count}, expected at least one scene: ask for a positive number")
        self.classes = self.world.scenery().species
        self.fingerprint = self.world.fingerprint(split, self.count)
        self.image_size = self.world.size, self.world.size
        self.scenes = self._scenes(cache)
        self._labels = torch.from_numpy(self.scenes.labels)
        self.statements = [self._said(i) for i in range(self.count)]

    def _scenes(self, cache: Path | None) -> Scenes:
        path = None if cache is None else cache / "sentences" / f"{self.fingerprint}.npz"
        share = self.world.unambiguous if self.split == "train" else 0.0
        layout = partial(lay_out, alike=self.world.alike, unambiguous=share)
        draw = partial(render, self.world.scenery(), self.split, range(self.count), layout=layout)
        return kept_scenes(path, self.count, self.world.size, draw)

    def _said(self, index: int) -> list[Statement]:
        """What is said of a scene, about the species of which there are most."""
        things = [thing | {"foot": thing["box"][3] / self.world.size} for thing in self.scenes.objects[index]]
        names = [thing["species"] for thing in things]
        if not names:
            return []
        draws = Draws(image_keys(self.world.seed, f"said of {self.split}", np.array([index])))
        most = max(names.count(name) for name in names)
        open_to = sorted({name for name in names if names.count(name) == most})
        species = open_to[int(draws.integers("species", count=len(open_to))[0])]
        return said(statements(things, species), draws, self.world.sentences)

    def __len__(self) -> int:
        return self.count

    @property
    def labels(self) -> Tensor:
        return self._labels

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        """Several samples at once; see :meth:`Records.batch`."""
        at = np.asarray(positions(indices, self.count), dtype=np.int64)
        scenes, size = self.scenes, self.world.size
        objects = [scenes.objects[i] for i in at]
        boxes = [torch.tensor([o["box"] for o in row], dtype=torch.float32).reshape(-1, 4) for row in objects]
        texts = [self.statements[i] for i in at]
        meant = [torch.tensor([each.target for each in row], dtype=torch.int64) for row in texts]
        return {
            "images": torch.from_numpy(scenes.images[at]).float() / 255,
            "labels": self._labels[torch.from_numpy(at)],
            "masks": torch.from_numpy(scenes.masks[at]).long(),
            "boxes": boxes,
            "box_labels": [torch.tensor([o["class"] for o in row], dtype=torch.int64) for row in objects],
            "proposals": [each.clone() for each in boxes],
            "sentences": [[each.text for each in row] for row in texts],
            "sentence_boxes": [each[rows] for each, rows in zip(boxes, meant, strict=True)],
            "sentence_kinds": [[each.kind for each in row] for row in texts],
            "sizes": [(size, size)] * len(at),
            "ids": [f"{self.split}-{i:06d}" for i in at],
            "objects": objects,
        }

    def __getitem__(self, index: int) -> Sample:
        batch = self.batch([record_number(index, self.count, f"{self.name}/{self.split}")])
        single = {"images": "image", "masks": "mask", "ids": "id"}
        values = {single.get(name, name): value[0] for name, value in batch.items() if name != "sizes"}  # type: ignore[index]
        return values  # type: ignore[return-value]


def _drawn(world: World, split: str, count: int | None) -> Sentences:
    return Sentences(world, split, count, cache_folder())


DRAWN = DrawnWorld("sentences about critters", World, _drawn, COUNTS)
