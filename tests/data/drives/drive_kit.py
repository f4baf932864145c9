"""Small files in the layouts of KITTI and of nuScenes, of cars whose places are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

AXES = ((0, -1, 0), (0, 0, -1), (1, 0, 0))
"""From a scanner's frame (ahead, left, up) to a camera's (right, down, ahead)."""
SIZE = (80, 200)
"""Height and width of a picture."""
INNER = ((100.0, 0.0, 100.0), (0.0, 100.0, 40.0), (0.0, 0.0, 1.0))


def kitti_frame(root: Path, frame: str = "000000", labels: tuple[str, ...] = (), points: Any = ()) -> None:
    """A frame whose camera sits at the scanner, looking ahead."""
    folder = root / "training"
    for name in ("calib", "image_2", "label_2", "velodyne"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = {
        "P2": [*INNER[0], 0, *INNER[1], 0, *INNER[2], 0],
        "R0_rect": [1, 0, 0, 0, 1, 0, 0, 0, 1],
        "Tr_velo_to_cam": [*AXES[0], 0, *AXES[1], 0, *AXES[2], 0],
    }
    text = "".join(f"{name}: {' '.join(f'{v:.12e}' for v in values)}\n" for name, values in rows.items())
    (folder / "calib" / f"{frame}.txt").write_text(text)
    (folder / "label_2" / f"{frame}.txt").write_text("".join(line + "\n" for line in labels))
    Image.new("RGB", SIZE[::-1], (255, 0, 51)).save(folder / "image_2" / f"{frame}.png")
    np.asarray(points, dtype="<f4").tofile(folder / "velodyne" / f"{frame}.bin")


def about_z(angle: float) -> list[float]:
    """The quaternion of a turn to the left."""
    return [math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)]


LOOKING_AHEAD = [0.5, -0.5, 0.5, -0.5]
"""The quaternion that turns a camera's frame (right, down, ahead) into that of a car (ahead, left, up)."""


def nuscenes_tables(root: Path, cars: list[dict[str, Any]], *, drive: float = 0.0, turn: float = 0.0) -> None:
    """One scene of one moment: a scanner 1 m above the car's middle, a camera at the same place; the car stands at
    (100, 50, 0), has turned by ``turn``, and has driven ``drive`` metres ahead when the camera's picture is taken."""
    tables: dict[str, list[dict[str, Any]]] = {
        "scene": [{"token": "s", "name": "scene-0001"}, {"token": "s2", "name": "scene-0002"}],
        "sample": [
            {"token": "later", "scene_token": "s2", "timestamp": 9},
            {"token": "m", "scene_token": "s", "timestamp": 5},
        ],
        "sensor": [{"token": "L", "channel": "LIDAR_TOP"}, {"token": "C", "channel": "CAM_FRONT"}],
        "calibrated_sensor": [
            {
                "token": "cl", "sensor_token": "L", "translation": [0, 0, 1], "rotation": about_z(0.0),
                "camera_intrinsic": [],
            },
            {
                "token": "cc", "sensor_token": "C", "translation": [0, 0, 1], "rotation": LOOKING_AHEAD,
                "camera_intrinsic": INNER,
            },
        ],
        "ego_pose": [
            {"token": "e", "translation": [100, 50, 0], "rotation": about_z(turn)},
            {
                "token": "e2", "rotation": about_z(turn),
                "translation": [100 + drive * math.cos(turn), 50 + drive * math.sin(turn), 0],
            },
        ],
        "category": [{"token": "k1", "name": "vehicle.car"}, {"token": "k2", "name": "animal"}],
        "instance": [{"token": "i1", "category_token": "k1"}, {"token": "i2", "category_token": "k2"}],
        "sample_annotation": [{"token": f"a{i}", "sample_token": "m"} | car for i, car in enumerate(cars)],
        "sample_data": [],
    }  # fmt: skip
    for sample in ("m", "later"):
        for key, (channel, pose) in {"l": ("cl", "e"), "c": ("cc", "e2")}.items():
            tables["sample_data"].append(
                {
                    "token": f"{sample}-{key}", "sample_token": sample, "calibrated_sensor_token": channel,
                    "ego_pose_token": pose, "is_key_frame": True, "filename": f"samples/{sample}.bin",
                    "height": SIZE[0], "width": SIZE[1],
                }
            )  # fmt: skip
    tables["sample_data"].append(tables["sample_data"][0] | {"token": "sweep", "is_key_frame": False, "filename": "no"})
    (root / "v1.0-mini").mkdir(parents=True)
    (root / "samples").mkdir()
    for name, rows in tables.items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    for sample in ("m", "later"):
        np.arange(10, dtype="<f4").tofile(root / "samples" / f"{sample}.bin")
