"""KITTI's object benchmark in its own layout: ``calib``, ``image_2``, ``label_2`` and ``velodyne`` of each frame.

A label holds, in the frame of the rectified camera (x right, y down, z ahead), the middle of a box's *lower* side, its
height, width and length, and a rotation about y. Here it becomes a box in the scanner's frame. What is marked
``DontCare`` has no box in 3D and is left out.

Source: Geiger et al. 2012, the development kit's readme.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from wsss_lib.data.drives.geometry import Camera
from wsss_lib.data.drives.reading import (
    REMEDY,
    check_names,
    check_sides,
    cloud_of,
    numbers_of,
    picture_of,
    size_of_picture,
    text_of,
)
from wsss_lib.data.records import Records, Sample, record_number
from wsss_lib.files import named_path, sha256_of_text

CLASSES = ("Car", "Pedestrian", "Cyclist")
"""The classes that the benchmark evaluates."""


class Kitti(Records):
    """Frames of a folder.

    Samples have ``points`` (P, 4), the last being the reflectance, ``image``, ``boxes3d``, ``box3d_labels``, and
    ``boxes``, ``box_labels`` of the same objects in the picture, as they were annotated.

    Args:
        root: A folder with ``calib``, ``image_2``, ``label_2`` and ``velodyne``, or one that holds ``training``.
        split: Its name, for reports.
        classes: The types that are kept, in their order.

    Raises:
        FileNotFoundError: The folder has no labels, or a frame lacks a file.
        ValueError: A file that is not as KITTI writes it, or no list of classes.
    """

    name = "kitti"

    def __init__(
        self, root: str | os.PathLike[str], split: str = "training", classes: tuple[str, ...] = CLASSES
    ) -> None:
        folder = named_path(root)
        self.folder = folder / "training" if (folder / "training").is_dir() else folder
        self.split, self.classes = split, check_names(classes, "classes")
        self.frames = sorted(path.stem for path in (self.folder / "label_2").glob("*.txt"))
        if not self.frames:
            raise FileNotFoundError(f"{folder} has no label_2/*.txt: pass the folder that holds KITTI's training")
        texts = [text_of(self.folder / "label_2" / f"{frame}.txt") for frame in self.frames]
        self.fingerprint = sha256_of_text("".join([*self.classes, *self.frames, *texts]))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[record_number(index, len(self), f"{self.name}/{self.split}")]
        rows = self._labels(frame)
        to_scanner = torch.linalg.inv(self._to_camera(self._calibration(frame)))
        boxes = torch.tensor([row["box"] for row in rows], dtype=torch.float64).reshape(-1, 7)
        labels = torch.tensor([self.classes.index(row["type"]) for row in rows], dtype=torch.int64)
        return {
            "image": picture_of(self.folder / "image_2" / f"{frame}.png"),
            "points": cloud_of(self.folder / "velodyne" / f"{frame}.bin", 4),
            "boxes3d": in_scanner(boxes, to_scanner).float(),
            "box3d_labels": labels,
            "boxes": torch.tensor([row["picture"] for row in rows], dtype=torch.float32).reshape(-1, 4),
            "box_labels": labels,
            "id": frame,
        }

    def camera(self, index: int) -> Camera:
        """The left colour camera of a frame."""
        frame = self.frames[record_number(index, len(self), f"{self.name}/{self.split}")]
        held = self._calibration(frame)
        size = size_of_picture(self.folder / "image_2" / f"{frame}.png")
        return Camera(held["P2"].view(3, 4) @ self._to_camera(held), size)

    def difficulty(self, index: int) -> list[dict[str, float]]:
        """Of each kept object: ``truncated`` in [0, 1] and ``occluded``, 0 (fully visible) to 3 (unknown)."""
        frame = self.frames[record_number(index, len(self), f"{self.name}/{self.split}")]
        return [{key: row[key] for key in ("truncated", "occluded")} for row in self._labels(frame)]

    def _labels(self, frame: str) -> list[dict[str, Any]]:
        path = self.folder / "label_2" / f"{frame}.txt"
        rows = []
        for line in text_of(path).splitlines():
            words = line.split()
            if not words or words[0] not in self.classes:
                continue
            numbers = numbers_of(words[1:15], (14,), f"{path}: after {words[0]}, a line").tolist()
            truncated, occluded, _, *picture = numbers[:7]
            height, width, length, x, y, z, turn = numbers[7:]
            check_sides((length, width, height), f"{path}: a {words[0]}")
            if picture[2] < picture[0] or picture[3] < picture[1]:
                raise ValueError(f"{path}: a {words[0]} ends left of or above its start in the picture: {REMEDY}")
            rows.append(
                {
                    "type": words[0], "truncated": truncated, "occluded": occluded, "picture": picture,
                    "box": [x, y - height / 2, z, length, width, height, turn],
                }
            )  # fmt: skip
        return rows

    def _calibration(self, frame: str) -> dict[str, Tensor]:
        path = self.folder / "calib" / f"{frame}.txt"
        lines = {
            name.strip(): values for name, _, values in (line.partition(":") for line in text_of(path).splitlines())
        }
        held = {}
        for name, size in {"P2": 12, "R0_rect": 9, "Tr_velo_to_cam": 12}.items():
            if name not in lines:
                raise ValueError(f"{path} has no {name} of {size} numbers: {REMEDY}")
            held[name] = torch.from_numpy(numbers_of(lines[name].split(), (size,), f"{path}: {name}"))
        if min(abs(float(torch.linalg.det(self._to_camera(held)))), abs(float(torch.linalg.det(_inner(held))))) < 1e-6:
            raise ValueError(f"{path} turns a scan or a picture into a plane or a line: {REMEDY}")
        return held

    @staticmethod
    def _to_camera(held: dict[str, Tensor]) -> Tensor:
        """(4, 4), from the scanner's frame to the rectified camera's."""
        move, turn = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
        move[:3] = held["Tr_velo_to_cam"].view(3, 4)
        turn[:3, :3] = held["R0_rect"].view(3, 3)
        return turn @ move


def _inner(held: dict[str, Tensor]) -> Tensor:
    """(3, 3): the left part of the projection, which has an inverse in every camera."""
    return held["P2"].view(3, 4)[:, :3]


def in_scanner(boxes: Tensor, to_scanner: Tensor) -> Tensor:
    """Boxes of a camera's frame in the scanner's.

    Args:
        boxes: (M, 7): middle x (right), y (down), z (ahead), length, width, height, rotation about y.
        to_scanner: (4, 4) from the camera's frame to the scanner's.

    Returns:
        (M, 7). The box stands upright in its new frame: what the two frames tilt against one another is left out.
    """
    middle = boxes[:, :3] @ to_scanner[:3, :3].T + to_scanner[:3, 3]
    turn = boxes[:, 6]
    heading = torch.stack([turn.cos(), torch.zeros_like(turn), -turn.sin()], -1) @ to_scanner[:3, :3].T
    return torch.cat([middle, boxes[:, 3:6], torch.atan2(heading[:, 1], heading[:, 0])[:, None]], 1)
