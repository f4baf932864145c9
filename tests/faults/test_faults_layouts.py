"""Layers whose outputs are (N, h, w, C): the right map, or a refusal that names ``reshape=``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from fault_kit import refusal, value_or_refusal
from torch import Tensor, nn
from torchvision.models import convnext, resnet18, swin_transformer

from wsss_lib.methods import EigenCAM, GradCAM, GradCAMPlusPlus
from wsss_lib.methods.cam import CAM


def small_swin() -> nn.Module:
    return swin_transformer.SwinTransformer([4, 4], 24, [1, 1], [2, 2], [7, 7], num_classes=5)


def small_swin_v2() -> nn.Module:
    return swin_transformer.SwinTransformer(
        [4, 4], 24, [1, 1], [2, 2], [7, 7], num_classes=5,
        block=swin_transformer.SwinTransformerBlockV2, downsample_layer=swin_transformer.PatchMergingV2,
    )  # fmt: skip


def timm_swin(name: str) -> nn.Module:
    return timm.create_model(
        name, embed_dim=24, depths=(1, 1), num_heads=(2, 2), num_classes=5, img_size=224, window_size=7
    )


def small_convnext() -> nn.Module:
    return convnext.ConvNeXt([convnext.CNBlockConfig(24, 48, 1), convnext.CNBlockConfig(48, None, 1)], num_classes=5)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, int]]] = {
    "torchvision's Swin": (small_swin, "norm", (28, 28)),
    "torchvision's Swin, inner": (small_swin, "features.1.0.norm1", (56, 56)),
    "torchvision's SwinV2": (small_swin_v2, "norm", (28, 28)),
    "timm's Swin": (lambda: timm_swin("swin_tiny_patch4_window7_224"), "norm", (28, 28)),
    "timm's SwinV2": (lambda: timm_swin("swinv2_tiny_window8_256"), "norm", (28, 28)),
    "ConvNeXt's inner norm": (small_convnext, "features.1.0.block.2", (56, 56)),
    "ConvNeXt's last stage": (small_convnext, "features.3", (28, 28)),
}
IMAGES = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
ONE = torch.nn.functional.one_hot(torch.tensor([1, 3]), 5)


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", [GradCAM, GradCAMPlusPlus])
@pytest.mark.parametrize("name", NETWORKS)
def test_maps_lie_on_the_grid_of_the_image(name: str, kind: type[GradCAM]) -> None:
    make, layer, grid = NETWORKS[name]
    explained = kind(make(), layer)
    maps = value_or_refusal(lambda: explained.localize(IMAGES, ONE))
    assert maps is None or maps.shape == (2, 5, *grid)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_component_lies_on_the_grid_of_the_image(name: str) -> None:
    make, layer, grid = NETWORKS[name]
    method = EigenCAM(make(), layer)
    maps = value_or_refusal(lambda: method.localize(IMAGES))
    assert maps is None or maps.shape[-2:] == grid


def test_a_layout_that_is_guessed_equals_the_one_that_is_said() -> None:
    network = small_swin()
    said = GradCAM(network, "norm", reshape=lambda x: x.permute(0, 3, 1, 2)).localize(IMAGES, ONE)
    guessed = value_or_refusal(lambda: GradCAM(network, "norm").localize(IMAGES, ONE))
    assert guessed is None or torch.allclose(guessed, said)


class ChannelsLast(nn.Module):
    """A layer of 7 channels behind a grid of 16 × 24, the channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 7, 4, 4)
        self.last = nn.Identity()
        self.head = nn.Linear(7, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.last(self.look(images).permute(0, 2, 3, 1))  # (N, h, w, 7)
        return self.head(x.relu().mean((1, 2)))


@pytest.mark.parametrize("size", [(64, 96), (64, 28), (28, 64)])
def test_an_image_that_is_not_square(size: tuple[int, int]) -> None:
    network = ChannelsLast()
    maps = value_or_refusal(lambda: GradCAM(network, "last").localize(torch.rand(1, 3, *size)))
    assert maps is None or maps.shape == (1, 2, size[0] // 4, size[1] // 4)


def test_on_a_square_image_a_grid_that_is_nearly_square_is_none() -> None:
    maps = value_or_refusal(lambda: GradCAM(ChannelsLast(), "last").localize(torch.rand(1, 3, 32, 32)))
    assert maps is None or maps.shape == (1, 2, 8, 8), "8 × 8 cells of 7 channels, and not 8 × 7 of 8"


def test_an_ordinary_layer_stays_as_it_is() -> None:
    maps = GradCAM(resnet18(num_classes=5), "layer2").localize(IMAGES, ONE)
    assert maps.shape == (2, 5, 28, 28)


def test_what_is_no_layer_and_no_backbone_is_refused() -> None:
    network = resnet18()
    refusal(lambda: GradCAM(network, [network.layer4]).localize(IMAGES), "layer", "list")
    refusal(lambda: GradCAM(network, "layer5").localize(IMAGES), "layer5")
    refusal(lambda: GradCAM(network, nn.Conv2d(3, 3, 1)).localize(IMAGES), "layer|module")
    refusal(lambda: CAM(resnet18(), 5), "backbone", "ResNet")
