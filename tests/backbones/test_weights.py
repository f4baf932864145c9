"""Weights: from a file, a folder, the package, the publishers; all or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from wsss_lib import backbones
from wsss_lib.backbones import weights as weight_files

SHARED = Path(os.environ.get("WSSS_SHARED", Path(__file__).parents[3] / "shared"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader without network would have it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights")
    model = models.mobilenet_v3_small(weights=None)
    save_file(model.state_dict(), path / "mobilenet_v3_small.safetensors")
    torch.save(model.state_dict(), path / "mobilenet_v3_small-0123.pth")
    return path


@pytest.mark.parametrize("file", ["", "mobilenet_v3_small.safetensors", "mobilenet_v3_small-0123.pth"])
def test_file_and_folder_load_in_torchvisions_layout(folder: Path, file: str) -> None:
    reference = models.mobilenet_v3_small(weights=None)
    reference.load_state_dict(torch.load(folder / "mobilenet_v3_small-0123.pth", weights_only=True))
    net = backbones.backbone("mobilenet_v3_small", weights=folder / file, output_stride=16).eval()
    images = torch.rand(1, 3, 64, 64)
    finer = net(images)["final"]
    assert finer.shape[-1] == 4
    same = backbones.backbone("mobilenet_v3_small", weights=str(folder / file)).eval()
    torch.testing.assert_close(same(images)["final"], reference.eval().features(same.normalise(images)))


@pytest.mark.parametrize("name", ["tiny_cnn", "tiny_vit", "resnet18", "deit_tiny"])
def test_a_backbones_own_state_dict_comes_back(tmp_path: Path, name: str) -> None:
    net = backbones.backbone(name).eval()
    save_file(net.state_dict(), tmp_path / f"{name}.safetensors")
    again = backbones.backbone(name, weights=tmp_path, frozen_bn=True).eval()
    images = torch.rand(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(net(images).values(), again(images).values(), strict=True))


def test_a_file_that_may_not_be_read_is_not_called_unsafe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wsss_lib.backbones.weights.load_file", refused)
    with pytest.raises(ValueError, match=r"cannot be opened .*Permission denied.* may read it"):
        backbones.backbone("mobilenet_v3_small", weights=folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("classifier.3.bias"), r"1 tensors are missing \(first classifier.3.bias\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 are unknown \(first extra\)"),
        (
            lambda s: s.update({"classifier.3.bias": torch.zeros(20)}),
            r"another shape \(first classifier.3.bias: \(20,\), expected \(1000,\)\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder: Path, tmp_path: Path, change, message: str) -> None:
    state = torch.load(folder / "mobilenet_v3_small-0123.pth", weights_only=True)
    change(state)
    save_file(state, tmp_path / "mobilenet_v3_small.safetensors")
    for build in (backbones.backbone, backbones.imagenet_classifier):
        with pytest.raises(ValueError, match=message):
            build("mobilenet_v3_small", weights=tmp_path)


@pytest.mark.parametrize(
    ("key", "damage", "message"),
    [
        (
            "stage2.0.conv.weight",
            lambda t: t.index_fill(0, torch.tensor([1]), float("nan")),
            "NaN, infinite or too large",
        ),
        ("stage1.0.conv.weight", lambda t: t / 0, "NaN, infinite or too large"),
        ("stage1.0.conv.weight", lambda t: t.double() + 1e300, "too large for torch.float32"),
        ("running_var", lambda t: -t - 1, "negative variances"),
        ("stage3.0.conv.weight", lambda t: (t * 100).to(torch.int8), "torch.int8 where torch.float32 is expected"),
        ("running_mean", lambda t: t.bool(), "torch.bool where torch.float32"),
    ],
)
@pytest.mark.parametrize("source", ["path", "shipped", "published"])
def test_values_that_cannot_be_weights_are_refused_whatever_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, damage, message: str, source: str
) -> None:
    state = backbones.backbone("tiny_cnn").state_dict()
    name = next(name for name in state if name.endswith(key))
    state[name] = damage(state[name]).contiguous()
    save_file(state, tmp_path / "tiny_cnn.safetensors")
    monkeypatch.setattr(weight_files, "SHIPPED", tmp_path)
    monkeypatch.setattr(weight_files, "_published", lambda name: state)
    with pytest.raises(ValueError, match=rf"tiny_cnn are damaged: {name} .*{message}"):
        backbones.backbone("tiny_cnn", weights=tmp_path if source == "path" else source)


def test_half_precision_files_load_and_counters_of_any_type_do_not_matter(tmp_path: Path) -> None:
    net = backbones.backbone("tiny_cnn")
    save_file({key: value.half() for key, value in net.state_dict().items()}, tmp_path / "tiny_cnn.safetensors")
    loaded = backbones.backbone("tiny_cnn", weights=tmp_path).state_dict()
    for key, value in net.state_dict().items():
        assert loaded[key].dtype == value.dtype
        torch.testing.assert_close(loaded[key], value.half().to(value.dtype))


def test_old_files_without_step_counters_are_accepted(folder: Path, tmp_path: Path) -> None:
    state = torch.load(folder / "mobilenet_v3_small-0123.pth", weights_only=True)
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(kept) < len(state)
    save_file(kept, tmp_path / "old.safetensors")
    backbones.backbone("mobilenet_v3_small", weights=tmp_path / "old.safetensors")


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"no weights at .*resnet18\.safetensors \(the folder holds no safetensors\); give a \.safetensors file",
    ):
        backbones.backbone("resnet18", weights=tmp_path)
    broken = tmp_path / "resnet18.safetensors"
    broken.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="cannot be read as a file of tensors"):
        backbones.backbone("resnet18", weights=broken)
    torch.save({"a": Path("x")}, tmp_path / "evil.pth")  # anything that would have to be unpickled
    with pytest.raises(ValueError, match="more than tensors and was not loaded"):
        backbones.backbone("resnet18", weights=tmp_path / "evil.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="not a plain state dict"):
        backbones.backbone("resnet18", weights=tmp_path / "list.pth")


def test_published_weights_are_v1_hash_checked_and_tensors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    state = models.resnet18(weights=None).state_dict()
    asked: dict = {}

    def fetch(url: str, **options: object) -> dict[str, torch.Tensor]:
        asked.update(options, url=url)
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    net = backbones.backbone("resnet18", weights="published")
    assert torch.equal(net.blocks.stem.conv1.weight, state["conv1.weight"])
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True
    assert asked["url"] == models.ResNet18_Weights.IMAGENET1K_V1.url


@pytest.mark.parametrize(("name", "file"), [("resnet18", "resnet18-"), ("deit_tiny", "model.safetensors")])
def test_without_network_the_error_says_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(FileNotFoundError, match=rf"no route to host.*folder that holds {name}\.safetensors.*{file}"):
        backbones.backbone(name, weights="published")


def test_tiny_backbones_are_shipped_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="Nobody has published weights for tiny_cnn"):
        backbones.backbone("tiny_cnn", weights="published")
    monkeypatch.setattr(weight_files, "SHIPPED", tmp_path)
    with pytest.raises(FileNotFoundError, match="ships no weights for tiny_cnn"):
        backbones.backbone("tiny_cnn", weights="shipped")
    net = backbones.backbone("tiny_cnn")
    save_file(net.state_dict(), tmp_path / "tiny_cnn.safetensors")
    again = backbones.backbone("tiny_cnn", weights="shipped")
    assert torch.equal(again.blocks.stage1[0].conv.weight, net.blocks.stage1[0].conv.weight)
    with pytest.raises(FileNotFoundError, match=r"it ships tiny_cnn"):
        backbones.backbone("resnet18", weights="shipped")


def test_folded_batch_norm_is_noticed(tmp_path: Path) -> None:
    state = models.mobilenet_v2(weights=None).state_dict()
    assert not weight_files.is_folded(state)  # never trained
    state["features.0.1.bias"] += 0.5  # folding leaves shifts, with running means 0 and variances 1
    save_file(state, tmp_path / "mobilenet_v2.safetensors")
    with pytest.warns(UserWarning, match="frozen_bn=True"):
        backbones.backbone("mobilenet_v2", weights=tmp_path)
    state["features.0.1.running_mean"] += 0.1
    save_file(state, tmp_path / "mobilenet_v2.safetensors")
    assert not weight_files.is_folded(state)
    assert not weight_files.is_folded({"features.0.weight": torch.ones(1)})


def test_weight_and_bias_of_a_classifier_where_cam_is_exact() -> None:
    torch.manual_seed(5)
    classifier = backbones.imagenet_classifier("mobilenet_v2", weights=None)
    net, weight, bias = classifier.backbone, classifier.weight, classifier.bias
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = net(images)["final"]
        maps = torch.einsum("kc,nchw->nkhw", weight, features)
        torch.testing.assert_close(maps.mean((2, 3)) + bias, classifier(images), rtol=1e-4, atol=1e-5)
    assert len(classifier.categories) == 1000
    assert classifier.categories[281] == "tabby"
    assert not any(module.training for module in classifier.modules())
    classifier.train()
    assert not any(m.training for m in classifier.modules() if isinstance(m, torch.nn.BatchNorm2d))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "deit_tiny"])
def test_other_heads_point_to_grad_cam(name: str) -> None:
    classifier = backbones.imagenet_classifier(name, weights=None)
    assert not classifier.has_cam
    with pytest.raises(ValueError, match=f"{name} has no global average pooling.*use Grad-CAM"):
        _ = classifier.weight
    assert isinstance(classifier.get_submodule(classifier.layer), torch.nn.Module)
    if name == "deit_tiny":
        assert classifier.get_submodule(classifier.layer) is classifier.backbone.vit.blocks[11].norm1


def test_tiny_backbones_have_no_imagenet_classifier() -> None:
    with pytest.raises(ValueError, match="no ImageNet classifier 'tiny_cnn'; choose one of resnet18"):
        backbones.imagenet_classifier("tiny_cnn")


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="no shared weights on this machine")
def test_real_mobilenet_weights_load_strictly_and_know_a_cat() -> None:
    from skimage import data

    with pytest.warns(UserWarning, match="folded"):
        backbones.backbone("mobilenet_v2", weights=SHARED / "weights")
    classifier = backbones.imagenet_classifier("mobilenet_v2", weights=SHARED / "weights")
    image = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        best = classifier(image).argmax(1)
    assert classifier.categories[int(best)] in {"tabby", "tiger cat", "Egyptian cat", "Persian cat"}
