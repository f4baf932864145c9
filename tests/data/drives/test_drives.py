"""Readers of KITTI and of nuScenes' tables: frames, boxes, points and cameras, on small files and on real frames."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from drive_kit import SIZE, about_z, kitti_frame, nuscenes_tables

from wsss_lib.data.drives import Kitti, NuScenes, corners3d, projected_boxes
from wsss_lib.data.drives.nuscenes import rotation
from wsss_lib.data.records import collate

# A car whose middle is 10 m ahead, 2 m to the left and 0.25 m below the scanner, pointing ahead: in the camera's frame
# x = -2, the lower side y = 0.25 + 0.75 = 1, z = 10; pointing along the camera's z is a rotation of -π/2.
CAR = "Car 0.25 2 0.00 60.0 30.0 100.0 50.0 1.5 1.8 4.0 -2.0 1.0 10.0 -1.5707963267948966"
WALKER = "Pedestrian 0.00 0 0.00 0 0 10 10 1.7 0.6 0.8 3.0 1.7 8.0 0.0"
NOTHING = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


class TestKitti:
    def test_a_frame(self, tmp_path: Path) -> None:
        kitti_frame(tmp_path, labels=(WALKER, CAR, NOTHING), points=[[1, 2, 3, 0.5], [4, 5, 6, 0.25]])
        for root in (tmp_path, tmp_path / "training"):
            (sample,) = Kitti(root)
            assert sample["id"] == "000000"
            assert sample["points"].tolist() == [[1, 2, 3, 0.5], [4, 5, 6, 0.25]]
            assert sample["image"].shape == (3, *SIZE)
            assert sample["image"][:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
            assert sample["box3d_labels"].tolist() == sample["box_labels"].tolist() == [1, 0]
            walker, car = sample["boxes3d"]
            torch.testing.assert_close(car, torch.tensor([10, 2, -0.25, 4, 1.8, 1.5, 0]), atol=1e-5, rtol=0)
            # A rotation of 0 points along the camera's x, which is to the right.
            torch.testing.assert_close(
                walker, torch.tensor([8, -3, -0.85, 0.8, 0.6, 1.7, -math.pi / 2]), atol=1e-5, rtol=0
            )
            assert sample["boxes"][1].tolist() == [60, 30, 100, 50]
        assert Kitti(tmp_path).difficulty(0)[1] == {"truncated": 0.25, "occluded": 2.0}
        batch = collate([sample, sample])
        assert len(batch["points"]) == len(batch["boxes3d"]) == 2

    def test_a_box_in_the_picture_by_hand(self, tmp_path: Path) -> None:
        kitti_frame(tmp_path, labels=(CAR,))
        records = Kitti(tmp_path)
        boxes, inside = projected_boxes(records[0]["boxes3d"], records.camera(0))
        # The rear, 8 m away, is the largest: 100 · (-2.9, -1.1) / 8 and 100 · (-0.5, 1) / 8; the front, 12 m away, ends
        # farther right.
        left, right = 100 - 290 / 8, 100 - 110 / 12
        assert boxes[0].tolist() == pytest.approx([left, 40 - 50 / 8, right, 40 + 100 / 8], abs=1e-3)
        assert inside.tolist() == [True]
        behind = records[0]["boxes3d"] * torch.tensor([-1.0, 1, 1, 1, 1, 1, 1])
        beside = records[0]["boxes3d"] + torch.tensor([0.0, 40, 0, 0, 0, 0, 0])
        assert projected_boxes(torch.cat([behind, beside]), records.camera(0))[1].tolist() == [False, False]

    def test_a_point_in_the_picture(self, tmp_path: Path) -> None:
        kitti_frame(tmp_path, labels=(CAR,))
        at, depth = Kitti(tmp_path).camera(0).project(torch.tensor([[10.0, 1.0, 0.5], [-10.0, 0, 0]]))
        assert at[0].tolist() == pytest.approx([90, 35])
        assert depth.tolist() == pytest.approx([10, -10])

    def test_classes_are_chosen(self, tmp_path: Path) -> None:
        kitti_frame(tmp_path, labels=(WALKER, CAR))
        only = Kitti(tmp_path, classes=("Car",))
        assert only[0]["box3d_labels"].tolist() == [0]
        assert only.fingerprint != Kitti(tmp_path).fingerprint
        kitti_frame(tmp_path, "000001", labels=(NOTHING,))
        empty = Kitti(tmp_path)[1]
        assert empty["boxes3d"].shape == (0, 7)
        assert empty["boxes"].shape == (0, 4)

    def test_what_is_wrong_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"has no label_2/\*.txt"):
            Kitti(tmp_path)
        kitti_frame(tmp_path, labels=(CAR[:-20] + " x",))
        with pytest.raises(ValueError, match=r"000000\.txt: after Car, a line .*expected 14 finite numbers"):
            Kitti(tmp_path)[0]
        kitti_frame(tmp_path, labels=(CAR.rsplit(" ", 2)[0],))
        with pytest.raises(ValueError, match=r"000000\.txt: after Car, a line .*expected 14 finite numbers"):
            Kitti(tmp_path)[0]
        kitti_frame(tmp_path, labels=(CAR,), points=[1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match=r"12 bytes, expected 4 numbers of 4 bytes for each point"):
            Kitti(tmp_path)[0]
        kitti_frame(tmp_path, labels=(CAR,))
        (tmp_path / "training/calib/000000.txt").write_text("P2: 1 2 3\n")
        with pytest.raises(ValueError, match=r"000000\.txt: P2 is .*expected 12 finite numbers"):
            Kitti(tmp_path)[0]


@pytest.mark.shared
def test_projected_boxes_are_kittis_boxes(shared_data: Path) -> None:
    """Upper and lower sides agree to 0.5 pixels for all; left and right ones to 1.5 for cars and cyclists. The boxes of
    pedestrians in the picture are narrower than their boxes in 3D: they end at the person, arms included."""
    if not (shared_data / "kitti").is_dir():
        pytest.skip("no frames of KITTI on this machine")
    records = Kitti(shared_data / "kitti")
    counted = dict.fromkeys(records.classes, 0)
    for i in range(len(records)):
        sample = records[i]
        boxes, inside = projected_boxes(sample["boxes3d"], records.camera(i))
        assert inside.all()
        apart = (boxes - sample["boxes"].double()).abs()
        assert float(apart[:, [1, 3]].max()) <= 0.5
        stiff = sample["box3d_labels"] != records.classes.index("Pedestrian")
        assert not stiff.any() or float(apart[stiff].max()) <= 1.5
        for label in sample["box3d_labels"].tolist():
            counted[records.classes[label]] += 1
    assert counted == {"Car": 19, "Pedestrian": 4, "Cyclist": 2}


def annotation(x: float, y: float, yaw: float, instance: str = "i1") -> dict[str, object]:
    place = {"translation": [x, y, 0.75], "size": [1.8, 4.0, 1.5], "rotation": about_z(yaw)}
    return place | {"instance_token": instance}


class TestNuScenes:
    def test_a_moment(self, tmp_path: Path) -> None:
        # The car looks along the world's y; 10 m ahead of it and 2 m to its left stands another, pointing as it does.
        ahead = annotation(98, 60, math.pi / 2)
        nuscenes_tables(tmp_path, [ahead, annotation(0, 0, 0, "i2")], turn=math.pi / 2)
        records = NuScenes(tmp_path)
        assert len(records) == 2
        sample = records[0]
        assert sample["id"] == "m"
        assert sample["points"].tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
        expected = torch.tensor([[10, 2, -0.25, 4, 1.8, 1.5, 0]])
        torch.testing.assert_close(sample["boxes3d"], expected, atol=1e-4, rtol=0)
        assert [records.classes[i] for i in sample["box3d_labels"]] == ["car"]
        assert records[1]["boxes3d"].shape == (0, 7)

    def test_a_camera_sees_a_point_where_it_is_when_the_picture_is_taken(self, tmp_path: Path) -> None:
        nuscenes_tables(tmp_path, [annotation(110, 52, 0)], drive=2.0)
        records = NuScenes(tmp_path)
        at, depth = records.camera(0).project(torch.tensor([[10.0, 1.0, 0.5]]))
        assert float(depth[0]) == pytest.approx(8), "2 m have been driven since the scan"
        assert at[0].tolist() == pytest.approx([100 - 100 / 8, 40 - 50 / 8])
        assert records.camera(0).size == SIZE
        boxes, inside = projected_boxes(records[0]["boxes3d"], records.camera(0))
        left, right = 100 - 290 / 6, 100 - 110 / 10
        assert boxes[0].tolist() == pytest.approx([left, 40 - 50 / 6, right, 40 + 100 / 6], abs=1e-3)
        assert inside.tolist() == [True]

    def test_scenes_are_chosen_and_faults_are_said(self, tmp_path: Path) -> None:
        nuscenes_tables(tmp_path, [])
        assert [s["id"] for s in NuScenes(tmp_path, scenes=("scene-0002",))] == ["later"]
        with pytest.raises(ValueError, match="no scene scene-9: choose from scene-0001"):
            NuScenes(tmp_path, scenes=("scene-9",))
        (tmp_path / "v1.0-mini/instance.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"instance\.json"):
            NuScenes(tmp_path)

    def test_rotations(self) -> None:
        quaternions = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        matrices = rotation(quaternions)
        eye = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
        torch.testing.assert_close(matrices @ matrices.transpose(1, 2), eye)
        torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(20, dtype=torch.float64))
        quarter = rotation(torch.tensor(about_z(math.pi / 2), dtype=torch.float64))
        expected = torch.tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
        torch.testing.assert_close(quarter, expected, atol=1e-9, rtol=0)


def test_corners_of_a_box() -> None:
    corners = corners3d(torch.tensor([1.0, 2, 3, 4, 2, 6, math.pi / 2]))
    assert corners.shape == (8, 3)
    assert corners.amin(0).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert corners.amax(0).tolist() == pytest.approx([2, 4, 6], abs=1e-5)
