"""BAS: what lies outside the mask must not speak for the class, and nothing but the mask may see to that."""

from __future__ import annotations

import copy
from typing import Any

import bas_slow
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_backbone import small_backbone
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones import StagedBackbone, backbone
from wsss_lib.methods import BAS, BASConfig
from wsss_lib.methods.bas import activation, of_class, sample_class, suppression_loss
from wsss_lib.methods.losses import classification_loss

TERMS = ("classification", "suppression", "area", "foreground")


def small(classes: int = 3, seed: int = 0, **settings: Any) -> BAS:
    """Over the tests' backbone: F of 6 channels at stride 4, f2 a convolution with batch norm, in evaluation mode."""
    torch.manual_seed(seed)
    method = BAS(small_backbone(seed), classes, BASConfig(**settings)).double().eval()
    with torch.no_grad():
        method.generator.weight *= 5
        method.head[-1].weight.abs_()
    return method


def batch_of(labels: list[list[int]], height: int = 16, width: int = 24, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(len(labels), 3, height, width, generator=generator, dtype=torch.float64)
    return {"images": images, "labels": torch.tensor(labels, dtype=torch.float64)}


class TestByHand:
    """F = ((4, 1), (1, 0)), f2 the spatial mean, M = 1/2."""

    @pytest.fixture
    def linear(self) -> BAS:
        blocks = {"front": nn.Sequential(nn.Identity()), "back": nn.Sequential(nn.Identity())}
        net = StagedBackbone("toy", blocks, {"front": 3, "back": 3}, {"front": 1, "back": 1}, (0,) * 3, (1,) * 3)
        method = BAS(net, 1, BASConfig(beta=1.5, alpha=1.0)).double().eval()
        with torch.no_grad():
            method.generator.weight.zero_()  # σ(0) = 1/2
            method.head[-1].weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
        return method

    @pytest.fixture
    def images(self) -> Tensor:
        features = torch.tensor([[4.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
        return torch.stack([features, features * 0, features * 0])[None]

    def test_the_four_terms(self, linear: BAS, images: Tensor) -> None:
        result = linear.losses({"images": images, "labels": torch.ones(1, 1)})  # type: ignore[typeddict-item]
        assert result["suppression"].item() == pytest.approx(0.5)  # Sᵇ = 0.75 of S = 1.5
        assert result["area"].item() == pytest.approx(1.5 * 0.5)
        assert result["classification"].item() == pytest.approx(F.softplus(torch.tensor(-1.5)).item())
        assert result["foreground"].item() == pytest.approx(F.softplus(torch.tensor(-0.75)).item())

    def test_the_gradient_says_where_the_mask_grows(self, linear: BAS, images: Tensor) -> None:
        features = linear.features(images)
        mask = torch.full((1, 2, 2), 0.5, dtype=torch.float64, requires_grad=True)
        whole = linear(images)[:, 0]
        loss = suppression_loss(linear.background(features, mask)[:, 0].mean((1, 2)), whole) + 1.5 * mask.mean()
        (gradient,) = torch.autograd.grad(loss.sum(), mask)
        expected = torch.tensor([[[-0.2917, 0.2083], [0.2083, 0.3750]]], dtype=torch.float64)
        torch.testing.assert_close(gradient, expected, atol=5e-5, rtol=0)
        # A gradient below zero lets the mask grow: where the activation exceeds β S.
        assert torch.equal(gradient < 0, features[:, 0] > 1.5 * whole)


class TestSuppression:
    def test_cells_that_speak_against_the_class_count_in_the_score_only(self) -> None:
        maps = torch.tensor([[[3.0, -1.0], [-1.0, -5.0]], [[1.0, 0.0], [2.0, -1.0]]])
        assert activation(maps, "cells").tolist() == [0.75, 0.75]
        assert activation(maps, "score").tolist() == [0.0, 0.5]

    def test_a_ratio_and_the_constant_one(self) -> None:
        kept = torch.tensor([0.5, 2.0, 0.0, 3.0, 0.0], requires_grad=True)
        whole = torch.tensor([2.0, 2.0, 1.0, 1.0, 0.0])
        loss = suppression_loss(kept, whole)
        assert loss.tolist() == pytest.approx([0.25, 1.0, 0.0, 1.0, 0.0])
        (gradient,) = torch.autograd.grad(loss.sum(), kept)
        assert gradient[:3].tolist() == pytest.approx([0.5, 0.5, 1.0])
        assert gradient[3] == 0, "where more is left than there was, no gradient"

    def test_no_mask_leaves_everything(self) -> None:
        method = small()
        features = method.features(batch_of([[1, 0, 0], [0, 1, 0]])["images"])
        left = method.background(features, torch.zeros(2, 4, 6, dtype=torch.float64))
        torch.testing.assert_close(left, method.tail()(features))

    def test_a_full_mask_leaves_the_response_to_nothing(self) -> None:
        method = small()
        features = method.features(batch_of([[1, 0, 0]])["images"])
        left = method.background(features, torch.ones(1, 4, 6, dtype=torch.float64))
        torch.testing.assert_close(left, method.tail()(torch.zeros_like(features)))
        assert left.abs().max() > 1e-3, "the biases of batch norm speak where nothing is"

    @given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 5))
    @settings(max_examples=25, deadline=None)
    def test_a_larger_mask_leaves_no_more_where_f2_is_linear_and_not_negative(self, seed: int, h: int, w: int) -> None:
        blocks = {"front": nn.Sequential(nn.Identity()), "back": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))}
        net = StagedBackbone("toy", blocks, {"front": 3, "back": 4}, {"front": 1, "back": 1}, (0,) * 3, (1,) * 3)
        torch.manual_seed(seed)
        method = BAS(net, 2).double().eval()
        with torch.no_grad():
            for parameter in method.tail().parameters():
                parameter.abs_()
        features = torch.rand(3, 3, h, w, dtype=torch.float64)
        mask = torch.rand(3, h, w, dtype=torch.float64)
        larger = mask + (1 - mask) * torch.rand(3, h, w, dtype=torch.float64)
        for where in ("cells", "score"):
            more, less = (activation(method.background(features, m), where) for m in (mask, larger))  # type: ignore[arg-type]
            assert (less <= more + 1e-12).all()


