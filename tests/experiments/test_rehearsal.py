"""Five small systems that are built as coming chapters will be: the contracts bear them without a change.

A warm-up with a field of its own, three phases with an ascent, a teacher on masks, sentences and proposals, points and
boxes in 3D: each enters the registry, is trained by the one loop on a workbench, resumed, and measured by its task.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib import metrics
from wsss_lib.data.fields import FIELDS, Field, register_field
from wsss_lib.data.records import Batch, Records, Sample
from wsss_lib.data.worlds import drawn
from wsss_lib.data.worlds.critters import World
from wsss_lib.evaluate import measure_masks
from wsss_lib.experiments import Workbench, profiles
from wsss_lib.localize import localize_images
from wsss_lib.methods import CAM, Learner, Phase, Prediction, Progress, registry
from wsss_lib.methods.losses import multilabel_soft_margin

SIDE = 32


class Warmed(CAM):
    """Maps that are to be even within regions, once the classifier knows something; a decoder with its own rate."""

    needs = ("images", "labels", "regions")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.decoder = nn.Conv2d(self.num_classes or 0, 3, 1)
        self.register_buffer("weight", torch.zeros(()))

    def rates(self) -> dict[str, Any]:
        return {"decoder": ((self.decoder,), 0.5)}

    def before_step(self, progress: Progress) -> None:
        self.weight.fill_(float(progress.step >= progress.steps // 2))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        images, labels = self.supervision(batch)
        maps, logits = self.predict(images)
        regions = batch["regions"][:, None].float()  # type: ignore[typeddict-item]
        inside = F.interpolate(regions, maps.shape[2:])
        even = (maps * inside).sum((2, 3)) / inside.sum((2, 3)).clamp(min=1)
        spread = ((maps - even[..., None, None]) * inside).square().mean()
        image = F.interpolate(images, maps.shape[2:], mode="area")
        return {
            "classification": multilabel_soft_margin(logits, labels),
            "even": self.weight * spread,
            "redrawn": (self.decoder(maps) - image).abs().mean(),
        }


class Phased(CAM):
    """Learns; then moves its sampling uphill; then downhill under a price, the classifier as it is."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first, self.second = (nn.Conv2d(3, 1, 3, padding=1) for _ in range(2))
        self.register_buffer("phase_number", torch.zeros((), dtype=torch.int64))

    def rates(self) -> dict[str, Any]:
        return {"expansion": ((self.first,), 1.0), "shrinkage": ((self.second,), 1.0)}

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("classify", 0.6, trains=("backbone", "head")),
            Phase("expand", 0.2, trains=("expansion",), maximises=True, lr=0.1),
            Phase("shrink", 0.2, trains=("shrinkage",)),
        )

    def before_step(self, progress: Progress) -> None:
        self.phase_number.fill_(("classify", "expand", "shrink").index(progress.phase))

    def predict(self, images: Tensor) -> Prediction:
        gates = [1 + 0.1 * part(images).tanh() for part in (self.first, self.second)]
        return super().predict((images * gates[0] * gates[1]).clamp(0, 1))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        images, labels = self.supervision(batch)
        maps, logits = self.predict(images)
        area = (self.phase_number == 2) * maps.relu().mean()
        return {"classification": multilabel_soft_margin(logits, labels), "area": area}


class Taught(CAM):
    """A segmentation network that learns from masks, with the moving average of itself as a teacher."""

    needs = ("images", "masks")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.teacher = copy.deepcopy(self.head).requires_grad_(False)

    def after_step(self, progress: Progress) -> None:
        for average, new in zip(self.teacher.parameters(), self.head.parameters(), strict=True):
            average.lerp_(new, 0.1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        maps = self.predict(batch["images"]).maps
        masks = F.interpolate(batch["masks"][:, None].float(), maps.shape[2:])[:, 0].long()
        pixels = F.cross_entropy(self.scores(maps), masks, ignore_index=255)
        return {"pixels": pixels, "agree": (self.head.weight - self.teacher.weight).square().mean()}

    @staticmethod
    def scores(maps: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(maps[:, :1]), maps], dim=1)  # (N, K + 1, h, w), background first

    def segment(self, batch: Batch) -> Tensor:
        images = batch["images"]
        scores = F.interpolate(self.scores(self.predict(images).maps), images.shape[2:], mode="bilinear")
        return scores.argmax(1)


