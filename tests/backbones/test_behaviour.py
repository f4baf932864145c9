"""Normalisation, batch norm, gradients, receptive fields and the errors of the door."""

from __future__ import annotations

import pytest
import torch
from timm import create_model
from timm.layers import BatchNormAct2d
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib import backbones


def test_images_are_normalised_inside() -> None:
    net = backbones.backbone("resnet18").eval()
    inputs_of_conv: list[torch.Tensor] = []
    net.blocks.stem.conv1.register_forward_pre_hook(lambda _m, inputs: inputs_of_conv.append(inputs[0]))
    image = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    shade = torch.tensor([0.485 + 0.229, 0.456 - 0.224, 0.406 + 2 * 0.225]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    net(torch.cat([image, shade]))
    torch.testing.assert_close(inputs_of_conv[0][0], torch.zeros(3, 32, 32), atol=1e-6, rtol=0)
    torch.testing.assert_close(inputs_of_conv[0][1], torch.tensor([1.0, -1.0, 2.0]).view(3, 1, 1).expand(3, 32, 32))


def test_only_the_stages_asked_for_are_computed() -> None:
    net = backbones.backbone("resnet18").eval()
    net.blocks.layer3.register_forward_hook(lambda *_: pytest.fail("layer3 ran"))
    result = net(torch.rand(1, 3, 64, 64), stages=["layer2", "stem"])
    assert list(result) == ["stem", "layer2"]
    assert net(torch.rand(1, 3, 64, 64), stages=[]) == {}
    with pytest.raises(ValueError, match=r"no stage 'layer9'; its stages are stem, layer1"):
        net(torch.rand(1, 3, 64, 64), stages=["layer9"])


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(3, 32, 32), ValueError, r"\(3, 32, 32\); expected \(N, 3, H, W\)"),
        (torch.rand(1, 1, 32, 32), ValueError, r"expected \(N, 3, H, W\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError, r"uint8; expected floats in \[0, 1\]"),
    ],
)
def test_wrong_images_are_named(images: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        backbones.backbone("tiny_cnn")(images)


@pytest.mark.parametrize("name", ["tiny_cnn", "resnet18", "mobilenet_v2"])
def test_frozen_batch_norm_sleeps_through_training(name: str) -> None:
    torch.manual_seed(0)
    net = backbones.backbone(name, frozen_bn=True)
    for parameter in net.parameters():  # what a careless training script does
        parameter.requires_grad_(True)
    images = torch.rand(4, 3, 64, 64)
    net.eval()
    with torch.no_grad():
        (before,) = net(images).values()
    net.train()
    for module in net.children():
        module.train()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    (features,) = net(images).values()
    torch.testing.assert_close(features, before)  # statistics of the batch are not used …
    features.square().sum().backward()
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) > 3
    for norm in norms:
        assert not norm.training
        assert norm.weight.grad is None
        assert norm.bias.grad is None
    for key, value in net.state_dict().items():  # … and not remembered
        assert torch.equal(value, state[key]), key
    convolutions = [module for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(conv.weight.grad is not None and conv.weight.grad.abs().sum() > 0 for conv in convolutions)


def test_frozen_and_free_batch_norm_agree_in_eval_and_in_their_state_dict() -> None:
    torch.manual_seed(0)
    free = backbones.backbone("resnet18")
    with torch.no_grad():  # statistics of some data
        free(torch.rand(4, 3, 64, 64))
    frozen = backbones.backbone("resnet18", frozen_bn=True)
    frozen.load_state_dict(free.state_dict(), strict=True)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(frozen.train()(images), free.eval()(images))
        assert not torch.allclose(free.train()(images)["layer4"], frozen(images)["layer4"])
    assert not any(
        p.requires_grad for m in frozen.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()
    )
    assert backbones.freeze_batch_norm(frozen) == 0


@pytest.mark.parametrize("make", [torch.nn.BatchNorm2d, BatchNormAct2d])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_frozen_norm_gives_the_gradient_of_batch_norm(make: type, dtype: torch.dtype, affine: bool) -> None:
    torch.manual_seed(0)
    norm = make(5, eps=0.1, affine=affine)
    norm(3 + 2 * torch.randn(8, 5, 6, 6))  # statistics of some data
    if affine:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    net = torch.nn.Sequential(norm.to(dtype)).eval()
    given = torch.randn(2, 5, 4, 3, dtype=dtype).to(memory_format=torch.channels_last)
    results = []
    for _ in range(2):
        images = given.clone().requires_grad_()
        out = net(images)
        out.square().sum().backward()
        results.append((out.detach(), images.grad))
        assert out.is_contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            assert torch.equal(net(given), out), "a gradient changes no value"
        net.zero_grad()
        backbones.freeze_batch_norm(net)
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 7), (2, 5, 3, 4, 2)])
def test_a_frozen_norm_takes_what_is_no_image(shape: tuple[int, ...]) -> None:
    norm = torch.nn.SyncBatchNorm(5)
    norm.running_mean.copy_(torch.arange(5.0))
    net = torch.nn.Sequential(norm)
    backbones.freeze_batch_norm(net)
    given = torch.randn(shape, requires_grad=True)
    expected = F.batch_norm(given, norm.running_mean, norm.running_var, eps=norm.eps)
    torch.testing.assert_close(net(given), expected)


