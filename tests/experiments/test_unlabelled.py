"""The network that is trained without labels: what it is asked, that labels do not matter, what is written."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from wsss_lib.backbones import backbone
from wsss_lib.backbones.weights import SHIPPED
from wsss_lib.data.worlds.critters import NURSERY, Critters, World
from wsss_lib.experiments import unlabelled
from wsss_lib.experiments.unlabelled import Neighbours, jittered, recognised, taken


def small() -> Neighbours:
    torch.manual_seed(0)
    return Neighbours(backbone("tiny_cnn", widths=(4, 6, 8, 10)), dim=6, places=5)


def test_no_label_is_read() -> None:
    method, images = small(), torch.rand(3, 3, 33, 40)
    losses = []
    for batch in ({"images": images}, {"images": images, "labels": torch.ones(3, 24)}):
        torch.manual_seed(3)
        losses.append(method.losses(batch)["neighbours"])
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(p.grad is not None for p in method.parameters())
    assert method.needs == ("images",)


def test_places_that_know_themselves_cost_little_and_equal_ones_the_logarithm() -> None:
    method = small()
    plane = torch.eye(6)[None, :, :, None].expand(1, 6, 6, 1)
    assert torch.equal(taken(plane, torch.tensor([[4, 1]]), torch.tensor([[0, 0]])), torch.eye(6)[[4, 1]])
    method.planes = lambda images: torch.ones(len(images), 6, 4, 4) / 6**0.5  # type: ignore[method-assign]
    alike = float(method.losses({"images": torch.rand(2, 3, 16, 16)})["neighbours"])
    assert alike == pytest.approx(torch.tensor(2.0 * 5).log().item(), abs=1e-4)


def test_views_stay_in_range_and_differ() -> None:
    images = torch.rand(4, 3, 8, 8)
    one, two = jittered(images), jittered(images)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1
    assert not torch.equal(one, two)
    assert not torch.equal(one - images, (one - images)[:1].expand(4, 3, 8, 8)), "each image has its own"


def test_what_is_written_is_the_backbone_alone_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSSS_CACHE", "")
    monkeypatch.setattr(unlabelled, "UNLABELLED_WORLD", World(species=NURSERY, size=32))
    score = unlabelled.pretrain(tmp_path / "net.safetensors", count=48, epochs=1)
    with safe_open(tmp_path / "net.safetensors", "pt") as stored:
        assert stored.metadata()["recognised"] == f"{score:.4f}"
        assert set(stored.keys()) == set(backbone("tiny_cnn").state_dict())
    backbone("tiny_cnn", weights=tmp_path / "net.safetensors")


def test_the_shipped_one_is_small_and_knows_places_better_than_a_random_one() -> None:
    path = SHIPPED / f"{unlabelled.NAME}.safetensors"
    assert path.stat().st_size < 1e6
    with safe_open(path, "pt") as stored:
        assert stored.metadata()["world"] == repr(unlabelled.UNLABELLED_WORLD)
    images = Critters(World(species=NURSERY), "test", 8).batch(range(8))["images"]
    scores = []
    for weights in ("unlabelled", None):
        torch.manual_seed(0)
        method = Neighbours(backbone("tiny_cnn", weights=weights))
        method.head = torch.nn.Identity()  # type: ignore[assignment]
        scores.append(recognised(method, images))
    assert scores[0] > scores[1]
