"""The workbench: the same calls on critters and on photographs, told apart by parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from wsss_lib.backbones import backbone
from wsss_lib.data import splits
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.experiments import recipes
from wsss_lib.experiments.networks import freeze_trunks
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.cam import CAM
from wsss_lib.methods.registry import Entry
from wsss_lib.segment import MARS, MARSConfig, Provenance, PseudoLabels, Segmenter, SegmenterConfig


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSS_CACHE", "")


def test_critters_from_labels_to_an_honest_row() -> None:
    lab = Workbench(profile="smoke", seed=3, world=World(size=48))
    assert (len(lab.train_on), len(lab.choose_on)) == (PROFILES["smoke"].train, PROFILES["smoke"].rest)
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
    first, same, other = (Workbench(profile="smoke", seed=s, world=World(size=32)) for s in (0, 0, 1))
    assert torch.equal(first.classifier().head.weight, same.classifier().head.weight)
    assert not torch.equal(first.classifier().head.weight, other.classifier().head.weight)
    assert first.report_on.fingerprint == same.report_on.fingerprint != other.report_on.fingerprint


def test_a_method_is_built_by_its_name() -> None:
    lab = Workbench(profile="smoke", world=World(size=32))
    assert torch.equal(lab.build("cam").head.weight, lab.classifier().head.weight)
    with pytest.raises(ValueError, match=r"there is no method 'cams'.*did you mean 'cam'"):
        lab.build("cams")


def test_superpixels_are_added_once_where_losses_need_them() -> None:
    lab = Workbench(profile="smoke", world=World(size=32))
    lab.limit("train", most=32)
    needed = ("images", "superpixels")
    records = lab.with_fields(lab.train_on, needed)
    assert records[3]["superpixels"].shape == (32, 32)
    assert lab.with_fields(lab.train_on, needed) is records
    assert lab.with_fields(records, needed) is records
    assert lab.with_fields(lab.train_on, ("images", "labels")) is lab.train_on
    assert lab.with_fields(lab.choose_on, needed).fingerprint != records.fingerprint
    method = lab.build("ssc")
    before = method.decoder.leave.weight.detach().clone()
    lab.fit(method, steps=2, epochs=None, batch_size=16)
    assert not torch.equal(before, method.decoder.leave.weight)


def test_records_are_limited_by_split() -> None:
    lab = Workbench(profile="smoke", world=World(size=32))
    labels = lab.choose_on.labels
    assert torch.equal(lab.limit("choose", every=3, most=5).labels, labels[:15:3])
    assert (len(lab.train_on), len(lab.choose_on), len(lab.report_on)) == (160, 5, 60)
    assert len(lab.limit("report", most=10**6)) == 60


def test_the_recipe_is_that_of_data_and_backbone_then_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Workbench(profile="book", world=World(size=32), seed=2)
    cam = lab.classifier()
    assert lab.recipe() == lab.recipe(cam)
    assert (lab.recipe().epochs, lab.recipe().seed) == (recipes.DRAWN.epochs, 2)
    assert Workbench(profile="book", backbone="tiny_vit", world=World(size=32)).recipe().lr == recipes.TRANSFORMER.lr
    entry = Entry("cam", "CAM", CAM, None, {"epochs": 9, "clip_norm": 5.0}, 1, "tiny_cnn")
    monkeypatch.setattr(recipes.registry, "entry", lambda name: entry)
    monkeypatch.setattr(recipes.registry, "names", lambda: ("cam",))

    class Derived(CAM):
        pass

    for method in (cam, lab.build(Derived)):
        assert (lab.recipe(method).epochs, lab.recipe(method).clip_norm) == (9, 5.0)
        assert (lab.recipe(method, epochs=3).epochs, lab.recipe(method, epochs=3).clip_norm) == (3, 5.0)
    assert lab.recipe(nn.Linear(1, 1)) == lab.recipe()
    small = Workbench(profile="smoke", world=World(size=32))
    assert small.recipe(cam).epochs == 1, "a profile's passes are no method's to change"
    assert small.recipe(cam, epochs=None, steps=3).steps == 3


@pytest.fixture
def keeping(tmp_path: Path) -> Workbench:
    """A workbench that keeps checkpoints and trains on a dozen images."""
    lab = Workbench(profile="colab", world=World(size=32), out_dir=tmp_path, device="cpu")
    lab.limit("train", most=12)
    return lab


def test_a_run_has_the_folder_of_what_it_is(keeping: Workbench, tmp_path: Path) -> None:
    def folders() -> set[str]:
        return {path.name for path in tmp_path.iterdir()}

    short = {"epochs": 2, "batch_size": 6}
    first = keeping.classifier()
    assert keeping.fit(first, **short).resumed_at == []
    (name,) = folders()
    assert name.startswith("cam-")
    # The cell again, all of it or its last line, in this session or another: the run is complete.
    assert keeping.fit(first, **short).resumed_at == [4]
    assert keeping.fit(keeping.classifier(), **short).resumed_at == [4]
    again = Workbench(profile="colab", world=World(size=32), out_dir=tmp_path, device="cpu")
    again.limit("train", most=12)
    # A fit that is inserted before it changes nothing for it.
    assert again.fit(again.build("bas"), **short).resumed_at == []
    cam = again.classifier()
    assert again.fit(cam, **short).resumed_at == [4]
    assert torch.equal(cam.head.weight, first.head.weight)
    assert len(folders()) == 2
    # Other first weights, settings or data make another run.
    with torch.no_grad():
        other = again.classifier()
        other.head.weight.add_(1)
    assert again.fit(other, **short).resumed_at == []
    assert again.fit(again.classifier(), **short | {"lr": 0.1}).resumed_at == []
    again.limit("train", most=11)
    assert again.fit(again.classifier(), **short).resumed_at == []
    assert len(folders()) == 5
    # What is trained on from other settings is a run of its own, also in another session.
    assert again.fit(cam, **short).resumed_at == []
    assert len(folders()) == 6


def test_a_run_that_was_cut_off_is_taken_up_by_the_same_object(keeping: Workbench) -> None:
    whole, broken = keeping.classifier(), keeping.classifier()
    keeping.out_dir = keeping.out_dir / "whole"
    short = {"epochs": 3, "batch_size": 6}
    expected = keeping.fit(whole, **short)
    keeping.out_dir = keeping.out_dir.parent / "broken"
    losses, calls = type(broken).losses, []

    def interrupted(self: CAM, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return losses(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(broken), "losses", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keeping.fit(broken, **short)
    history = keeping.fit(broken, **short)
    assert (history.resumed_at, history.loss) == ([2], expected.loss)
    assert torch.equal(broken.head.weight, whole.head.weight)


def test_a_turned_dial_keeps_everything_else() -> None:
    lab = Workbench(profile="smoke", world=World(size=32))
    turned = lab.split("test", clutter=0.0)
    assert torch.equal(turned.labels, lab.report_on.labels)
    assert turned.fingerprint != lab.report_on.fingerprint


def test_photographs_through_the_same_door(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    lab = Workbench(
        "smoke", data=str(photographs), backbone=str(photographs / "mobilenet_v2.safetensors"), device="cpu"
    )
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
    lab = Workbench("smoke", data=str(tmp_path), device="cpu")
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
    lab = Workbench("smoke", str(photographs), weights, device="cpu", fine_tune=fine_tune, side=64)
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


def test_training_on_photographs_starts_behind_a_trunk(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights = str(photographs / "mobilenet_v2.safetensors")

    def trained(trunk: str | None, seed: int = 0) -> nn.Module:
        lab = Workbench("smoke", str(photographs), weights, seed, "cpu", fine_tune=True, side=64, trunk=trunk)
        method = lab.build(Other, 0.5)
        if trunk is None:
            method.backbone.freeze("stage3")
        lab.fit(method, batch_size=3)
        return method

    through, behind = trained(None), trained("stage3")
    for name, value in through.state_dict().items():
        torch.testing.assert_close(behind.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    fresh = backbone("mobilenet_v2", weights=weights, frozen_bn=True).state_dict()
    moved = {k.split(".")[1] for k, v in behind.backbone.state_dict().items() if not torch.equal(v, fresh[k])}
    assert moved == {"stage4", "stage5", "final"}
    files = {path: path.stat().st_mtime_ns for path in (photographs / "cache").rglob("*.npy")}
    assert len(files) == 2, "nine images in two views"
    trained("stage3", seed=1)
    assert {path: path.stat().st_mtime_ns for path in (photographs / "cache").rglob("*.npy")} == files


def test_the_trunk_ends_where_the_grid_is_as_fine_as_the_deepest(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    weights = str(photographs / "mobilenet_v2.safetensors")

    def trunk(name: str, **options: object) -> str:
        lab = Workbench("smoke", str(photographs), name, device="cpu", trunk=True, **options)  # type: ignore[arg-type]
        return lab.build("cam").backbone.trunk[-1:]

    assert trunk(weights, fine_tune=True) == ("stage4",), "stages 4, 5 and final have a stride of 16"
    assert trunk("tiny_cnn") == (), "it knows critters only, so all of it is to learn"


@pytest.mark.parametrize("name", ["bas", "esol", "seam", "ssc"])
def test_a_few_photographs_are_enough_for_every_phase_of_a_method(
    name: str, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    weights = str(photographs / "mobilenet_v2.safetensors")
    lab = Workbench("smoke", str(photographs), weights, device="cpu", fine_tune=True, side=64, trunk=True)
    assert len(lab.fit(lab.build(name))) == 5, "nine images, two at a time"


def test_another_seed_trains_on_the_same_photographs_and_keeps_what_it_trained(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights, out = str(photographs / "mobilenet_v2.safetensors"), tmp_path / "out"
    lab = Workbench("book", str(photographs), weights, device="cpu", fine_tune=True, side=64, trunk=True, out_dir=out)
    lab.limit("train", most=4)
    other = lab.seeded(1)
    assert (other.seed, lab.seed, other.train_on) == (1, 0, lab.train_on)
    nets = [bench.build("cam") for bench in (lab, other, other)]
    assert not torch.equal(nets[0].head.weight, nets[1].head.weight)
    assert torch.equal(nets[1].head.weight, nets[2].head.weight)
    histories = [bench.fit(net, epochs=1) for bench, net in zip((lab, other, other), nets, strict=True)]
    assert len(list(out.glob("cam-*"))) == 2
    assert histories[2].resumed_at, "the third is the second, which was complete"
    with pytest.raises(ValueError, match="critters is drawn from the seed: make another Workbench with seed=1"):
        Workbench("smoke").seeded(1)


@pytest.mark.parametrize("teacher", [False, True])
def test_a_network_learns_masks_behind_the_trunk(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, teacher: bool
) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setattr("wsss_lib.experiments.workbench.MASK_STRIDE", 1)  # masks as fine as those of the images
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights, finest = str(photographs / "mobilenet_v2.safetensors"), {"width": 8, "dilations": (1,), "shallow": ""}

    def trained(trunk: str | None, broken: bool = False) -> nn.Module:
        lab = Workbench("smoke", str(photographs), weights, 0, "cpu", fine_tune=True, side=64, trunk=trunk)
        if teacher:
            network: nn.Module = lab.build(MARS, MARSConfig(momentum=0.5, **finest))  # type: ignore[arg-type]
        else:
            network = lab.build(Segmenter, SegmenterConfig(**finest))  # type: ignore[arg-type]
        if trunk is None:
            freeze_trunks(network, "stage3")
        masks = [lab.train_on[i]["mask"].clone() for i in range(len(lab.train_on))]
        for mask in masks:
            mask[:10] = 255
        if broken:  # only who looks up the features does not notice
            for name, net in network.named_modules():
                if name.endswith("blocks.stage3"):
                    monkeypatch.setattr(net, "forward", lambda x: x * torch.nan)
        lab.fit(network, PseudoLabels(lab.train_on, masks, Provenance("cam", "none", 0)), batch_size=3)
        return network

    through, behind = trained(None), trained("stage3")
    for name, value in through.state_dict().items():
        torch.testing.assert_close(behind.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    again = trained("stage3", broken=True)
    assert all(torch.equal(value, behind.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_measured_network_computes_its_trunk_once(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights = str(photographs / "mobilenet_v2.safetensors")
    lab = Workbench("smoke", str(photographs), weights, 0, "cpu", fine_tune=True, side=64, trunk="stage3")
    network = lab.build(Segmenter, SegmenterConfig(width=8, dilations=(1,), shallow=""))
    first = lab.measure(network).numbers({})
    monkeypatch.setattr(network.backbone.blocks["stage3"], "forward", lambda x: x * torch.nan)
    assert lab.measure(network).numbers({}) == first


def test_measuring_computes_a_trunk_once(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights = str(photographs / "mobilenet_v2.safetensors")

    def scores(trunk: str | None, broken: bool = False, name: str = "cam") -> dict[str, Any]:
        lab = Workbench("smoke", str(photographs), weights, 0, "cpu", fine_tune=True, side=64, trunk=trunk)
        method = lab.classifier()
        if broken:  # only who looks up the features does not notice
            monkeypatch.setattr(method.backbone.blocks["stage3"], "forward", lambda x: x * torch.nan)
        return lab.scores(method if name == "cam" else registry.explain(name, method))

    plain, first, again = scores(None), scores("stage3"), scores("stage3", broken=True)
    assert first == again
    assert {k: pytest.approx(v, abs=1e-3) for k, v in plain.items() if isinstance(v, float)} == {
        k: v for k, v in first.items() if isinstance(v, float)
    }
    for name in ("gradcam++", "eigencam"):  # the trunk lies in the classifier that they explain
        assert scores("stage3", name=name) == scores("stage3", broken=True, name=name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "fast"}, "profile is 'fast', expected one of smoke, book, colab, paper"),
        ({"backbone": "resnet19"}, "backbone is 'resnet19'"),
        ({"seed": -1}, "seed is -1, expected a whole number from 0"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"seed": "7"}, "seed is '7'"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Workbench(**options)  # type: ignore[arg-type]
