"""Point-DETR3D: coding, sampling, views, the teacher, the student, and their losses."""

from __future__ import annotations

import math
from typing import Any

import point_detr3d_slow as slow
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from wsss_lib.data.records import collate, to_device
from wsss_lib.data.worlds.lidar import HALF, MEAN_SIZES, Lidar, LidarWorld, ReplacedBoxes
from wsss_lib.methods import CenterPoint, CenterPointConfig, PointDETR3D, PointDETR3DConfig, registry
from wsss_lib.methods.point_detr3d import boxes_of, class_mean_boxes
from wsss_lib.methods.point_detr3d.coding import decoded, encoded, padded, turned
from wsss_lib.methods.point_detr3d.picture import around, mean_over_rectangle, picture_network, rectangle
from wsss_lib.methods.point_detr3d.sampling import (
    deformable_attention,
    on_map,
    pillars,
    sine_code,
    square_grid,
)
from wsss_lib.methods.point_detr3d.student import focal_loss, gaussians, point_guided_loss
from wsss_lib.methods.point_detr3d.teacher import azimuths
from wsss_lib.methods.point_detr3d.views import View, brought_back, move_boxes, move_points, strong_view, view_of
from wsss_lib.metrics import spnds

TEACHERS = [
    PointDETR3DConfig(reference=reference, camera=camera, width=8, cells=32)
    for reference in ("explicit", "learned")
    for camera in (True, False)
]
STUDENTS = [CenterPointConfig(width=8, cells=32, guided=guided) for guided in (0.0, 0.1)]


def batch_of(count: int = 3, **dials: Any) -> Any:
    records = Lidar(LidarWorld(**dials), "train", count)
    return records.batch(range(count))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(settings: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return (PointDETR3D if isinstance(settings, PointDETR3DConfig) else CenterPoint)(2, settings)


def loss_of(method: nn.Module, batch: Any) -> Tensor:
    torch.manual_seed(2)
    return torch.stack(list(method.losses(batch).values())).sum()  # type: ignore[operator]


class TestCoding:
    def some(self, count: int = 50) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        u = torch.rand(count, 14, generator=generator(), dtype=torch.float64)
        boxes = torch.cat([u[:, :3] * 20 - 10, u[:, 3:6] * 4 + 0.5, u[:, 6:7] * 6 - 3], 1)
        return boxes, u[:, 7:10] * 20 - 10, u[:, 10] * 6 - 3, u[:, 11:14] * 4 + 0.5

    def test_what_is_said_of_a_box_gives_the_box(self) -> None:
        boxes, places, azimuth, sizes = self.some()
        numbers = encoded(boxes, places, azimuth, sizes)
        numbers[:, 8] = numbers[:, 8] * 2 - 1  # from 0 and 1 to a logit
        back = decoded(numbers, places, azimuth, sizes)
        torch.testing.assert_close(back[:, :6], boxes[:, :6])
        apart = back[:, 6] - boxes[:, 6]
        torch.testing.assert_close(apart.cos(), torch.ones_like(apart))

    def test_all_zero_says_the_mean_box_at_the_place_along_the_ray(self) -> None:
        _, places, azimuth, sizes = self.some()
        back = decoded(torch.zeros(50, 9, dtype=torch.float64), places, azimuth, sizes)
        torch.testing.assert_close(back, torch.cat([places, sizes, azimuth[:, None]], 1))

    def test_by_hand(self) -> None:
        box = torch.tensor([[0.0, 11.0, 0.75, 4.5, 1.9, 1.5, math.pi / 2]])
        place, azimuth = torch.tensor([[0.0, 10.0, 0.75]]), torch.tensor([math.pi / 2])
        numbers = encoded(box, place, azimuth, torch.tensor(MEAN_SIZES[:1]))
        # One metre farther along the ray, of mean size, pointing away from the sensor.
        torch.testing.assert_close(numbers, torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 1, 1]]), atol=1e-6, rtol=0)
        assert math.exp(math.log(1.9)) == pytest.approx(1.9)

    def test_the_axis_does_not_know_front_from_rear(self) -> None:
        boxes, places, azimuth, sizes = self.some()
        other = boxes.clone()
        other[:, 6] += math.pi
        one, two = (encoded(b, places, azimuth, sizes) for b in (boxes, other))
        torch.testing.assert_close(one[:, :8], two[:, :8])
        assert bool((one[:, 8] != two[:, 8]).all())

    def test_what_is_said_turns_with_the_scene(self) -> None:
        boxes, places, azimuth, sizes = self.some()
        angle = torch.tensor(1.3, dtype=torch.float64)
        moved = [torch.cat([turned(p[:, :2], angle), p[:, 2:]], 1) for p in (boxes, places)]
        moved[0][:, 6] += angle
        torch.testing.assert_close(
            encoded(moved[0], moved[1], azimuth + angle, sizes), encoded(boxes, places, azimuth, sizes)
        )

    def test_ragged_tensors_are_padded(self) -> None:
        stacked, real = padded([torch.ones(2, 3), torch.ones(0, 3)], fill=7.0)
        assert stacked.shape == (2, 2, 3)
        assert real.tolist() == [[True, True], [False, False]]
        assert stacked[1].tolist() == [[7.0] * 3] * 2
        assert padded([torch.zeros(0, dtype=torch.int64)])[0].shape == (1, 1)


