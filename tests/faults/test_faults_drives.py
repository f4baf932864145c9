"""KITTI and nuScenes as disks and downloads leave them: each damaged file is one sentence that names it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_kit import refusal

from wsss_lib.data.drives import Kitti, NuScenes

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "drives"))
from drive_kit import about_z, kitti_frame, nuscenes_tables

CAR = "Car 0.25 2 0.00 60.0 30.0 100.0 50.0 1.5 1.8 4.0 -2.0 1.0 10.0 -1.5707963267948966"
LABEL, CALIB, CLOUD, PICTURE = "label_2/000000.txt", "calib/000000.txt", "velodyne/000000.bin", "image_2/000000.png"
Change = Callable[[Path], object]


def gone(name: str) -> Change:
    return lambda root: (root / name).unlink()


def folder(name: str) -> Change:
    return lambda root: ((root / name).unlink(), (root / name).mkdir())


def pipe(name: str) -> Change:
    return lambda root: ((root / name).unlink(), os.mkfifo(root / name))


def holds(name: str, content: bytes | str) -> Change:
    return lambda root: (root / name).write_bytes(content.encode() if isinstance(content, str) else content)


def floats(name: str, *values: float) -> Change:
    return holds(name, np.array(values, "<f4").tobytes())


def car(place: int, word: str) -> Change:
    words = CAR.split()
    words[place] = word
    return holds(LABEL, " ".join(words) + "\n")


def calibration(old: str, new: str) -> Change:
    return lambda root: (root / CALIB).write_text((root / CALIB).read_text().replace(old, new))


KITTI: dict[str, tuple[Change, str]] = {
    **{f"{name}, gone": (gone(name), f"no file .*{name}") for name in (CALIB, CLOUD, PICTURE)},
    **{f"{name}, a folder": (folder(name), name) for name in (LABEL, CALIB, CLOUD, PICTURE)},
    **{f"{name}, a pipe": (pipe(name), name) for name in (LABEL, CALIB, CLOUD, PICTURE)},
    **{f"{name}, no text": (holds(name, b"Car \xff\xfe\x00"), f"{name}.*text") for name in (LABEL, CALIB)},
    "a calibration of words": (holds(CALIB, "P2: a b c\n"), f"{CALIB}.*P2.*12"),
    "an empty calibration": (holds(CALIB, ""), f"{CALIB} has no P2 of 12 numbers"),
    "a calibration of NaN": (calibration("1.000000000000e+00", "nan"), f"{CALIB}.*finite"),
    "a calibration of zeros": (calibration("1.000000000000e+00", "0"), f"{CALIB} turns a scan"),
    "a calibration with a number less": (calibration("P2: 1.000000000000e+02", "P2:"), f"{CALIB}.*P2.*12"),
    "a picture that is cut": (lambda root: holds(PICTURE, (root / PICTURE).read_bytes()[:60])(root), PICTURE),
    "a picture that is a web page": (holds(PICTURE, "<html>404</html>"), f"{PICTURE} is a web page"),
    "an empty picture": (holds(PICTURE, b""), f"{PICTURE} is empty"),
    "a part of a point": (holds(CLOUD, b"\0" * 17), f"{CLOUD} has 17 bytes, expected 4 numbers"),
    "three numbers": (floats(CLOUD, 1, 2, 3), f"{CLOUD} has 12 bytes"),
    "a point of NaN": (floats(CLOUD, 1, float("nan"), 3, 4), f"{CLOUD} has 1 points that are NaN"),
    "a point in infinity": (floats(CLOUD, 1, 2, float("inf"), 4), f"{CLOUD}.*infinite"),
    "a place of NaN": (car(11, "nan"), f"{LABEL}.*finite"),
    "a place in infinity": (car(13, "inf"), f"{LABEL}.*finite"),
    "a place beyond floats": (car(11, "1e300"), f"{LABEL}.*finite"),
    "a place in a word": (car(12, "near"), f"{LABEL}.*14 finite numbers"),
    "a height below 0": (car(8, "-1.5"), f"{LABEL}.*above 0"),
    "a width of 0": (car(9, "0"), f"{LABEL}.*above 0"),
    "a box that ends before it starts": (car(4, "200"), f"{LABEL}.*start"),
    "a line that is cut": (holds(LABEL, CAR[:40]), f"{LABEL}.*14 finite numbers"),
}


def read_kitti(root: Path) -> Any:
    records = Kitti(root)
    return records[0], records.camera(0), records.difficulty(0)


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    kitti_frame(tmp_path, labels=(CAR,), points=[[1, 2, 3, 0.5]])
    return tmp_path


@pytest.mark.parametrize("name", KITTI)
def test_a_damaged_frame_is_refused_by_its_files_name(kitti: Path, name: str) -> None:
    read_kitti(kitti)
    change, cause = KITTI[name]
    change(kitti / "training")
    refusal(lambda: read_kitti(kitti), cause)


@pytest.mark.parametrize("name", [CALIB, CLOUD, PICTURE])
def test_a_camera_needs_its_own_files_only(kitti: Path, name: str) -> None:
    gone(name)(kitti / "training")
    if name == CLOUD:
        assert Kitti(kitti).camera(0).size == (80, 200)
    else:
        refusal(lambda: Kitti(kitti).camera(0), f"no file .*{name}")


@pytest.mark.parametrize(
    "content", ["", "\n\n", "\0\0\0", "DontCare -1 -1 -10 1 1 1 1 -1 -1 -1 -1000 -1000 -1000 -10\n"]
)
def test_a_frame_without_a_car_has_no_box(kitti: Path, content: str) -> None:
    holds(LABEL, content)(kitti / "training")
    assert Kitti(kitti)[0]["boxes3d"].shape == (0, 7)


def test_a_mark_before_the_text_is_no_part_of_it(kitti: Path) -> None:
    holds(LABEL, b"\xef\xbb\xbf" + CAR.encode())(kitti / "training")
    assert len(Kitti(kitti)[0]["boxes3d"]) == 1


@pytest.mark.parametrize("classes", ["Car", (), ("Car", "Car"), (1,), None, {"Car"}])
def test_classes_are_a_list_of_names(kitti: Path, classes: Any) -> None:
    refusal(lambda: Kitti(kitti, classes=classes), "classes is", "list of names")


@pytest.mark.parametrize("root", ["", 3, None])
def test_a_root_is_a_path(root: Any) -> None:
    refusal(lambda: Kitti(root), "path")
    refusal(lambda: NuScenes(root), "path")


ANNOTATION = {"translation": [98, 60, 0.75], "size": [1.8, 4.0, 1.5], "rotation": about_z(0), "instance_token": "i1"}
SCENE, SCAN = "v1.0-mini/scene.json", "samples/m.bin"


def rows(table: str, change: Callable[[list[dict[str, Any]]], object]) -> Change:
    def apply(root: Path) -> None:
        path = root / "v1.0-mini" / f"{table}.json"
        held = json.loads(path.read_text())
        change(held)
        path.write_text(json.dumps(held))

    return apply


def every(table: str, **fields: Any) -> Change:
    return rows(table, lambda held: [row.update(fields) for row in held])


def without(table: str, field: str) -> Change:
    return rows(table, lambda held: [row.pop(field) for row in held])


NUSCENES: dict[str, tuple[Change, str]] = {
    **{
        f"a table of {what}": (holds(SCENE, content), SCENE)
        for what, content in {
            "nothing": b"", "a web page": b"<html>", "no text": b"\xff\xfe\0", "a mapping": b"{}", "null": b"null",
            "numbers": b"[1]", "lists without end": b"[" * 100_000, "digits": b"9" * 5000, "zeros": b"\0" * 300,
            "a mark and no JSON": b"\xef\xbb\xbf[]",
        }.items()
    },
    "a table that is a folder": (folder(SCENE), SCENE),
    "a table that is a pipe": (pipe(SCENE), SCENE),
    "a table that is cut": (lambda root: holds(SCENE, (root / SCENE).read_bytes()[:-9])(root), SCENE),
    "a token twice": (rows("scene", lambda held: held.append(held[0])), "2 tokens"),
    "a token that is a number": (every("scene", token=3), "token is 3"),
    **{
        f"{table} without {field}": (without(table, field), f"{table}.json, row 0: it has no {field}")
        for table, field in (
            ("scene", "token"), ("scene", "name"), ("sample", "timestamp"), ("sample", "scene_token"),
            ("sample_data", "is_key_frame"), ("sample_data", "filename"), ("sample_data", "ego_pose_token"),
            ("sample_annotation", "size"), ("ego_pose", "rotation"), ("sensor", "channel"), ("category", "name"),
        )
    },
    **{
        f"an unknown {field}": (every(table, **{field: "zz"}), "no row 'zz'")
        for table, field in (
            ("sample_data", "calibrated_sensor_token"), ("sample_data", "ego_pose_token"),
            ("calibrated_sensor", "sensor_token"), ("sample_annotation", "instance_token"),
            ("instance", "category_token"),
        )
    },
    "a time in a word": (every("sample", timestamp="noon"), "timestamp 'noon'"),
    "no scanner": (every("sensor", channel="RADAR"), "no key frame of LIDAR_TOP, it has RADAR"),
    "no data": (rows("sample_data", lambda held: held.clear()), "no key frame of LIDAR_TOP, it has none"),
    **{
        f"{field} of {value!r}": (every("sample_annotation", **{field: value}), f"sample_annotation a0: its {field}")
        for field, value in (
            ("size", [1, 2]), ("size", "abc"), ("size", None), ("size", [1, float("nan"), 1]), ("size", [[1, 1, 1]]),
            ("translation", ["a", "b", "c"]), ("translation", [1, 2]), ("translation", {"x": 1}),
            ("rotation", [0, 0, 0, 0]), ("rotation", [1, 0, 0]),
        )
    },
    "a side below 0": (every("sample_annotation", size=[1, -1, 1]), "sample_annotation a0 has the sides.*above 0"),
    "a pose without a turn": (every("ego_pose", rotation=[0, 0, 0, 0]), "the pose e: its rotation"),
    "a pose of words": (every("ego_pose", translation="abc"), "the pose e: its translation"),
    "a camera of nothing": (every("calibrated_sensor", camera_intrinsic=[]), "camera_intrinsic"),
    "a camera of 2 × 2": (every("calibrated_sensor", camera_intrinsic=[[1, 0], [0, 1]]), "camera_intrinsic"),
    "a camera without height": (without("sample_data", "height"), "height and width"),
    "no scan": (gone(SCAN), f"no file .*{SCAN}"),
    "a scan that is a folder": (folder(SCAN), SCAN),
    "a part of a scan's point": (holds(SCAN, b"\0" * 21), f"{SCAN} has 21 bytes, expected 5 numbers"),
    "a scan of NaN": (floats(SCAN, *[float("nan")] * 5), f"{SCAN} has 1 points that are NaN"),
    "a scan elsewhere": (every("sample_data", filename="../../etc/passwd"), "leads out of"),
    "a scan at the root": (every("sample_data", filename="/etc/passwd"), "leads out of"),
}  # fmt: skip


def read_nuscenes(root: Path) -> Any:
    records = NuScenes(root)
    return records[0], records.camera(0)


@pytest.fixture
def nuscenes(tmp_path: Path) -> Path:
    nuscenes_tables(tmp_path, [ANNOTATION])
    return tmp_path


@pytest.mark.parametrize("name", NUSCENES)
def test_a_damaged_table_is_refused_by_its_name(nuscenes: Path, name: str) -> None:
    read_nuscenes(nuscenes)
    change, cause = NUSCENES[name]
    change(nuscenes)
    refusal(lambda: read_nuscenes(nuscenes), cause)


def test_scenes_of_one_name_are_both_kept(nuscenes: Path) -> None:
    every("scene", name="same")(nuscenes)
    assert [sample["id"] for sample in NuScenes(nuscenes, scenes=["same"])] == ["m", "later"]


@pytest.mark.parametrize("scenes", ["scene-0001", (), (1,), ["scene-0001"] * 2, 3])
def test_scenes_are_a_list_of_names(nuscenes: Path, scenes: Any) -> None:
    refusal(lambda: NuScenes(nuscenes, scenes=scenes), "scenes is", "list of names")


def test_what_is_not_there_is_named(nuscenes: Path) -> None:
    refusal(lambda: NuScenes(nuscenes, version="v9"), "v9", "pass the folder")
    refusal(lambda: NuScenes(nuscenes).camera(0, "CAM_BACK"), "CAM_BACK", "CAM_FRONT, LIDAR_TOP")
