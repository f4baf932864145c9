"""A transformer behind a convolutional stem: its tokens are the stem's features, and its stem can be frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from wsss_lib import backbones
from wsss_lib.backbones import HybridBackbone, hybrid_vit, tiny_cnn
from wsss_lib.experiments.networks import behind_trunk, freeze_trunk
from wsss_lib.methods import SAT, TSCAM, SATConfig

LITE0 = "tf_efficientnet_lite0"


def small(seed: int = 0) -> HybridBackbone:
    torch.manual_seed(seed)
    return hybrid_vit(tiny_cnn(), "stage3", dim=16, depth=2, heads=2, image_size=32).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_token_is_a_cell_of_the_stem(images: Tensor) -> None:
    net, cnn = small(), tiny_cnn().eval()
    for stage in ("stage1", "stage2", "stage3"):
        cnn.blocks[stage].load_state_dict(net.stem.blocks[stage].state_dict())
    features = cnn(images, ("stage3",))["stage3"]  # (2, 40, 6, 8), the network's own mean and deviation
    project = net.stem.blocks["tokens"][0]  # type: ignore[index]
    tokens = torch.einsum("nchw,dc->nhwd", features, project.weight[:, :, 0, 0]) + project.bias
    sequence, size = net.embed(net.normalise(images))
    still, _ = small().embed(images * 0)  # positions of this grid stand in both
    assert size == net.size_of(images) == (6, 8)
    assert net.patch == 4
    nothing = torch.einsum("nchw,dc->nhwd", cnn(images * 0, ("stage3",))["stage3"], project.weight[:, :, 0, 0])
    expected = tokens - nothing - project.bias
    torch.testing.assert_close((sequence - still)[:, 1:], expected.flatten(1, 2), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_features_of_a_frozen_stem_stand_in_for_images(images: Tensor) -> None:
    net = small()
    net.stem.freeze("stage3")
    features = net.stem(images, ("stage3",))["stage3"]
    for method in (SAT(net, 3, SATConfig(blocks=2)).eval(), TSCAM(net, 3).eval()):
        seen, read = method.predict(images), method.predict(features)
        torch.testing.assert_close(seen.maps, read.maps)
        torch.testing.assert_close(seen.logits, read.logits)
    assert net.size_of(features) == (6, 8)
    torch.testing.assert_close(net.class_attention(features), net.class_attention(images))


def test_a_method_is_trained_behind_the_whole_stem(photographs_small: object) -> None:
    method = TSCAM(small(), 2)
    freeze_trunk(method.backbone, True)
    assert method.backbone.stem.trunk == ("stage1", "stage2", "stage3")  # type: ignore[union-attr]
    held = behind_trunk(method, photographs_small, 32)  # type: ignore[arg-type]
    assert held is not None
    views = held[0]["views"]
    assert views.shape == (2, 40, 8, 8)
    loss = sum(method.losses({"images": views, "labels": torch.eye(2)}).values())
    loss.backward()  # type: ignore[union-attr]
    learns = {name for name, value in method.named_parameters() if value.grad is not None}
    assert not any(name.startswith("backbone.stem.blocks.stage") for name in learns)
    assert {"backbone.stem.blocks.tokens.0.weight", "backbone.vit.blocks.1.attn.qkv.weight", "head.weight"} <= learns


@pytest.fixture
def photographs_small(monkeypatch: pytest.MonkeyPatch) -> object:
    from wsss_lib.data.worlds.critters import Critters, World

    monkeypatch.setenv("WSSS_CACHE", "")
    return Critters(World(size=32), "train", 3)


def test_a_frozen_stage_may_be_an_earlier_one() -> None:
    net = small()
    freeze_trunk(net, "stage1")
    assert net.stem.trunk == ("stage1",)


def test_by_its_name_the_stem_has_the_weights_and_comes_back(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(1)
    net = backbones.backbone("hybrid_vit", dim=32, depth=2, frozen_bn=True).eval()
    assert isinstance(net, HybridBackbone)
    assert net.stem.stages == ("stage1", "stage2", "stage3", "stage4", "stage5", "tokens")
    assert net.patch == 16
    assert set(net.stages) == {"block1", "block2", "norm"}
    save_file(net.state_dict(), tmp_path / "hybrid_vit.safetensors")
    again = backbones.backbone("hybrid_vit", weights=tmp_path, dim=32, depth=2, frozen_bn=True).eval()
    torch.testing.assert_close(net(images[..., :16, :])["norm"], again(images[..., :16, :])["norm"])
    other = backbones.backbone("hybrid_vit", stem="resnet18", output_stride=32, dim=32, depth=1)
    assert isinstance(other, HybridBackbone)
    assert other.patch == 32
    assert other.stem.stages[-2:] == ("layer4", "tokens")


def test_published_weights_are_the_stems(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, object]] = []
    state = {key: value + 1 for key, value in backbones.backbone(LITE0).state_dict().items()}

    def read(name: str, weights: object) -> dict[str, Tensor]:
        given.append((name, weights))
        return state

    monkeypatch.setattr(backbones.weight_files, "read", read)
    torch.manual_seed(0)
    net = backbones.backbone("hybrid_vit", weights="published", dim=32, depth=1, frozen_bn=True)
    assert given == [(LITE0, "published")]
    assert isinstance(net, HybridBackbone)
    for key, value in net.stem.blocks["stage5"].state_dict().items():
        torch.testing.assert_close(value, state[f"blocks.stage5.{key}"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 90}, "multiple of 4 and of 4"),
        ({"image_size": 100}, "not a multiple of 16 px"),
        ({"stage": "stage9"}, "no stage 'stage9'; its stages are stage1"),
        ({"stem": "deit_tiny"}, "no stages of convolutions"),
        ({"patch": 8}, "hybrid_vit has no option 'patch'"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbones.backbone("hybrid_vit", **options)  # type: ignore[arg-type]
