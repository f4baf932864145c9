"""ESOL: hand values, who learns what in which phase, an ascent that climbs, and the slow version of its pieces."""

from __future__ import annotations

import copy
from typing import Any

import esol_slow as slow
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.backbones import Backbone, backbone
from wsss_lib.data.worlds.critters import World, load_critters
from wsss_lib.methods import CAM, ESOL, ESOLConfig, Progress
from wsss_lib.methods.esol import area_loss, fixed, reverse_gradient
from wsss_lib.train import TrainConfig, fit

PHASES = ("classify", "expand", "shrink")
LEARNERS = {
    "classify": {"backbone", "neck", "head"},
    "expand": {"expansion", "adapted"},
    "shrink": {"shrinkage"},
}


def net() -> Backbone:
    """Four stages with few channels, at a stride of 4."""
    return backbone("tiny_cnn", widths=(4, 6, 8, 10))


def small(**settings: Any) -> ESOL:
    """A small network whose samplers look somewhere."""
    torch.manual_seed(0)
    method = ESOL(net(), 3, ESOLConfig(**settings))
    for branch in (method.expansion, method.shrinkage):
        torch.nn.init.normal_(branch.weight, std=0.05)
    return method


def batch_of(labels: list[list[int]], size: tuple[int, int] = (24, 20)) -> Any:
    coin = torch.Generator().manual_seed(1)
    return {"images": torch.rand(len(labels), 3, *size, generator=coin), "labels": torch.tensor(labels).float()}


def at(method: ESOL, phase: str, step: int = 0, steps: int = 4) -> ESOL:
    """The same method, before an update of a phase."""
    method.before_step(Progress(step, 3 * steps, phase, step, steps))
    return method


def total(method: ESOL, batch: Any) -> Tensor:
    return torch.stack(list(method.losses(batch).values())).sum()


