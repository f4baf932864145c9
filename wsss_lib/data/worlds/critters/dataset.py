"""Critters as records: drawn once, kept in memory as bytes, cached on disk, handed out as tensors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wsss_lib.data.records import Batch, Records, Sample, positions, record_number
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.data.worlds.critters.cache import kept_scenes
from wsss_lib.data.worlds.critters.scene import Scenes, render
from wsss_lib.data.worlds.critters.world import World
from wsss_lib.data.worlds.dials import whole_number
from wsss_lib.data.worlds.drawn import DrawnWorld
from wsss_lib.files import cache_folder

if TYPE_CHECKING:
    import datasets

COUNTS = {"train": 2000, "val": 400, "test": 400}
"""Images per split. ``val`` chooses thresholds and weights, ``test`` reports."""


class Critters(Records):
    """A split of a world.

    Args:
        world: The dials.
        split: ``"train"``, ``"val"``, ``"test"`` or any other name; other names are other images.
        count: Number of images; by default that of :data:`COUNTS` (400 for other names).
        cache: Folder for drawn splits; None draws anew. See :func:`wsss_lib.files.cache_folder`.

    Raises:
        ValueError: ``count`` is no positive whole number.
    """

    name = "critters"

    def __init__(
        self, world: World | None = None, split: str = "train", count: int | None = None, cache: Path | None = None
    ) -> None:
        self.world = world or World()
        self.split = split
        self.count = COUNTS.get(split, 400) if count is None else whole_number("count", count)
        if self.count < 1:
            raise ValueError(f"count is {self.count}, expected at least one image: ask for a positive number")
        self.classes = self.world.species
        self.fingerprint = self.world.fingerprint(split, self.count)
        self.image_size = self.world.size, self.world.size
        self.scenes = self._scenes(cache)
        self._labels = torch.from_numpy(self.scenes.labels)

    def _scenes(self, cache: Path | None) -> Scenes:
        path = None if cache is None else cache / "critters" / f"{self.fingerprint}.npz"
        return kept_scenes(path, self.count, self.world.size, lambda: render(self.world, self.split, range(self.count)))

    def __len__(self) -> int:
        return self.count

    @property
    def labels(self) -> Tensor:
        return self._labels

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        """Several samples at once, without a loop over images; see :meth:`Records.batch`."""
        at = np.asarray(positions(indices, self.count), dtype=np.int64)
        s, size = self.scenes, self.world.size
        objects = [s.objects[i] for i in at]
        return {
            "images": torch.from_numpy(s.images[at]).float() / 255,
            "labels": self._labels[torch.from_numpy(at)],
            "masks": torch.from_numpy(s.masks[at]).long(),
            "parts": torch.from_numpy(s.parts[at]).long(),
            "boxes": [torch.tensor([o["box"] for o in row], dtype=torch.float32).reshape(-1, 4) for row in objects],
            "box_labels": [torch.tensor([o["class"] for o in row], dtype=torch.int64) for row in objects],
            "sizes": [(size, size)] * len(at),
            "ids": [f"{self.split}-{i:06d}" for i in at],
            "objects": objects,
        }

    def __getitem__(self, index: int) -> Sample:
        b = self.batch([record_number(index, self.count, f"{self.name}/{self.split}")])
        return {
            "image": b["images"][0],
            "labels": b["labels"][0],
            "mask": b["masks"][0],
            "parts": b["parts"][0],
            "boxes": b["boxes"][0],
            "box_labels": b["box_labels"][0],
            "id": b["ids"][0],
            "objects": b["objects"][0],
        }

    def to_datasets(self) -> datasets.Dataset:
        """The split as a ``datasets.Dataset``, in the columns that :func:`wsss_lib.data.load` reads from Parquet.

        Returns:
            Columns ``id``, ``image``, ``mask`` (PNG; 0 background, k + 1 for class k), ``labels`` (0-based), ``boxes``
            (xyxy pixels), ``categories`` (0-based class of each box), ``parts`` (PNG) and ``objects`` (JSON).
        """
        import datasets
        from PIL import Image

        s = self.scenes
        class_label = datasets.ClassLabel(names=list(self.classes))
        columns = {
            "id": datasets.Value("string"),
            "image": datasets.Image(),
            "mask": datasets.Image(),
            "labels": datasets.Sequence(class_label),
            "boxes": datasets.Sequence(datasets.Sequence(datasets.Value("float32"), length=4)),
            "categories": datasets.Sequence(class_label),
            "parts": datasets.Image(),
            "objects": datasets.Value("string"),
        }
        rows: dict[str, list[Any]] = {
            "id": [f"{self.split}-{i:06d}" for i in range(self.count)],
            "image": [Image.fromarray(image.transpose(1, 2, 0)) for image in s.images],
            "mask": [Image.fromarray(mask) for mask in s.masks],
            "labels": [np.flatnonzero(row).tolist() for row in s.labels],
            "boxes": [[o["box"] for o in row] for row in s.objects],
            "categories": [[o["class"] for o in row] for row in s.objects],
            "parts": [Image.fromarray(parts) for parts in s.parts],
            "objects": [json.dumps(row) for row in s.objects],
        }
        return datasets.Dataset.from_dict(rows, features=datasets.Features(columns), split=datasets.Split(self.split))


def _drawn(world: World, split: str, count: int | None) -> Critters:
    return Critters(world, split, count, cache_folder())


DRAWN = DrawnWorld("the world with dials", World, _drawn, COUNTS, RandomFlip)
load_critters = DRAWN.load
