"""Sentences about boxes: true of one alone, without colours, ambiguous where that is asked for."""

from __future__ import annotations

import torch

from wsss_lib.data.records import Records, Sample
from wsss_lib.data.worlds.sentences.templates import TemplateSentences, things_of
from wsss_lib.methods.triads import parse


class Boxes(Records):
    """Two cats beside a dining table, a small cat among them; and an image of one dog."""

    name, split, fingerprint, classes = "boxes", "train", "boxes", ("cat", "dining table", "dog")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        boxes = [[[0.0, 40, 20, 60], [80, 40, 100, 60], [40, 30, 70, 60], [1, 1, 2, 2]], [[10.0, 10, 90, 90]]][index]
        labels = [[0, 0, 1, 0], [2]][index]
        return {
            "image": torch.zeros(3, 100, 100),
            "labels": torch.eye(3)[labels].amax(0),
            "boxes": torch.tensor(boxes),
            "box_labels": torch.tensor(labels),
            "id": str(index),
        }


def test_what_is_said_of_boxes() -> None:
    records = TemplateSentences(Boxes(), most=20)
    first = records[0]
    assert len(first["boxes"]) == 3, "a box of one pixel is not spoken of"
    meant = {text: box.tolist() for text, box in zip(first["sentences"], first["sentence_boxes"], strict=True)}
    left = [text for text in meant if parse(text) == ("cat", "dining-table", "left")]
    right = [text for text in meant if parse(text) == ("cat", "dining-table", "right")]
    assert len(left) == len(right) == 1, "a triad is said once of a thing"
    assert meant[left[0]] == [0, 40, 20, 60]
    assert meant[right[0]] == [80, 40, 100, 60]
    assert "colour" not in first["sentence_kinds"]
    assert not any("  " in text for text in first["sentences"])
    assert torch.equal(first["proposals"], first["boxes"])


def test_a_box_of_the_smallest_size_is_spoken_of() -> None:
    class Small(Boxes):
        def __getitem__(self, index: int) -> Sample:
            sides = torch.tensor([[10.0, 2.0], [9.0, 2.0]])  # 20 pixels of 10 000, and 18
            return super().__getitem__(0) | {
                "boxes": torch.cat([sides, 2 * sides], 1), "box_labels": torch.tensor([0, 1])
            }  # fmt: skip

    assert TemplateSentences(Small())[0]["boxes"].tolist() == [[10, 2, 20, 4]]


def test_only_what_is_ambiguous() -> None:
    whole, ambiguous = TemplateSentences(Boxes(), most=20), TemplateSentences(Boxes(), ambiguous=True, most=20)
    assert {parse(text).target for text in ambiguous[0]["sentences"]} == {"cat"}
    assert whole[1]["sentences"], "a lone dog is large"
    assert ambiguous[1]["sentences"] == []
    assert ambiguous[1]["sentence_boxes"].shape == (0, 4)
    assert whole.fingerprint != ambiguous.fingerprint


def test_things_are_measured_in_image_sides() -> None:
    thing = things_of(Boxes()[0], Boxes.classes)[2]
    assert (thing["species"], thing["centre"], thing["foot"], thing["extent"]) == (
        "dining-table",
        [0.55, 0.45],
        0.6,
        0.3,
    )
