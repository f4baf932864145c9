"""Scenes as records: drawn in chunks when they are first asked for, and kept in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from wsss_lib.data.records import Batch, Records, Sample, collate, positions, record_number
from wsss_lib.data.worlds.dials import whole_number
from wsss_lib.data.worlds.drawn import DrawnWorld
from wsss_lib.data.worlds.lidar.panorama import COLUMNS, paint
from wsss_lib.data.worlds.lidar.scene import scenes
from wsss_lib.data.worlds.lidar.world import CLASSES, LidarWorld
from wsss_lib.data.worlds.random_numbers import image_keys
from wsss_lib.files import sha256_of_text

COUNTS = {"train": 400, "val": 80, "test": 80}
"""Scenes per split. ``val`` chooses, ``test`` reports."""
CHUNK = 50
"""Scenes that are drawn at once."""


class Lidar(Records):
    """A split of a world of points.

    Samples have ``points`` (P, 3) in metres, ``panorama`` (3, 24, 384) in [0, 1], ``clicks`` (M, 3) in metres,
    ``box3d_labels`` (M,) and, in the same order, ``boxes3d`` (M, 7).

    Args:
        world: The dials.
        split: ``"train"``, ``"val"``, ``"test"`` or any other name; other names are other scenes.
        count: Number of scenes; by default that of :data:`COUNTS` (100 for other names).

    Raises:
        ValueError: ``count`` is no positive whole number.
    """

    name = "lidar"
    classes = CLASSES

    def __init__(self, world: LidarWorld | None = None, split: str = "train", count: int | None = None) -> None:
        self.world, self.split = world or LidarWorld(), split
        self.count = COUNTS.get(split, 100) if count is None else whole_number("count", count)
        if self.count < 1:
            raise ValueError(f"count is {self.count}, expected at least one scene: ask for a positive number")
        self.fingerprint = self.world.fingerprint(split, self.count)
        self._chunks: dict[int, list[Sample]] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        number, place = divmod(record_number(index, self.count, f"{self.name}/{self.split}"), CHUNK)
        if number not in self._chunks:
            self._chunks[number] = self._drawn(np.arange(number * CHUNK, min(self.count, (number + 1) * CHUNK)))
        sample = dict(self._chunks[number][place])
        sample["panorama"] = sample["panorama"].float() / 255  # type: ignore[attr-defined]
        return sample  # type: ignore[return-value]

    def _drawn(self, indices: Any) -> list[Sample]:
        objects, points = scenes(self.world, self.split, indices)
        pictures = torch.from_numpy(paint(objects, image_keys(self.world.seed, self.split, indices)))
        samples: list[Sample] = []
        for i, index in enumerate(indices):
            there = objects.there[i]
            samples.append(
                {
                    "points": torch.from_numpy(points[i]),
                    "panorama": pictures[i],  # bytes; floats when it is handed out
                    "clicks": torch.from_numpy(objects.clicks[i][there]).float(),
                    "boxes3d": torch.from_numpy(objects.boxes[i][there]).float(),
                    "box3d_labels": torch.from_numpy(objects.labels[i][there]),
                    "id": f"{self.split}-{index:06d}",
                }
            )
        return samples


class _View(Records):
    """Records with something else in the place of their boxes."""

    def __init__(self, records: Records, fingerprint: str) -> None:
        self.records, self.name, self.split = records, records.name, records.split
        self.classes, self.fingerprint = records.classes, fingerprint

    def __len__(self) -> int:
        return len(self.records)

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        return collate([self[i] for i in positions(indices, len(self))])


class HiddenBoxes(_View):
    """The same scenes with clicks alone, so that nobody reads a box by mistake."""

    def __init__(self, records: Records) -> None:
        super().__init__(records, sha256_of_text("clicks of " + records.fingerprint))

    def __getitem__(self, index: int) -> Sample:
        sample = dict(self.records[index])
        sample.pop("boxes3d", None)
        return sample  # type: ignore[return-value]


class ReplacedBoxes(_View):
    """The same scenes, some of them with other boxes, such as a teacher's.

    Args:
        records: The scenes.
        boxes: By position, (M, 7) in the order of the scene's clicks.

    Raises:
        ValueError: Another number of boxes than of clicks.
    """

    def __init__(self, records: Records, boxes: Mapping[int, Tensor]) -> None:
        digest = hashlib.sha256(records.fingerprint.encode())
        for at in sorted(boxes):
            digest.update(str(at).encode() + boxes[at].float().cpu().numpy().tobytes())
        super().__init__(records, digest.hexdigest())
        self.boxes = dict(boxes)

    def __getitem__(self, index: int) -> Sample:
        sample = dict(self.records[index])
        at = record_number(index, len(self), f"{self.name}/{self.split}")
        if at in self.boxes:
            clicks: Any = sample["box3d_labels"]
            if len(self.boxes[at]) != len(clicks):
                raise ValueError(f"scene {at} has {len(clicks)} clicks and {len(self.boxes[at])} boxes: one for each")
            sample["boxes3d"] = self.boxes[at]
        return sample  # type: ignore[return-value]


def labelled_count(scenes: int, share: float) -> int:
    """How many of the scenes have boxes: the share, rounded, and at least one. They are the first ones."""
    return max(1, round(share * scenes))


class SpinScene:
    """A random turn about the sensors by whole columns of the panorama, and a mirror in half of the cases.

    The world has no direction of its own but for the road, so all that is known of a scene stays true.
    """

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        steps = int(torch.randint(COLUMNS, (1,), generator=generator))
        mirrored = bool(torch.rand(1, generator=generator) < 0.5)
        return spun(sample, steps, mirrored)


def spun(sample: Sample, steps: int, mirrored: bool) -> Sample:
    """A scene, mirrored (left becomes right) or not, then turned to the left by ``steps`` columns of the panorama."""
    angle, sign = 2 * math.pi * steps / COLUMNS, -1.0 if mirrored else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, -sign * sin], [sin, sign * cos]])  # acts on the left of (x, y)
    changed: Any = dict(sample)
    for name in ("points", "clicks", "boxes3d"):
        if name in changed:
            values = changed[name].clone()
            values[:, :2] = values[:, :2] @ turn.T.to(values)
            if name == "boxes3d":
                yaw = sign * values[:, 6] + angle
                values[:, 6] = torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi
            changed[name] = values
    picture = changed["panorama"].flip(-1) if mirrored else changed["panorama"]
    changed["panorama"] = picture.roll(-steps, dims=-1)
    made: Sample = changed
    return made


def _records(world: LidarWorld, split: str, count: int | None) -> Lidar:
    return Lidar(world, split, count)


DRAWN = DrawnWorld("Lidar and camera", LidarWorld, _records, COUNTS)