class Grounded(Learner):
    """Which of an image's proposals a sentence means, from the colour that it names."""

    task = "grounding"
    needs = ("images", "sentences", "proposals", "sentence_boxes")

    def __init__(self, backbone: Any, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
        self.words = nn.Embedding(2, 3)

    def match(self, batch: Any) -> list[Tensor]:
        matches = []
        for image, boxes, sentences in zip(batch["images"], batch["proposals"], batch["sentences"], strict=True):
            cut = [image[:, y0:y1, x0:x1].mean((1, 2)) for x0, y0, x1, y1 in boxes.long().tolist()]
            words = self.words(torch.tensor([int("blue" in s) for s in sentences], device=image.device))
            matches.append(words @ torch.stack(cut).T)  # (Q, P)
        return matches

    def losses(self, batch: Any) -> dict[str, Tensor]:
        right = [
            (boxes[None] == truth[:, None]).all(2).long().argmax(1)
            for boxes, truth in zip(batch["proposals"], batch["sentence_boxes"], strict=True)
        ]
        return {"match": F.cross_entropy(torch.cat(self.match(batch)), torch.cat(right))}

    def answer(self, batch: Any) -> list[Tensor]:
        matches = self.match(batch)
        return [boxes[match.argmax(1)] for boxes, match in zip(batch["proposals"], matches, strict=True)]


class Detecting(Learner):
    """One box a scene, at the mean of its points, of a size that is learnt."""

    task = "boxes3d"
    needs = ("points", "boxes3d")

    def __init__(self, backbone: Any, num_classes: int) -> None:
        super().__init__(num_classes=num_classes)
        self.size = nn.Parameter(torch.zeros(4))

    def boxes(self, points: Sequence[Tensor]) -> Tensor:
        centres = torch.stack([scene[:, :3].mean(0) for scene in points])
        return torch.cat([centres, self.size.expand(len(centres), 4)], dim=1)  # (N, 7)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        truth = torch.cat(batch["boxes3d"])
        return {"size": (self.boxes(batch["points"]) - truth)[:, 3:].abs().mean()}

    def answer(self, batch: Batch) -> list[metrics.Boxes3D]:
        one = torch.ones(1)
        return [
            metrics.Boxes3D(box[None], torch.zeros(1, dtype=torch.int64), one) for box in self.boxes(batch["points"])
        ]


@dataclass(frozen=True)
class Dials:
    """Of both toy worlds."""

    seed: int = 0
    shift: float = 0.0


class Sentences(Records):
    """A red and a blue square, a sentence about each."""

    def __init__(self, dials: Dials, split: str, count: int | None) -> None:
        self.name, self.split, self.classes, self.count = "sentences", split, ("square",), count or 8
        self.fingerprint, self.image_size = f"{dials}-{split}-{self.count}", (SIDE, SIDE)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        image, left = torch.zeros(3, SIDE, SIDE), index % 2 * 16
        boxes = torch.tensor([[left, 0, left + 8, 8], [16 - left, 16, 24 - left, 24]]).float()
        for (x0, y0, x1, y1), channel in zip(boxes.long().tolist(), (0, 2), strict=True):
            image[channel, y0:y1, x0:x1] = 1
        said = {"sentences": ["the red square", "the blue square"], "sentence_boxes": boxes}
        return {"image": image, "labels": torch.ones(1), "id": str(index), "proposals": boxes.flip(0), **said}


class Scenes(Records):
    """One cloud of points a scene, in a box; no image."""

    def __init__(self, dials: Dials, split: str, count: int | None) -> None:
        self.name, self.split, self.classes, self.count = "scenes", split, ("car",), count or 8
        self.fingerprint = f"{dials}-{split}-{self.count}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        around = torch.tensor([[1.0, 1, 1], [-1, -1, -1]])
        centre = torch.tensor([float(index), 2.0, 0.5])
        box = torch.cat([centre, torch.tensor([4.0, 2.0, 1.5, 0.0])])[None]
        return {"points": centre + around, "boxes3d": box, "box3d_labels": torch.zeros(1, dtype=torch.int64)}


class Regions(Records):
    """Drawn images with a field more: the left half."""

    def __init__(self, records: Records) -> None:
        self.records, self.image_size = records, records.image_size
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.fingerprint = f"regions of {records.fingerprint}"

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Any:
        sample = self.records[index]
        regions = torch.zeros_like(sample["mask"])
        regions[:, : regions.shape[1] // 2] = 1
        return {**sample, "regions": regions}


@pytest.fixture(autouse=True)
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The systems, their worlds and fields, for the time of a test."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    for kind in (Warmed, Phased, Taught, Grounded, Detecting):
        registry.register(kind.__name__.lower(), title=kind.__name__, chapter=12, recipe={"lr": 0.01})(kind)
    for name, records, side in (("sentences", Sentences, "mirrored"), ("scenes", Scenes, "points")):
        module = f"{__name__}_{side}"
        monkeypatch.setitem(drawn.WORLDS, name, module)
        world = type(sys)(module)
        world.DRAWN = drawn.DrawnWorld(name, Dials, records, {"train": 8, "val": 8, "test": 8})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module, world)
    monkeypatch.setattr("wsss_lib.data.fields.FIELDS", FIELDS)
    for name, field in {
        "regions": Field("regions", "padded", moves="plane"),
        "proposals": Field("proposals", "listed", moves="boxes"),
    }.items():
        monkeypatch.setitem(FIELDS, name, field)
        register_field(name, field)
    monkeypatch.setitem(
        profiles.PROFILES, "colab", profiles.Profile("colab", 16, 8, 4, 1, True, False, "none", None, None)
    )


def bench(tmp_path: Path, data: str = "critters") -> Workbench:
    world = World(size=SIDE) if data == "critters" else None
    return Workbench("colab", data=data, world=world, device="cpu", out_dir=tmp_path / "runs")


@pytest.mark.parametrize("name", ["warmed", "phased", "taught"])
def test_a_method_of_maps_is_trained_resumed_measured_and_used_on_a_photo(tmp_path: Path, name: str) -> None:
    lab = bench(tmp_path)
    records = Regions(lab.train_on) if name == "warmed" else lab.train_on
    method = lab.build(name)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    history = lab.fit(method, records, batch_size=2)
    assert len(history) == 8
    moved = {key for key, value in method.state_dict().items() if not torch.equal(value, before[key])}
    expected = {"warmed": "decoder.weight", "phased": "first.weight", "taught": "teacher.weight"}[name]
    assert {expected, "head.weight"} <= moved
    if name == "warmed":
        assert [value > 0 for value in history.terms["even"]] == [False] * 4 + [True] * 4
    if name == "phased":
        assert history.phases == {"classify": 5, "expand": 6, "shrink": 8}
        assert int(method.phase_number) == 2
    again = lab.build(name)
    assert lab.fit(again, records, batch_size=2).resumed_at == [8]
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in method.state_dict().items())
    assert 0 <= lab.scores(method)["miou"] <= 1
    Image.new("RGB", (SIDE, SIDE), "red").save(tmp_path / "a.png")
    (folder,) = (tmp_path / "runs").iterdir()
    (report,) = localize_images([tmp_path / "a.png"], method=name, checkpoint=folder, short_side=32)
    assert report["method"] == name


