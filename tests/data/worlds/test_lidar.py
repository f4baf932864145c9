"""The world of points: determinism, dials, what returns and clicks are, the panorama, and turned scenes."""

import math

import numpy as np
import pytest
import torch

from wsss_lib.data import batches, load
from wsss_lib.data.worlds.lidar import (
    COLUMNS,
    HALF,
    ROWS,
    HiddenBoxes,
    Lidar,
    LidarWorld,
    ReplacedBoxes,
    SpinScene,
    column_of,
    labelled_count,
    row_of,
)
from wsss_lib.data.worlds.lidar.dataset import spun
from wsss_lib.data.worlds.lidar.panorama import _hits, paint
from wsss_lib.data.worlds.lidar.scene import NOISE, Objects, expected_returns, noise, place, poisson
from wsss_lib.data.worlds.random_numbers import Draws, image_keys
from wsss_lib.metrics import ground_iou


def scenes(count=20, split="train", **dials):
    records = load("lidar", split=split, count=count, **dials)
    return [records[i] for i in range(count)]


def in_frame(points, box):
    """Points as the box sees them: ahead, to the left, up, in shares of half a side."""
    offset = points[:, :3] - box[:3]
    cos, sin = box[6].cos(), box[6].sin()
    ahead, left = cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0]
    return torch.stack([ahead, left, offset[:, 2]], 1) / (box[3:6] / 2)


def test_a_scene_is_a_function_of_seed_split_and_index():
    few, many = load("lidar", count=3), load("lidar", count=60)
    for index in (2, 0):
        for name in ("points", "panorama", "clicks", "boxes3d", "box3d_labels"):
            assert torch.equal(few[index][name], many[index][name])
    assert not torch.equal(few[0]["clicks"], load("lidar", count=3, seed=1)[0]["clicks"])
    assert not torch.equal(few[0]["panorama"], load("lidar", split="val", count=3)[0]["panorama"])
    assert few.fingerprint != many.fingerprint != load("lidar", count=60, density=10.0).fingerprint
    # The share of scenes with boxes decides nothing about a scene.
    assert many.fingerprint == load("lidar", count=60, labelled=0.5).fingerprint


