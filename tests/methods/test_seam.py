"""SEAM: hand values, the gradient table, a slow version of each loss, and what happens when it degenerates."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace

import pytest
import seam_oracles as slow
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_backbone import small_backbone
from torch import Tensor
from torch.nn import functional as F

from wsss_lib import backbones, maps, metrics
from wsss_lib.methods import CAM, SEAM, SEAMConfig
from wsss_lib.methods.cam import multilabel_soft_margin
from wsss_lib.methods.seam import (
    Branch,
    add_background,
    competing,
    darkest_quarter,
    hard_mean,
    keep_strongest,
    max_norm,
    pixel_correlation,
    resized,
)
from wsss_lib.train import TrainConfig
from wsss_lib.train.optimiser import parameter_groups


def small(classes: int = 3, seed: int = 0, **changes: object) -> SEAM:
    torch.manual_seed(seed)
    return SEAM(small_backbone(seed), classes, replace(SEAMConfig(width=12, equivariance=1.0), **changes)).double()  # type: ignore[arg-type]


def batch_of(labels: list[list[int]], size: tuple[int, int] = (24, 32), seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(len(labels), 3, *size, generator=generator, dtype=torch.float64)
    return {"images": images, "labels": torch.tensor(labels, dtype=torch.float64)}


def grown(method: SEAM) -> SEAM:
    """With a head that gives maps of both signs, so that no class is dead."""
    with torch.no_grad():
        method.head.weight.normal_(std=1.0, generator=torch.Generator().manual_seed(3))
    return method


BATCHES = {
    "one class": [[1, 0, 0], [0, 0, 1]],
    "several": [[1, 1, 0], [1, 1, 1], [0, 1, 0]],
    "none in one image": [[0, 0, 0], [0, 1, 0]],
}


class TestPieces:
    def test_max_norm_hand_values(self) -> None:
        maps_ = torch.tensor([[[[-1.0, 0.0], [1.0, 3.0]], [[1.0, 2.0], [3.0, 5.0]]]])
        expected = torch.tensor([[[[0, 0], [1 / 3, 1]], [[0, 0.25], [0.5, 1]]]])
        torch.testing.assert_close(max_norm(maps_), expected, rtol=0, atol=1e-4)

    def test_max_norm_lets_gradients_through_minimum_and_maximum(self) -> None:
        maps_ = torch.tensor([[[[1.0, 2.0, 5.0]]]], dtype=torch.float64, requires_grad=True)
        max_norm(maps_)[0, 0, 0, 1].backward()
        # (2 − a) / (b − a): ∂a = (2 − b)/(b − a)² = −3/16, ∂ = 1/4, ∂b = −(2 − a)/(b − a)² = −1/16
        assert maps_.grad is not None
        expected = torch.tensor([[[[-3 / 16, 1 / 4, -1 / 16]]]], dtype=torch.float64)
        torch.testing.assert_close(maps_.grad, expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("height", [0.0, 0.7, -2.0])
    def test_a_constant_map_becomes_zero_without_gradient(self, height: float) -> None:
        maps_ = torch.full((1, 1, 3, 3), height, requires_grad=True)
        result = max_norm(maps_)
        result.sum().backward()
        assert result.eq(0).all()
        assert maps_.grad is not None
        assert maps_.grad.eq(0).all()

    def test_background_and_the_strongest(self) -> None:
        pixel = torch.tensor([0.2, 0.6, 0.6, 0.1]).view(1, 4, 1, 1)
        with_background = add_background(pixel)
        assert with_background.flatten().tolist() == pytest.approx([0.4, 0.2, 0.6, 0.6, 0.1])
        kept = keep_strongest(with_background)
        assert kept.flatten().tolist() == pytest.approx([0.4, 0, 0.6, 0.6, 0])
        assert with_background[0, 1] == pytest.approx(0.2), "the input was changed in place"

    def test_absent_classes_compete_for_pixels(self) -> None:
        raw = torch.tensor([[[[4.0, 2.0]], [[0.1, 0.9]], [[-1.0, -2.0]]]])
        result = competing(raw)[0, :, 0]
        # Scaled: (1, .5), (.11, 1), (0, 0): the second class, however weak its score, takes the second pixel.
        expected = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)

    def test_pixel_correlation_hand_value(self) -> None:
        features = torch.tensor([[1.0, 1.0, 0.0, -1.0], [0.0, 0.0, 1.0, 0.0]]).view(1, 2, 1, 4)
        given_ = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 1, 1, 4)
        result = pixel_correlation(given_, features).flatten()
        torch.testing.assert_close(result, torch.tensor([0.3, 0.3, 0.6, 0.8]), rtol=0, atol=1e-4)

    def test_pixel_correlation_extremes(self) -> None:
        values = torch.rand(2, 3, 2, 3)
        same = pixel_correlation(values, torch.ones(2, 5, 2, 3))
        torch.testing.assert_close(same, values.mean((2, 3), keepdim=True).expand_as(values), rtol=0, atol=1e-4)
        orthogonal = torch.eye(6).view(1, 6, 2, 3).expand(2, -1, -1, -1)
        torch.testing.assert_close(pixel_correlation(values, orthogonal), values, rtol=0, atol=1e-4)

    @given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
    @settings(max_examples=20, deadline=None)
    def test_pixel_correlation_is_a_mean(self, k: int, c: int, h: int, w: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        values = torch.rand(2, k, h, w, generator=generator, dtype=torch.float64)
        features = torch.randn(2, c, h, w, generator=generator, dtype=torch.float64)
        result = pixel_correlation(values, features)
        assert (result <= values.amax((2, 3), keepdim=True) + 1e-9).all()
        assert (result >= values.amin((2, 3), keepdim=True) * (1 - 1e-3) - 1e-9).all()
        # The columns of the normalised affinity sum to one: a map of ones stays one.
        ones = pixel_correlation(torch.ones_like(values), features)
        torch.testing.assert_close(ones, torch.ones_like(ones), rtol=0, atol=1e-3)
        for n in range(2):
            torch.testing.assert_close(result[n], slow.correlated(values[n], features[n]), rtol=1e-6, atol=1e-8)

    def test_pixel_correlation_ignores_the_length_of_features_and_follows_moved_pixels(self) -> None:
        torch.manual_seed(0)
        values, features = torch.rand(1, 2, 4, 4).double(), torch.randn(1, 5, 4, 4).double()
        result = pixel_correlation(values, features)
        torch.testing.assert_close(pixel_correlation(values, features * 7), result, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pixel_correlation(values.flip(3), features.flip(3)), result.flip(3))

    def test_darkest_quarter_hand_value(self) -> None:
        ramp = torch.arange(16).view(1, 1, 4, 4) / 10
        assert darkest_quarter(ramp).item() == pytest.approx(0.15)
        two = torch.cat([ramp, ramp.flip(2, 3)], dim=1)  # the larger of both counts: .8, .8, .9, .9, …
        assert darkest_quarter(two).item() == pytest.approx(0.85)
        assert darkest_quarter(ramp.expand(3, -1, -1, -1) * torch.tensor([0, 1, 2]).view(3, 1, 1, 1)) == pytest.approx(
            0.15
        )

    def test_one_class_of_twenty_is_a_multiplication_by_five(self) -> None:
        errors = torch.zeros(2, 21, 5, 4)
        errors[:, :2] = torch.rand(2, 2, 5, 4)  # the background and the one class: 2/21 < 20 %
        assert hard_mean(errors, 0.2, 21).item() == pytest.approx(5 * errors.mean().item(), rel=1e-5)
        errors[:, 2:8] = torch.rand(2, 6, 5, 4)  # with seven classes it mines
        assert hard_mean(errors, 0.2, 21) < 5 * errors.mean()

    def test_the_share_is_taken_among_the_channels_that_count(self) -> None:
        errors = torch.zeros(2, 3, 1, 5)
        errors[0, 0] = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
        errors[1, :2, 0] = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.7, 0.8, 0.9, 1.0]])
        channels = torch.tensor([1.0, 2.0])
        # 40 % of 5 are the largest 2, 40 % of 10 the largest 4.
        expected = ((0.5 + 0.4) / 2 + (1.0 + 0.9 + 0.8 + 0.7) / 4) / 2
        assert hard_mean(errors, 0.4, channels).item() == pytest.approx(expected)
        assert hard_mean(errors, 1e-9, channels).item() == pytest.approx((0.5 + 1.0) / 2), "one error at least"
        assert hard_mean(errors, 1.0, 3).item() == pytest.approx(errors.mean().item())

    def test_resizing_keeps_the_corners(self) -> None:
        grid = torch.rand(1, 2, 3, 4)
        big = resized(grid, (7, 9))
        assert big.shape == (1, 2, 7, 9)
        torch.testing.assert_close(big[..., [0, 0, -1, -1], [0, -1, 0, -1]], grid[..., [0, 0, -1, -1], [0, -1, 0, -1]])


class TestLosses:
    @pytest.mark.parametrize("count", ["present", "all"])
    @pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
    def test_equal_to_the_slow_version(self, labels: list[list[int]], count: str) -> None:
        method = grown(small(count=count)).eval()
        batch = batch_of(labels)
        with torch.no_grad():
            result = method.losses(batch)  # type: ignore[arg-type]
            halves = F.interpolate(batch["images"], scale_factor=0.5, mode="bilinear", antialias=True)
            views = [method.branch(batch["images"]), method.branch(halves)]
        raw, refined = (tuple(getattr(view, name) for view in views) for name in ("raw", "refined"))
        expected = slow.seam_losses(raw, refined, batch["labels"], 0.2, count)  # type: ignore[arg-type]
        assert {name: value.item() for name, value in result.items()} == pytest.approx(expected, rel=1e-5, abs=1e-8)

    def test_the_module_is_the_slow_one(self) -> None:
        method = grown(small()).eval()
        images = batch_of([[1, 0, 0]], (16, 12))["images"]
        with torch.no_grad():
            raw, refined = method.branch(images)
            features = method.backbone(images, method.backbone.stages)
            parts = [resized((images - method.backbone.mean) / method.backbone.std, (4, 3))]
            for stage, embed in zip(("stage1", "stage2"), method.embed, strict=True):
                weight = embed.weight[:, :, 0, 0]
                parts.append(torch.einsum("nchw,dc->ndhw", resized(features[stage], (4, 3)), weight).relu())
            like = torch.einsum("nchw,dc->ndhw", torch.cat(parts, 1), method.join.weight[:, :, 0, 0])
        torch.testing.assert_close(slow.module_input(raw[0]), competing(raw)[0])
        torch.testing.assert_close(
            slow.correlated(slow.module_input(raw[0]), like[0]), refined[0], rtol=1e-5, atol=1e-7
        )
        assert [embed.out_channels for embed in method.embed] == [4, 8]
        assert method.join.in_channels == 15

    @pytest.mark.parametrize(
        ("term", "trains_maps", "trains_module"),
        [
            ("classification", True, False),
            ("equivariance", True, False),
            ("cross", False, True),
            ("background", False, True),
        ],
    )
    def test_gradient_table(self, term: str, trains_maps: bool, trains_module: bool) -> None:
        method = grown(small())
        loss = method.losses(batch_of(BATCHES["several"]))[term]  # type: ignore[arg-type]
        assert loss > 0
        loss.backward()
        moved = {name: p.grad is not None and bool(p.grad.abs().sum() > 0) for name, p in method.named_parameters()}
        module = {name for name in moved if name.startswith(("embed", "join"))}
        assert {moved[name] for name in module} == {trains_module}
        assert moved["head.weight"] is trains_maps
        assert moved["backbone.blocks.stage1.0.weight"] is trains_maps
        assert len(module) == 3

    @pytest.mark.parametrize(("classes", "size", "count"), [(1, (24, 24), 1), (2, (17, 30), 3), (7, (16, 16), 2)])
    def test_other_class_counts_sizes_and_batches(self, classes: int, size: tuple[int, int], count: int) -> None:
        method = grown(small(classes))
        labels = torch.zeros(count, classes)
        labels[:, 0] = 1
        losses = method.losses(batch_of(labels.int().tolist(), size))  # type: ignore[arg-type]
        assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
        sum(losses.values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in method.head.parameters())

    def test_no_class_present_teaches_no_equivariance_and_stays_finite(self) -> None:
        method = grown(small())
        losses = method.losses(batch_of([[0, 0, 0], [0, 0, 0]]))  # type: ignore[arg-type]
        assert losses["equivariance"] == 0
        assert losses["background"] == 0
        assert losses["classification"] > 0
        sum(losses.values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())

    def test_weights_scale_their_terms_and_zero_leaves_the_module_out(self) -> None:
        batch = batch_of(BATCHES["one class"])
        one = grown(small()).losses(batch)  # type: ignore[arg-type]
        two = grown(small(equivariance=2.0, cross=3.0, background=0.5)).losses(batch)  # type: ignore[arg-type]
        for name, factor in {"classification": 1, "equivariance": 2, "cross": 3, "background": 0.5}.items():
            torch.testing.assert_close(two[name], one[name] * factor)
        method = grown(small(cross=0.0, background=0.0))
        method.join.register_forward_hook(lambda *_: pytest.fail("the module ran for nothing"))
        none = method.losses(batch)  # type: ignore[arg-type]
        assert set(none) == set(one)
        assert (none["cross"], none["background"]) == (0, 0)
        torch.testing.assert_close(none["equivariance"], one["equivariance"])

    def test_the_loss_of_two_sizes_is_that_of_a_classifier_on_each(self) -> None:
        method = grown(small()).eval()
        batch = batch_of(BATCHES["several"])
        halves = F.interpolate(batch["images"], scale_factor=0.5, mode="bilinear", antialias=True)
        each = [multilabel_soft_margin(method(x), batch["labels"]) for x in (batch["images"], halves)]
        torch.testing.assert_close(method.losses(batch)["classification"], sum(each) / 2)  # type: ignore[arg-type]

    def test_a_network_that_is_equivariant_has_no_equivariance_loss(self) -> None:
        method = grown(small(cross=0.0, background=0.0))
        raw = torch.rand(2, 3, 9, 9, dtype=torch.float64)
        raw[..., 0, 0], raw[..., -1, -1] = 0, 2  # minimum and maximum lie where both grids have a cell
        views = iter([Branch(raw, raw[:, :0]), Branch(resized(raw, (5, 5)), raw[:, :0])])
        smooth = resized(resized(raw, (5, 5)), (9, 9))
        method.branch = lambda images, refine=True, colours=None: next(views)  # type: ignore[method-assign]
        loss = method.losses(batch_of(BATCHES["one class"]))["equivariance"]  # type: ignore[arg-type]
        assert loss < (raw - smooth).abs().mean(), "more than interpolation loses"
        views = iter([Branch(smooth, raw[:, :0]), Branch(resized(raw, (5, 5)), raw[:, :0])])
        loss = method.losses(batch_of(BATCHES["one class"]))["equivariance"]  # type: ignore[arg-type]
        assert loss < 1e-5

    def test_batch_norm_counts_the_first_view_only(self) -> None:
        method = small().train()
        twin = copy.deepcopy(method)
        batch = batch_of(BATCHES["one class"])
        method.losses(batch)  # type: ignore[arg-type]
        twin.backbone(batch["images"])
        for mine, theirs in zip(method.backbone.buffers(), twin.backbone.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs)
        assert all(module.training for module in method.modules())

    def test_dropout_drops_channels_in_training_only(self) -> None:
        method = grown(small(dropout=0.5))
        images = batch_of(BATCHES["one class"])["images"]
        assert not torch.equal(method.branch(images).raw, method.branch(images).raw)
        method.eval()
        assert torch.equal(method.branch(images).raw, method.branch(images).raw)


class TestTraining:
    def test_equivariance_error_falls_and_flat_maps_are_its_cheapest_answer(self) -> None:
        def after(weight: float, steps: int = 40) -> tuple[float, float]:
            method = grown(small(equivariance=weight, cross=0.0, background=0.0)).eval()
            batch = batch_of([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
            optimiser = torch.optim.Adam(method.parameters(), lr=0.01)
            for _ in range(steps):
                optimiser.zero_grad()
                sum(method.losses(batch).values()).backward()  # type: ignore[union-attr, arg-type]
                optimiser.step()
            with torch.no_grad():
                small_ = F.interpolate(batch["images"], scale_factor=0.5, mode="bilinear", antialias=True)
                views = [method.raw_maps(x) for x in (batch["images"], small_)]
            method.config = replace(method.config, read="cam")
            error = metrics.equivariance_error(*views, (12, 16), batch["labels"]).mean().item()
            return error, method.losses(batch)["classification"].item()  # type: ignore[arg-type]

        untaught, taught, overtaught = after(0.0), after(1.0), after(30.0)
        assert taught[0] < untaught[0]
        assert overtaught[0] < taught[0]
        assert overtaught[1] > taught[1], "the cheapest map is not the one that classifies"

    def test_the_class_maps_do_not_know_of_the_module(self) -> None:
        batch = batch_of(BATCHES["several"])
        result = []
        for cross in (0.0, 1.0):
            method = grown(small(cross=cross, background=cross))
            optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
            for _ in range(3):
                optimiser.zero_grad()
                sum(method.losses(batch).values()).backward()  # type: ignore[union-attr, arg-type]
                optimiser.step()
            result.append(method.eval().branch(batch["images"], refine=False).raw)
        assert torch.equal(*result)


class TestModule:
    def test_localize(self) -> None:
        method = grown(small()).train()
        batch = batch_of(BATCHES["several"])
        with torch.no_grad():
            result = method.localize(batch["images"], batch["labels"])
            every = method.localize(batch["images"])
            refined = method.eval().branch(batch["images"]).refined[:, 1:]
        assert result.shape == (3, 3, 6, 8)
        assert (result.amax((2, 3)) > 0).equal(batch["labels"] > 0)
        torch.testing.assert_close(every, max_norm(refined), rtol=0, atol=1e-3)
        assert every.min() == 0
        assert every.max() <= 1

    def test_localize_reads_class_maps_as_cam_does(self) -> None:
        method = grown(small(read="cam")).eval()
        cam = CAM(method.backbone, 3).double().eval()
        cam.head = method.head
        images = batch_of(BATCHES["one class"])["images"]
        torch.testing.assert_close(method.localize(images), cam.localize(images))
        torch.testing.assert_close(method(images), cam(images))
        torch.testing.assert_close(method(images), method.raw_maps(images).mean((2, 3)))

    def test_modes_are_restored_and_maps_sum_over_scales(self) -> None:
        method = grown(small()).train()
        method.backbone.blocks["stage1"].eval()
        before = [module.training for module in method.modules()]
        images = batch_of(BATCHES["one class"])["images"]
        method.localize(images)
        assert [module.training for module in method.modules()] == before
        with torch.no_grad():
            assert maps.multi_scale(method.raw_maps, images, (1.0, 0.5)).shape == (2, 3, 24, 32)

    def test_the_module_takes_any_backbone_and_named_stages(self) -> None:
        torch.manual_seed(0)
        for net, stages in (
            (backbones.backbone("tiny_cnn"), ("stage1", "stage3")),
            (backbones.backbone("tiny_vit"), None),
            (backbones.backbone("mobilenet_v2", output_stride=16, frozen_bn=True), None),
        ):
            method = SEAM(net, 2, SEAMConfig(stages=stages))
            assert method.stages == (stages or net.stages[-3:-1])
            side = 96 if net.name.startswith("tiny") else 64
            result = (
                method.losses({"images": torch.rand(1, 3, side, side), "labels": torch.tensor([[1.0, 0.0]])})
                if (net.name != "tiny_vit")
                else method.branch(torch.rand(1, 3, side, side))
            )
            assert result
        with pytest.raises(ValueError, match="stages name 'layer3', expected some of stage1"):
            SEAM(small_backbone(), 2, SEAMConfig(stages=("layer3",)))

    def test_the_small_view_is_smoothed_or_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        batch = batch_of(BATCHES["one class"])
        for antialias in (True, False):
            method, views = small(antialias=antialias), []
            branch = method.branch
            monkeypatch.setattr(
                method, "branch", lambda x, *rest, views=views, branch=branch: views.append(x) or branch(x, *rest)
            )
            method.losses(batch)
            expected = F.interpolate(batch["images"], scale_factor=0.5, mode="bilinear", antialias=antialias)
            torch.testing.assert_close(views[1], expected, rtol=0, atol=0)

    def test_parameter_groups(self) -> None:
        method = small()
        groups = {group["name"]: group for group in method.parameter_groups(0.01)}
        assert groups["backbone"]["lr"] == 0.01
        assert groups["module"]["lr"] == pytest.approx(0.01 * method.config.module_lr)
        assert "lr" not in groups["head"]
        assert sum(len(group["params"]) for group in groups.values()) == len(list(method.parameters()))
        method.backbone.requires_grad_(False)
        kept = parameter_groups(method, TrainConfig(steps=1, lr=0.01, head_lr=5))
        assert {group["name"]: group["lr"] for group in kept} == {"module": pytest.approx(0.003), "head": 0.05}

    def test_adam_hears_the_rate_of_the_module_and_not_the_weight_of_its_losses(self) -> None:
        moved = {}
        for name, changes in (
            ("as it is", {}),
            ("ten times the loss", {"cross": 10.0, "background": 10.0}),
            ("a tenth of the rate", {"module_lr": 0.03}),
        ):
            method = small(**changes)
            before = method.join.weight.detach().clone()
            groups = parameter_groups(method, TrainConfig(steps=1, lr=0.01, weight_decay=0.0))
            optimiser = torch.optim.AdamW(groups)
            torch.stack(list(method.losses(batch_of(BATCHES["one class"])).values())).sum().backward()  # type: ignore[arg-type]
            optimiser.step()
            moved[name] = float((method.join.weight.detach() - before).abs().mean())
        assert moved["ten times the loss"] == pytest.approx(moved["as it is"], rel=1e-3)
        assert moved["a tenth of the rate"] == pytest.approx(moved["as it is"] / 10, rel=1e-3)


class TestConfig:
    def test_frozen_and_checked(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            SEAMConfig().scale = 2  # type: ignore[misc]
        for wrong, message in (
            ({"scale": 1.0}, "scale is 1.0"),
            ({"scale": -0.5}, "scale is -0.5"),
            ({"hard": 0.0}, "hard is 0.0"),
            ({"hard": 1.1}, "hard is 1.1"),
            ({"dropout": 1.0}, "dropout 1.0"),
            ({"cross": -1.0}, "negative weight"),
            ({"width": 2}, "width below 3"),
            ({"count": "some"}, "count is 'some'"),
            ({"read": "both"}, "read is 'both'"),
        ):
            with pytest.raises(ValueError, match=message):
                SEAMConfig(**wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="num_classes is 0"):
            SEAM(small_backbone(), 0)

    def test_paper(self) -> None:
        paper = SEAMConfig.paper()
        assert (paper.scale, paper.hard, paper.count, paper.width, paper.dropout) == (0.3, 0.2, "all", 192, 0.5)
        assert (paper.equivariance, paper.cross, paper.background) == (1, 1, 1)
        assert not paper.antialias
        method = SEAM(small_backbone().float(), 20, paper)
        assert [embed.out_channels for embed in method.embed] == [64, 128]
        assert method.join.in_channels == 195
        # 134 px on a side, 21 channels: the largest 75,415 errors are kept.
        errors = torch.zeros(1, 21, 134, 134)
        errors.view(-1)[:75_415] = 1
        assert hard_mean(errors, paper.hard, 21) == 1
        errors.view(-1)[75_414] = 0
        assert hard_mean(errors, paper.hard, 21) < 1
