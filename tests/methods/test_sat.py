"""SAT: the gate, the gated attention, the two losses on the map, and what reaches what."""

from __future__ import annotations

import copy
import math

import pytest
import sat_oracles
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.backbones import TransformerBackbone, backbone, tiny_vit
from wsss_lib.methods import SAT, SATConfig
from wsss_lib.methods import sat as pieces
from wsss_lib.methods.transformers import whole_patches
from wsss_lib.train import TrainConfig
from wsss_lib.train.optimiser import parameter_groups


def small(seed: int = 0, **options: int) -> TransformerBackbone:
    torch.manual_seed(seed)
    return tiny_vit(**{"dim": 12, "depth": 3, "heads": 2, "patch": 8, "image_size": 32} | options).double()


def method(classes: int = 3, **settings_: object) -> SAT:
    net = small()
    torch.manual_seed(1)
    return SAT(net, classes, SATConfig(**{"blocks": 2, "area": "batch"} | settings_)).double()  # type: ignore[arg-type]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_of(n: int = 4, side: int = 32, classes: int = 3) -> dict[str, Tensor]:
    images = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return {"images": images, "labels": F.one_hot(torch.arange(n) % classes, classes).double()}


class TestAttention:
    def test_gate_by_hand(self) -> None:
        queries, keys = torch.zeros(1, 2, 2, 4), torch.zeros(1, 2, 2, 4)
        queries[0, :, -1, 0] = torch.tensor([1.0, 3.0])  # the last token asks
        queries[0, :, 0, 0] = 99.0  # nobody else does
        keys[0, :, 0, 0] = 2.0
        result = pieces.spatial_gate(queries, keys)
        # logits 2/√4 = 1 and 6/√4 = 3, their mean 2: σ(2), not the mean of σ(1) and σ(3)
        assert result.tolist() == [[pytest.approx(1 / (1 + math.exp(-2)), abs=1e-6), 0.5]]

    @given(st.integers(1, 2), st.integers(1, 3), st.integers(2, 4), st.integers(1, 3), st.integers(0, 99))
    @settings(max_examples=10, deadline=None)
    def test_equal_to_the_slow_ones(self, n: int, heads: int, length: int, dim: int, seed: int) -> None:
        q, k, v = (random(n, heads, length, dim, seed=3 * seed + i) for i in range(3))
        gate = pieces.spatial_gate(q, k)
        assert gate.shape == (n, length)
        assert ((gate > 0) & (gate < 1)).all()
        torch.testing.assert_close(gate, sat_oracles.gate(q, k))
        slow, rows = sat_oracles.attention(q, k, v, gate)
        torch.testing.assert_close(pieces.gated_attention(q, k, v, gate), slow)
        assert (rows < 1).all()
        torch.testing.assert_close(pieces.gated_attention(q, k, v, gate, renormalise=True), slow / rows[..., None])

    def test_an_open_gate_is_plain_attention_and_rows_sum_to_less_than_one(self) -> None:
        q, k, v = (random(2, 2, 5, 3, seed=i) for i in range(3))
        plain = F.scaled_dot_product_attention(q, k, v)
        torch.testing.assert_close(pieces.gated_attention(q, k, v, torch.ones(2, 5, dtype=q.dtype)), plain)
        gate = torch.rand(2, 5, dtype=q.dtype)
        weights = (q @ k.mT / 3**0.5).softmax(3)
        rows = pieces.gated_attention(q, k, torch.ones_like(v), gate)[..., 0]
        torch.testing.assert_close(rows, (weights * gate[:, None, None]).sum(3))
        assert (rows < 1).all()

    def test_renormalised_a_constant_gate_cannot_be_seen(self) -> None:
        q, k, v = (random(2, 2, 5, 3, seed=i) for i in range(3))
        dim, bright = torch.full((2, 5), 0.1, dtype=q.dtype), torch.full((2, 5), 0.9, dtype=q.dtype)
        same = [pieces.gated_attention(q, k, v, g, renormalise=True) for g in (dim, bright)]
        torch.testing.assert_close(*same)
        as_built = [pieces.gated_attention(q, k, v, g) for g in (dim, bright)]
        torch.testing.assert_close(as_built[0] * 9, as_built[1])

    def test_a_block_with_an_open_gate_is_timms_block(self, monkeypatch: pytest.MonkeyPatch) -> None:
        block, tokens = small().layers[0].eval(), random(2, 6, 12)
        out, gate = pieces.gated_block(block, tokens)
        assert gate.shape == (2, 6)
        assert not torch.allclose(out, block(tokens))
        monkeypatch.setattr(pieces, "spatial_gate", lambda q, k: torch.ones_like(k[:, 0, :, 0]))
        torch.testing.assert_close(pieces.gated_block(block, tokens)[0], block(tokens), atol=1e-6, rtol=1e-6)