def test_a_scene_is_what_it_was_when_it_was_first_drawn():
    """Drawn once and looked at: a change here is a change of every number of chapter 11."""
    sample = scenes(1, objects=(10, 10), distance=(4.0, 12.0), clutter=5)[0]
    assert sample["box3d_labels"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 1]
    first = [-4.75, -1.376, 0.735, 4.642, 1.909, 1.472, -2.263]  # a place, a size, a direction
    assert sample["boxes3d"][0].tolist() == pytest.approx(first, abs=1e-3)
    assert sample["clicks"][0].tolist() == pytest.approx([-4.460, -1.355, 0.770], abs=1e-3)
    points = sample["points"].double()
    assert len(points) == 435
    assert points.mean(0).tolist() == pytest.approx([-0.119, -0.747, 0.711], abs=1e-3)
    assert points.std(0).tolist() == pytest.approx([4.740, 4.702, 0.365], abs=1e-3)
    # The mean colour of each eighth of the panorama.
    colours = sample["panorama"].double().reshape(3, ROWS, 8, COLUMNS // 8).mean((1, 3)).T
    expected = [
        [0.5626, 0.5942, 0.5348], [0.5939, 0.6726, 0.5421], [0.5945, 0.6214, 0.4745], [0.5757, 0.6278, 0.6225],
        [0.5980, 0.6428, 0.6486], [0.5067, 0.5991, 0.5498], [0.5128, 0.5907, 0.5242], [0.6258, 0.6063, 0.4638],
    ]  # fmt: skip
    torch.testing.assert_close(colours, torch.tensor(expected, dtype=torch.float64), atol=1e-4, rtol=0)


def test_the_dials_of_chapter_11_are_those_it_was_measured_with():
    """What was drawn and trained before is found by this name."""
    known = "4ca4c18ffdf4b84166bbf3791dfa0f4895ed69c31eb3507f8882530be98d6859"
    assert LidarWorld().fingerprint("val", 3) == known


def test_clutter_fills_the_scene_up_to_two_metres():
    (sample,) = scenes(1, objects=(0, 0), clutter=400)
    low, high = sample["points"].amin(0), sample["points"].amax(0)
    assert low.tolist() == pytest.approx([-HALF, -HALF, 0], abs=0.3)
    assert high.tolist() == pytest.approx([HALF, HALF, 2], abs=0.3)


def test_what_a_sample_holds():
    sample = scenes(1)[0]
    count = len(sample["clicks"])
    assert sample["boxes3d"].shape == (count, 7)
    assert sample["box3d_labels"].shape == (count,)
    assert sample["points"].shape[1] == 3
    assert sample["panorama"].shape == (3, ROWS, COLUMNS)
    assert 0 <= float(sample["panorama"].min()) <= float(sample["panorama"].max()) <= 1
    (batch,) = batches(load("lidar", count=4), 4)
    assert batch["panoramas"].shape == (4, 3, ROWS, COLUMNS)
    assert len(batch["clicks"]) == len(batch["points"]) == 4


def test_objects_keep_apart_and_inside():
    for sample in scenes(40):
        boxes, far = sample["boxes3d"], sample["boxes3d"][:, :2].norm(dim=1)
        assert 6 - 2 <= len(boxes) <= 10
        assert float(far.min()) >= 4 - 1e-3
        assert float(far.max()) <= 24 + 1e-3
        overlap = ground_iou(boxes[:, None], boxes[None]).fill_diagonal_(0)
        assert float(overlap.max()) == 0
        torch.testing.assert_close(boxes[:, 2], boxes[:, 5] / 2, atol=2e-3, rtol=0)


def test_each_number_of_objects_is_as_likely_as_the_others():
    world = LidarWorld(objects=(1, 4), distance=(6.0, 24.0))  # so wide that there is a place for all
    numbers = place(world, Draws(image_keys(0, "numbers", np.arange(400)))).there.sum(1)
    assert np.bincount(numbers, minlength=5).tolist() == pytest.approx([0, 100, 100, 100, 100], abs=25)


def test_no_object_stands_half_a_metre_before_the_sensors():
    world = LidarWorld(objects=(4, 4), distance=(3.0, 4.0))
    objects = place(world, Draws(image_keys(0, "near", np.arange(400))))
    boxes = objects.boxes[objects.there]
    gaps = np.hypot(boxes[:, 0], boxes[:, 1]) - np.hypot(boxes[:, 3], boxes[:, 4]) / 2
    assert 0.7 - 1e-3 <= gaps.min() < 0.75, "half a metre, and the room that every object has around it"


def test_the_place_of_a_return_is_off_by_five_centimetres():
    moved = noise(Draws(image_keys(0, "noise", np.arange(4000))))
    assert moved.std(0).tolist() == pytest.approx([NOISE] * 3, rel=0.02)
    assert moved.mean(0).tolist() == pytest.approx([0] * 3, abs=0.003)
    assert NOISE == 0.05


def test_mean_returns_fall_with_the_square_of_the_distance():
    world = LidarWorld()
    means = expected_returns(world, np.array([10.0, 20.0, 10.0]), np.array([0, 0, 1]))
    assert means.tolist() == pytest.approx([30, 7.5, 6])
    uniform = (np.arange(20_000) + 0.5) / 20_000
    for mean in (0.0, 0.3, 7.5, 187.5):
        counts = poisson(np.full(20_000, mean), uniform)
        assert counts.mean() == pytest.approx(mean, rel=0.01, abs=0.01)
        assert counts.var() == pytest.approx(mean, rel=0.02, abs=0.01)


def test_returns_lie_on_sides_that_face_the_sensor():
    samples = scenes(30, clutter=0, objects=(1, 1), pedestrians=0.0, distance=(6.0, 8.0))
    assert sum(len(s["points"]) for s in samples) > 1000
    for sample in samples:
        box, points = sample["boxes3d"][0], sample["points"]
        places = in_frame(points, box)
        sensor = in_frame(torch.zeros(1, 3), box)[0]
        near_side = [
            (places[:, i] * sensor[i].sign() > 1 - 0.5 / float(box[3 + i]))
            if abs(sensor[i]) > 1
            else torch.tensor(False)
            for i in (0, 1)
        ]
        assert bool((near_side[0] | near_side[1]).all())
    heights = torch.cat([in_frame(s["points"], s["boxes3d"][0]) for s in samples])
    bonnet, cabin = heights[heights[:, 0] > 0.5], heights[heights[:, 0] < 0.2]
    assert float(bonnet[:, 2].max()) < 0.5 < float(cabin[:, 2].max()), "the front is lower"


@pytest.mark.parametrize("noise", [0.0, 1 / 3, 1.0])
def test_clicks_lie_in_the_central_part_of_the_box(noise):
    shares = torch.cat(
        [
            in_frame(click[None], box)
            for sample in scenes(30, click_noise=noise)
            for click, box in zip(sample["clicks"], sample["boxes3d"], strict=True)
        ]
    )
    # A third of half a side is a sixth of the side.
    assert float(shares.abs().max()) <= noise + 5e-3
    assert float(shares.abs().max()) >= 0.9 * noise


def test_density_clutter_and_pedestrians_are_dials():
    dense, thin = scenes(20, density=3000.0, clutter=0), scenes(20, density=300.0, clutter=0)
    ratio = sum(len(s["points"]) for s in dense) / sum(len(s["points"]) for s in thin)
    assert ratio == pytest.approx(10, rel=0.15)
    assert all(len(s["points"]) == 7 for s in scenes(3, density=0.0, clutter=7))
    assert all((s["box3d_labels"] == 1).all() for s in scenes(5, pedestrians=1.0))
    assert all(len(s["clicks"]) == 0 for s in scenes(3, objects=(0, 0)))


@pytest.mark.parametrize(
    "dials",
    [
        {"objects": (3, 2)}, {"distance": (2.0, 24.0)}, {"pedestrians": 1.5}, {"density": -1.0}, {"clutter": 0.5},
        {"click_noise": 2.0}, {"labelled": 0.0}, {"seed": -1}, {"density": "many"}, {"objects": (1, 2, 3)},
        {"objects": (-1, 2)}, {"objects": (3, 13)}, {"distance": (2.9, 24.0)}, {"distance": (4.0, 25.1)},
        {"distance": (9.0, 8.0)}, {"pedestrians": -0.1}, {"pedestrians": 1.1}, {"density": 20_001}, {"clutter": -1},
        {"clutter": 5_001}, {"click_noise": -0.1}, {"click_noise": 1.1}, {"labelled": 1.1}, {"seed": 2**63},
    ],
)  # fmt: skip
def test_a_dial_outside_its_range_is_refused(dials):
    with pytest.raises(ValueError, match=next(iter(dials))):
        LidarWorld(**dials)


def test_a_dial_turns_to_either_end_of_its_range():
    low = LidarWorld(objects=(0, 0), distance=(3, 3), pedestrians=0, density=0, clutter=0, click_noise=0, seed=0)
    high = LidarWorld(
        objects=(12, 12), distance=(25, 25), pedestrians=1, density=20_000, clutter=5_000, click_noise=1, labelled=1,
        seed=2**63 - 1,
    )  # fmt: skip
    assert low != high


def test_the_panorama_shows_an_object_where_it_stands():
    empty = scenes(1, objects=(0, 0))[0]["panorama"]
    for sample in scenes(20, objects=(1, 1), pedestrians=0.0, distance=(12.0, 20.0)):
        box = sample["boxes3d"][0]
        changed = ((sample["panorama"] - empty).abs().sum(0) > 0.3).float()
        column = float(column_of(torch.atan2(box[1], box[0])))
        middle = changed.sum(0)
        around = (torch.arange(COLUMNS) + 0.5 - column + COLUMNS / 2) % COLUMNS - COLUMNS / 2
        assert float((middle * around).sum() / middle.sum()) == pytest.approx(0, abs=8)
        rows = changed.sum(1).nonzero().flatten()
        lower = float(row_of(torch.tensor(0.0), box[:2].norm() - box[3] / 2))
        assert float(rows.max()) <= lower + 1


def standing(x, y, yaw, label=0, colour=0.0):
    """A scene with one object, and nothing drawn by chance."""
    size = [[4.0, 2.0, 1.5], [0.7, 0.7, 1.75]][label]
    boxes = np.array([[[x, y, size[2] / 2, *size, yaw]]])
    return Objects(boxes, np.array([[label]]), np.array([[True]]), boxes[..., :3], np.array([[colour]]))


@pytest.mark.parametrize(
    ("yaw", "distance", "face"),
    [(math.pi, 8, 0), (0.0, 8, 1), (math.pi / 2, 9, 2), (-math.pi / 2, 9, 3)],
    ids=["front", "rear", "left", "right"],
)
def test_a_ray_meets_the_side_of_a_car_that_is_turned_to_it(yaw, distance, face):
    """Ten metres ahead: its ends are two metres from its middle, its flanks one; a ray to the left, and one behind."""
    rays = np.array([0.0, math.atan2(0.5, distance), math.pi])
    depth, side, along = _hits(standing(10.0, 0.0, yaw), rays)
    assert depth[0, 0].tolist() == pytest.approx([distance, math.hypot(0.5, distance), math.inf])
    assert side[0, 0, :2].tolist() == [face, face]
    # What is to the left is the right of a car that comes, and the front of one that drives to the left.
    share = {0: 0.25, 1: 0.75, 2: 0.625, 3: 0.375}[face]
    assert along[0, 0, :2].tolist() == pytest.approx([0.5, share])


def test_each_colour_of_a_car_as_it_is_seen():
    """At the rear, low in the middle, where there is neither glass nor lamp, six metres away: in light haze."""
    row, columns = int(row_of(torch.tensor(0.4), torch.tensor(4.0))), slice(COLUMNS // 2 - 8, COLUMNS // 2 + 8)
    seen = [
        paint(standing(6.0, 0.0, 0.0, colour=(k + 0.5) / 6), image_keys(0, "paint", np.array([k])))[0, :, row, columns]
        for k in range(6)
    ]
    colours = np.array([pixels.mean(1) for pixels in seen])
    expected = {
        "red": (199, 49, 45), "blue": (41, 91, 164), "white": (224, 225, 221),
        "slate": (58, 64, 72), "yellow": (236, 181, 50), "green": (63, 132, 84),
    }  # fmt: skip
    np.testing.assert_allclose(colours, list(expected.values()), atol=4)


def test_columns_and_rows_by_hand():
    directions = torch.tensor([0.0, math.pi / 2, -math.pi / 2, math.pi])
    assert column_of(directions).tolist() == pytest.approx([192, 96, 288, 0])
    # The horizon lies 4 degrees below the border; the ground 1.6 m ahead lies 45 degrees lower.
    assert row_of(torch.tensor([1.6, 0.0]), torch.tensor([5.0, 1.6])).tolist() == pytest.approx([4, 49])


def test_turning_a_scene_keeps_all_that_is_known_of_it_true():
    sample = scenes(1)[0]
    turned = spun(sample, COLUMNS // 4, mirrored=False)  # a quarter to the left
    torch.testing.assert_close(turned["points"][:, 0], -sample["points"][:, 1], atol=1e-4, rtol=0)
    torch.testing.assert_close(turned["points"][:, 1], sample["points"][:, 0], atol=1e-4, rtol=0)
    back = spun(turned, -COLUMNS // 4, mirrored=False)
    for name in ("points", "clicks", "boxes3d", "panorama"):
        torch.testing.assert_close(back[name], sample[name], atol=1e-4, rtol=0)
    twice = spun(spun(sample, 0, mirrored=True), 0, mirrored=True)
    torch.testing.assert_close(twice["boxes3d"], sample["boxes3d"], atol=1e-4, rtol=0)
    for steps, mirrored in ((37, False), (37, True)):
        other = spun(sample, steps, mirrored)
        for i, box in enumerate(other["boxes3d"]):
            shares, before = in_frame(other["points"], box), in_frame(sample["points"], sample["boxes3d"][i])
            torch.testing.assert_close(shares[:, 0], before[:, 0], atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(shares[:, 1], -before[:, 1] if mirrored else before[:, 1], atol=1e-3, rtol=1e-3)


def test_a_turned_picture_shows_the_turned_object():
    sample = scenes(1, objects=(1, 1))[0]
    for steps, mirrored in ((50, False), (0, True), (131, True)):
        other = spun(sample, steps, mirrored)
        move = [float(column_of(torch.atan2(s["boxes3d"][0, 1], s["boxes3d"][0, 0]))) for s in (sample, other)]
        source = sample["panorama"].flip(-1) if mirrored else sample["panorama"]
        start = COLUMNS - move[0] if mirrored else move[0]
        shift = round(move[1] - start)
        torch.testing.assert_close(other["panorama"], source.roll(shift, -1))
    drawn = [SpinScene()(sample, torch.Generator().manual_seed(i))["clicks"] for i in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_boxes_are_hidden_or_replaced():
    records = Lidar(count=6)
    hidden = HiddenBoxes(records)
    assert "boxes3d" not in hidden[0]
    assert "boxes3d" not in hidden.batch([1, 2])
    assert "boxes3d" in records[0]
    boxes = {0: torch.ones(len(records[0]["clicks"]), 7)}
    replaced = ReplacedBoxes(records, boxes)
    assert torch.equal(replaced[0]["boxes3d"], boxes[0])
    assert torch.equal(replaced[-5]["boxes3d"], records[1]["boxes3d"])
    assert len({hidden.fingerprint, replaced.fingerprint, records.fingerprint}) == 3
    assert replaced.fingerprint == ReplacedBoxes(records, boxes).fingerprint
    with pytest.raises(ValueError, match="clicks and 1 boxes"):
        ReplacedBoxes(records, {0: torch.ones(1, 7)})[0]
    assert [labelled_count(400, share) for share in (0.05, 0.02, 1.0, 0.001)] == [20, 8, 400, 1]
    with pytest.raises(ValueError, match="at least one scene"):
        Lidar(count=0)
