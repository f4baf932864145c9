"""Grad-CAM and Grad-CAM++: equal to CAM where CAM exists, and polite to the model everywhere."""

from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
import torch
from small_backbone import small_backbone
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.methods import CAM, CAMConfig, GradCAM, GradCAMPlusPlus, gradcam
from wsss_lib.methods.gradcam import grad_cam_plus_plus_weights, grad_cam_weights

LAST = "backbone.blocks.stage3"


class Net(nn.Module):
    """A small CNN whose head is no linear layer, with everything that training mode disturbs."""

    def __init__(self, classes: int = 4, inplace: bool = False, smooth: bool = False) -> None:
        super().__init__()
        act: Any = nn.Softplus() if smooth else nn.ReLU(inplace=inplace)
        self.first = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.BatchNorm2d(5), act)
        self.second = nn.Conv2d(5, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.act: Any = nn.Softplus() if smooth else nn.ReLU(inplace=inplace)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.LazyLinear(8), nn.Tanh(), nn.Linear(8, classes))
        self.unused = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        self.unused(images)
        return self.head(self.act(self.norm(self.second(self.first(images)))))


def net(seed: int = 0, **options: Any) -> Net:
    torch.manual_seed(seed)
    model = Net(**options).double()
    model(torch.zeros(2, 3, 12, 12, dtype=torch.float64))  # sizes the lazy layer
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, std=0.2)
            module.num_batches_tracked.zero_()
    return model.eval()