class TestLosses:
    def test_area_by_hand(self) -> None:
        maps = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64, requires_grad=True)
        loss = pieces.batch_area_loss(maps, 0.25)
        assert loss.item() == 0.25
        (gradient,) = torch.autograd.grad(loss, maps)
        assert (gradient == 0.03125).all()  # 1 / (2 · 16)
        (gradient,) = torch.autograd.grad(pieces.batch_area_loss(maps, 0.75), maps)
        assert (gradient == -0.03125).all()

    def test_images_that_are_all_on_and_all_off_satisfy_the_batch_not_the_image(self) -> None:
        maps = torch.tensor([0.0, 0.5]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
        assert pieces.batch_area_loss(maps, 0.25).item() == 0
        assert pieces.image_area_loss(maps, 0.25).item() == 0.25

    def test_the_filter(self) -> None:
        kernel = pieces.smoothing_filter()
        assert kernel.shape == (1, 1, 3, 3)
        assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
        expected = torch.tensor([[0.00263, 0.04601, 0.00263], [0.04601, 0.80544, 0.04601], [0.00263, 0.04601, 0.00263]])
        torch.testing.assert_close(kernel[0, 0], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(kernel[0, 0], torch.tensor(sat_oracles.kernel()))

    def test_normalisation_by_hand(self) -> None:
        delta = torch.zeros(1, 1, 3, 3)
        delta[0, 0, 1, 1] = 1
        assert pieces.normalisation_loss(delta).item() == pytest.approx(0.0381, abs=5e-5)
        ones = torch.ones(1, 1, 14, 14)
        assert pieces.normalisation_loss(ones).item() == pytest.approx(0.0137, abs=5e-5)
        assert pieces.normalisation_loss(torch.zeros(2, 1, 5, 5)).item() == 0
        smooth = F.conv2d(ones, pieces.smoothing_filter(), padding=1)[0, 0]
        assert smooth[0, 0].item() == pytest.approx(0.900, abs=5e-4)
        assert smooth[0, 7].item() == pytest.approx(0.949, abs=5e-4)

    @given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.floats(0.05, 0.95), st.integers(0, 99))
    @settings(max_examples=15, deadline=None)
    def test_equal_to_the_slow_ones(self, n: int, h: int, w: int, prior: float, seed: int) -> None:
        maps = random(n, 1, h, w, seed=seed).sigmoid()
        assert pieces.batch_area_loss(maps, prior).item() == pytest.approx(sat_oracles.area(maps, prior))
        each = [sat_oracles.area(one[None], prior) for one in maps]
        assert pieces.image_area_loss(maps, prior).item() == pytest.approx(sum(each) / n)
        # The filter is stored in single precision.
        assert pieces.normalisation_loss(maps).item() == pytest.approx(sat_oracles.normalisation(maps), abs=1e-6)

    def test_gradients_of_the_terms(self) -> None:
        maps = random(2, 1, 3, 4).sigmoid().requires_grad_()
        for term in (lambda m: pieces.batch_area_loss(m, 0.2), pieces.normalisation_loss):
            torch.autograd.gradcheck(term, maps)
        half = torch.full((1, 1, 1, 1), 0.5 / 0.80544, dtype=torch.float64, requires_grad=True)  # smoothed: 0.5
        (gradient,) = torch.autograd.grad(pieces.normalisation_loss(half), half)
        assert gradient.item() == pytest.approx(0, abs=1e-5)  # 1 − 2M vanishes there: someone else must begin


class TestMethod:
    @pytest.mark.parametrize(("n", "side", "classes"), [(1, 32, 1), (3, 48, 5), (2, 16, 20)])
    def test_other_sizes_batches_and_class_counts(self, n: int, side: int, classes: int) -> None:
        sat, batch = method(classes), batch_of(n, side, classes)
        views = sat.see(batch["images"])
        cells = side // 8
        assert views.logits.shape == (n, classes)
        assert views.maps.shape == (n, 1, cells, cells)
        assert [g.shape for g in views.gates] == [(n, cells * cells + 2)] * 2
        torch.testing.assert_close(views.scores.mean((2, 3)), views.logits)
        assert all(value.ndim == 0 and value.isfinite() for value in sat.losses(batch).values())
        assert sat.localize(batch["images"]).shape == (n, 1, cells, cells)
        assert sat.localize(batch["images"], batch["labels"]).shape == (n, classes, cells, cells)

    @pytest.mark.parametrize(("height", "width", "cells"), [(33, 27, (4, 3)), (3, 44, (1, 6)), (36, 20, (5, 3))])
    def test_photographs_of_any_size(self, height: int, width: int, cells: tuple[int, int]) -> None:
        sat, batch = method(), batch_of()
        images = F.interpolate(batch["images"], (height, width), mode="bilinear")
        fitted = F.interpolate(images, (8 * cells[0], 8 * cells[1]), mode="bilinear")
        assert sat.localize(images, batch["labels"]).shape == (4, 3, *cells)
        torch.testing.assert_close(sat.see(images).maps, sat.see(fitted).maps)
        torch.testing.assert_close(sat(images), sat(fitted))
        assert whole_patches(fitted, 8) is fitted

    def test_the_map_is_the_mean_of_the_gates_without_both_tokens_in_raster_order(self) -> None:
        sat, images = method(blocks=3), batch_of(2)["images"]
        images = images[..., :24]  # 4 rows, 3 columns
        views = sat.see(images)
        mean = sum(g[:, 1:-1] for g in views.gates) / 3
        assert views.maps.shape == (2, 1, 4, 3)
        for row in range(4):
            for column in range(3):
                torch.testing.assert_close(views.maps[:, 0, row, column], mean[:, row * 3 + column])

    def test_blocks_before_the_gated_ones_do_not_hear_the_gate(self) -> None:
        sat, images = method(blocks=1), batch_of(2)["images"]
        with torch.no_grad():
            sequence, size = sat.backbone.embed(sat.backbone.normalise(images))
            sequence = torch.cat([sequence, (sat.spatial + sat.position).expand(2, -1, -1)], 1)
            for block in sat.backbone.layers[:-1]:
                sequence = block(sequence)
            last, gate = pieces.gated_block(sat.backbone.layers[-1], sequence)
            scores = sat.head(sat.backbone.grid(sat.backbone.last_norm(last)[:, 1:-1], size))
        torch.testing.assert_close(sat.see(images).scores, scores)
        torch.testing.assert_close(sat.see(images).gates[0], gate)

    def test_terms_and_their_weights(self) -> None:
        batch = batch_of()
        sat = method(area_weight=2.0, norm_weight=0.5, prior=0.3)
        views, terms = sat.see(batch["images"]), sat.losses(batch)
        assert list(terms) == ["classification", "area", "normalisation"]
        torch.testing.assert_close(
            terms["classification"], F.multilabel_soft_margin_loss(views.logits, batch["labels"])
        )
        torch.testing.assert_close(terms["area"], 2 * (views.maps.mean() - 0.3).abs())
        torch.testing.assert_close(terms["normalisation"], 0.5 * pieces.normalisation_loss(views.maps))
        each = method(area="image").losses(batch)["area"]
        means = views.maps.mean((1, 2, 3))
        torch.testing.assert_close(each, (means - SATConfig().prior).abs().mean())
        softmax = method(loss="softmax").losses(batch)["classification"]
        torch.testing.assert_close(softmax, F.cross_entropy(views.logits, batch["labels"].argmax(1)))

    def test_none_present(self) -> None:
        sat, batch = method(), batch_of()
        batch["labels"] = torch.zeros_like(batch["labels"])
        assert all(value.isfinite() for value in sat.losses(batch).values())
        assert sat.localize(batch["images"], batch["labels"]).abs().max() == 0

    def test_several_present_classes_get_the_same_map_and_absent_ones_none(self) -> None:
        sat, images = method(), batch_of(2)["images"]
        result = sat.localize(images, torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        torch.testing.assert_close(result[0, 0], result[0, 1])
        assert result[0, 2].abs().max() == result[1, :2].abs().max() == 0
        assert result[1, 2].max() == 1
        assert result[1, 2].min() == 0
        with pytest.raises(ValueError, match="expected multi-hot"):
            sat.localize(images, torch.ones(2, 4))

    def test_which_loss_reaches_what(self) -> None:
        sat, batch = method(), batch_of()
        patches, last = sat.backbone.vit.patch_embed, sat.backbone.layers[-1]
        expected = {"classification": (True, True, True), "area": (True, False, False)}
        expected["normalisation"] = expected["area"]
        for name, reached in expected.items():
            sat.zero_grad(set_to_none=True)
            sat.losses(batch)[name].backward()
            parts = (sat.spatial.grad, sat.head.weight.grad, last.mlp.fc1.weight.grad)
            assert tuple(g is not None and bool(g.abs().max() > 0) for g in parts) == reached, name
            assert all(p.grad.abs().max() > 0 for p in patches.parameters()), name  # no stop-gradient anywhere
            assert sat.position.grad.abs().max() > 0

    def test_localize_restores_modes_and_counts_nothing(self) -> None:
        sat = method(drop_path=0.5).train()
        sat.backbone.layers[0].eval()
        before = [m.training for m in sat.modules()]
        state = copy.deepcopy(sat.state_dict())
        images = batch_of()["images"]
        torch.testing.assert_close(sat.localize(images), sat.localize(images))  # no stochastic depth in it
        assert [m.training for m in sat.modules()] == before
        assert all(torch.equal(a, b) for a, b in zip(state.values(), sat.state_dict().values(), strict=True))

    def test_spread_tells_on_and_off_from_even(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sat = method(prior=0.25)
        for areas, spread in (((0.0, 0.0, 0.0, 1.0), 0.25 * 3**0.5), ((0.25,) * 4, 0.0)):
            maps = torch.tensor(areas).view(4, 1, 1, 1).expand(4, 1, 2, 2)
            monkeypatch.setattr(sat, "see", lambda _, maps=maps: pieces.GatedPass(maps, maps, [], maps))
            result = sat.area_spread(torch.zeros(4))
            assert result == {"area": 0.25, "area_sd": pytest.approx(spread), "worst": pytest.approx(0.25 * 3**0.5)}

    def test_groups_spare_biases_and_scales_the_decay(self) -> None:
        sat = method()
        groups = {g["name"]: g for g in parameter_groups(sat, TrainConfig(epochs=1, lr=0.1, head_lr=5))}
        assert groups["head"]["lr"] == 0.5
        assert all(p.ndim > 1 for p in groups["backbone"]["params"])
        assert groups["backbone, no decay"]["weight_decay"] == 0
        assert all(p.ndim <= 1 for p in groups["backbone, no decay"]["params"])
        assert {id(sat.spatial), id(sat.position)} <= {id(p) for p in groups["head"]["params"]}

    def test_stochastic_depth_grows_with_depth(self) -> None:
        sat = method(drop_path=0.2)
        rates = [getattr(block.drop_path1, "drop_prob", 0) for block in sat.backbone.layers]
        assert rates == pytest.approx([0, 0.1, 0.2])

    def test_the_papers_settings(self) -> None:
        paper = SATConfig.paper()
        assert (paper.prior, paper.blocks, paper.loss, paper.drop_path) == (0.25, 3, "softmax", 0.1)
        assert (paper.area, paper.area_weight, paper.norm_weight, paper.renormalise) == ("batch", 1, 1, False)

    def test_deit_in_timms_layout(self, tmp_path) -> None:
        from safetensors.torch import save_file

        from wsss_lib.backbones import vit

        torch.manual_seed(0)
        state = {key: value.contiguous() for key, value in vit.build("deit_tiny").state_dict().items()}
        save_file(state, tmp_path / "deit_tiny.safetensors")
        sat = SAT(backbone("deit_tiny", weights=tmp_path), 20, SATConfig.paper())
        assert (
            sum(p.numel() for p in (sat.spatial, sat.position, *sat.head.parameters())) == 2 * 192 + (9 * 192 + 1) * 20
        )
        torch.testing.assert_close(sat.backbone.vit.blocks[11].attn.qkv.weight, state["blocks.11.attn.qkv.weight"])
        images = torch.rand(2, 3, 64, 96)
        views = sat.see(images)
        assert views.gates[0].shape == (2, 4 * 6 + 2)
        assert views.maps.shape == (2, 1, 4, 6)
        assert views.logits.shape == (2, 20)

    @pytest.mark.parametrize(
        ("settings_", "message"),
        [
            ({"prior": 0.0}, "prior is 0.0"),
            ({"prior": 1.0}, "prior is 1.0"),
            ({"blocks": 0}, "blocks is 0"),
            ({"area_weight": -1.0}, "area_weight is -1.0"),
            ({"drop_path": 1.0}, "drop_path 1.0"),
            ({"area": "pixel"}, "area is 'pixel'"),
            ({"loss": "hinge"}, "loss is 'hinge'"),
        ],
    )
    def test_settings_out_of_range(self, settings_: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SATConfig(**settings_)  # type: ignore[arg-type]

    def test_what_it_cannot_work_with(self) -> None:
        with pytest.raises(ValueError, match=r"SAT needs a transformer.*tiny_cnn"):
            SAT(backbone("tiny_cnn"), 3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="num_classes is 0"):
            SAT(small(), 0)
        with pytest.raises(ValueError, match="blocks is 4, but tiny_vit has 3"):
            SAT(small(), 3, SATConfig(blocks=4))