class TestPieces:
    def test_area_of_one_cell_and_of_all(self) -> None:
        one = torch.zeros(1, 1, 4, 4)
        one[0, 0, 1, 2] = 3.0
        assert area_loss(one, torch.ones(1, 1)) == pytest.approx(1 / 16, abs=1e-5)
        assert area_loss(torch.full((1, 1, 4, 4), 0.5), torch.ones(1, 1)) == pytest.approx(1, abs=1e-4)

    def test_area_counts_what_speaks_for_present_classes(self) -> None:
        maps = torch.tensor([[[[-5.0, 2.0], [0.0, 1.0]], [[9.0, 9.0], [9.0, 9.0]]]])
        assert area_loss(maps, torch.tensor([[1.0, 0.0]])) == pytest.approx(1.5 / 4, abs=1e-5)
        assert area_loss(maps, torch.zeros(1, 2)) == 0

    def test_the_maximum_of_the_area_gets_no_gradient(self) -> None:
        maps = torch.tensor([[[[4.0, 2.0, 1.0, -1.0]]]], requires_grad=True)
        area_loss(maps, torch.ones(1, 1)).backward()
        assert maps.grad is not None
        torch.testing.assert_close(maps.grad, torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]]) / 16, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("labels", [[[1, 0, 1], [0, 1, 0]], [[0, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]])
    def test_area_equals_the_slow_one(self, labels: list[list[int]]) -> None:
        maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        present = torch.tensor(labels).double()
        assert area_loss(maps, present).item() == pytest.approx(slow.area(maps, present))

    def test_a_reversed_gradient(self) -> None:
        x = torch.tensor([2.0, -1.0], requires_grad=True)
        y = reverse_gradient(x)
        assert torch.equal(y, x)
        (y.square().sum() + 3 * x.sum()).backward()
        assert x.grad is not None
        assert x.grad.tolist() == [3 - 4, 3 + 2]

    def test_what_is_fixed_passes_the_gradient_on(self) -> None:
        layer, x = torch.nn.Linear(2, 3), torch.ones(1, 2, requires_grad=True)
        torch.testing.assert_close(fixed(layer, x), layer(x))
        fixed(layer, x).sum().backward()
        assert layer.weight.grad is None
        assert x.grad is not None
        torch.testing.assert_close(x.grad[0], layer.weight.detach().sum(0))


class TestMaps:
    @pytest.mark.parametrize("size", [(24, 20), (17, 31)])
    def test_equal_to_the_slow_version(self, size: tuple[int, int]) -> None:
        method, images = small(clip=0.4).eval(), batch_of([[1, 0, 0]], size)["images"]
        with torch.no_grad():
            x = method.features(images)
            conv, norm = method.neck
            assert isinstance(norm, torch.nn.BatchNorm2d)
            norm.running_mean.normal_(std=0.2)  # type: ignore[union-attr]
            f = slow.deformed(x[0], conv.weight, method.expansion(x)[0])
            f = slow.clipped(norm(f[None])[0], 0.4)
            expanded = torch.einsum("chw,kc->khw", f, method.adapted.weight)
            torch.testing.assert_close(method.maps(images, "expansion")[0], expanded, rtol=1e-4, atol=1e-5)
            identity = torch.zeros(len(f), len(f), 3, 3)
            for c in range(len(f)):
                identity[c, c, 1, 1] = 1
            everywhere = method.shrinkage(f[None])[0].repeat(9, 1, 1)  # what the eight taps of zeros read is no matter
            shrunk = slow.deformed(f, identity, everywhere)
            shrunk = torch.einsum("chw,kc->khw", shrunk, method.adapted.weight)
            torch.testing.assert_close(method.maps(images, "shrinkage")[0], shrunk, rtol=1e-4, atol=1e-5)

    def test_samplers_that_look_nowhere_else_leave_the_clip(self) -> None:
        torch.manual_seed(0)
        method, images = ESOL(net(), 3, ESOLConfig(clip=1.0)).eval(), batch_of([[1, 0, 0]])["images"]
        for read in ("expansion", "shrinkage"):
            torch.testing.assert_close(method.maps(images, read), method.maps(images, "baseline"))

    def test_the_baseline_is_a_cam(self) -> None:
        method, images = small(read="baseline").eval(), batch_of([[1, 0, 0]])["images"]
        maps, logits = method.predict(images)
        torch.testing.assert_close(
            logits, F.linear(method.plain(method.features(images)).mean((2, 3)), method.head.weight)
        )
        torch.testing.assert_close(maps.mean((2, 3)), logits)
        # W₁ stands in the place of the last stage: as far a view, on the same grid, as chapter 1's.
        assert maps.shape == CAM(net(), 3).raw_maps(images).shape


class TestWhoLearns:
    @pytest.mark.parametrize("phase", PHASES)
    def test_gradients_reach_what_the_phase_trains_and_nothing_else(self, phase: str) -> None:
        method = at(small(), phase).train()
        before = {name: buffer.clone() for name, buffer in method.named_buffers()}
        total(method, batch_of([[1, 0, 0], [0, 1, 1]])).backward()
        reached = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
        assert reached == LEARNERS[phase]
        moved = {name for name, buffer in method.named_buffers() if not torch.equal(buffer, before[name])}
        if phase != "classify":
            assert moved <= {"moved"}, "the statistics of what is held are held too"

    @pytest.mark.parametrize(
        ("adapts", "phases"), [("never", set()), ("expansion", {"expand"}), ("both", set(PHASES[1:]))]
    )
    def test_when_the_copy_of_the_head_learns(self, adapts: str, phases: set[str]) -> None:
        method = small(adapts=adapts)
        for phase in method.phases():
            if phase.name == "classify":
                continue
            assert ("adapted" in (phase.trains or ())) == (phase.name in phases)
            method.zero_grad(set_to_none=True)
            total(at(method, phase.name), batch_of([[1, 0, 0]])).backward()
            assert (method.adapted.weight.grad is not None) == (phase.name in phases)

    def test_a_step_of_the_expansion_raises_the_loss(self) -> None:
        method = at(small(adapts="never"), "expand").double()
        batch = batch_of([[1, 0, 0], [0, 1, 1]])
        batch["images"] = batch["images"].double()
        before = method.losses(batch)["classification"]
        before.backward()
        with torch.no_grad():
            for parameter in method.expansion.parameters():
                parameter.sub_(1e-3 * parameter.grad)  # what an optimiser does that descends
        assert method.losses(batch)["classification"] > before

    def test_the_head_descends_meanwhile(self) -> None:
        method = at(small(), "expand").double()
        batch = batch_of([[1, 0, 0], [0, 1, 1]])
        batch["images"] = batch["images"].double()
        before = method.losses(batch)["classification"]
        before.backward()
        with torch.no_grad():
            method.adapted.weight.sub_(1e-2 * method.adapted.weight.grad)  # type: ignore[operator]
        assert method.losses(batch)["classification"] < before

    def test_the_area_counts_in_the_last_phase_alone(self) -> None:
        batch = batch_of([[1, 0, 0], [0, 1, 1]])
        areas = {phase: at(small(), phase).losses(batch)["area"].item() for phase in PHASES}
        assert areas["classify"] == areas["expand"] == 0 < areas["shrink"]
        double = at(small(area=8.0), "shrink").losses(batch)["area"].item()
        assert double == pytest.approx(2 * areas["shrink"])

    @pytest.mark.parametrize("phase", PHASES)
    def test_the_loss_is_that_of_the_maps(self, phase: str) -> None:
        method, batch = at(small(), phase).eval(), batch_of([[1, 0, 0], [0, 0, 0]])
        read = {"classify": "baseline", "expand": "expansion", "shrink": "shrinkage"}[phase]
        with torch.no_grad():
            maps = method.maps(batch["images"], read)  # type: ignore[arg-type]
            terms = method.losses(batch)
        assert terms["classification"].item() == pytest.approx(
            slow.soft_margin(maps.mean((2, 3)), batch["labels"]), rel=1e-5
        )
        if phase == "shrink":
            assert terms["area"].item() == pytest.approx(4 * slow.area(maps, batch["labels"]), rel=1e-4)


class TestTraining:
    def run(self, steps: int = 12, **settings: Any) -> tuple[ESOL, ESOL, Any]:
        """A method before a run, the same after it, and the run's history."""
        torch.manual_seed(0)
        method = ESOL(net(), 6, ESOLConfig(**settings))
        before = copy.deepcopy(method)
        records = load_critters("train", count=16, world=World(size=32))
        config = TrainConfig(steps=steps, batch_size=4, optimiser="adamw", lr=1e-2, schedule="constant", device="cpu")
        return before, method, fit(method, records, config, progress="none")

    def test_three_phases_of_one_run(self) -> None:
        before, method, history = self.run(shares=(0.5, 0.25, 0.25))
        assert history.phases == {"classify": 6, "expand": 9, "shrink": 12}
        changed = {
            name.split(".")[0]
            for name, p in method.named_parameters()
            if not torch.equal(p, before.get_parameter(name))
        }
        assert changed == {"backbone", "neck", "head", "adapted", "expansion", "shrinkage"}
        assert [area > 0 for area in history.terms["area"]] == [False] * 9 + [True] * 3
        assert not torch.equal(method.head.weight, method.adapted.weight)

    def test_the_samplers_leave_the_classifier_as_it_was(self) -> None:
        _, first, _ = self.run(6, shares=(1.0, 0.0, 0.0))
        _, method, _ = self.run(12, shares=(0.5, 0.25, 0.25))
        for name, value in first.state_dict().items():
            if name.split(".")[0] in ("backbone", "neck", "head"):
                assert torch.equal(value, method.state_dict()[name]), name
        assert torch.equal(first.head.weight, first.adapted.weight), "the copy follows until the expansion"

    def test_the_expansion_stops_where_the_offsets_reach_far_enough(self) -> None:
        _, method, history = self.run(40, shares=(0.1, 0.8, 0.1), reach=0.05, expand_lr=1.0)
        assert history.phases["expand"] < 36
        assert method.moved >= 0.05
        assert len(history) == history.phases["shrink"]
        assert history.phases["shrink"] - history.phases["expand"] == 4

    def test_settings_that_are_none(self) -> None:
        for wrong in ({"clip": 0.0}, {"clip": 1.5}, {"area": -1.0}, {"reach": 0.0}):
            with pytest.raises(ValueError, match=r"clip is .*area .*reach"):
                ESOLConfig(**wrong)
        for shares in ((0.5, 0.5, 0.5), (1.2, -0.1, -0.1)):
            with pytest.raises(ValueError, match="shares are"):
                ESOLConfig(shares=shares)
        with pytest.raises(ValueError, match="has no stage 'stage9'"):
            ESOL(net(), 3, ESOLConfig(stage="stage9"))

    def test_a_phase_without_a_share_is_left_out(self) -> None:
        assert [phase.name for phase in small(shares=(0.0, 0.5, 0.5)).phases()] == ["expand", "shrink"]
        assert ESOLConfig.paper().stage == "layer4"