def gradients(method: BAS, term: str, batch: dict[str, Tensor]) -> dict[str, bool]:
    """Which parts a term reaches: f1, what lies behind it, the head, the generator."""
    method.zero_grad()
    torch.manual_seed(5)
    method.losses(batch)[term].backward()  # type: ignore[arg-type]

    def reached(part: nn.Module) -> bool:
        return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in part.parameters())

    blocks = method.backbone.blocks  # type: ignore[union-attr]
    return {
        "f1": reached(blocks["stage1"]) and reached(blocks["stage2"]),
        "f2": reached(blocks["stage3"]),
        "head": reached(method.head),
        "generator": reached(method.generator),
    }


def gradients_of(method: BAS, loss: Tensor) -> tuple[bool, bool]:
    """Whether a loss reaches the generator, and whether the head."""
    both = [method.generator.weight, method.head[-1].weight]
    slopes = torch.autograd.grad(loss, both, retain_graph=True, allow_unused=True)  # type: ignore[arg-type]
    result = [slope is not None and bool(slope.abs().sum() > 0) for slope in slopes]
    return result[0], result[1]


class TestGradients:
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("norm", ["batch", "running"])
    @pytest.mark.parametrize(
        ("term", "detach", "expected"),
        [
            ("classification", False, {"f1", "f2", "head"}),
            ("suppression", False, {"f1", "generator"}),
            ("area", False, {"f1", "generator"}),
            ("foreground", False, {"f1", "f2", "head", "generator"}),
            ("foreground", True, {"f1", "generator"}),
        ],
    )
    def test_which_term_teaches_what(
        self, term: str, detach: bool, expected: set[str], norm: str, training: bool
    ) -> None:
        method = small(detach_foreground=detach, copy_norm=norm).train(training)
        result = gradients(method, term, batch_of([[1, 0, 1], [0, 1, 0], [0, 0, 1]]))
        assert {name for name, reached in result.items() if reached} == expected

    def test_suppression_reaches_the_features_through_the_generator_only(self) -> None:
        method = small()
        features = method.features(batch_of([[1, 0, 0]])["images"]).detach().requires_grad_()
        mask = method.masks(features.detach())[:, 0]
        assert not method.background(features, mask.detach()).requires_grad
        (to_mask,) = torch.autograd.grad(method.background(features, m := mask.detach().requires_grad_()).sum(), m)
        assert to_mask.abs().sum() > 0

    @pytest.mark.parametrize("norm", ["batch", "running"])
    def test_the_background_pass_leaves_no_trace(self, norm: str) -> None:
        method = small(copy_norm=norm).train()
        method.backbone.blocks["stage3"].eval()  # type: ignore[union-attr]
        modes = [m.training for m in method.modules()]
        before = {k: v.clone() for k, v in method.state_dict().items()}
        features = method.features(batch_of([[1, 0, 0]])["images"]).detach()
        changed = {k for k, v in method.state_dict().items() if not torch.equal(v, before[k])}
        method.background(features, torch.rand(1, 4, 6, dtype=torch.float64, requires_grad=True)).sum().backward()
        again = {k for k, v in method.state_dict().items() if not torch.equal(v, before[k])}
        assert changed == again, "batch norm counted the masked features"
        assert [m.training for m in method.modules()] == modes
        assert all(p.grad is None for p in method.parameters())

    @pytest.mark.parametrize("norm", ["batch", "running"])
    def test_the_same_numbers_as_a_copy(self, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
        method = small(copy_norm=norm, pool=2, head=5).train()
        features, mask = torch.rand(2, 6, 4, 6, dtype=torch.float64), torch.rand(2, 4, 6, dtype=torch.float64)
        copied = copy.deepcopy(method.tail()).train(norm == "batch")
        expected = copied(features * (1 - mask)[:, None])

        def refuse(*_: object) -> None:
            raise AssertionError("a deep copy a step is what this does without")

        monkeypatch.setattr(copy, "deepcopy", refuse)
        torch.testing.assert_close(method.background(features, mask), expected)


class TestAgainstTheSlowReference:
    @pytest.mark.parametrize("how", ["multilabel", "softmax", "against_absent"])
    @pytest.mark.parametrize(("detach", "rectify"), [(False, "cells"), (True, "score"), (False, "score")])
    @pytest.mark.parametrize(
        ("labels", "size", "pool"),
        [
            ([[1, 0, 0], [0, 0, 1]], (16, 24), 1),
            ([[1], [1], [1]], (8, 8), 2),
            ([[0, 1, 0, 0, 0]], (24, 16), 2),
            ([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]], (16, 16), 2),
        ],
    )
    def test_terms_and_gradients(
        self, how: str, detach: bool, rectify: str, labels: list[list[int]], size: tuple[int, int], pool: int
    ) -> None:
        if how == "softmax" and any(sum(row) != 1 for row in labels):
            pytest.skip("softmax is for one class an image")
        method = small(
            len(labels[0]), loss=how, alpha=0.7, beta=1.3, detach_foreground=detach, rectify=rectify, pool=pool
        )
        batch = batch_of(labels, *size)
        torch.manual_seed(3)
        result = method.losses(batch)  # type: ignore[arg-type]
        torch.manual_seed(3)
        drawn = sample_class(batch["labels"]).tolist()
        slow = bas_slow.losses(
            method.features, method.generator, method.tail(), batch["images"], batch["labels"], drawn,
            alpha=0.7, beta=1.3, how=how, detach_foreground=detach, rectify=rectify,
        )  # fmt: skip
        assert list(result) == list(TERMS)
        parameters = list(method.parameters())
        for name in TERMS:
            torch.testing.assert_close(result[name], slow[name], msg=lambda text, name=name: f"{name}: {text}")
            if not result[name].requires_grad:
                continue
            one, two = (
                torch.autograd.grad(terms[name], parameters, retain_graph=True, allow_unused=True)
                for terms in (result, slow)
            )
            for a, b, p in zip(one, two, parameters, strict=True):
                torch.testing.assert_close(
                    torch.zeros_like(p) if a is None else a, torch.zeros_like(p) if b is None else b
                )


