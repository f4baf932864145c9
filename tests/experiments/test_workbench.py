"""The workbench: the same calls on critters and on photographs, told apart by parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wsss_lib.backbones import backbone
from wsss_lib.data import splits
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.experiments.workbench import COUNTS, Lab


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSS_CACHE", "")


def test_critters_from_labels_to_an_honest_row() -> None:
    lab = Lab(profile="smoke", seed=3, world=World(size=48))
    assert (len(lab.train_on), len(lab.choose_on)) == COUNTS["smoke"]
    assert lab.world.seed == 3
    cam = lab.classifier()
    before = cam.head.weight.detach().clone()
    lab.fit(cam)
    assert not torch.equal(before, cam.head.weight)
    row = lab.scores(cam)
    assert 0 < row["iou"] < 1
    assert row["choose"] != row["split"]
    assert lab.examples(3)["images"].shape == (3, 3, 48, 48)


def test_the_seed_decides_the_head_and_the_world() -> None:
    first, same, other = (Lab(profile="smoke", seed=s, world=World(size=32)) for s in (0, 0, 1))
    assert torch.equal(first.classifier().head.weight, same.classifier().head.weight)
    assert not torch.equal(first.classifier().head.weight, other.classifier().head.weight)
    assert first.report_on.fingerprint == same.report_on.fingerprint != other.report_on.fingerprint


def test_a_turned_dial_keeps_everything_else() -> None:
    lab = Lab(profile="smoke", world=World(size=32))
    turned = lab.split("test", clutter=0.0)
    assert torch.equal(turned.labels, lab.report_on.labels)
    assert turned.fingerprint != lab.report_on.fingerprint


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Critters in the guise of photographs: Parquet files with VOC's columns, and a backbone's weights."""
    for file, count in (("train", 13), ("val", 4), ("aug-0", 5), ("aug-1", 4)):
        drawn = Critters(World(size=40, species=("fenn", "lopi")), file.replace("-", ""), count).to_datasets()
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(tmp_path / f"{file}.parquet"))
    torch.manual_seed(0)
    net = backbone("mobilenet_v2")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "mobilenet_v2.safetensors")
    return tmp_path


def test_photographs_through_the_same_door(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    lab = Lab("smoke", data=str(photographs), backbone=str(photographs / "mobilenet_v2.safetensors"), device="cpu")
    assert not lab.drawn
    assert (len(lab.train_on), len(lab.choose_on), len(lab.report_on)) == (9, 12, 4), "trained on aug, cut to 12"
    cam = lab.classifier()
    frozen = {k: v.clone() for k, v in cam.backbone.state_dict().items()}
    lab.fit(cam, batch_size=5)
    assert all(torch.equal(v, frozen[k]) for k, v in cam.backbone.state_dict().items()), "only the head is trained"
    row = lab.scores(cam)
    assert row["choose"].endswith("/train")
    assert row["split"].endswith("/val")
    several = lab.scores(cam, scales=(1.0, 0.5), flip=True)
    assert several["miou"] != row["miou"]


def test_a_folder_of_ones_own_classes_and_splits(tmp_path: Path) -> None:
    for file, count in (("train", 6), ("test", 3)):
        drawn = Critters(World(size=40, species=("fenn", "lopi")), file, count).to_datasets()
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(tmp_path / f"{file}.parquet"))
    lab = Lab("smoke", data=str(tmp_path), device="cpu")
    assert lab.classes == ("fenn", "lopi")
    assert [(r.split, len(r)) for r in (lab.train_on, lab.choose_on, lab.report_on)] == [
        ("train", 6), ("train", 6), ("test", 3),
    ]  # fmt: skip
    assert splits(tmp_path) == ("test", "train")
    assert splits("voc2012") == ("train", "val", "aug")


class Other(nn.Module):
    """A method of another kind, with a setting."""

    def __init__(self, backbone: nn.Module, classes: int, scale: float) -> None:
        super().__init__()
        self.backbone, self.scale = backbone, scale
        self.new = nn.Linear(backbone.channels[backbone.stages[-1]], classes)  # type: ignore[index, call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.new(next(iter(self.backbone(images).values())).mean((2, 3))) * self.scale

    def losses(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.binary_cross_entropy_with_logits(self(batch["images"]), batch["labels"])}

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        body = [p for p in self.backbone.parameters() if p.requires_grad]
        return [{"name": "head", "params": list(self.new.parameters())}, {"params": body, "lr": lr}]


@pytest.mark.parametrize("fine_tune", [False, True])
def test_photographs_train_the_backbone_only_where_it_is_said(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, fine_tune: bool
) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    weights = str(photographs / "mobilenet_v2.safetensors")
    lab = Lab("smoke", str(photographs), weights, device="cpu", fine_tune=fine_tune, side=64)
    other = lab.build(Other, 0.5)
    assert other.scale == 0.5
    assert torch.equal(other.new.weight, lab.build(Other, 0.5).new.weight), "the seed decides fresh weights"
    assert other.backbone.strides["final"] == (16 if fine_tune else 32)
    assert lab.build(Other, 0.5, output_stride=8).backbone.strides["final"] == 8
    before = {k: v.clone() for k, v in other.backbone.state_dict().items()}
    config = lab.recipe()
    lab.fit(other, batch_size=3)
    moved = {k for k, v in other.backbone.state_dict().items() if not torch.equal(v, before[k])}
    assert bool(moved) == fine_tune
    norms = {n for n, m in other.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert not any(k.rsplit(".", 1)[0] in norms for k in moved), "batch norm stays frozen"
    assert (config.head_lr > 1) == fine_tune
    assert lab.examples(2)["images"].shape[-2:] == (64, 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"profile": "fast"}, "profile is 'fast'"), ({"backbone": "resnet19"}, "backbone is 'resnet19'")],
)
def test_mistakes_are_named(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Lab(**options)  # type: ignore[arg-type]