class TestSampling:
    def test_pillars_equal_the_loop(self) -> None:
        spread, corner = torch.tensor([12.0, 12, 2]), torch.tensor([6.0, 6, 0])
        scenes = [torch.rand(n, 3, generator=generator(n)) * spread - corner for n in (40, 0, 7)]
        planes = pillars(scenes, 5.0, 7)  # what lies beyond 5 m is left out
        assert planes.shape == (3, 8, 7, 7)
        for scene, plane in zip(scenes, planes, strict=True):
            torch.testing.assert_close(plane, torch.tensor(slow.pillars(scene.tolist(), 5.0, 7)), atol=1e-4, rtol=1e-4)

    def test_attention_equals_the_loop(self) -> None:
        g = generator()
        values = [torch.randn(2, 6, 5, 7, generator=g), torch.randn(2, 6, 3, 2, generator=g)]
        places = torch.rand(2, 3, 2, 2, 4, 2, generator=g) * 1.4 - 0.2  # some of them outside
        weights = torch.rand(2, 3, 2, 8, generator=g).softmax(-1).view(2, 3, 2, 2, 4)
        expected = slow.deformable_attention([v.tolist() for v in values], places.tolist(), weights.tolist())
        torch.testing.assert_close(
            deformable_attention(values, places, weights), torch.tensor(expected), atol=1e-5, rtol=1e-4
        )

    def test_attention_equals_hugging_faces(self) -> None:
        pytest.importorskip("transformers", minversion="5.0", reason="no dependency; the slow loop is the check")
        from transformers.models.deformable_detr.modeling_deformable_detr import MultiScaleDeformableAttention

        g, sides = generator(), [(5, 7), (3, 2)]
        values = [torch.randn(2, 6, h, w, generator=g) for h, w in sides]
        places = torch.rand(2, 3, 2, 2, 4, 2, generator=g) * 1.4 - 0.2
        weights = torch.rand(2, 3, 2, 8, generator=g).softmax(-1).view(2, 3, 2, 2, 4)
        flat = torch.cat([value.flatten(2).transpose(1, 2) for value in values], 1).unflatten(2, (2, 3))
        starts = torch.tensor([0, 35])
        theirs = MultiScaleDeformableAttention()(flat, torch.tensor(sides), sides, starts, places, weights, 64)
        torch.testing.assert_close(deformable_attention(values, places, weights), theirs)

    def test_attention_refuses_what_does_not_fit(self) -> None:
        places, weights = torch.zeros(1, 1, 2, 1, 1, 2), torch.ones(1, 1, 2, 1, 1)
        for values in ([torch.zeros(1, 3, 2, 2)], [torch.zeros(1, 4, 2, 2)] * 2):
            with pytest.raises(ValueError, match="pass a map for each level"):
                deformable_attention(values, places, weights)

    def test_attention_has_right_gradients(self) -> None:
        g = generator()
        value = torch.randn(1, 2, 4, 4, generator=g, dtype=torch.float64, requires_grad=True)
        places = (torch.rand(1, 2, 2, 1, 3, 2, generator=g, dtype=torch.float64) * 0.2 + 0.41).requires_grad_()
        weights = torch.rand(1, 2, 2, 1, 3, generator=g, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda v, p, w: deformable_attention([v], p, w), (value, places, weights))

    def test_uniform_weights_over_1568_places_give_a_grid_an_eighth(self) -> None:
        # 8 heads' share of one level: 16 free places and 49 of the grid at each of 4 levels, as the release has it:
        # the softmax of the grid runs over heads and levels together.
        weights = torch.zeros(1568).softmax(0)
        assert float(weights[: 49 * 4].sum()) == pytest.approx(1 / 8)

    def test_a_grid_over_five_metres(self) -> None:
        grid = square_grid(7, 5.0, torch.zeros(1))
        assert grid.shape == (49, 2)
        assert grid[0].tolist() == [-2.5, -2.5]
        assert grid[-1].tolist() == [2.5, 2.5]
        long = grid * torch.tensor([1.0, 0.4])  # first the sides, then the turn: a turn keeps lengths
        around_box = turned(long, torch.tensor(0.7).expand(49))
        torch.testing.assert_close(torch.pdist(around_box), torch.pdist(long), atol=1e-5, rtol=1e-5)

    def test_places_on_the_map(self) -> None:
        assert on_map(torch.tensor([-HALF, 0.0, HALF]), HALF).tolist() == [0, 0.5, 1]
        values = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
        metres = torch.tensor([[-0.75, 0.0], [0.25, 0.0]])  # middles of the cells 0 and 2 of a map of 2 m
        read = deformable_attention([values], on_map(metres, 1.0).view(1, 2, 1, 1, 1, 2), torch.ones(1, 2, 1, 1, 1))
        assert read.flatten().tolist() == pytest.approx([0, 2])

    def test_the_code_of_a_place(self) -> None:
        code = sine_code(torch.tensor([[0.25, 0.0]]), 4)
        assert code.shape == (1, 8)
        assert code[0].tolist() == pytest.approx(
            [1, math.sin(math.pi / 20), 0, math.cos(math.pi / 20), 0, 0, 1, 1], abs=1e-6
        )

    def test_a_rectangle_in_the_picture(self) -> None:
        steps = torch.tensor([[-0.5, 0.5], [0.5, -0.5]]).view(1, 1, 1, 2, 2)
        (lower, upper) = rectangle(torch.tensor([[[10.0, 0.0]]]), 5.0, 2.5, steps)[0, 0, 0]
        half = math.atan(2.5 / 10) / (2 * math.pi)
        assert lower.tolist() == pytest.approx([0.5 - half, (4 + math.degrees(math.atan(0.16))) / 24], abs=1e-5)
        assert upper.tolist() == pytest.approx([0.5 + half, (4 - math.degrees(math.atan(0.09))) / 24], abs=1e-5)

    def test_the_picture_goes_on_beyond_its_borders(self) -> None:
        features = torch.randn(1, 2, 3, 8, generator=generator())
        wide, places = around(features, torch.tensor([[0.0625, 0.5], [1.0625, 0.5], [-0.9375, 0.5]]).view(1, 3, 1, 2))
        read = nn.functional.grid_sample(wide, 2 * places - 1, align_corners=False)[0, :, :, 0]
        for i in range(2):  # once round, and round again
            torch.testing.assert_close(read[:, i], features[0, :, 1, 0], atol=1e-4, rtol=1e-4)
        # What falls evenly across and down has the mean that it has in the rectangle's middle.
        columns, rows = (torch.arange(384) + 0.5) / 384, (torch.arange(24) + 0.5) / 24
        even = torch.stack([columns.expand(24, 384), rows[:, None].expand(24, 384)])[None]
        place = torch.tensor([[[20.0, 4.0]]])
        middle = rectangle(place, 5.0, 1.0, torch.zeros(1, 1, 1, 1, 2)).flatten()
        torch.testing.assert_close(mean_over_rectangle(even, place, 5.0, 1.0, 4).flatten(), middle)
        network = picture_network().eval()
        picture = torch.rand(1, 3, 24, 384, generator=generator())
        torch.testing.assert_close(network(picture.roll(80, -1)), network(picture).roll(20, -1), atol=1e-5, rtol=1e-4)