def test_masks_are_measured_beside_maps(tmp_path: Path) -> None:
    lab = bench(tmp_path)
    method = lab.build("taught")
    row = lab.measure(method.segment, by=measure_masks)
    assert set(row.numbers({})) >= {"miou", "precision", "recall", "false_positives", "false_negatives"}


def test_a_frozen_backbone_may_be_named_by_a_phase(tmp_path: Path) -> None:
    lab = bench(tmp_path)
    method = lab.build("phased")
    method.backbone.requires_grad_(False)
    assert list(lab.fit(method, batch_size=2).phases) == ["classify", "expand", "shrink"]


@pytest.mark.parametrize(
    ("name", "data", "score"), [("grounded", "sentences", "accuracy"), ("detecting", "scenes", "mean_ap")]
)
def test_other_questions_than_where_are_asked_in_the_same_way(tmp_path: Path, name: str, data: str, score: str) -> None:
    lab = bench(tmp_path, data)
    assert lab.drawn
    method = lab.build(name)
    history = lab.fit(method, steps=40, epochs=None, batch_size=4, lr=0.1)
    assert history.loss[-1] < history.loss[0] / 2
    assert lab.fit(lab.build(name), steps=40, epochs=None, batch_size=4, lr=0.1).resumed_at == [40]
    row = lab.scores(method)
    assert row[score] == pytest.approx(1)
    assert (row["choose"], row["split"]) == (f"{data}/val", f"{data}/test")
    assert lab.split("test", shift=1.0).fingerprint != lab.report_on.fingerprint
    assert name in registry.names(registry.entry(name).task)
    assert name not in registry.names("maps")


def test_records_that_lack_what_the_losses_need_are_refused(tmp_path: Path) -> None:
    lab = bench(tmp_path)
    with pytest.raises(ValueError, match=r"losses of Warmed need regions, and a batch has .*images, labels, .*masks"):
        lab.fit(lab.build("warmed"))


def test_a_system_that_has_no_maps_is_not_asked_about_a_photo(tmp_path: Path) -> None:
    lab = bench(tmp_path, "sentences")
    lab.fit(lab.build("grounded"))
    (folder,) = (tmp_path / "runs").iterdir()
    Image.new("RGB", (SIDE, SIDE), "red").save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"one of grounded, which says nothing of a photo by itself: name .* cam"):
        localize_images([tmp_path / "a.png"], checkpoint=folder)
