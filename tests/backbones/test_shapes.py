"""Stages, strides and grids of every backbone; the logits of backbone + head are those of the published model."""

from __future__ import annotations

import math

import pytest
import torch
from timm import create_model
from torchvision import models
from torchvision.ops import SqueezeExcitation

from wsss_lib import backbones
from wsss_lib.backbones import imagenet, torchvision_nets, vit

LIGHT = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "tf_efficientnet_lite0")
CHANNELS = {
    "resnet18": {"stem": 64, "layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512},
    "resnet34": {"stem": 64, "layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512},
    "resnet50": {"stem": 64, "layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048},
    "resnet101": {"stem": 64, "layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048},
    "vgg16": {"conv1": 64, "conv2": 128, "conv3": 256, "conv4": 512, "conv5": 512},
    "mobilenet_v2": {"stage1": 16, "stage2": 24, "stage3": 32, "stage4": 96, "stage5": 320, "final": 1280},
    "mobilenet_v3_small": {"stage1": 16, "stage2": 16, "stage3": 24, "stage4": 48, "stage5": 96, "final": 576},
    "mobilenet_v3_large": {"stage1": 16, "stage2": 24, "stage3": 40, "stage4": 112, "stage5": 160, "final": 960},
    "tf_efficientnet_lite0": {"stage1": 16, "stage2": 24, "stage3": 40, "stage4": 112, "stage5": 320, "final": 1280},
    "tiny_cnn": {"stage1": 16, "stage2": 24, "stage3": 40, "stage4": 64},
    "tiny_vit": {"block1": 64, "norm": 64},
    "hybrid_vit": {"block1": 128, "norm": 128},
    "deit_tiny": {"block12": 192, "norm": 192},
    "deit_small": {"block1": 384, "norm": 384},
}


@pytest.mark.parametrize("name", backbones.NAMES)
@pytest.mark.parametrize("size", [(64, 96), (75, 53)])
def test_every_stage_has_the_channels_and_the_grid_it_promises(name: str, size: tuple[int, int]) -> None:
    net = backbones.backbone(name).eval()
    if isinstance(net, backbones.TransformerBackbone):
        size = (size[0] // 25 * net.patch, size[1] // 25 * net.patch)
    with torch.no_grad():
        result = net(torch.rand(1, 3, *size), stages=net.stages)
    assert tuple(result) == net.stages
    assert CHANNELS[name].items() <= net.channels.items()
    round_up = name != "vgg16"
    for stage, features in result.items():
        stride = net.strides[stage]
        grid = [math.ceil(side / stride) if round_up else side // stride for side in size]
        assert features.shape == (1, net.channels[stage], *grid), stage


@pytest.mark.parametrize(
    ("name", "output_stride"),
    [
        ("tiny_cnn", 2),
        ("vgg16", 8),
        ("resnet50", 16),
        *((name, stride) for name in LIGHT for stride in (4, 8, 16)),
        *((name, 32) for name in LIGHT),
    ],
)
def test_output_stride_sets_the_grid_and_keeps_every_weight(name: str, output_stride: int) -> None:
    torch.manual_seed(0)
    plain = backbones.backbone(name)
    torch.manual_seed(0)
    fine = backbones.backbone(name, output_stride=output_stride).eval()
    last = fine.stages[-1]
    assert fine.strides[last] == output_stride
    assert all(fine.strides[s] == min(plain.strides[s], output_stride) for s in fine.stages)
    for (key, before), (other, after) in zip(plain.state_dict().items(), fine.state_dict().items(), strict=True):
        assert key == other
        assert torch.equal(before, after)
    with torch.no_grad():
        for size in ((64, 96), (49, 67)):
            rounded = [side // output_stride if name == "vgg16" else math.ceil(side / output_stride) for side in size]
            assert list(fine(torch.rand(1, 3, *size))[last].shape[2:]) == rounded


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "vgg16", "mobilenet_v2", "mobilenet_v3_small", "tf_efficientnet_lite0", "tiny_cnn"],
)
def test_dilated_grid_contains_the_coarse_grid(name: str) -> None:
    """À trous: removing strides and spreading the filters only adds cells between those that were there."""
    torch.manual_seed(1)
    coarser = 2 if name == "vgg16" else 4
    plain = backbones.backbone(name).double().eval()
    _unsettle(plain)
    output_stride = plain.strides[plain.stages[-1]] // coarser
    images = torch.rand(2, 3, 64, 96, dtype=torch.double)
    grids = []
    for net in (
        plain,
        backbones.backbone(name, output_stride=output_stride, dilate=True).double().eval(),
        backbones.backbone(name, output_stride=output_stride).double().eval(),
    ):
        net.load_state_dict(plain.state_dict())
        for module in net.modules():
            if isinstance(module, SqueezeExcitation):  # its mean over the grid would change with the grid
                module.avgpool = torch.nn.Identity()  # type: ignore[assignment]
        with torch.no_grad():
            grids += net(images).values()
    coarse, dense, undilated = grids
    assert dense.shape[-2:] == (coarse.shape[-2] * coarser, coarse.shape[-1] * coarser)
    first = coarser - 1 if name.startswith("tf_") else 0  # TensorFlow pads even sides at the right and bottom alone
    cells = slice(first, None, coarser)
    torch.testing.assert_close(dense[:, :, cells, cells], coarse)
    assert undilated.shape == dense.shape
    assert not torch.allclose(undilated[:, :, cells, cells], coarse, rtol=1e-2)


def _unsettle(net: torch.nn.Module) -> None:
    """Give batch norm statistics that are not 0 and 1, so that a test would notice their loss."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg16", (64, 75)),
        *(
            (name, size)
            for name in ("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small")
            for size in ((64, 64), (71, 90))
        ),
    ],
)
def test_backbone_and_head_give_torchvisions_logits(name: str, size: tuple[int, int]) -> None:
    reference = _built(name)
    classifier = imagenet.ImageNetClassifier(_CUT[name], _HEAD[name]).eval()
    images = torch.rand(2, 3, *size)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = reference((images - mean[:, None, None]) / std[:, None, None])
        assert torch.equal(classifier(images), expected)
    assert expected.shape == (2, 1000)
    assert classifier.has_cam == (name in backbones.CAM_NAMES)


_CUT: dict[str, backbones.Backbone] = {}
_HEAD: dict[str, torch.nn.Module] = {}
_REFERENCE: dict[str, torch.nn.Module] = {}


def _built(name: str) -> torch.nn.Module:
    """torchvision's model, whose own code is the reference; the backbone shares its modules."""
    if name not in _REFERENCE:
        torch.manual_seed(2)
        model = models.get_model(name, weights=None).eval()
        _unsettle(model)
        _REFERENCE[name] = model
        _HEAD[name] = imagenet.head_of(name, model)
        _CUT[name] = torchvision_nets.cut(name, model)
    return _REFERENCE[name]


@pytest.mark.parametrize("size", [(224, 224), (64, 96)])
def test_deit_gives_timms_logits(size: tuple[int, int]) -> None:
    torch.manual_seed(3)
    reference = create_model("deit_tiny_patch16_224", pretrained=False, dynamic_img_size=True).eval()
    classifier = backbones.imagenet_classifier("deit_tiny", weights=None)
    state = reference.state_dict()
    classifier.backbone.vit.load_state_dict({k: v for k, v in state.items() if not k.startswith("head.")})
    classifier.head.load_state_dict({"weight": state["head.weight"], "bias": state["head.bias"]})
    images = torch.rand(1, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(classifier(images), reference(classifier.backbone.normalise(images)))


def test_vit_grid_is_in_raster_order_and_tokens_agree_with_it() -> None:
    torch.manual_seed(4)
    net = backbones.backbone("tiny_vit").eval()
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        grid, tokens = net(images)["norm"], net.tokens(images)
    assert tokens.shape == (2, 1 + 4 * 6, 64)
    for row, column in ((0, 0), (1, 4), (3, 5)):
        torch.testing.assert_close(grid[:, :, row, column], tokens[:, 1 + row * 6 + column])


def test_attention_is_the_one_the_blocks_use() -> None:
    torch.manual_seed(5)
    net = backbones.tiny_vit(dim=96, heads=3).eval()
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        weights = net.attention(images)
        assert len(weights) == 6
        sequence, _ = net.embed(net.normalise(images))
        for layer, attention in zip(net.layers, weights, strict=True):
            assert attention.shape == (2, 3, 25, 25)
            torch.testing.assert_close(attention.sum(-1), torch.ones(2, 3, 25))
            values = layer.attn.qkv(layer.norm1(sequence)).unflatten(2, (3, 3, 32))[:, :, 2].transpose(1, 2)
            mixed = (attention @ values).transpose(1, 2).flatten(2)
            torch.testing.assert_close(layer.attn.proj(mixed), layer.attn(layer.norm1(sequence)), rtol=1e-4, atol=1e-5)
            sequence = layer(sequence)
        gaze = net.class_attention(images)
    assert gaze.shape == (2, 3, 4, 6)
    torch.testing.assert_close(gaze[0, 1, 2, 3], weights[-1][0, 1, 0, 1 + 2 * 6 + 3])


def test_vit_position_embedding_is_the_trained_one_at_its_own_size() -> None:
    net = backbones.tiny_vit(image_size=48).eval()
    images = torch.rand(1, 3, 48, 48)
    with torch.no_grad():
        sequence, size = net.embed(net.normalise(images))
        patches = net.vit.patch_embed.proj(net.normalise(images)).flatten(2).transpose(1, 2)
    assert size == (6, 6)
    torch.testing.assert_close(sequence[:, 1:] - patches, net.vit.pos_embed[:, 1:])
    torch.testing.assert_close(sequence[:, :1], net.vit.cls_token + net.vit.pos_embed[:, :1])


def test_vit_names_the_patch_when_a_side_does_not_divide() -> None:
    with pytest.raises(ValueError, match=r"33 × 32 px.* multiples of 8"):
        backbones.backbone("tiny_vit")(torch.rand(1, 3, 33, 32))
    assert vit.NAMES == ("deit_tiny", "deit_small")


def test_the_tiny_transformer_cuts_its_patches_from_the_convolutions() -> None:
    net, images = backbones.tiny_vit().eval(), torch.rand(2, 3, 96, 96)
    cnn = backbones.tiny_cnn().eval()
    for number, stage in enumerate(vit.STEM):
        cnn.get_submodule(f"blocks.{stage}").load_state_dict(net.vit.patch_embed.proj[number].state_dict())
    features = cnn(images, stages=["stage3"])["stage3"]  # (2, 40, 24, 24)
    weight, bias = net.vit.patch_embed.proj[-1].weight, net.vit.patch_embed.proj[-1].bias
    patches = torch.stack(
        [features[:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] for y in range(12) for x in range(12)], 1
    )
    tokens = torch.einsum("npcyx,dcyx->npd", patches, weight) + bias
    sequence, size = net.embed(net.normalise(images))
    assert size == (12, 12)
    torch.testing.assert_close(sequence[:, 1:], tokens + net.vit.pos_embed[:, 1:], rtol=1e-4, atol=1e-4)
    assert len({tuple(row.tolist()) for row in net.vit.pos_embed[0, 1:]}) == 144  # waves: each place its own
