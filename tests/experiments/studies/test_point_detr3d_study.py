"""What chapter 11's studies train on: who sees which boxes, and what is measured of a teacher."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.data.worlds.lidar import HiddenBoxes, Lidar, LidarWorld
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import point_detr3d as study
from wsss_lib.experiments.workbench import Workbench


def test_every_study_is_listed() -> None:
    assert set(study.STUDIES) <= set(studies.STUDIES)


def test_a_student_sees_real_boxes_of_the_first_scenes_and_made_ones_of_the_others() -> None:
    records = Lidar(count=6)
    made = [torch.full((len(records[i]["clicks"]), 7), float(i)) for i in range(6)]
    taught = study.taught(records, made, 2)
    for i in range(6):
        assert torch.equal(taught[i]["boxes3d"], records[i]["boxes3d"] if i < 2 else made[i])


def test_the_quality_of_perfect_and_of_mean_boxes() -> None:
    records = Lidar(LidarWorld(click_noise=0.0), "test", 20)
    perfect = study.quality([records[i]["boxes3d"] for i in range(20)], records)
    assert [perfect[key] for key in ("iou_car", "iou_pedestrian", "iou_0", "iou_2", "ahead")] == pytest.approx([1] * 5)
    assert perfect["axis_1"] == pytest.approx(0, abs=1e-6)
    mean = study.quality(study.mean_boxes(records), records)
    assert 0.35 < mean["iou_car"] < 0.6
    assert 30 < mean["axis_1"] < 60
    hidden = study.quality(study.mean_boxes(HiddenBoxes(records)), records)
    assert hidden == mean


def test_a_lab_has_the_chapters_scenes() -> None:
    lab = study.lab_of(Workbench("smoke", data="lidar"))
    assert len(study.scenes(lab)) == 160
    assert len(lab.choose_on) == 20
    student = lab.build("centerpoint")
    row = study.detected(lab, student)
    assert set(row) == {"mean_ap", "translation", "scale", "orientation", "spnds", "overlap_ap"}
    assert row["mean_ap"] < 0.2, "it has learnt nothing"


def test_scenes_without_click_noise_are_the_same_scenes() -> None:
    lab = study.lab_of(Workbench("smoke", data="lidar"))
    train, centred = lab.split("train"), lab.split("train", click_noise=0.0)
    for i in range(5):
        assert torch.equal(centred[i]["points"], train[i]["points"])
        assert torch.equal(centred[i]["boxes3d"], train[i]["boxes3d"])
        assert torch.equal(centred[i]["clicks"], train[i]["boxes3d"][:, :3])
        assert not torch.equal(centred[i]["clicks"], train[i]["clicks"])