def cam_net(config: CAMConfig | None = None) -> CAM:
    return CAM(small_backbone(), 3, config).double().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def activations_and_gradients(model: Net, image: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The obvious way, one image and one class at a time."""
    a = model.norm(model.second(model.first(image[None]))).detach().requires_grad_()
    model.head(model.act(a.clone()))[0, k].backward()
    assert a.grad is not None
    return a[0].detach(), a.grad[0]


def oracle(model: Net, images: Tensor, plus_plus: bool) -> Tensor:
    maps = []
    for image in images:
        for k in range(4):
            a, g = activations_and_gradients(model, image, k)
            total = torch.zeros(a.shape[1:], dtype=a.dtype)
            for channel in range(len(a)):
                ac, gc = a[channel], g[channel]
                alpha = torch.full_like(gc, 1 / gc.numel())
                if plus_plus:
                    alpha = torch.where(gc != 0, gc**2 / (2 * gc**2 + gc**3 * ac.sum()), 0)
                    gc = gc.clamp_min(0)
                total += (alpha * gc).sum() * ac
            maps.append(total)
    return torch.stack(maps).view(len(images), 4, *maps[0].shape)


class TestEquations:
    def test_grad_cam_is_cam_behind_pooling_and_a_linear_layer(self, images: Tensor) -> None:
        cam = cam_net(CAMConfig(bias=True))
        result = GradCAM(cam, LAST)
        torch.testing.assert_close(result.raw_maps(images) * 9, cam.raw_maps(images))  # Z = 3 · 3
        torch.testing.assert_close(result.localize(images), cam.localize(images), rtol=1e-12, atol=1e-12)
        labels = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]])
        torch.testing.assert_close(
            result.localize(images, labels), cam.localize(images, labels), rtol=1e-12, atol=1e-12
        )
        assert cam.localize(images).amax() == 1
        whole = GradCAM(cam, "backbone")  # its output is a dictionary of one stage
        torch.testing.assert_close(whole.localize(images), cam.localize(images), rtol=1e-12, atol=1e-12)

    def test_grad_cam_plus_plus_closed_form(self, images: Tensor) -> None:
        cam = cam_net()
        features = cam.features(images)
        w = cam.head.weight
        weights = w.clamp_min(0) / (2 + w * features.mean(dim=(2, 3))[:, None])  # (N, K, C)
        assert (w < 0).any()
        expected = torch.einsum("nkc,nchw->nkhw", weights, features)
        torch.testing.assert_close(GradCAMPlusPlus(cam, LAST).raw_maps(images), expected)

    def test_alpha_comes_from_the_derivatives_of_exp(self) -> None:
        """The definition: a = Y'' / (2 Y'' + Σ A · Y''') and w = Σ a ReLU(Y') for Y = exp(s)."""
        torch.manual_seed(0)
        a = torch.rand(3, 2, 2, dtype=torch.float64, requires_grad=True)
        weight = torch.tensor([0.7, -0.4, 1.3], dtype=torch.float64)
        y = (a.mean(dim=(1, 2)) @ weight).exp()
        (first,) = torch.autograd.grad(y, a, create_graph=True)
        second, third = torch.zeros_like(a), torch.zeros_like(a)
        for index in [(c, i, j) for c in range(3) for i in range(2) for j in range(2)]:
            (row,) = torch.autograd.grad(first[index], a, create_graph=True)
            second[index] = row[index].detach()
            third[index] = torch.autograd.grad(row[index], a, retain_graph=True)[0][index]
        alpha = second / (2 * second + a.detach().sum(dim=(1, 2), keepdim=True) * third)
        expected = (alpha * first.detach().clamp_min(0)).sum(dim=(1, 2)) / y.detach()  # exp(s) is common to all
        result = grad_cam_plus_plus_weights(a.detach()[None], (weight / 4)[None, :, None, None].expand(1, 3, 2, 2))
        torch.testing.assert_close(result[0], expected)

    def test_plus_plus_weights_do_not_drown_in_an_epsilon(self) -> None:
        """Gradients of 1e-7 in float32: g² vanishes beside 1e-6, and g³ underflows; the ratio of channels stays."""
        gradients = torch.tensor([1e-7, 2e-7, -3e-7]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
        result = grad_cam_plus_plus_weights(torch.ones(1, 3, 2, 2), gradients)[0]
        torch.testing.assert_close(result, torch.tensor([2e-7, 4e-7, 0.0]), rtol=1e-5, atol=0)

    def test_weights_by_hand(self) -> None:
        gradients = torch.tensor([[[[1.0, 3.0]], [[-1.0, 1.0]]]])
        features = torch.tensor([[[[1.0, 1.0]], [[0.0, 2.0]]]])
        assert grad_cam_weights(features, gradients).tolist() == [[2.0, 0.0]]
        # Channel 0: 1/(2 + 1·2) + 3/(2 + 3·2); channel 1: only the positive cell, 1/(2 + 1·2).
        assert grad_cam_plus_plus_weights(features, gradients).tolist() == [[1 / 4 + 3 / 8, 1 / 4]]

    @pytest.mark.parametrize("method", [GradCAM, GradCAMPlusPlus])
    def test_against_loops(self, images: Tensor, method: type[GradCAM]) -> None:
        model = net()
        result = method(model, "norm").raw_maps(images)
        torch.testing.assert_close(result, oracle(model, images, method is GradCAMPlusPlus))
        assert result.shape == (3, 4, 5, 5)

    def test_range(self, images: Tensor) -> None:
        for method in (GradCAM, GradCAMPlusPlus):
            maps = method(net(), "norm").localize(images)
            assert maps.min() == 0
            assert maps.max() == 1
        assert GradCAM(net(), "norm", normalisation="minmax").localize(images).amax(dim=(2, 3)).eq(1).all()


class TestLabels:
    labels = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]])

    def test_present_classes_as_without_labels_the_others_zero(self, images: Tensor) -> None:
        method = GradCAM(net(), "norm")
        expected = method.raw_maps(images) * self.labels[..., None, None]
        torch.testing.assert_close(method.raw_maps(images, self.labels), expected)
        minmax = GradCAM(net(), "norm", normalisation="minmax").localize(images, self.labels)
        assert minmax[self.labels == 0].abs().sum() == 0

    @pytest.mark.parametrize(("labels", "passes"), [(None, 1), (labels, 1), (torch.eye(4)[:3], 1), (labels * 0, 0)])
    def test_backward_passes(
        self, images: Tensor, labels: Tensor | None, passes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        method, calls, grad = GradCAM(net(), "norm"), [], torch.autograd.grad
        monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))
        method.localize(images, labels)
        assert len(calls) == passes

    @pytest.mark.parametrize("kind", [GradCAM, GradCAMPlusPlus])
    def test_several_classes_at_once_as_one_by_one(
        self, images: Tensor, kind: type[GradCAM], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        method = kind(net(), "norm")
        together = method.raw_maps(images)
        monkeypatch.setattr(gradcam, "_GRADIENTS_AT_ONCE", 0)
        torch.testing.assert_close(method.raw_maps(images), together)

    def test_a_network_that_takes_one_class_at_a_time(self, images: Tensor) -> None:
        class Own(torch.autograd.Function):
            """Of the kind that several gradients do not go through at once."""

            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x * 2

            @staticmethod
            def backward(ctx: Any, grad: Tensor) -> Tensor:
                return grad * (2 if grad.sum().item() is not None else 0)

        class Doubled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = net()

            def forward(self, x: Tensor) -> Tensor:
                return Own.apply(self.net(x))

        model = Doubled()
        torch.testing.assert_close(
            GradCAM(model, "net.norm").raw_maps(images), 2 * GradCAM(model.net, "norm").raw_maps(images)
        )

    @pytest.mark.parametrize("how", ["max", "minmax"])
    def test_only_maps_that_were_asked_for_are_normalised(
        self, images: Tensor, how: Literal["max", "minmax"], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        method, normalised, sizes = GradCAM(net(), "norm", normalisation=how), GradCAM.normalised, []

        def counted(self: GradCAM, maps: Tensor, labels: Tensor | None = None) -> Tensor:
            sizes.append(len(maps))
            return normalised(self, maps, labels)

        expected = method.localize(images) * self.labels[..., None, None]
        monkeypatch.setattr(GradCAM, "normalised", counted)
        torch.testing.assert_close(method.localize(images, self.labels), expected)
        assert sizes == [int(self.labels.sum())]

    def test_labels_of_another_shape(self, images: Tensor) -> None:
        with pytest.raises(ValueError, match=r"expected multi-hot \(3, 4\)"):
            GradCAM(net(), "norm").localize(images, torch.eye(5)[:3])

    def test_empty_batch(self) -> None:
        assert GradCAM(net(), "norm").localize(torch.zeros(0, 3, 12, 12, dtype=torch.float64)).shape == (0, 4, 5, 5)


def everything(model: nn.Module) -> dict[str, Any]:
    return {
        "modes": [m.training for m in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "state": copy.deepcopy(model.state_dict()),
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        "rng": torch.get_rng_state(),
        "grad_mode": torch.is_grad_enabled(),
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    for key in ("modes", "requires_grad", "hooks", "grad_mode"):
        assert before[key] == after[key], key
    assert torch.equal(before["rng"], after["rng"])
    for old, new in zip(before["grads"], after["grads"], strict=True):
        assert (old is None) == (new is None)
        assert old is None or torch.equal(old, new)
    assert all(torch.equal(tensor, after["state"][name]) for name, tensor in before["state"].items())


class TestManners:
    @pytest.mark.parametrize("create_graph", [False, True])
    def test_model_is_left_as_it_was(self, images: Tensor, create_graph: bool) -> None:
        model = net().train()
        model.norm.eval()
        model.second.requires_grad_(False)
        model.first[0].weight.grad = torch.ones_like(model.first[0].weight)
        before = everything(model)
        GradCAM(model, "norm", create_graph=create_graph).localize(images)
        assert_same(before, everything(model))
        assert len({*before["modes"]}) == 2

    def test_also_when_the_model_raises_behind_the_layer(self, images: Tensor) -> None:
        model = net().train()
        before = everything(model)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            GradCAM(model, "norm").localize(images[:, :, :8])
        assert_same(before, everything(model))

    def test_training_mode_does_not_mix_the_images(self, images: Tensor) -> None:
        expected = GradCAM(net(), "norm").localize(images)
        method = GradCAM(net().train(), "norm")
        torch.testing.assert_close(method.localize(images), expected)
        torch.testing.assert_close(torch.cat([method.localize(i[None]) for i in images]), expected)

    def test_frozen_model_and_callers_without_gradients(self, images: Tensor) -> None:
        expected = GradCAM(net(), "norm").localize(images)
        model = net().requires_grad_(False)
        torch.testing.assert_close(GradCAM(model, "norm").localize(images), expected)
        with torch.no_grad():
            torch.testing.assert_close(GradCAM(net(), "norm").localize(images), expected)
        with torch.inference_mode():
            inside = images * 1
            assert inside.is_inference()
            torch.testing.assert_close(GradCAM(model, "norm").localize(inside), expected)

    def test_nothing_is_kept_before_the_layer(self, images: Tensor) -> None:
        model, kept = net(), {}
        for name in ("first", "act"):
            getattr(model, name).register_forward_hook(lambda *a, name=name: kept.update({name: a[2].requires_grad}))
        GradCAM(model, "norm").raw_maps(images)
        assert kept == {"first": False, "act": True}
        GradCAM(model, "norm", create_graph=True).raw_maps(images)
        assert kept == {"first": True, "act": True}

    def test_a_network_that_runs_its_trunk_without_gradients(self, images: Tensor) -> None:
        class Frozen(nn.Module):
            def __init__(self, model: Net) -> None:
                super().__init__()
                self.trunk = nn.Sequential(model.first, model.second, model.norm)
                self.act, self.head = model.act, model.head

            def forward(self, x: Tensor) -> Tensor:
                with torch.no_grad():
                    features = self.trunk(x)
                return self.head(self.act(features))

        with torch.no_grad():
            frozen = GradCAM(Frozen(net()), "trunk").raw_maps(images)
            assert not torch.is_grad_enabled()
        torch.testing.assert_close(frozen, GradCAM(net(), "norm").raw_maps(images))

    def test_in_place_relu_behind_the_layer(self, images: Tensor) -> None:
        plain, inplace = net(), net(inplace=True)
        inplace.load_state_dict(plain.state_dict())
        for layer in ("norm", "first.1", "first"):
            for method in (GradCAM, GradCAMPlusPlus):
                torch.testing.assert_close(
                    method(inplace, layer).raw_maps(images), method(plain, layer).raw_maps(images)
                )

    @pytest.mark.parametrize("create_graph", [False, True])
    def test_layer_that_hands_its_input_through_while_others_write_into_it(
        self, images: Tensor, create_graph: bool
    ) -> None:
        class Writes(nn.Module):
            def __init__(self, inplace: bool) -> None:
                super().__init__()
                self.conv, self.tap, self.inplace = nn.Conv2d(3, 4, 3).double(), nn.Identity(), inplace

            def forward(self, x: Tensor) -> Tensor:
                x = self.conv(x)
                tapped_features = self.tap(x)
                beside = x.mul_(-1) if self.inplace else x * -1
                return (tapped_features.relu() if not self.inplace else tapped_features.relu_()).mean(
                    dim=(2, 3)
                ) + 0 * beside.mean()

        torch.manual_seed(0)
        model = Writes(True)
        method = GradCAM(model, "tap", create_graph=create_graph)
        result = method.raw_maps(images)
        model.inplace = False
        torch.testing.assert_close(result, method.raw_maps(images))

    def test_the_layer_is_not_registered_twice(self, images: Tensor) -> None:
        model = net()
        by_module, by_path = GradCAM(model, model.norm), GradCAM(model, "norm")
        assert by_module.state_dict().keys() == by_path.state_dict().keys()
        torch.testing.assert_close(by_module.localize(images), by_path.localize(images))


class TestComplaints:
    def test_unknown_layer(self, images: Tensor) -> None:
        with pytest.raises(ValueError, match="no layer named 'layer4'"):
            GradCAM(net(), "layer4").localize(images)

    def test_layer_that_does_not_run_or_runs_twice(self, images: Tensor) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.relu, self.idle = nn.ReLU(), nn.ReLU()

            def forward(self, x: Tensor) -> Tensor:
                return self.relu(self.relu(x)).mean(dim=(2, 3))

        with pytest.raises(ValueError, match="layer relu ran 2 times"):
            GradCAM(Twice(), "relu").localize(images)
        with pytest.raises(ValueError, match="layer idle did not run"):
            GradCAM(Twice(), "idle").localize(images)

    def test_logits_that_do_not_depend_on_the_layer(self, images: Tensor) -> None:
        with pytest.raises(ValueError, match="do not depend on the layer unused"):
            GradCAM(net(), "unused").localize(images)
        with pytest.raises(ValueError, match="do not depend on the layer unused"):
            GradCAM(net().requires_grad_(False), "unused").localize(images)

    def test_output_that_is_no_logits(self, images: Tensor) -> None:
        model = net()
        model.head = nn.Identity()
        with pytest.raises(ValueError, match=r"returned \(3, 6, 5, 5\), expected logits"):
            GradCAM(model, "norm").localize(images)

    def test_object_with_logits(self, images: Tensor) -> None:
        class Wrapped(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = net()

            def forward(self, x: Tensor) -> Any:
                return type("Output", (), {"logits": self.inner(x)})

        result = GradCAM(Wrapped(), "inner.norm").localize(images)
        torch.testing.assert_close(result, GradCAM(net(), "norm").localize(images))


class TestDifferentiable:
    @pytest.mark.parametrize("method", [GradCAM, GradCAMPlusPlus])
    def test_gradcheck_to_images(self, method: type[GradCAM]) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(3 * 4, 4), nn.Tanh(), nn.Linear(4, 2)
        ).double()
        cam = method(model, "1", create_graph=True)
        labels = torch.tensor([[1, 1], [0, 1]])
        picture = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: cam.raw_maps(x, labels), (picture,), fast_mode=True)

    def test_reaches_the_parameters(self, images: Tensor) -> None:
        model = net(smooth=True)
        maps = GradCAM(model, "norm", create_graph=True).localize(images, torch.eye(4)[:3])
        maps.square().mean().backward()
        for parameter in (model.second.weight, model.head[2].weight):
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0

    def test_is_a_constant_by_default(self, images: Tensor) -> None:
        assert not GradCAM(net(), "norm").localize(images.requires_grad_()).requires_grad


def tiny_vit(**options: Any) -> nn.Module:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 5}
    return timm.models.VisionTransformer(**settings | options).double()


class TestTransformers:
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    @pytest.mark.parametrize("options", [{}, {"reg_tokens": 4}, {"class_token": False, "global_pool": "avg"}])
    def test_tokens_become_a_grid(self, options: dict[str, Any]) -> None:
        vit = tiny_vit(**options).eval()
        result = GradCAM(vit, "blocks.1.norm1").raw_maps(self.pictures)
        assert result.shape == (2, 5, 4, 4)
        # The obvious way: the rest of the network from these tokens on.
        x = vit.blocks[0](vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(self.pictures)))))
        for k in range(5):
            tokens = vit.blocks[1].norm1(x).detach().requires_grad_()
            y = x + vit.blocks[1].attn(tokens)
            y = y + vit.blocks[1].mlp(vit.blocks[1].norm2(y))
            (g,) = torch.autograd.grad(vit.forward_head(vit.norm(y))[:, k].sum(), tokens)
            map_ = (tokens[:, -16:] * g[:, -16:].mean(dim=1, keepdim=True)).sum(dim=2)
            torch.testing.assert_close(result[:, k], map_.view(2, 4, 4))

    def test_behind_the_last_attention_only_the_class_token_counts(self) -> None:
        with pytest.raises(ValueError, match=r"gradient of all patches is zero.*norm1"):
            GradCAM(tiny_vit(), "blocks.1").localize(self.pictures)
        averaging = tiny_vit(class_token=False, global_pool="avg")
        assert GradCAM(averaging, "blocks.1").localize(self.pictures).amax() == 1

    def test_oblong_images(self) -> None:
        vit = tiny_vit(dynamic_img_size=True)
        oblong = torch.rand(1, 3, 24, 48, dtype=torch.float64)
        result = GradCAM(vit, "blocks.1.norm1").localize(oblong)
        assert result.shape == (1, 5, 3, 6)
        torch.testing.assert_close(result, GradCAM(vit, "blocks.1.norm1", grid=(3, 6)).localize(oblong))

    def test_channels_last(self) -> None:
        class ChannelsLast(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.permute(0, 2, 3, 1)

        torch.manual_seed(0)
        conv, weight = nn.Conv2d(3, 4, 3).double(), torch.randn(4, 2, dtype=torch.float64)

        class Swin(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.body = conv, ChannelsLast()

            def forward(self, x: Tensor) -> Tensor:
                return self.body(self.conv(x)).mean(dim=(1, 2)) @ weight

        result = GradCAM(Swin(), "body", reshape=lambda x: x.permute(0, 3, 1, 2)).raw_maps(self.pictures)
        torch.testing.assert_close(result * 900, F.conv2d(conv(self.pictures), weight.T[:, :, None, None]))