def test_timms_batch_norm_keeps_its_activation_when_frozen() -> None:
    torch.manual_seed(0)
    net = create_model("efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1,))
    assert any(type(module) is BatchNormAct2d for module in net.modules())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        net.train()(images)  # statistics of some data
        (before,) = net.eval()(images)
        keys = set(net.state_dict())
        assert backbones.freeze_batch_norm(net) > 3
        (after,) = net.train()(images)
    torch.testing.assert_close(after, before)
    assert set(net.state_dict()) == keys
    assert backbones.freeze_batch_norm(net) == 0


def test_a_frozen_norms_dropout_follows_the_mode() -> None:
    net = torch.nn.Sequential(BatchNormAct2d(3, drop_layer=torch.nn.Dropout))
    assert backbones.freeze_batch_norm(net) == 1
    images = torch.ones(1, 3, 8, 8)
    assert (net.train()(images) == 0).any()
    assert (net.eval()(images) != 0).all()


class CustomNorm(torch.nn.BatchNorm2d):
    """A batch norm that does something more."""


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (torch.nn.Sequential(CustomNorm(3)), "CustomNorm is a batch norm that cannot be frozen"),
        (torch.nn.Sequential(torch.nn.BatchNorm1d(3)), "BatchNorm1d is a batch norm that cannot"),
        (torch.nn.Sequential(torch.nn.BatchNorm2d(3, track_running_stats=False)), "no running statistics"),
        (torch.nn.BatchNorm2d(3), "cannot replace itself"),
    ],
)
def test_batch_norm_that_cannot_be_frozen_is_refused(net: torch.nn.Module, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        backbones.freeze_batch_norm(net)


def test_synchronised_batch_norm_is_frozen_too() -> None:
    net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(backbones.backbone("tiny_cnn"))
    assert backbones.freeze_batch_norm(net) > 3
    assert not any(isinstance(module, torch.nn.SyncBatchNorm) for module in net.modules())


@pytest.mark.parametrize("name", [name for name in backbones.NAMES if name not in ("resnet34", "resnet101")])
def test_gradients_reach_the_image(name: str) -> None:
    torch.manual_seed(0)
    net = backbones.backbone(name).eval()
    images = torch.rand(1, 3, 48, 48, requires_grad=True)
    (features,) = net(images).values()
    (features * torch.randn_like(features)).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


def test_no_activation_overwrites_what_a_hook_keeps() -> None:
    net = backbones.backbone("resnet18").eval()
    kept: list[torch.Tensor] = []
    net.blocks.stem.bn1.register_forward_hook(lambda _m, _i, output: kept.append(output))
    net(torch.rand(1, 3, 32, 32))
    assert (kept[0] < 0).any()  # an in-place ReLU would have cleared these


@pytest.mark.parametrize(
    ("name", "stage", "expected"),
    [
        ("tiny_cnn", "stage1", 3),
        ("tiny_cnn", "stage2", 7),
        ("tiny_cnn", "stage3", 15),
        ("tiny_cnn", None, 23),
        ("resnet18", "stem", 11),
        ("resnet18", "layer1", 43),
        ("resnet50", "layer1", 35),
        ("resnet18", None, 435),
        ("vgg16", None, 196),
        ("mobilenet_v2", None, 491),
    ],
)
def test_receptive_field_by_hand(name: str, stage: str | None, expected: int) -> None:
    assert backbones.receptive_field(backbones.backbone(name), stage) == expected


@pytest.mark.parametrize(
    ("name", "stage", "output_stride", "dilate"),
    [
        ("tiny_cnn", "stage3", None, False),
        ("tiny_cnn", "stage4", None, False),
        ("tiny_cnn", "stage4", 2, False),
        ("tiny_cnn", "stage4", 2, True),
        ("resnet18", "layer2", None, False),
        ("resnet18", "layer2", 4, False),
        ("resnet50", "layer2", 4, True),
        ("mobilenet_v2", "stage3", None, False),
    ],
)
def test_receptive_field_is_where_gradients_come_from(
    name: str, stage: str, output_stride: int | None, dilate: bool
) -> None:
    """The oracle: every pixel whose change moves one cell; all gates open, so that no path is shut by chance."""
    torch.manual_seed(0)
    net = backbones.backbone(name, output_stride=output_stride, dilate=dilate).double().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.uniform_(0.5, 1.0).div_(module.weight[0].numel())
        elif isinstance(module, torch.nn.MaxPool2d):  # a maximum passes gradients from one tap only
            module.forward = _average(module)  # type: ignore[method-assign]
    field = backbones.receptive_field(net, stage)
    side = (field // 16 + 3) * 16
    images = torch.ones(1, 3, side, side, dtype=torch.double, requires_grad=True)
    net.mean.zero_()
    features = net(images, [stage])[stage]
    centre = features.shape[-1] // 2
    features[0, :, centre, centre].sum().backward()
    assert images.grad is not None
    touched = images.grad[0].abs().sum(0) > 0
    for axis in (0, 1):
        lines = touched.any(axis).nonzero().flatten()
        assert int(lines[-1] - lines[0]) + 1 == field


def _average(pool: torch.nn.MaxPool2d):
    def forward(x: torch.Tensor) -> torch.Tensor:
        kernel = torch.ones(x.shape[1], 1, pool.kernel_size, pool.kernel_size, dtype=x.dtype)
        return torch.nn.functional.conv2d(x, kernel, None, pool.stride, pool.padding, pool.dilation, x.shape[1])

    return forward


def test_a_transformer_has_no_receptive_field() -> None:
    with pytest.raises(ValueError, match="sees the whole image"):
        backbones.receptive_field(backbones.backbone("tiny_vit"))
    with pytest.raises(ValueError, match="no stage 'layer1'; its stages are stage1"):
        backbones.receptive_field(backbones.backbone("tiny_cnn"), "layer1")


def test_tiny_cnn_is_small_enough_for_two_cores() -> None:
    net = backbones.backbone("tiny_cnn").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.rand(1, 3, 96, 96))
    assert 20e6 < counter.get_total_flops() / 2 < 27e6  # a multiply-add counts as two


def test_widths_are_a_parameter_and_the_seed_is_the_callers() -> None:
    net = backbones.backbone("tiny_cnn", widths=(4, 6, 8, 10)).eval()
    assert list(net.channels.values()) == [4, 6, 8, 10]
    assert net(torch.rand(1, 3, 24, 24))["stage4"].shape == (1, 10, 6, 6)
    for name in ("tiny_cnn", "tiny_vit"):
        twins = []
        for _ in range(2):
            torch.manual_seed(7)
            twins.append(torch.cat([p.flatten() for p in backbones.backbone(name).parameters()]))
        assert torch.equal(*twins)
        assert not torch.equal(twins[0], torch.cat([p.flatten() for p in backbones.backbone(name).parameters()]))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {}, "no backbone 'resnet20'; choose one of tiny_cnn, tiny_vit, hybrid_vit, resnet18"),
        ("resnet18", {"widths": (1, 2)}, "no option 'widths'; it has none"),
        ("tiny_cnn", {"width": 3}, "no option 'width'; it has widths"),
        ("tiny_cnn", {"widths": (1, 2)}, "four positive widths"),
        ("tiny_cnn", {"output_stride": 8}, "coarser than the network's own 4"),
        ("vgg16", {"output_stride": 32}, "coarser than the network's own 16"),
        ("resnet18", {"output_stride": 12}, "not a power of two"),
        ("tiny_vit", {"output_stride": 4}, "output stride is 8 and cannot be 4"),
        ("tiny_vit", {"dim": 90}, "multiple of 4"),
        ("tiny_vit", {"patch": 6}, "stride of the convolutions"),
        ("tiny_vit", {"image_size": 100}, "not a multiple of the patch"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbones.backbone(name, **options)
