"""CAM: the score is the mean of the map."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_backbone import small_backbone
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.backbones import imagenet_classifier
from wsss_lib.methods import CAM, CAMConfig
from wsss_lib.methods.cam import (
    class_activation_maps,
    global_average_pool,
    multilabel_soft_margin,
    softmax_cross_entropy,
)


def small(classes: int = 3, config: CAMConfig | None = None, seed: int = 0) -> CAM:
    return CAM(small_backbone(seed), classes, config).double().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 24, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class TestPieces:
    def test_pooling_by_hand(self) -> None:
        features = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]]])
        assert global_average_pool(features).tolist() == [[3.0, 1.0]]

    def test_maps_by_hand(self) -> None:
        features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # C = 2 on a 1 × 2 grid
        weight = torch.tensor([[2.0, 1.0], [0.0, -1.0], [1.0, 1.0]])
        assert class_activation_maps(features, weight).tolist() == [[[[5.0, 3.0]], [[-3.0, 1.0]], [[4.0, 1.0]]]]

    @given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers())
    @settings(max_examples=25, deadline=None)
    def test_the_mean_of_the_map_is_the_score(self, n: int, c: int, k: int, h: int, w: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed % 2**31)
        features = torch.randn(n, c, h, w, generator=generator, dtype=torch.float64)
        weight = torch.randn(k, c, generator=generator, dtype=torch.float64)
        maps = class_activation_maps(features, weight)
        torch.testing.assert_close(maps.mean(dim=(2, 3)), global_average_pool(features) @ weight.T)
        torch.testing.assert_close(maps, F.conv2d(features, weight[:, :, None, None]))

    def test_soft_margin_hand_value(self) -> None:
        loss = multilabel_soft_margin(torch.tensor([[2.0, -1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        assert loss.item() == pytest.approx((0.12693 + 0.31326 + 0.69315) / 3, abs=1e-5)
        assert loss.item() == pytest.approx(0.37778, abs=1e-5)

    def test_soft_margin_is_torchs(self) -> None:
        logits = torch.randn(5, 7, dtype=torch.float64)
        labels = torch.randint(0, 2, (5, 7)).double()
        expected = F.multilabel_soft_margin_loss(logits, labels)
        torch.testing.assert_close(multilabel_soft_margin(logits, labels), expected)

    def test_soft_margin_far_out_stays_finite(self) -> None:
        logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
        loss = multilabel_soft_margin(logits, torch.tensor([[0.0, 1.0]]))
        loss.backward()
        assert loss.item() == pytest.approx(1e4)
        assert logits.grad is not None
        assert logits.grad.tolist() == [[0.5, -0.5]]

    def test_softmax_is_torchs_and_wants_one_class(self) -> None:
        logits, target = torch.randn(5, 7, dtype=torch.float64), torch.tensor([0, 6, 3, 3, 1])
        result = softmax_cross_entropy(logits, F.one_hot(target, 7).double())
        torch.testing.assert_close(result, F.cross_entropy(logits, target))
        for bad in (torch.zeros(1, 3), torch.tensor([[1.0, 1.0, 0.0]])):
            with pytest.raises(ValueError, match=r"expected exactly one.*multilabel"):
                softmax_cross_entropy(torch.zeros(1, 3), bad)


class TestConfig:
    def test_frozen_and_checked(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            CAMConfig().bias = True  # type: ignore[misc]
        with pytest.raises(ValueError, match="loss is 'hinge'"):
            CAMConfig(loss="hinge")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="normalisation is 'l2'"):
            CAMConfig(normalisation="l2")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="neck is 0"):
            CAMConfig(neck=0)
        with pytest.raises(ValueError, match="num_classes is 0"):
            CAM(small_backbone(), 0)

    def test_paper(self) -> None:
        assert CAMConfig.paper() == CAMConfig(loss="softmax", bias=True, neck=1024)
        cam = CAM(small_backbone().float(), 3, CAMConfig.paper())
        assert cam.features(torch.rand(1, 3, 16, 16)).shape == (1, 1024, 4, 4)
        assert cam.head.weight.shape == (3, 1024)
        assert cam.features(torch.rand(1, 3, 16, 16)).min() >= 0

    def test_defaults_are_bias_free(self) -> None:
        assert CAM(small_backbone(), 3).head.bias is None


class TestModule:
    @pytest.mark.parametrize("config", [CAMConfig(), CAMConfig(bias=True, neck=5)])
    def test_logit_is_mean_of_raw_map_plus_bias(self, images: Tensor, config: CAMConfig) -> None:
        cam = small(config=config)
        bias = 0 if cam.head.bias is None else cam.head.bias
        maps = cam.raw_maps(images)
        assert maps.shape == (4, 3, 6, 8)
        torch.testing.assert_close(maps.mean(dim=(2, 3)) + bias, cam(images))

    def test_localize(self, images: Tensor) -> None:
        cam = small()
        raw, maps = cam.raw_maps(images), cam.localize(images)
        positive = raw.clamp_min(0)
        peak = positive.amax(dim=(2, 3), keepdim=True)
        assert (raw < 0).any()
        torch.testing.assert_close(maps, torch.where(peak > 0, positive / peak, 0))
        stretched = small(config=CAMConfig(normalisation="minmax")).localize(images)
        low = raw.amin(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(stretched, (raw - low) / (raw.amax(dim=(2, 3), keepdim=True) - low))

    def test_labels_mask_absent_classes_only(self, images: Tensor) -> None:
        cam = small()
        labels = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]])
        masked, free = cam.localize(images, labels), cam.localize(images)
        torch.testing.assert_close(masked, free * labels[..., None, None])
        assert free[labels == 0].amax() > 0
        with pytest.raises(ValueError, match=r"expected multi-hot \(4, 3\)"):
            cam.localize(images, torch.tensor([0, 1, 2, 0]))

    def test_localize_restores_modes_and_counts_nothing(self, images: Tensor) -> None:
        cam = small().train()
        cam.neck.eval()
        before = copy.deepcopy(cam.state_dict())
        modes = [m.training for m in cam.modules()]
        expected = small().localize(images)
        torch.testing.assert_close(cam.localize(images), expected)
        assert [m.training for m in cam.modules()] == modes
        for name, tensor in cam.state_dict().items():
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
        with pytest.raises(ValueError, match="expected \\(N, 3, H, W\\)"):
            cam.localize(images[0])
        assert [m.training for m in cam.modules()] == modes

    def test_a_batch_is_its_images(self, images: Tensor) -> None:
        cam = small().train()
        one_by_one = torch.cat([cam.localize(image[None]) for image in images])
        torch.testing.assert_close(cam.localize(images), one_by_one)

    def test_differentiable(self, images: Tensor) -> None:
        cam = small(classes=2)
        picture = images[:1, :, :16, :16].clone().requires_grad_()
        assert torch.autograd.gradcheck(cam.raw_maps, (picture,), fast_mode=True)
        cam.localize(picture).square().sum().backward()
        assert picture.grad is not None
        assert picture.grad.abs().sum() > 0

    def test_labels_of_another_kind(self) -> None:
        cam = CAM(small_backbone().float(), 2)
        images, labels = torch.rand(3, 3, 16, 16), torch.tensor([[1, 0], [1, 1], [0, 0]])
        losses = [cam.losses({"images": images, "labels": kind})["classification"] for kind in (labels, labels > 0)]
        assert torch.equal(losses[0], losses[1])
        assert torch.equal(losses[0], multilabel_soft_margin(cam(images), labels.float()))
        with pytest.raises(ValueError, match=r"labels have shape \(3, 3\), expected multi-hot \(3, 2\)"):
            cam.losses({"images": images, "labels": torch.ones(3, 3)})

    @pytest.mark.parametrize("loss", ["multilabel", "softmax"])
    def test_learns(self, loss: str) -> None:
        cam = CAM(small_backbone().float(), 2, CAMConfig(loss=loss))  # type: ignore[arg-type]
        images = torch.rand(8, 3, 16, 16) * 0.2
        images[4:, 0] += 0.7
        labels = F.one_hot(torch.tensor([0] * 4 + [1] * 4), 2).float()
        parameters = [p for group in cam.parameter_groups(0.1) for p in group["params"]]
        losses = []
        for _ in range(30):
            result = cam.losses({"images": images, "labels": labels})
            assert list(result) == ["classification"]
            with torch.no_grad():
                for p, g in zip(parameters, torch.autograd.grad(result["classification"], parameters), strict=True):
                    p -= 0.5 * g
            losses.append(result["classification"].item())
        assert losses[-1] < 0.2 * losses[0]
        assert (cam.eval()(images).argmax(1) == labels.argmax(1)).all()

    def test_parameter_groups(self) -> None:
        cam = small(config=CAMConfig(neck=5))
        cam.backbone.blocks["stage1"].requires_grad_(False)
        body, head = cam.parameter_groups(0.01)
        assert (body["name"], body["lr"]) == ("backbone", 0.01)
        assert head["name"] == "head"
        assert "lr" not in head  # the training loop's head_lr decides
        assert {id(p) for p in head["params"]} == {id(p) for m in (cam.neck, cam.head) for p in m.parameters()}
        together = [id(p) for p in (*body["params"], *head["params"])]
        assert sorted(together) == sorted(id(p) for p in cam.parameters() if p.requires_grad)
        cam.backbone.requires_grad_(False)
        assert [group["name"] for group in cam.parameter_groups(0.01)] == ["head"]

    def test_state_dict_round_trip(self, images: Tensor) -> None:
        first, second = small(seed=0), small(seed=1)
        assert not torch.equal(first(images), second(images))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(images), second(images))


class TestFromImageNet:
    def test_is_the_published_classifier(self, monkeypatch: pytest.MonkeyPatch) -> None:
        classifier = imagenet_classifier("mobilenet_v2", None)
        cam = CAM.from_imagenet("mobilenet_v2", None, output_stride=16)
        assert not cam.training
        assert cam.config.bias
        assert cam.classes == classifier.categories
        assert len(cam.classes) == 1000
        images = torch.rand(1, 3, 64, 64)
        assert cam.localize(images).shape == (1, 1000, 4, 4)
        for value in (classifier.weight, classifier.bias):  # fresh ones hardly differ from one another, or are zero
            torch.nn.init.normal_(value)
        monkeypatch.setattr("wsss_lib.backbones.imagenet_classifier", lambda *_: classifier)
        same_grid = CAM.from_imagenet("mobilenet_v2", None)
        torch.testing.assert_close(same_grid(images), classifier(images))
        assert torch.equal(same_grid.head.weight.flatten(), classifier.weight.flatten())

    def test_a_head_that_is_not_pooling_and_one_layer(self) -> None:
        with pytest.raises(ValueError, match="Grad-CAM"):
            CAM.from_imagenet("mobilenet_v3_small", None)
