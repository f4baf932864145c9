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
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

from wsss_lib.data.drives.geometry import Camera
from wsss_lib.data.drives.reading import REMEDY, check_names, check_sides, cloud_of, numbers_of, table_of
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
TABLES = {
    "scene": ("name",),
    "sample": ("scene_token", "timestamp"),
    "sample_data": ("sample_token", "calibrated_sensor_token", "ego_pose_token", "is_key_frame", "filename"),
    "sample_annotation": ("sample_token", "instance_token", "translation", "size", "rotation"),
    "instance": ("category_token",),
    "category": ("name",),
    "ego_pose": ("translation", "rotation"),
    "calibrated_sensor": ("sensor_token", "translation", "rotation"),
    "sensor": ("channel",),
}
"""The tables that are read, and what each row of them must have besides its token."""


class NuScenes(Records):
    """The annotated moments of a version, in the order of time.

    Samples have ``points`` (P, 5): x, y, z, intensity and ring; ``boxes3d`` and ``box3d_labels``.

    Args:
        root: The folder that holds ``samples`` and the tables' folder.
        version: Name of the tables' folder, such as ``"v1.0-mini"``.
        scenes: Names of the scenes that are kept; None for all.

    Raises:
        FileNotFoundError: A table, or a file that it names, is missing.
        ValueError: A scene that does not exist, or a table or a cloud that is not as nuScenes writes it.
    """

    name = "nuscenes"
    classes = CLASSES

    def __init__(
        self, root: str | os.PathLike[str], version: str = "v1.0-mini", scenes: tuple[str, ...] | None = None
    ) -> None:
        self.root, self.split = named_path(root), version
        self._tables = {name: self._read(name) for name in TABLES}
        known = {row["name"]: token for token, row in self._tables["scene"].items()}
        chosen = tuple(known) if scenes is None else check_names(scenes, "scenes")
        if unknown := sorted(set(chosen) - set(known)):
            raise ValueError(f"there is no scene {', '.join(unknown)}: choose from {', '.join(sorted(known)[:10])} …")
        kept = {token for token, row in self._tables["scene"].items() if row["name"] in chosen}
        moments = [row for row in self._tables["sample"].values() if row["scene_token"] in kept]
        if late := [row for row in moments if not isinstance(row["timestamp"], int)]:
            time = late[0]["timestamp"]
            raise ValueError(f"sample {late[0]['token']} has the timestamp {time!r:.80}, expected a number: {REMEDY}")
        self.moments = [row["token"] for row in sorted(moments, key=lambda row: (row["timestamp"], row["token"]))]
        self.fingerprint = sha256_of_text(json.dumps([version, self.moments]))

    def _read(self, table: str) -> dict[str, dict[str, Any]]:
        path = self.root / self.split / f"{table}.json"
        if not path.exists():
            raise FileNotFoundError(f"there is no table {path}: pass the folder that holds {self.split}")
        return table_of(path, TABLES[table])

    def _row(self, table: str, token: str) -> dict[str, Any]:
        """The row of a token.

        Raises:
            ValueError: The table has none.
        """
        if token not in self._tables[table]:
            raise ValueError(f"{self.split}/{table}.json has no row {token!r}, which another names: {REMEDY}")
        return self._tables[table][token]

    @cached_property
    def _data_of(self) -> dict[str, dict[str, str]]:
        """Of each sample, by the channel of the sensor, the token of its key frame."""
        made: dict[str, dict[str, str]] = defaultdict(dict)
        for token, row in self._tables["sample_data"].items():
            if row["is_key_frame"]:
                sensor = self._row("calibrated_sensor", row["calibrated_sensor_token"])["sensor_token"]
                made[row["sample_token"]][self._row("sensor", sensor)["channel"]] = token
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
        scan = self._key_frame(moment, "LIDAR_TOP")
        if PurePosixPath(scan["filename"]).is_absolute() or ".." in PurePosixPath(scan["filename"]).parts:
            raise ValueError(f"{scan['filename']!r:.80} leads out of {self.root}: {REMEDY}")
        points = cloud_of(self.root / scan["filename"], 5)
        to_scanner = torch.linalg.inv(self._to_world(scan))
        boxes, labels = [], []
        for row in self._annotations_of[moment]:
            name = self._row("category", self._row("instance", row["instance_token"])["category_token"])["name"]
            if name in DETECTED:
                where = f"sample_annotation {row['token']}"
                width, length, height = numbers_of(row["size"], (3,), f"{where}: its size").tolist()
                check_sides((length, width, height), where)
                middle = numbers_of(row["translation"], (3,), f"{where}: its translation").tolist()
                boxes.append([*middle, length, width, height, *quaternion(row, where)])
                labels.append(CLASSES.index(DETECTED[name]))
        raw = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 10)
        middle = raw[:, :3] @ to_scanner[:3, :3].T + to_scanner[:3, 3]
        heading = rotation(raw[:, 6:])[:, :, 0] @ to_scanner[:3, :3].T  # where each box's own x axis points
        yaw = torch.atan2(heading[:, 1], heading[:, 0])
        return {
            "points": points,
            "boxes3d": torch.cat([middle, raw[:, 3:6], yaw[:, None]], 1).float(),
            "box3d_labels": torch.tensor(labels, dtype=torch.int64),
            "id": moment,
        }

    def camera(self, index: int, channel: str = "CAM_FRONT") -> Camera:
        """A camera as the scanner of a moment sees it: over both poses of the car, for the two look at other times."""
        moment = self.moments[record_number(index, len(self), f"{self.name}/{self.split}")]
        picture, scan = (self._key_frame(moment, name) for name in (channel, "LIDAR_TOP"))
        to_camera = torch.linalg.inv(self._to_world(picture)) @ self._to_world(scan)
        sensor = self._row("calibrated_sensor", picture["calibrated_sensor_token"])
        where = f"calibrated_sensor {sensor['token']}: its camera_intrinsic"
        inner = torch.from_numpy(numbers_of(sensor.get("camera_intrinsic"), (3, 3), where))
        where = f"sample_data {picture['token']}: its height and width"
        height, width = numbers_of([picture.get("height"), picture.get("width")], (2,), where).tolist()
        return Camera(inner @ to_camera[:3], (int(height), int(width)))

    def _key_frame(self, moment: str, channel: str) -> dict[str, Any]:
        """What a sensor saw at a moment.

        Raises:
            ValueError: Nothing.
        """
        held = self._data_of[moment]
        if channel not in held:
            raise ValueError(
                f"the sample {moment} has no key frame of {channel}, it has {', '.join(sorted(held)) or 'none'}: "
                f"choose another channel, or {REMEDY}"
            )
        return self._tables["sample_data"][held[channel]]

    def _to_world(self, data: dict[str, Any]) -> Tensor:
        """(4, 4), from the frame of a sensor at the moment of its data to the world's."""
        sensor = self._row("calibrated_sensor", data["calibrated_sensor_token"])
        return pose(self._row("ego_pose", data["ego_pose_token"])) @ pose(sensor)


def rotation(quaternions: Tensor) -> Tensor:
    """Matrices (..., 3, 3) of unit quaternions (..., 4) as (w, x, y, z)."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def quaternion(row: dict[str, Any], where: str) -> list[float]:
    """The quaternion of a row with ``rotation``, (w, x, y, z).

    Raises:
        ValueError: It is none, or of length 0; ``where`` is how the message calls the row.
    """
    turn = numbers_of(row["rotation"], (4,), f"{where}: its rotation").tolist()
    if not any(turn):
        raise ValueError(f"{where}: its rotation is 0, 0, 0, 0, expected a quaternion of length 1: {REMEDY}")
    return turn


def pose(row: dict[str, Any]) -> Tensor:
    """(4, 4) of a row with ``rotation`` and ``translation``.

    Raises:
        ValueError: They are none.
    """
    where = f"the pose {row['token']}"
    made = torch.eye(4, dtype=torch.float64)
    made[:3, :3] = rotation(torch.tensor(quaternion(row, where), dtype=torch.float64))
    made[:3, 3] = torch.from_numpy(numbers_of(row["translation"], (3,), f"{where}: its translation"))
    return made
