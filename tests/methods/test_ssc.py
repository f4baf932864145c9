"""SSC: hand values, which loss reaches which parameters, a slow version of each loss, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import ssc_slow as slow
import torch
from small_backbone import small_backbone
from torch import Tensor

from wsss_lib.backbones import backbone
from wsss_lib.maps import normalise
from wsss_lib.methods import CAM, SSC, Progress, SSCConfig
from wsss_lib.methods.drs import drs
from wsss_lib.methods.redrawing import RandomFeatures, Redrawing, perceptual_loss
from wsss_lib.methods.ssc import aligned, alignment_loss, erode, nearest


def small(classes: int = 3, seed: int = 0, **changes: object) -> SSC:
    torch.manual_seed(seed)
    return SSC(small_backbone(seed), classes, replace(SSCConfig(width=6), **changes)).double()  # type: ignore[arg-type]


def batch_of(labels: list[list[int]], size: tuple[int, int] = (24, 32), seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(len(labels), 3, *size, generator=generator, dtype=torch.float64)
    cells = torch.arange(size[0])[:, None] // 6 * 10 + torch.arange(size[1]) // 6 + 1
    return {
        "images": images,
        "labels": torch.tensor(labels, dtype=torch.float64),
        "superpixels": cells.expand(len(labels), *size),
    }


def random_maps(n: int, k: int, h: int, w: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(n, k, h, w, generator=generator, dtype=torch.float64)
    return scores, torch.randint(0, 5, (n, h, w), generator=generator)


class TestHandValues:
    scores = torch.tensor([4.0, 2.0, 1.0, -1.0], dtype=torch.float64).view(1, 1, 1, 4)
    superpixels = torch.tensor([0, 0, 1, 1]).view(1, 1, 4)

    def test_of_the_alignment(self) -> None:
        maps = aligned(self.scores, self.superpixels, reliable=0.5)
        assert maps.activation.flatten().tolist() == pytest.approx([1, 0.5, 0.25, 0], abs=1e-5)
        assert maps.even.flatten().tolist() == pytest.approx([1, 1, 0, 0], abs=1e-5)
        assert maps.reliable.flatten().tolist() == [1, 0, 0, 0]
        assert maps.target.flatten().tolist() == pytest.approx([1, 1, 0, 0], abs=1e-5)
        loss = alignment_loss(maps.activation, maps.target, torch.ones(1, 1))
        assert float(loss) == pytest.approx(0.078125, abs=1e-5)

    def test_what_is_reliable_stays_where_its_superpixel_is_dark(self) -> None:
        scores = torch.tensor([4.0, 4.0, 3.0, -3.0], dtype=torch.float64).view(1, 1, 1, 4)
        maps = aligned(scores, self.superpixels, reliable=0.3)
        assert maps.even.flatten().tolist() == pytest.approx([1, 1, 0, 0], abs=1e-5)
        assert maps.target.flatten().tolist() == pytest.approx([1, 1, 0.75, 0], abs=1e-5)

    def test_evidence_against_the_class_counts_in_the_mean(self) -> None:
        before = aligned(self.scores, self.superpixels).even
        after = aligned(self.scores.relu(), self.superpixels).even
        assert before[..., 2].item() == 0
        assert after[..., 2].item() == pytest.approx(0.5 / 3, abs=1e-5)

    def test_of_the_erosion(self) -> None:
        mask = torch.zeros(1, 1, 4, 5)
        mask[..., :3, :4] = 1  # touches the upper and the left border: what lies beyond counts as set
        expected = torch.zeros(1, 1, 4, 5)
        expected[..., :2, :3] = 1
        assert torch.equal(erode(mask, 3), expected)
        assert torch.equal(erode(mask, 1), mask)
        with pytest.raises(ValueError, match="expected an odd number"):
            erode(mask, 2)

    def test_of_the_perceptual_loss(self) -> None:
        original = [torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])]
        redrawn = [torch.tensor([2.0, 3.0]), torch.tensor([0.0, 0.0])]
        assert float(perceptual_loss(redrawn, original)) == pytest.approx((1 / 4 + 1) / 2)
        assert float(perceptual_loss(original, original)) == 0

    def test_of_the_nearest_pixel(self) -> None:
        labels = torch.arange(16).view(1, 4, 4)
        assert nearest(labels, (2, 2)).flatten().tolist() == [0, 2, 8, 10]
        assert torch.equal(nearest(labels, (4, 4)), labels)
        enlarged = nearest(labels, (8, 6))
        expected = torch.nn.functional.interpolate(labels[None].double(), (8, 6), mode="nearest")[0].long()
        assert torch.equal(enlarged, expected)


@pytest.mark.parametrize(("n", "k", "h", "w"), [(1, 1, 5, 5), (3, 4, 6, 7), (2, 2, 1, 9)])
@pytest.mark.parametrize(("reliable", "side"), [(0.3, 1), (0.1, 3), (0.0, 5)])
def test_the_alignment_is_that_of_the_slow_version(n: int, k: int, h: int, w: int, reliable: float, side: int) -> None:
    scores, superpixels = random_maps(n, k, h, w, seed=n + side)
    labels = torch.randint(0, 2, (n, k), generator=torch.Generator().manual_seed(k))
    maps = aligned(scores, superpixels, reliable, side)
    loss = alignment_loss(maps.activation, maps.target, labels.double())
    expected = slow.alignment(scores.tolist(), superpixels.tolist(), labels.tolist(), reliable, side)
    assert float(loss) == pytest.approx(expected, abs=1e-12)
    wanted = [
        [slow.target(plane, regions, reliable, side) for plane in image]
        for image, regions in zip(scores.tolist(), superpixels.tolist(), strict=True)
    ]
    torch.testing.assert_close(maps.target, torch.tensor(wanted, dtype=torch.float64))


def test_the_perceptual_loss_is_that_of_the_slow_version() -> None:
    a, b = (torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(i)) * 2 - 1 for i in range(2))
    features = RandomFeatures((4, 6))
    both = [features(image) for image in (a, b)]
    expected = slow.perceptual(*[[layer.flatten().tolist() for layer in image] for image in both])
    assert float(perceptual_loss(*both)) == pytest.approx(expected, rel=1e-5)


class TestAlignment:
    def test_superpixels_of_one_pixel_ask_for_nothing(self) -> None:
        scores, _ = random_maps(2, 3, 4, 5)
        each = torch.arange(20).view(1, 4, 5).expand(2, 4, 5)
        maps = aligned(scores, each)
        assert float(alignment_loss(maps.activation, maps.target, torch.ones(2, 3))) == 0

    def test_other_numbers_for_the_same_superpixels_change_nothing(self) -> None:
        scores, superpixels = random_maps(2, 3, 6, 5)
        maps, renamed = aligned(scores, superpixels), aligned(scores, 17 - 3 * superpixels)
        torch.testing.assert_close(renamed.target, maps.target, rtol=0, atol=1e-12)

    def test_the_target_is_never_below_the_even_map_and_within_the_range(self) -> None:
        scores, superpixels = random_maps(3, 2, 8, 8)
        maps = aligned(scores, superpixels, 0.1, 3)
        assert bool((maps.target >= maps.even).all())
        assert 0 <= float(maps.target.min()) <= float(maps.target.max()) <= 1

    def test_the_gradient_flows_through_the_activation_and_its_maximum_alone(self) -> None:
        scores, superpixels = random_maps(1, 1, 4, 4)
        scores.requires_grad_()
        maps = aligned(scores, superpixels)
        assert not any(part.requires_grad for part in (maps.even, maps.reliable, maps.target))
        (got,) = torch.autograd.grad(alignment_loss(maps.activation, maps.target, torch.ones(1, 1)), scores)
        activation = normalise(scores, how="max")
        (wanted,) = torch.autograd.grad((activation - maps.target).square().mean(), scores)
        torch.testing.assert_close(got, wanted)
        peak = int(scores.detach().argmax())
        assert got.flatten()[peak] != 0, "the maximum divides all others"

    def test_only_classes_that_are_shown_count(self) -> None:
        scores, superpixels = random_maps(2, 2, 5, 5)
        maps = aligned(scores, superpixels)
        each = (maps.activation - maps.target).square().mean((2, 3))
        loss = alignment_loss(maps.activation, maps.target, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        assert float(loss) == pytest.approx(float(each[0, 0] + each[1, 1]) / 2)
        assert float(alignment_loss(maps.activation, maps.target, torch.zeros(2, 2))) == 0

    def test_a_map_without_evidence_gives_no_nan(self) -> None:
        scores = torch.full((1, 2, 3, 3), -1.0, requires_grad=True)
        maps = aligned(scores, torch.ones(1, 3, 3, dtype=torch.int64))
        loss = alignment_loss(maps.activation, maps.target, torch.ones(1, 2))
        loss.backward()
        assert float(loss.detach()) == 0
        assert bool(scores.grad.isfinite().all())  # type: ignore[union-attr]


BATCHES = {
    "one class": [[1, 0, 0], [0, 0, 1]],
    "several": [[1, 1, 0], [1, 1, 1], [0, 1, 0]],
    "none in one image": [[0, 0, 0], [0, 1, 0]],
    "none at all": [[0, 0, 0]],
}
TERMS = ("classification", "reconstruction", "alignment")


class TestTraining:
    @pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
    @pytest.mark.parametrize("size", [(24, 32), (21, 35)])
    def test_any_labels_and_odd_sizes(self, labels: list[list[int]], size: tuple[int, int]) -> None:
        terms = small().losses(batch_of(labels, size))  # type: ignore[arg-type]
        assert tuple(terms) == TERMS
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        assert (float(terms["alignment"].detach()) > 0) == any(map(any, labels))

    def test_which_loss_reaches_which_parameters(self) -> None:
        reached = {}
        for name in TERMS:
            method = small()
            method.losses(batch_of(BATCHES["several"]))[name].backward()  # type: ignore[arg-type]
            parts = {"backbone": method.backbone, "head": method.head, "decoder": method.decoder}
            reached[name] = {
                part for part, module in parts.items() if any(p.grad is not None for p in module.parameters())
            }
        assert reached == {
            "classification": {"backbone", "head"},
            "reconstruction": {"backbone", "head", "decoder"},
            "alignment": {"backbone", "head"},
        }

    def test_a_frozen_stage_gets_no_gradient(self) -> None:
        method = small()
        method.backbone.freeze("stage1")
        terms = method.train().losses(batch_of(BATCHES["several"]))  # type: ignore[arg-type]
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is None for p in method.backbone.blocks["stage1"].parameters())
        assert all(p.grad is not None for p in method.backbone.blocks["stage2"].parameters())

    def test_the_alignment_waits_for_the_end_of_the_warm_up(self) -> None:
        method, batch = small(warm_up=0.5), batch_of(BATCHES["several"])
        values = []
        for step in range(4):
            method.before_step(Progress(step, 4, "training", step, 4))
            values.append(float(method.losses(batch)["alignment"].detach()))  # type: ignore[arg-type]
        assert [value > 0 for value in values] == [False, False, True, True]

    def test_the_warm_up_does_not_compute_what_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method = small(warm_up=0.5)
        method.before_step(Progress(0, 4, "training", 0, 4))
        monkeypatch.delattr(SSC, "uneven_loss")
        assert not method.losses(batch_of(BATCHES["several"]))["alignment"].requires_grad  # type: ignore[arg-type]

    def test_a_weight_of_zero_leaves_a_loss_out(self) -> None:
        method = small(reconstruction=0.0, alignment=0.0)
        terms = method.losses(batch_of(BATCHES["several"]))  # type: ignore[arg-type]
        assert float(terms["reconstruction"]) == float(terms["alignment"]) == 0
        terms["classification"].backward()
        assert all(p.grad is None for p in method.decoder.parameters())

    def test_what_no_loss_looks_at_is_not_asked_for(self) -> None:
        methods = {(r, a): small(reconstruction=r, alignment=a) for r in (0.0, 1.0) for a in (0.0, 1.0)}
        asked = {key: ("superpixels" in one.needs, "pixels" in one.companions) for key, one in methods.items()}
        assert asked == {
            (0.0, 0.0): (False, False),
            (1.0, 0.0): (False, True),
            (0.0, 1.0): (True, True),
            (1.0, 1.0): (True, True),
        }
        batch = batch_of(BATCHES["several"])
        bare = {name: value for name, value in batch.items() if name != "superpixels"}
        for key in ((0.0, 0.0), (1.0, 0.0)):
            expected = methods[key].losses(batch)  # type: ignore[arg-type]
            for name, loss in methods[key].losses(bare).items():  # type: ignore[arg-type]
                assert torch.equal(loss, expected[name])

    def test_weights_are_factors(self) -> None:
        batch = batch_of(BATCHES["several"])
        once, twice = (small(reconstruction=r, alignment=a).losses(batch) for r, a in ((1.0, 1.0), (2.0, 3.0)))  # type: ignore[arg-type]
        torch.testing.assert_close(twice["reconstruction"], 2 * once["reconstruction"])
        torch.testing.assert_close(twice["alignment"], 3 * once["alignment"])

    def test_the_decoder_has_a_rate_of_its_own(self) -> None:
        groups = {group["name"]: group for group in small(decoder_lr=3.0).parameter_groups(0.1)}
        assert groups["decoder"]["lr"] == pytest.approx(0.3)
        assert "lr" not in groups["head"]

    def test_a_decoder_that_sees_the_image_can_redraw_it(self) -> None:
        torch.manual_seed(0)
        image = torch.rand(1, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3) * 2 - 1
        decoder, features = Redrawing(3, 12, doublings=1), RandomFeatures((8, 8))
        optimiser = torch.optim.Adam(decoder.parameters(), 1e-2)
        maps = image[..., ::2, ::2]
        losses = []
        for _ in range(150):
            loss = perceptual_loss(features(decoder(maps)), features(image))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0] / 3


class TestMaps:
    def test_without_drs_it_is_cam(self) -> None:
        method, images = small(expanded=()), batch_of(BATCHES["several"])["images"]
        cam = CAM(method.backbone, 3).double()
        cam.head.weight.data = method.head.weight.data
        for a, b in zip(method.eval().predict(images), cam.eval().predict(images), strict=True):
            torch.testing.assert_close(a, b)

    def test_drs_stands_behind_the_stages_that_are_named(self) -> None:
        images = batch_of(BATCHES["one class"])["images"]
        method = small(expanded=("stage2", "stage3"), delta=0.4).eval()
        x = method.backbone.normalise(images)
        blocks = method.backbone.blocks
        x = drs(blocks["stage3"](drs(blocks["stage2"](blocks["stage1"](x)), 0.4)), 0.4)
        torch.testing.assert_close(method.scores(images), torch.einsum("nchw,kc->nkhw", x, method.head.weight))

    def test_the_logits_are_the_means_of_the_maps(self) -> None:
        maps, logits = small().predict(batch_of(BATCHES["one class"])["images"])
        assert logits is not None
        torch.testing.assert_close(maps.mean((2, 3)), logits)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"delta": 0.0}, "expected shares"),
            ({"size": 1.5}, "expected shares"),
            ({"warm_up": 1.2}, "warm_up is 1.2"),
            ({"alignment": -1.0}, "negative weight"),
            ({"expanded": ("layer9",)}, "expanded names 'layer9'"),
        ],
    )
    def test_settings_that_are_refused(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small(**changes)

    def test_a_transformer_is_refused(self) -> None:
        with pytest.raises(ValueError, match="choose a convolutional backbone"):
            SSC(backbone("tiny_vit", dim=16, heads=2), 3)

    def test_the_papers_settings_build_a_decoder_of_three_doublings(self) -> None:
        net = backbone("resnet18", output_stride=16)
        method = SSC(net, 2, replace(SSCConfig.paper(), width=8))
        assert method.decoder(torch.zeros(1, 2, 4, 4)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("share", "size"), [(0.5, [12, 16]), (0.25, [6, 8]), (1.0, [24, 32]), (0.01, [1, 1])])
def test_an_image_is_redrawn_at_its_share_and_never_at_no_pixel(
    monkeypatch: pytest.MonkeyPatch, share: float, size: list[int]
) -> None:
    method, asked = small(size=share), []
    for name in ("redrawn_loss", "uneven_loss"):
        monkeypatch.setattr(method, name, lambda scores, *rest: asked.append(rest[-1]) or scores.sum())
    method.losses(batch_of([[1, 0, 0], [0, 1, 1]]))
    assert asked == [size, size]
