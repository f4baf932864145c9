"""The same protocol for masks, grounding and boxes in 3D."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from wsss_lib.data.records import Batch, Records, Sample
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.evaluate import measure, measure_boxes3d, measure_grounding, measure_masks, scores
from wsss_lib.metrics import Boxes3D, SameSplitError


@pytest.fixture(scope="module")
def pair() -> tuple[Critters, Critters]:
    world = World(size=32)
    return Critters(world, "val", 9), Critters(world, "test", 7)


def test_true_masks_score_one(pair: tuple[Critters, Critters]) -> None:
    row = scores(None, measure_masks(lambda batch: batch["masks"], pair[1], batch_size=3))
    assert [row[name] for name in ("miou", "precision", "recall")] == [1, 1, 1]
    assert (row["false_positives"], row["false_negatives"]) == (0, 0)
    assert (row["thresholds"], row["images"], row["choose"], row["split"]) == ({}, 7, None, "critters/test")


def test_a_choice_of_masks_is_made_on_another_split(pair: tuple[Critters, Critters]) -> None:
    """Masks whose right columns are lost, by so many pixels: the best choice on val is not the best on test."""

    def cut(batch: Batch, by: dict[int, int]) -> Tensor:
        columns = torch.arange(32)
        return torch.stack([torch.where(columns < 32 - by[c], batch["masks"], 0) for c in (1, 2, 3)])

    val = measure_masks(lambda batch: cut(batch, {1: 20, 2: 0, 3: 10}), pair[0], choices=(1, 2, 3))
    test = measure_masks(lambda batch: cut(batch, {1: 0, 2: 12, 3: 20}), pair[1], choices=(1, 2, 3))
    row = scores(val, test)
    assert row["thresholds"] == {"miou": 2}
    assert row["miou"] == float(test.curves()["miou"].values[1]) < 1
    alone = scores(None, measure_masks(lambda batch: cut(batch, {1: 0, 2: 12, 3: 20})[1], pair[1]))
    for name in ("miou", "precision", "recall", "false_positives", "false_negatives"):
        assert row[name] == alone[name], "all at the same choice"
    with pytest.raises(SameSplitError):
        scores(val, val)
    with pytest.raises(ValueError, match="one mask for each of 2 choices"):
        measure_masks(lambda batch: cut(batch, {1: 0, 2: 0, 3: 0}), pair[0], choices=(1, 2))


def test_kinds_are_not_mixed(pair: tuple[Critters, Critters]) -> None:
    class Nothing:
        def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return torch.zeros(len(images), 6, 4, 4)

    masks = measure_masks(lambda batch: batch["masks"], pair[0])
    with pytest.raises(ValueError, match="a MapMeasurement, critters/val a MaskMeasurement"):
        scores(measure(Nothing(), pair[1]), masks)


class Scenes(Records):
    """Sentences about boxes of images, and scans with boxes in 3D."""

    classes = ("car", "person")

    def __init__(self, split: str, count: int) -> None:
        self.name, self.split, self.fingerprint = "scenes", split, split
        generator = torch.Generator().manual_seed(count)
        self.corners = [torch.rand(1 + i % 3, 2, generator=generator) * 10 for i in range(count)]

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> Sample:
        corners = self.corners[index]
        number = len(corners)
        return {
            "id": str(index),
            "image": torch.zeros(3, 8, 8),
            "sentences": ["the red one"] * number,
            "sentence_boxes": torch.cat([corners, corners + 4], dim=1),
            "sentence_kinds": ["attribute", "relation", "relation"][:number],
            "boxes3d": torch.cat([corners * 5, torch.tensor([[0.0, 4, 2, 2, 0]]).expand(number, -1)], dim=1),
            "box3d_labels": torch.arange(number) % 2,
        }


def test_grounding_by_kind() -> None:
    class Grounder(nn.Module):
        """Right about attributes, a quarter too far right about relations; in evaluation mode."""

        def boxes(self, batch: Batch) -> list[Tensor]:
            assert not self.training
            moved = [
                torch.tensor([[1.0, 0, 1, 0]]) * torch.tensor([kind == "relation" for kind in kinds])[:, None]
                for kinds in batch["sentence_kinds"]
            ]
            return [boxes + 2 * by for boxes, by in zip(batch["sentence_boxes"], moved, strict=True)]

    grounder, records = Grounder(), Scenes("test", 6)
    kinds = ("attribute", "relation")
    row = scores(None, measure_grounding(grounder.boxes, records, kinds=kinds, batch_size=4))
    # Moved by half a side: an IoU of a third. Six sentences tell an attribute, six a relation.
    assert (row["accuracy"], row["accuracy: attribute"], row["accuracy: relation"]) == (0.5, 1, 0)
    assert row["delta"] == 0.5
    assert grounder.training
    lower = measure_grounding(grounder.boxes, records, kinds=kinds, delta=0.33)
    assert scores(None, lower)["accuracy"] == 1
    assert "accuracy: any" not in scores(None, measure_grounding(grounder.boxes, records))
    with pytest.raises(ValueError, match="one entry for each image"):
        measure_grounding(lambda batch: [], records)


def test_boxes_in_3d_take_their_threshold_from_another_split() -> None:
    def detect(surplus: float, result: float):
        def predict(batch: Batch) -> list[Boxes3D]:
            """Every object at the score ``found``, and a box far away at the score ``surplus``."""
            far = torch.tensor([[500.0, 0, 0, 1, 1, 1, 0]])
            return [
                Boxes3D(
                    torch.cat([boxes, far]),
                    torch.cat([labels, torch.zeros(1, dtype=torch.int64)]),
                    torch.tensor([result] * len(boxes) + [surplus]),
                )
                for boxes, labels in zip(batch["boxes3d"], batch["box3d_labels"], strict=True)
            ]

        return predict

    val = measure_boxes3d(detect(0.3, 0.9), Scenes("val", 5), batch_size=2)
    test = measure_boxes3d(detect(0.2, 0.8), Scenes("test", 6), batch_size=4)
    row = scores(val, test)
    assert row["thresholds"] == {"f1": 0.3}
    assert row["f1"] == 1
    # At recall 1 the last precision counts, which has the surplus boxes: one of 90 recalls.
    assert [row[n] for n in ("mean_ap", "ap_0.5", "ap_4", "spnds")] == pytest.approx([1] * 4, abs=0.1 / 0.9 / 90 * 4)
    assert [row[n] for n in ("translation", "scale", "orientation")] == [0, 0, 0]
    early = measure_boxes3d(detect(0.6, 0.8), Scenes("test", 6))
    assert scores(val, early)["f1"] < 1, "the threshold stays that of val"
    with pytest.raises(ValueError, match="pass a measurement of another split"):
        scores(None, test)
    with pytest.raises(SameSplitError):
        scores(val, val)


def test_records_without_what_is_measured_are_refused(pair: tuple[Critters, Critters]) -> None:
    with pytest.raises(ValueError, match="no sentence_boxes and no sentence_kinds"):
        measure_grounding(lambda batch: [], pair[0], kinds=("a", "b"))
    with pytest.raises(ValueError, match="no boxes3d"):
        measure_boxes3d(lambda batch: [], pair[0])
    with pytest.raises(ValueError, match="no masks"):
        measure_masks(lambda batch: batch["images"][:, 0].long(), Scenes("val", 2))
