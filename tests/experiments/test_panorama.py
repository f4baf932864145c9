"""The camera's network of chapter 11: what it is asked, what is written, what the shipped one knows."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from wsss_lib.data.worlds.lidar import Lidar, LidarWorld
from wsss_lib.experiments import panorama
from wsss_lib.methods.point_detr3d.coding import padded
from wsss_lib.methods.point_detr3d.picture import mean_over_rectangle, picture_network


def test_the_cameras_network_learns_which_way_cars_look(tmp_path: Path) -> None:
    out = tmp_path / "panorama.safetensors"
    assert 0 <= panorama.pretrain(out, count=4, steps=2) <= 1
    with safe_open(out, "pt") as stored:
        assert set(stored.keys()) == set(picture_network().state_dict())
    torch.manual_seed(0)
    method = panorama.Headings()
    scenes = Lidar(LidarWorld(pedestrians=0.0), "few", 2).batch(range(2))
    said, right, real = method.said(scenes)
    assert said.shape == right.shape == (2, real.shape[1], 5)
    torch.testing.assert_close(right[..., 1:3].square().sum(-1)[real], torch.ones(int(real.sum())))
    terms = method.losses(scenes)
    assert set(terms) == {"class", "angle"}
    torch.testing.assert_close(terms["angle"], (said - right)[real][:, 1:].abs().mean())


def test_the_shipped_network_tells_front_from_rear_by_a_line() -> None:
    records = Lidar(LidarWorld(pedestrians=0.0, distance=(6.0, 12.0)), "others", 30)
    scenes = records.batch(range(30))
    boxes, real = padded(scenes["boxes3d"], fill=1.0)
    with torch.no_grad():
        features = picture_network(weights=True).eval()(scenes["panoramas"])
        read = mean_over_rectangle(features, boxes[..., :2], 5.0, 2.5, 7)[real]
    ahead = (boxes[..., 6] - torch.atan2(boxes[..., 1], boxes[..., 0])).cos()[real]
    half = len(read) // 2
    bias = torch.ones(len(read), 1)
    line = torch.linalg.lstsq(torch.cat([read, bias], 1)[:half], ahead[:half, None]).solution
    right = (torch.cat([read, bias], 1)[half:] @ line)[:, 0] * ahead[half:] > 0
    assert float(right.double().mean()) > 0.75