class TestClasses:
    def test_one_present_class_is_drawn_each_as_often(self) -> None:
        torch.manual_seed(0)
        labels = torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]).repeat(3000, 1)
        drawn = sample_class(labels).view(-1, 3)
        assert (drawn[:, 1] == 2).all()
        counts = torch.bincount(drawn[:, 0], minlength=4) / len(drawn)
        assert counts[1] == 0
        torch.testing.assert_close(counts[[0, 2, 3]], torch.full((3,), 1 / 3), atol=0.03, rtol=0)

    def test_the_entries_of_one_class(self) -> None:
        values = torch.arange(24.0).view(2, 3, 2, 2)
        assert torch.equal(of_class(values, torch.tensor([2, 0])), torch.stack([values[0, 2], values[1, 0]]))

    def test_an_image_without_a_class_only_classifies(self) -> None:
        method, batch = small(), batch_of([[0, 0, 0], [0, 0, 0]])
        result = method.losses(batch)  # type: ignore[arg-type]
        assert [result[name].item() for name in TERMS[1:]] == [0.0, 0.0, 0.0]
        assert result["classification"] > 0
        method.zero_grad()
        sum(result.values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in method.parameters())

    def test_the_losses_are_means_over_the_images(self) -> None:
        method, batch = small(), batch_of([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
        whole = method.losses(batch)  # type: ignore[arg-type]
        each = [method.losses({k: v[i : i + 1] for k, v in batch.items()}) for i in range(3)]  # type: ignore[typeddict-item, misc]
        for name in TERMS:
            torch.testing.assert_close(whole[name], torch.stack([one[name] for one in each]).mean())

    def test_multilabel_is_torchs(self) -> None:
        logits, labels = torch.randn(5, 4), torch.randint(0, 2, (5, 4))
        result = classification_loss(logits, labels > 0, "multilabel")
        torch.testing.assert_close(result, F.multilabel_soft_margin_loss(logits, labels.float(), reduction="none"))

    @pytest.mark.parametrize("loss", ["softmax", "against_absent"])
    def test_with_one_class_an_image_both_softmaxes_are_torchs(self, loss: Any) -> None:
        logits, one = torch.randn(5, 4), torch.tensor([0, 3, 2, 2, 1])
        result = classification_loss(logits, F.one_hot(one, 4).bool(), loss)
        torch.testing.assert_close(result, F.cross_entropy(logits, one, reduction="none"))

    def test_other_present_classes_are_no_question_of_the_image(self) -> None:
        logits = torch.tensor([[2.0, 50.0, -1.0]], requires_grad=True)
        present = torch.tensor([[True, True, False]])
        first = classification_loss(logits, present, "multilabel", only=torch.tensor([0]))
        (gradient,) = torch.autograd.grad(first.sum(), logits)
        assert gradient[0, 1] == 0
        assert gradient[0, 0] < 0 < gradient[0, 2]
        # In L_cls each present class competes with the absent one alone: log(1 + e^(−1 − s)) for s = 2 and 50.
        both = classification_loss(logits, present, "against_absent")
        torch.testing.assert_close(both, F.softplus(torch.tensor([-3.0])) + F.softplus(torch.tensor([-51.0])))

    def test_what_lies_under_a_mask_competes_with_all_classes_as_released(self) -> None:
        # VOC's twenty classes; the drawn one and another that is present score 4, the rest −3: ln 2 and a little.
        logits = torch.full((1, 20), -3.0)
        logits[0, [2, 7]] = 4.0
        present = torch.zeros(1, 20, dtype=torch.bool)
        present[0, [2, 7]] = True
        logits.requires_grad_()
        drawn = torch.tensor([2])
        loss = classification_loss(logits, present, "against_absent", only=drawn)
        assert loss.item() == pytest.approx(0.70, abs=0.005)
        torch.testing.assert_close(loss, F.cross_entropy(logits, drawn, reduction="none"))
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert gradient[0, 7] > 0.4, "the mask is pushed off the other object"

    def test_softmax_wants_exactly_one(self) -> None:
        with pytest.raises(ValueError, match="exactly one"):
            small(loss="softmax").losses(batch_of([[1, 1, 0]]))  # type: ignore[arg-type]


class TestMaps:
    def test_masks_of_absent_classes_are_zero_and_the_mode_stays(self) -> None:
        method, batch = small(4).train(), batch_of([[1, 0, 0, 0], [0, 1, 1, 0]], 20, 28)
        result = method.localize(batch["images"], batch["labels"])
        assert result.shape == (2, 4, 5, 7)
        assert 0 <= result.min() <= result.max() <= 1
        assert torch.equal(result.amax(dim=(2, 3)) > 0, batch["labels"] > 0)
        assert method.training
        raw = method.eval().raw_maps(batch["images"])
        torch.testing.assert_close(result[0, 0], raw[0, 0] / raw[0, 0].max())

    def test_the_mean_over_the_best_classes(self) -> None:
        method, images = small(4, top_k=2), batch_of([[1, 0, 0, 0]] * 3)["images"]
        masks, scores = method.masks(method.features(images)), method(images)
        result = method.raw_maps(images)
        for i in range(3):
            best = scores[i].argsort(descending=True)[:2]
            for k in range(4):
                torch.testing.assert_close(result[i, k], masks[i, best].mean(dim=0))
        many = small(4, top_k=200).raw_maps(images)
        torch.testing.assert_close(many[:, 0], masks.mean(dim=1))

    def test_labels_must_fit(self) -> None:
        with pytest.raises(ValueError, match="multi-hot"):
            small(3).localize(torch.rand(2, 3, 16, 16).double(), torch.ones(2, 4))


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"loss": "hinge"}, "loss is 'hinge'"),
            ({"rectify": "maps"}, "rectify is 'maps'"),
            ({"copy_norm": "group"}, "copy_norm is 'group'"),
            ({"normalisation": "none"}, "normalisation is 'none'"),
            ({"beta": -1.0}, "beta is -1.0"),
            ({"alpha": float("nan")}, "alpha is nan"),
            ({"pool": 0}, "pool is 0"),
            ({"top_k": 0}, "top_k is 0"),
        ],
    )
    def test_mistakes_are_named(self, wrong: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            BASConfig(**wrong)

    def test_a_stage_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="no stage 'layer9'"):
            BAS(small_backbone(), 2, BASConfig(stage="layer9"))

    def test_a_transformer_cannot_be_cut(self) -> None:
        with pytest.raises(ValueError, match="cannot be cut"):
            BAS(backbone("tiny_vit"), 2)

    def test_the_papers_network(self) -> None:
        """Table of shapes of the released code: F 1024 × 28², P 14² for 224 px; here at 64 px, an eighth and a half."""
        method = BAS(backbone("resnet50", output_stride=8), 7, BASConfig.paper()).eval()
        features = method.features(torch.rand(1, 3, 64, 64))
        assert features.shape == (1, 1024, 8, 8)
        assert method.tail()(features).shape == (1, 7, 4, 4)
        assert [tuple(m.weight.shape) for m in method.head if isinstance(m, nn.Conv2d)] == [
            (1024, 2048, 3, 3), (1024, 1024, 3, 3), (7, 1024, 1, 1),
        ]  # fmt: skip
        assert method.generator.bias is not None
        assert (method.config.alpha, method.config.beta, method.config.top_k) == (0.5, 1.5, 200)
        seeds = BASConfig.paper("segmentation")
        assert (seeds.alpha, seeds.beta, seeds.detach_foreground, seeds.bias) == (0.2, 1.2, True, False)

    def test_the_papers_network_for_seeds(self) -> None:
        """Output stride 16, F and P on one grid (28² for 448 px; here 4² for 64), several classes an image."""
        method = BAS(backbone("resnet50", output_stride=16, frozen_bn=True), 5, BASConfig.paper("segmentation")).train()
        with torch.no_grad():
            method.head[-1].weight.abs_()  # so that every score is positive
        batch = {"images": torch.rand(2, 3, 64, 64), "labels": torch.tensor([[1.0, 1, 0, 0, 0], [0, 0, 0, 1, 0]])}
        features = method.features(batch["images"])
        assert features.shape == (2, 1024, 4, 4)
        assert method.tail()(features).shape == (2, 5, 4, 4)
        result = method.losses(batch)  # type: ignore[arg-type]
        assert all(torch.isfinite(value) for value in result.values())
        # L_frg teaches f2 nothing here (IJCV), and neither does L_bas.
        for name in ("suppression", "area", "foreground"):
            assert gradients_of(method, result[name]) == (True, False), name

    def test_what_is_new_has_the_heads_rate_and_frozen_layers_none(self) -> None:
        method = small()
        backbone_group, head = method.parameter_groups(0.1)
        assert backbone_group["lr"] == 0.1
        assert {id(p) for p in head["params"]} == {id(method.generator.weight), id(method.head[-1].weight)}
        method.backbone.requires_grad_(False)
        assert [group["name"] for group in method.parameter_groups(0.1)] == ["head"]


