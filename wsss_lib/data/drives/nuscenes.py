"""nuScenes' tables without its devkit: JSON tables, linked by tokens, and clouds of five floats a point.

A *sample* is a moment at which everything was annotated. Its boxes stand in the world's frame; here they are brought
into that of the scanner, over the pose of the car at the moment of the scan. Classes are the ten of the detection
benchmark, by its own list of categories.

Source: Caesar et al. 2020, the schema of nuScenes v1.0.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsss_lib.data.drives.geometry import Camera
from wsss_lib.data.records import Records, Sample, record_number
from wsss_lib.files import named_path, sha256_of_text

DETECTED = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.construction": "construction_vehicle",
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "movable_object.trafficcone": "traffic_cone",
    "movable_object.barrier": "barrier",
}
"""Category of the tables to class of the detection benchmark; other categories are left out."""
CLASSES = tuple(dict.fromkeys(DETECTED.values()))
TABLES = (
    "scene", "sample", "sample_data", "sample_annotation", "instance", "category", "ego_pose", "calibrated_sensor",
    "sensor",
)  # fmt: skip


class NuScenes(Records):
    """The annotated moments of a version, in the order of time.

    Samples have ``points`` (P, 5): x, y, z, intensity and ring; ``boxes3d`` and ``box3d_labels``.

    Args:
        root: The folder that holds ``samples`` and the tables' folder.
        version: Name of the tables' folder, such as ``"v1.0-mini"``.
        scenes: Names of the scenes that are kept; None for all.

    Raises:
        FileNotFoundError: A table is missing.
        ValueError: A scene that does not exist.
    """

    name = "nuscenes"
    classes = CLASSES

    def __init__(
        self, root: str | os.PathLike[str], version: str = "v1.0-mini", scenes: tuple[str, ...] | None = None
    ) -> None:
        self.root, self.split = named_path(root), version
        self._tables = {name: self._read(name) for name in TABLES}
        known = {row["name"]: token for token, row in self._tables["scene"].items()}
        if unknown := sorted(set(scenes or ()) - set(known)):
            raise ValueError(f"there is no scene {', '.join(unknown)}: choose from {', '.join(sorted(known)[:10])} …")
        kept = {known[name] for name in (known if scenes is None else scenes)}
        moments = [row for row in self._tables["sample"].values() if row["scene_token"] in kept]
        self.moments = [row["token"] for row in sorted(moments, key=lambda row: (row["timestamp"], row["token"]))]
        self.fingerprint = sha256_of_text(json.dumps([version, self.moments]))

    def _read(self, table: str) -> dict[str, dict[str, Any]]:
        path: Path = self.root / self.split / f"{table}.json"
        if not path.is_file():
            raise FileNotFoundError(f"there is no table {path}: pass the folder that holds {self.split}")
        return {row["token"]: row for row in json.loads(path.read_text(encoding="utf-8"))}

    @cached_property
    def _data_of(self) -> dict[str, dict[str, str]]:
        """Of each sample, by the channel of the sensor, the token of its key frame."""
        made: dict[str, dict[str, str]] = defaultdict(dict)
        for token, row in self._tables["sample_data"].items():
            if row["is_key_frame"]:
                sensor = self._tables["calibrated_sensor"][row["calibrated_sensor_token"]]["sensor_token"]
                made[row["sample_token"]][self._tables["sensor"][sensor]["channel"]] = token
        return made

    @cached_property
    def _annotations_of(self) -> dict[str, list[dict[str, Any]]]:
        made: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._tables["sample_annotation"].values():
            made[row["sample_token"]].append(row)
        return made

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, index: int) -> Sample:
        moment = self.moments[record_number(index, len(self), f"{self.name}/{self.split}")]
        scan = self._tables["sample_data"][self._data_of[moment]["LIDAR_TOP"]]
        points = np.fromfile(self.root / scan["filename"], dtype="<f4")
        if len(points) % 5:
            raise ValueError(f"{scan['filename']} has {len(points)} numbers, expected five for each point")
        to_scanner = torch.linalg.inv(self._to_world(scan))
        boxes, labels = [], []
        for row in self._annotations_of[moment]:
            category = self._tables["category"][self._tables["instance"][row["instance_token"]]["category_token"]]
            if category["name"] in DETECTED:
                width, length, height = row["size"]
                boxes.append([*row["translation"], length, width, height, *row["rotation"]])
                labels.append(CLASSES.index(DETECTED[category["name"]]))
        raw = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 10)
        middle = raw[:, :3] @ to_scanner[:3, :3].T + to_scanner[:3, 3]
        heading = rotation(raw[:, 6:])[:, :, 0] @ to_scanner[:3, :3].T  # where each box's own x axis points
        yaw = torch.atan2(heading[:, 1], heading[:, 0])
        return {
            "points": torch.from_numpy(points.reshape(-1, 5).astype(np.float32)),
            "boxes3d": torch.cat([middle, raw[:, 3:6], yaw[:, None]], 1).float(),
            "box3d_labels": torch.tensor(labels, dtype=torch.int64),
            "id": moment,
        }

    def camera(self, index: int, channel: str = "CAM_FRONT") -> Camera:
        """A camera as the scanner of a moment sees it: over both poses of the car, for the two look at other times."""
        moment = self.moments[record_number(index, len(self), f"{self.name}/{self.split}")]
        data = self._tables["sample_data"]
        picture, scan = (data[self._data_of[moment][name]] for name in (channel, "LIDAR_TOP"))
        to_camera = torch.linalg.inv(self._to_world(picture)) @ self._to_world(scan)
        sensor = self._tables["calibrated_sensor"][picture["calibrated_sensor_token"]]
        inner = torch.tensor(sensor["camera_intrinsic"], dtype=torch.float64)
        return Camera(inner @ to_camera[:3], (picture["height"], picture["width"]))

    def _to_world(self, data: dict[str, Any]) -> Tensor:
        """(4, 4), from the frame of a sensor at the moment of its data to the world's."""
        sensor = self._tables["calibrated_sensor"][data["calibrated_sensor_token"]]
        return pose(self._tables["ego_pose"][data["ego_pose_token"]]) @ pose(sensor)


def rotation(quaternions: Tensor) -> Tensor:
    """Matrices (..., 3, 3) of unit quaternions (..., 4) as (w, x, y, z)."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def pose(row: dict[str, Any]) -> Tensor:
    """(4, 4) of a row with ``rotation`` and ``translation``."""
    made = torch.eye(4, dtype=torch.float64)
    made[:3, :3] = rotation(torch.tensor(row["rotation"], dtype=torch.float64))
    made[:3, 3] = torch.tensor(row["translation"], dtype=torch.float64)
    return made