def parts(**changed: Any) -> View:
    values: dict[str, Any] = {"scale": 1.0, "angle": 0.0, "flips": (1.0, 1.0), "shift": (0.0, 0.0)} | changed
    return view_of(*(torch.tensor([values[name]]) for name in ("scale", "angle", "flips", "shift")))


VIEWS = {
    "none": parts(),
    "mirror of x": parts(flips=(-1.0, 1.0)),
    "mirror of y": parts(flips=(1.0, -1.0)),
    "turn": parts(angle=0.3),
    "scale": parts(scale=1.15),
    "shift": parts(shift=(8.0, -3.0)),
    "all": parts(scale=0.9, angle=-0.35, flips=(-1.0, 1.0), shift=(1.5, -2.0)),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
class TestViews:
    def impulse(self, place: Tensor, cells: int = 128) -> Tensor:
        """A map with a Gaussian blob at a place (2,) in metres."""
        at = (torch.arange(cells) + 0.5) * (2 * HALF / cells) - HALF
        blob = (-((at[None] - place[0]) ** 2) - (at[:, None] - place[1]) ** 2).exp()
        return blob[None, None]

    def test_an_impulse_comes_back_to_its_place(self, view: View) -> None:
        for place in (torch.tensor([[10.0, 4.0, 1.0]]), torch.tensor([[-6.0, -12.0, 0.0]])):
            (moved,) = move_points([place], view)
            back = brought_back(self.impulse(moved[0]), view, HALF)
            middle = back / back.sum()
            at = (torch.arange(128) + 0.5) * (2 * HALF / 128) - HALF
            centre = (middle * at).sum(), (middle * at[:, None]).sum()
            assert [float(c) for c in centre] == pytest.approx(place[0, :2].tolist(), abs=0.02)

    def test_boxes_move_as_their_corners_do(self, view: View) -> None:
        from wsss_lib.metrics.overlaps3d import corners_on_ground

        boxes = torch.tensor([[10.0, 4.0, 0.8, 4.5, 1.9, 1.5, 0.4], [-6.0, -12.0, 0.9, 0.7, 0.65, 1.8, -2.0]])
        (moved,) = move_boxes([boxes], view)
        before = corners_on_ground(boxes).view(-1, 2)
        (expected,) = move_points([torch.cat([before, torch.zeros(8, 1)], 1)], view)
        after, expected = corners_on_ground(moved), expected[:, :2].view(2, 4, 2)
        if float(view.mirrored) < 0:
            expected = expected[:, [3, 2, 1, 0]]  # left and right have changed places
        torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(moved[:, 5], boxes[:, 5] * view.scale)

    def test_what_else_a_point_carries_stays(self, view: View) -> None:
        points = torch.rand(6, 5, generator=generator())
        (moved,) = move_points([points], view)
        (places,) = move_points([points[:, :3]], view)
        torch.testing.assert_close(moved[:, :3], places)
        torch.testing.assert_close(moved[:, 2], points[:, 2] * view.scale)
        assert torch.equal(moved[:, 3:], points[:, 3:])


def test_a_random_view_stays_in_its_range() -> None:
    torch.manual_seed(0)
    view = strong_view(2000, torch.zeros(1))
    assert 0.85 <= float(view.scale.min()) <= float(view.scale.max()) <= 1.15
    assert float(view.angle.abs().max()) <= math.pi / 8
    assert float(view.shift.std()) == pytest.approx(0.5, rel=0.05)
    assert float((view.mirrored < 0).double().mean()) == pytest.approx(0.5, abs=0.05)
    assert set(view.mirrored.tolist()) == {-1.0, 1.0}
    enlarged = view.scale.square()[:, None, None] * torch.eye(2)
    torch.testing.assert_close(view.matrix @ view.matrix.mT, enlarged, msg="it turns, mirrors and enlarges, no more")
    ahead = view.matrix[:, :, 0] / view.scale[:, None]  # where an arrow along x points
    backwards = ahead[:, 0] < 0
    assert float(backwards.double().mean()) == pytest.approx(0.5, abs=0.05), "x is mirrored in half of the cases"
    assert float((backwards == (view.mirrored < 0)).double().mean()) == pytest.approx(0.5, abs=0.05), "y apart from x"
    none = strong_view(5, torch.zeros(1), strength=0.0)
    assert none.scale.tolist() == [1.0] * 5
    assert not none.shift.any()


class TestPointGuided:
    def test_it_is_two_times_one_minus_the_cosine(self) -> None:
        g = generator()
        strong, weak = (torch.randn(2, 5, 3, 4, generator=g) for _ in range(2))
        weights = torch.rand(2, 3, 4, generator=g)
        cosine = nn.functional.cosine_similarity(strong, weak, dim=1)
        expected = 2 * (weights * (1 - cosine)).sum() / 7
        torch.testing.assert_close(point_guided_loss(strong, weak, weights, torch.tensor(7)), expected)

    def test_it_is_zero_for_equal_views_and_without_clicks(self) -> None:
        map_ = torch.randn(1, 5, 3, 4, generator=generator())
        assert float(point_guided_loss(map_, 3 * map_, torch.ones(1, 3, 4), torch.tensor(1))) == pytest.approx(
            0, abs=1e-9
        )
        assert float(point_guided_loss(map_, -map_, torch.zeros(1, 3, 4), torch.tensor(0))) == 0

    def test_no_gradient_reaches_the_weak_view(self) -> None:
        strong, weak = (torch.randn(1, 5, 3, 4, generator=generator(i), requires_grad=True) for i in (0, 1))
        point_guided_loss(strong, weak, torch.ones(1, 3, 4), torch.tensor(1)).backward()
        assert strong.grad is not None
        assert strong.grad.any()
        assert weak.grad is None

    def test_without_a_change_of_view_it_is_zero(self, monkeypatch: pytest.MonkeyPatch) -> None:
        same = View(torch.eye(2).expand(3, 2, 2), torch.zeros(3, 2), torch.ones(3), torch.zeros(3), torch.ones(3))
        monkeypatch.setattr("wsss_lib.methods.point_detr3d.student.strong_view", lambda *_: same)
        student = built(STUDENTS[1]).eval()
        assert float(student.losses(batch_of())["guided"].detach()) == pytest.approx(0, abs=1e-6)

    def test_all_clicks_of_all_classes_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = []
        monkeypatch.setattr(
            "wsss_lib.methods.point_detr3d.student.point_guided_loss",
            lambda strong, weak, weights, count: counts.append(int(count)) or strong.sum() * 0,
        )
        batch = batch_of(pedestrians=0.0)  # where the release divides by the number of the last class, here 0
        built(STUDENTS[1]).losses(batch)
        assert counts == [sum(map(len, batch["clicks"]))]


class TestTeacher:
    @pytest.mark.parametrize("settings", TEACHERS, ids=repr)
    def test_a_fresh_one_says_the_mean_box_at_the_click(self, settings: PointDETR3DConfig) -> None:
        teacher, batch = built(settings).eval(), batch_of()
        for boxes, answer, clicks, labels in zip(
            teacher.boxes(batch), teacher.answer(batch), batch["clicks"], batch["box3d_labels"], strict=True
        ):
            assert torch.equal(answer.labels, labels)
            assert len(boxes) == len(clicks)
            torch.testing.assert_close(boxes, class_mean_boxes(clicks, labels, torch.tensor(MEAN_SIZES)))

    def test_scenes_and_clicks_do_not_influence_one_another(self) -> None:
        teacher, batch = built(TEACHERS[0]).eval(), batch_of(4)
        nn.init.normal_(teacher.head.weight)
        together = teacher.boxes(batch)
        records = Lidar(count=4)
        for i in range(4):
            alone = records.batch([i])
            torch.testing.assert_close(teacher.boxes(alone)[0], together[i], atol=1e-3, rtol=1e-3)
            alone["clicks"] = [alone["clicks"][0][1:2]]
            alone["box3d_labels"] = [alone["box3d_labels"][0][1:2]]
            torch.testing.assert_close(teacher.boxes(alone)[0][0], together[i][1], atol=1e-3, rtol=1e-3)

    def test_a_learned_reference_is_on_the_map_and_an_explicit_one_is_the_click(self) -> None:
        batch = batch_of()
        clicks, _ = padded(batch["clicks"], fill=5.0)
        labels, _ = padded(batch["box3d_labels"])
        for settings, same in ((TEACHERS[0], True), (TEACHERS[2], False)):
            teacher = built(settings)
            _, code = teacher.queries(clicks, labels)
            references = teacher.references(clicks, code)
            assert torch.equal(references, clicks[..., :2]) == same
            assert float(references.abs().max()) <= HALF

    def test_the_grid_on_the_ground_lies_along_the_ray(self) -> None:
        teacher = built(PointDETR3DConfig(width=8, cells=32, camera=False))
        query = torch.zeros(1, 1, 8)
        places = teacher.ground_places(query, torch.tensor([[[0.0, 10.0]]]))[0, 0, 0] * 2 * HALF - HALF
        grid = square_grid(7, 5.0, places)
        torch.testing.assert_close(places, torch.stack([-grid[:, 1], 10 + grid[:, 0]], 1), atol=1e-4, rtol=0)
        # σ(σ⁻¹(reference)) is the reference.
        reference = torch.tensor([0.1, 0.5, 0.93])
        torch.testing.assert_close(torch.sigmoid(torch.logit(reference)), reference)

    def test_a_camera_that_sees_nothing_new_is_the_only_thing_that_changes(self) -> None:
        teacher, batch = built(TEACHERS[0]).eval(), batch_of()
        nn.init.normal_(teacher.head.weight)
        before = torch.cat(teacher.boxes(batch))
        other = {**batch, "panoramas": batch["panoramas"].flip(2)}
        assert not torch.allclose(torch.cat(teacher.boxes(other)), before)
        blind = built(TEACHERS[1]).eval()
        nn.init.normal_(blind.head.weight)
        assert torch.equal(torch.cat(blind.boxes(other)), torch.cat(blind.boxes(batch)))

    def test_pseudo_boxes_are_one_a_click_in_order(self) -> None:
        records, teacher = Lidar(count=5), built(TEACHERS[1])
        boxes = boxes_of(teacher, records, batch_size=2)
        assert teacher.training
        replaced = ReplacedBoxes(records, dict(enumerate(boxes)))
        for i in range(5):
            torch.testing.assert_close(replaced[i]["boxes3d"][:, :2], records[i]["clicks"][:, :2])

    def test_pretrained_parts_learn_slowly(self) -> None:
        teacher = built(PointDETR3DConfig())
        groups = {group["name"]: group for group in teacher.parameter_groups(0.01)}
        assert groups["picture"]["lr"] == pytest.approx(0.001)
        assert {id(p) for p in teacher.picture.parameters()} == {id(p) for p in groups["picture"]["params"]}
        fresh = built(PointDETR3DConfig(pretrained=False))
        assert not torch.equal(fresh.picture[0].conv.weight, teacher.picture[0].conv.weight)


class TestStudent:
    def test_gaussians_by_hand(self) -> None:
        heat = gaussians(torch.tensor([[[1.7, 2.2], [0.0, 0.0]]]), torch.tensor([[True, False]]), 4, 1.0)
        assert heat.shape == (1, 2, 4, 4)
        assert float(heat[0, 0, 2, 1]) == 1
        assert float(heat[0, 0, 2, 2]) == pytest.approx(math.exp(-0.5))
        assert not heat[0, 1].any()

    def test_focal_loss_by_hand(self) -> None:
        logits, target = torch.zeros(1, 1, 1, 2), torch.tensor([1.0, 0.5]).view(1, 1, 1, 2)
        expected = 0.25 * math.log(2) + 0.5**4 * 0.25 * math.log(2)
        assert float(focal_loss(logits, target, torch.tensor(1))) == pytest.approx(expected)
        assert float(focal_loss(logits - 50, target * 0, torch.tensor(0))) == pytest.approx(0, abs=1e-9)

    def test_a_perfect_network_gives_the_boxes_back(self) -> None:
        student = built(CenterPointConfig(width=8, cells=64)).eval()
        batch = batch_of(2)
        boxes, labels = batch["boxes3d"], batch["box3d_labels"]
        said = torch.zeros(2, 9, 64, 64)
        heat = torch.full((2, 2, 64, 64), -9.0)
        for i in range(2):
            cell = student.in_cells(boxes[i][:, :2]).floor()
            places = torch.cat([(cell + 0.5) * 0.8 - HALF, student.sizes[labels[i]][:, 2:] / 2], 1)
            numbers = encoded(boxes[i], places, torch.zeros(len(cell)), student.sizes[labels[i]])
            numbers[:, 8] = 2 * numbers[:, 8] - 1
            x, y = cell.long().unbind(1)
            said[i, :, y, x] = numbers.T
            heat[i, labels[i], y, x] = 3.0
        student.heat, student.say = (Given(part) for part in (heat, said))
        for i, answer in enumerate(student.answer(batch)):
            kept = answer.scores > 0.5
            order = torch.cdist(boxes[i][:, :3], answer.boxes[kept][:, :3]).argmin(1)
            torch.testing.assert_close(answer.boxes[kept][order][:, :6], boxes[i][:, :6], atol=1e-4, rtol=1e-4)
            assert torch.equal(answer.labels[kept][order], labels[i])
        features = torch.zeros(2, 8, 64, 64)
        terms = student.supervised(features, boxes, labels)
        assert float(terms["box"]) < 0.1  # what is left is the direction's logit of 1

    def test_a_box_that_a_view_pushes_off_the_map_does_not_count(self) -> None:
        student = built(STUDENTS[0]).eval()
        inside, outside = (
            torch.tensor([[5.0, 5, 0.8, 4.5, 1.9, 1.5, 0.3]]),
            torch.tensor([[40.0, 5, 0.8, 4.5, 1.9, 1.5, 0.3]]),
        )
        features, label = torch.zeros(1, 8, 32, 32), torch.zeros(1, dtype=torch.int64)
        one = student.supervised(features, [inside], [label])
        both = student.supervised(features, [torch.cat([inside, outside])], [label.repeat(2)])
        for name, value in one.items():
            torch.testing.assert_close(both[name], value)

    def test_the_strong_view_alone_is_supervised(self) -> None:
        student, batch = built(STUDENTS[0]), batch_of()
        torch.manual_seed(2)
        view = strong_view(3, torch.zeros(1))
        by_hand = student.supervised(
            student.features(move_points(batch["points"], view)),
            move_boxes(batch["boxes3d"], view),
            batch["box3d_labels"],
        )
        student = built(STUDENTS[0])
        torch.manual_seed(2)
        torch.testing.assert_close(student.losses(batch)["heat"], by_hand["heat"])


class Given(nn.Module):
    """A layer that says what is given."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, features: Tensor) -> Tensor:
        return self.values[: len(features)]


@pytest.mark.parametrize("settings", [*TEACHERS, *STUDENTS], ids=repr)
class TestBoth:
    def test_losses_reach_every_parameter(self, settings: Any) -> None:
        method, batch = built(settings).train(), batch_of()
        for part in method.modules():  # what starts at zero stops the gradient of what lies before it
            if isinstance(part, nn.Linear) and not part.weight.any():
                nn.init.normal_(part.weight, std=0.05)
        loss = loss_of(method, batch)
        assert loss.isfinite()
        loss.backward()
        assert {name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()} == set()

    def test_a_step_down_the_gradient_lowers_the_loss(self, settings: Any) -> None:
        method, batch = built(settings).double().eval(), batch_of()
        batch = {
            k: [v.double() if v.is_floating_point() else v for v in b] if isinstance(b, list) and k != "ids" else b
            for k, b in batch.items()
        }
        batch["panoramas"] = batch["panoramas"].double()
        before = loss_of(method, batch)
        before.backward()
        slope = sum(float(p.grad.square().sum()) for p in method.parameters() if p.grad is not None)
        with torch.no_grad():
            for p in method.parameters():
                if p.grad is not None:
                    p.sub_(p.grad, alpha=1e-4 / slope**0.5)
        assert float(loss_of(method, batch)) < float(before)

    def test_nothing_is_present(self, settings: Any) -> None:
        method = built(settings).train()
        for dials in ({"objects": (0, 0)}, {"objects": (0, 0), "clutter": 0}, {"objects": (0, 1)}):
            batch = batch_of(**dials)
            loss = loss_of(method, batch)
            loss.backward()
            assert loss.isfinite()
            assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
            answers = method.eval().answer(batch)
            assert [a.boxes.shape[1] for a in answers] == [7, 7, 7]
            if isinstance(settings, PointDETR3DConfig):
                assert [len(a.boxes) for a in answers] == [len(c) for c in batch["clicks"]]

    def test_other_numbers_of_scenes_and_classes(self, settings: Any) -> None:
        from dataclasses import replace

        sizes = (MEAN_SIZES[0], MEAN_SIZES[1], (1.8, 0.6, 1.7))
        torch.manual_seed(0)
        method = type(built(settings))(3, replace(settings, sizes=sizes, cells=24))
        assert loss_of(method, batch_of(1)).isfinite()
        with pytest.raises(ValueError, match="mean sizes of 2 classes, expected 3"):
            type(method)(3, settings)

    def test_the_losses_read_what_they_say(self, settings: Any) -> None:
        method, batch = built(settings), batch_of()
        loss_of(method, {field: batch[field] for field in method.needs})
        for field in method.needs:
            with pytest.raises(KeyError, match=field):
                loss_of(method, {other: batch[other] for other in method.needs if other != field})

    def test_without_a_camera_nobody_asks_for_panoramas(self, settings: Any) -> None:
        asked = "panoramas" in built(settings).needs
        assert asked == (isinstance(settings, PointDETR3DConfig) and settings.camera)

    def test_on_a_gpu_that_is_not_there(self, settings: Any) -> None:
        device = torch.device("cuda")
        method, real = built(settings), batch_of()
        with FakeTensorMode() as mode:
            for module in method.modules():
                for held in (module._parameters, module._buffers):
                    for key, value in held.items():
                        if value is not None:
                            fake = torch.empty(value.shape, dtype=value.dtype, device=device)
                            held[key] = nn.Parameter(fake) if held is module._parameters else fake
            batch = {
                key: [mode.from_tensor(v) for v in value] if isinstance(value, list) and key != "ids" else value
                for key, value in real.items()
            }
            batch["panoramas"] = mode.from_tensor(real["panoramas"])
            batch = to_device(batch, device)  # type: ignore[arg-type]
            assert all(term.device.type == "cuda" for term in method.losses(batch).values())
            assert all(answer.boxes.device.type == "cuda" for answer in method.eval().answer(batch))

    def test_it_is_registered(self, settings: Any) -> None:
        name = "point-detr3d" if isinstance(settings, PointDETR3DConfig) else "centerpoint"
        entry = registry.entry(name)
        assert entry.task == "boxes3d"
        assert entry.chapter == 11
        assert entry.settings is type(settings)
        assert type(settings).paper().width == 256
        assert "sizes" not in built(settings).state_dict(), "mean sizes are a setting, and no weight"
        from wsss_lib.backbones import backbone

        assert isinstance(registry.build(name, backbone("tiny_cnn"), 2, settings), entry.method)


def test_the_score_that_sums_up() -> None:
    assert spnds(0.5, 0.3, 0.25, 1.2) == pytest.approx(0.49375)


def test_directions_of_places() -> None:
    assert azimuths(torch.tensor([[1.0, 0, 9], [0, 2, 9]])).tolist() == pytest.approx([0, math.pi / 2])
    assert collate([Lidar(count=1)[0]])["panoramas"].shape[0] == 1