class TestDynamics:
    @staticmethod
    def descend(method: BAS, term: tuple[str, ...], steps: int = 60) -> Tensor:
        """Let the generator alone follow some terms; the mask's mean area before and after."""
        batch = batch_of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        stepper = torch.optim.Adam(method.generator.parameters(), lr=0.05)
        areas = []
        for _ in range(steps):
            terms = method.losses(batch)  # type: ignore[arg-type]
            areas.append(terms["area"].item() / method.config.beta)
            stepper.zero_grad()
            sum(terms[name] for name in term).backward()  # type: ignore[union-attr]
            stepper.step()
        return torch.tensor(areas)

    def test_suppression_alone_covers_everything_and_area_alone_nothing(self) -> None:
        assert self.descend(small(), ("suppression",))[-1] > 0.9
        assert self.descend(small(), ("area",))[-1] < 0.1

    def test_a_tail_that_learns_from_the_suppression_falls_silent_and_no_mask_has_moved(self) -> None:
        method, batch = small(rectify="cells"), batch_of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        features = method.features(batch["images"]).detach()
        half, classes = torch.full((3, 4, 6), 0.5, dtype=torch.float64), batch["labels"].argmax(dim=1)
        tail = list(method.tail().parameters())
        stepper = torch.optim.Adam(tail, lr=0.02)

        def left(outside: Tensor) -> Tensor:
            whole = activation(of_class(method.tail()(features).detach(), classes), "cells")
            return suppression_loss(activation(of_class(outside, classes), "cells"), whole).mean()

        begun = left(method.background(features, half.requires_grad_()))
        slopes = torch.autograd.grad(begun, tail, allow_unused=True)
        assert all(slope is None for slope in slopes), "held fixed, the tail has nothing to learn here"
        for _ in range(80):
            loss = left(method.tail()(features * (1 - half.detach())[:, None]))
            stepper.zero_grad()
            loss.backward()
            stepper.step()
        assert begun.item() > 0.4
        assert loss.item() < 0.2 * begun.item(), "f2 was free to be silent where it sees dimmed features"
