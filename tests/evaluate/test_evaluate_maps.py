"""One protocol: what a perfect and a useless method score, and that nobody reports on the split that chose."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.evaluate import measure, scores
from wsss_lib.metrics import SameSplitError


class Oracle(nn.Module):
    """Knows every mask; ``error`` moves its maps one pixel to the right as often."""

    def __init__(self, records: Critters, error: int = 0, classifier: bool = False) -> None:
        super().__init__()
        self.records, self.error, self.at = records, error, 0
        if classifier:
            self.forward = self._logits  # type: ignore[method-assign]

    def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        batch = self.records.batch(range(self.at, self.at + len(images)))
        self.at = (self.at + len(images)) % len(self.records)
        classes = torch.arange(1, len(self.records.classes) + 1)[None, :, None, None]
        return (batch["masks"][:, None] == classes).float().roll(self.error, -1)


class Classifier(Oracle):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        start = (self.at - len(images)) % len(self.records)
        return self.records.labels[start : start + len(images)] * 2 - 1


@pytest.fixture(scope="module")
def pair() -> tuple[Critters, Critters]:
    world = World(size=32)
    return Critters(world, "val", 12), Critters(world, "test", 10)


def test_the_truth_scores_one(pair: tuple[Critters, Critters]) -> None:
    row = scores(*(measure(Classifier(r), r, batch_size=5) for r in pair))
    for name in ("miou", "iou", "box_accuracy", "max_box_acc_v2", "pxap", "mean_ap", "accuracy", "inside"):
        assert row[name] == pytest.approx(1), name
    assert row["on_head"] == pytest.approx(row["head_area"])
    assert (row["images"], row["choose"], row["split"]) == (10, "critters/val", "critters/test")


def test_boxes_alone_are_enough_and_nothing_at_all_is_refused(
    pair: tuple[Critters, Critters], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Critters.batch
    full = scores(*(measure(Classifier(r), r, batch_size=5) for r in pair))

    def without(*names: str) -> None:
        def batch(self: Critters, at: range) -> dict[str, object]:
            return {k: v for k, v in whole(self, at).items() if k not in names}

        monkeypatch.setattr(Critters, "batch", batch)

    class Remembering(Classifier):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            monkeypatch.setattr(Critters, "batch", whole)
            found = super().localize(images, labels)
            without("masks", "parts")
            return found

    without("masks", "parts")
    row = scores(*(measure(Remembering(r), r, batch_size=5) for r in pair))
    assert row["box_accuracy"] == full["box_accuracy"] == 1
    assert not {"miou", "iou", "pxap", "inside"} & set(row)
    without("masks", "boxes")
    with pytest.raises(ValueError, match="neither masks nor boxes"):
        measure(Classifier(pair[0]), pair[0])


def test_a_shifted_truth_scores_less_and_no_classifier_is_no_accuracy(pair: tuple[Critters, Critters]) -> None:
    row = scores(*(measure(Oracle(r, error=4), r) for r in pair))
    assert 0.3 < row["iou"] < 0.9
    assert row["inside"] < 1
    assert "accuracy" not in row
    assert "mean_ap" not in row


def test_the_reported_split_may_not_choose(pair: tuple[Critters, Critters]) -> None:
    found = measure(Oracle(pair[0]), pair[0])
    with pytest.raises(SameSplitError):
        scores(choose=found, report_on=found)


def test_image_labels_are_used_only_when_given(pair: tuple[Critters, Critters]) -> None:
    class Everywhere(nn.Module):
        """The same certainty for every class."""

        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            ones = torch.ones(len(images), 6, 8, 8)
            return ones if labels is None else ones * labels[:, :, None, None]

    told, untold = (
        measure(Everywhere(), pair[0], labels_given=given).seeds.confusions()[10] for given in (True, False)
    )
    truth = pair[0].scenes.masks
    assert told.diagonal()[1:].sum() == (truth > 0).sum(), "with labels every object pixel gets its class"
    assert untold[:, 2:].sum() == 0, "without, all pixels go to the first class"


def test_boxes_are_scored_on_images_with_one_object_by_the_map_of_its_class() -> None:
    crowd = Critters(World(size=32, critters=(1, 2)), "val", 20)
    alone = [len(objects) == 1 for objects in crowd.scenes.objects]
    assert 0 < sum(alone) < len(alone)

    class OthersEverywhere(Oracle):
        """The truth for the classes that are there, the whole image for all others."""

        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            there = self.records.labels[self.at : self.at + len(images), :, None, None]
            return torch.where(there > 0, super().localize(images), 1.0)

    found = measure(OthersEverywhere(crowd), crowd, labels_given=False)
    assert int(found.boxes.images) == sum(alone)
    assert found.box_accuracy().at(0.5) == 1


@pytest.mark.parametrize(("part", "share"), [(2, 1.0), (1, 0.0)])
def test_a_map_of_heads_lies_on_the_head(pair: tuple[Critters, Critters], part: int, share: float) -> None:
    class Part(Oracle):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            maps = super().localize(images)
            start = (self.at - len(images)) % len(self.records)
            parts = self.records.batch(range(start, start + len(images)))["parts"]
            return maps * (parts[:, None] == part)

    row = scores(*(measure(Part(records), records) for records in pair))
    assert row["on_head"] == pytest.approx(share)
    assert row["inside"] == pytest.approx(1)


def test_several_scales_need_raw_maps(pair: tuple[Critters, Critters]) -> None:
    with pytest.raises(ValueError, match="raw_maps"):
        measure(Oracle(pair[0]), pair[0], flip=True)


def test_the_mode_is_restored(pair: tuple[Critters, Critters]) -> None:
    method = Oracle(pair[0]).train()
    method.frozen = nn.Dropout().eval()  # a part that its owner keeps in evaluation mode
    measure(method, pair[0])
    assert method.training
    assert not method.frozen.training


def test_one_map_for_all_classes_needs_the_labels(pair: tuple[Critters, Critters]) -> None:
    class Salient(nn.Module):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            return torch.ones(len(images), 1 if labels is None else labels.shape[1], 4, 4)

    assert measure(Salient(), pair[0]).images == 12
    with pytest.raises(ValueError, match=r"Salient gave 1 map.*labels_given=True"):
        measure(Salient(), pair[0], labels_given=False)


def test_images_of_unlike_size_are_taken_one_by_one(pair: tuple[Critters, Critters]) -> None:
    small = Critters(World(size=24), "val", 3)

    class Mixed(type(pair[0]).__mro__[1]):  # type: ignore[misc]
        name, split, classes, fingerprint = "mixed", "val", pair[0].classes, "f"

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> dict:
            return pair[0][index] if index < 3 else small[index - 3]

    sizes = []

    class Watch(nn.Module):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            sizes.append(tuple(images.shape))
            return torch.zeros(len(images), 6, 4, 4)

    found = measure(Watch(), Mixed())
    assert sizes == [(3, 3, 32, 32), (3, 3, 24, 24)]
    assert found.images == 6
