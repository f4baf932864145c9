"""Pretraining: where the transformer starts, what it is asked, what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import NURSERY, SPECIES, Critters, World
from wsss_lib.experiments import pretrain
from wsss_lib.methods import CAM


def test_no_chapter_uses_the_nursery() -> None:
    assert not set(NURSERY) & set(SPECIES)
    assert pretrain.NURSERY_WORLD.species == NURSERY


def test_the_transformer_starts_from_the_shipped_convolutions_and_is_asked_twice() -> None:
    method, recipe = pretrain.learner("tiny_vit")
    assert isinstance(method, pretrain.TwoQuestions)
    assert recipe.optimiser == "adamw"
    cnn = backbone("tiny_cnn", weights="shipped")
    for convolution, stage in zip(method.backbone.vit.patch_embed.proj, pretrain.vit.STEM, strict=False):
        theirs = cnn.get_submodule(f"blocks.{stage}").state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in convolution.state_dict().items())

    method.eval()
    batch = {"images": torch.rand(3, 3, 32, 32), "labels": F.one_hot(torch.tensor([0, 5, 23]), 24).float()}
    tokens = method.backbone.tokens(batch["images"])
    one, other = method.from_class(tokens[:, 0]), method.from_patches(tokens[:, 1:].mean(1))
    target = batch["labels"].argmax(1)
    terms = method.losses(batch)
    torch.testing.assert_close(terms["class"], F.cross_entropy(one, target))
    torch.testing.assert_close(terms["patches"], F.cross_entropy(other, target))
    torch.testing.assert_close(method(batch["images"]), one)


def test_the_other_backbone_is_trained_as_a_cam() -> None:
    method, recipe = pretrain.learner("tiny_cnn")
    assert isinstance(method, CAM)
    assert method.config.loss == "softmax"
    assert (recipe.epochs, recipe.lr, recipe.warmup) == (12, 3e-3, 200)


@pytest.mark.parametrize("name", ["tiny_cnn", "tiny_vit"])
def test_what_is_written_is_the_backbone_alone_and_loads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSSS_CACHE", "")
    monkeypatch.setattr(pretrain, "NURSERY_WORLD", World(species=NURSERY, size=32))
    monkeypatch.setattr(pretrain, "Critters", lambda world, split, count, cache: Critters(world, split, min(count, 50)))
    out = tmp_path / f"{name}.safetensors"
    accuracy = pretrain.pretrain(name, out, count=40, epochs=1)
    assert 0 <= accuracy <= 1
    with safe_open(out, "pt") as stored:
        assert stored.metadata()["accuracy"] == f"{accuracy:.4f}"
        assert set(stored.keys()) == set(backbone(name).state_dict())
    assert not list(tmp_path.glob("*.partial"))
    backbone(name, weights=out)


def test_the_shipped_transformer_is_small_and_learnt_something() -> None:
    path = pretrain.SHIPPED / "tiny_vit.safetensors"
    assert path.stat().st_size < 2e6
    with safe_open(path, "pt") as stored:
        assert float(stored.metadata()["accuracy"]) > 0.9
        assert stored.metadata()["world"] == repr(pretrain.NURSERY_WORLD)
    net = backbone("tiny_vit", weights="shipped").eval()
    records = Critters(World(species=NURSERY), "test", 24)
    images = records.batch(range(24))["images"]
    with torch.no_grad():
        tokens = net.tokens(images)
    assert tokens.isfinite().all()
    # Class tokens of different images differ by much more than those of an image and its mirror.
    with torch.no_grad():
        mirrored = net.tokens(images.flip(3))[:, 0]
    same = F.cosine_similarity(tokens[:, 0], mirrored).mean()
    other = F.cosine_similarity(tokens[:, 0], mirrored.roll(1, 0)).mean()
    assert same > other + 0.2
