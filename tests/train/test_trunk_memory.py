"""What a trunk made of an image is looked up: the same features, the same scores, whatever happens to the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from wsss_lib import backbones, maps
from wsss_lib.cli import main
from wsss_lib.methods import CAM, GradCAM
from wsss_lib.train.kept_features import FOLDER
from wsss_lib.train.trunk_memory import remember, remembering


def cam(stage: str = "stage3") -> CAM:
    torch.manual_seed(1)
    net = backbones.backbone("tiny_cnn")
    assert isinstance(net, backbones.StagedBackbone)
    net.freeze(stage)
    return CAM(net, 2).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(0))


class Count:
    """How many images the trunk computes."""

    def __init__(self, method: CAM) -> None:
        self.images, block = 0, method.backbone.blocks["stage1"]
        forward = block.forward

        def counted(x: Tensor) -> Tensor:
            self.images += len(x)
            return forward(x)

        block.forward = counted  # type: ignore[method-assign]


def files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).rglob("*.npy"))


@torch.no_grad()
def test_an_image_is_computed_once_wherever_it_comes_again(images: Tensor, tmp_path: Path) -> None:
    method = cam()
    plain = method.predict(images)
    count = Count(method)
    with remembering(method.backbone, tmp_path):
        first = method.predict(images)
        assert count.images == 3
        again = method.predict(images.flip(0))
    with remembering(method.backbone, tmp_path):  # a later run
        later = method.predict(images[1:])
    assert count.images == 3
    assert len(files(tmp_path)) == 3
    assert torch.allclose(first.maps, plain.maps, atol=1e-5)
    assert torch.equal(again.maps.flip(0), first.maps)
    assert torch.equal(later.maps, first.maps[1:])
    torch.testing.assert_close(later.logits, first.logits[1:])  # a mean over another batch may round otherwise
    method.predict(images)
    assert count.images == 6  # outside the block everything is as before


@torch.no_grad()
def test_scales_and_mirror_images_are_images_too(images: Tensor, tmp_path: Path) -> None:
    method = cam()
    scales = (1.0, 0.5)
    plain = maps.multi_scale(method.raw_maps, images, scales)
    count = Count(method)
    for _ in range(2):
        with remembering(method.backbone, tmp_path):
            assert torch.allclose(maps.multi_scale(method.raw_maps, images, scales), plain, atol=1e-5)
    assert count.images == 3 * 4
    square = torch.rand(1, 3, 16, 16)
    for other in (square, square.transpose(2, 3), square.view(1, 3, 8, 32)):  # the same bytes in another shape
        with remembering(method.backbone, tmp_path):
            assert torch.allclose(method.predict(other).maps, cam().predict(other).maps, atol=1e-5)


@torch.no_grad()
def test_another_trunk_has_features_of_its_own(images: Tensor, tmp_path: Path) -> None:
    method = cam()
    with remembering(method.backbone, tmp_path):
        method.predict(images)
    next(method.backbone.blocks["stage1"].parameters()).mul_(2)
    changed = method.predict(images)
    with remembering(method.backbone, tmp_path):
        assert torch.allclose(method.predict(images).maps, changed.maps, atol=1e-5)
    next(method.backbone.blocks["final" if "final" in method.backbone.blocks else "stage4"].parameters()).mul_(2)
    behind = method.predict(images)
    count = Count(method)
    with remembering(method.backbone, tmp_path):
        assert torch.allclose(method.predict(images).maps, behind.maps, atol=1e-5)
    assert not count.images  # what is behind the trunk may change


def test_what_needs_the_trunk_itself_computes_it(images: Tensor, tmp_path: Path) -> None:
    method, count = cam(), Count(cam())
    count = Count(method)
    labels = torch.ones(3, 2)
    plain = GradCAM(method, "backbone.blocks.stage2").localize(images, labels)
    with remembering(method.backbone, tmp_path):
        method.predict(images)
        count.images = 0
        assert torch.equal(GradCAM(method, "backbone.blocks.stage2").localize(images, labels), plain)
        assert count.images == 3
        method.backbone(images, ("stage1", "stage4"))
        assert count.images == 6
        wanted = images.clone().requires_grad_()
        method.predict(wanted).logits.sum().backward()
        assert count.images == 9
        assert wanted.grad is not None
        behind = GradCAM(method, "backbone.blocks.stage4").localize(images, labels)
        assert count.images == 9
    assert torch.allclose(behind, GradCAM(method, "backbone.blocks.stage4").localize(images, labels), atol=1e-4)


@torch.no_grad()
def test_a_damaged_file_is_computed_again(images: Tensor, tmp_path: Path) -> None:
    method = cam()
    with remembering(method.backbone, tmp_path):
        first = method.predict(images).maps
    damaged, emptied, _ = files(tmp_path)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    emptied.write_bytes(b"")
    with remembering(method.backbone, tmp_path), pytest.warns(UserWarning, match="not what was written"):
        assert torch.equal(method.predict(images).maps, first)
    count = Count(method)
    with remembering(method.backbone, tmp_path):
        assert torch.equal(method.predict(images).maps, first)
    assert not count.images


@torch.no_grad()
def test_no_disk_stops_nobody(images: Tensor, tmp_path: Path) -> None:
    method = cam()
    plain = method.predict(images).maps
    (tmp_path / "file").write_text("no folder")
    with remembering(method.backbone, tmp_path / "file"), pytest.warns(UserWarning, match="computed anew"):
        assert torch.allclose(method.predict(images).maps, plain, atol=1e-5)
    with remembering(method.backbone, None):
        assert torch.equal(method.predict(images).maps, plain)
    with pytest.raises(ValueError, match="no frozen trunk"), remembering(backbones.backbone("tiny_cnn"), tmp_path):  # type: ignore[arg-type]
        pass


@torch.no_grad()
def test_the_command_removes_them(images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSS_CACHE", str(tmp_path))
    method = cam()
    with remembering(method.backbone, tmp_path):
        method.predict(images)
    main(["data", "clear"])
    assert not files(tmp_path)


@torch.no_grad()
def test_a_backbone_that_never_learns_remembers_until_it_is_told_not_to(images: Tensor, tmp_path: Path) -> None:
    method = cam()
    count = Count(method)
    handle = remember(method.backbone, tmp_path)
    assert handle is not None
    for _ in range(2):
        method.predict(images)
    assert count.images == 3
    handle.remove()
    method.predict(images)
    assert count.images == 6
    assert remember(method.backbone, None) is None
    with pytest.raises(ValueError, match="no frozen trunk"):
        remember(backbones.backbone("tiny_cnn"), tmp_path)  # type: ignore[arg-type]
