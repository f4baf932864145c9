"""Proposals: boxes around what stands out, by hand and on critters; recall; records that have them."""

from __future__ import annotations

import math

import pytest
import torch

from wsss_lib.data.records import Records, Sample
from wsss_lib.data.worlds.sentences import Sentences, World
from wsss_lib.refine.proposals import AREA, HEIGHTS, MOST, WithProposals, contrast, prominence, propose, recall


def scene() -> torch.Tensor:
    """A ground of one colour a row, with a red and a dim blue square on it."""
    image = torch.linspace(0.2, 0.6, 64)[None, :, None].expand(3, 64, 64).clone()
    image[:, 8:24, 8:24] = torch.tensor([1.0, 0.1, 0.1])[:, None, None]
    image[2, 40:56, 36:60] += 0.3
    return image[None]


def test_the_contrast_is_that_against_the_row() -> None:
    plane = contrast(scene())
    assert plane.shape == (1, 64, 64)
    assert plane.max() == 1
    assert plane[0, 12:20, 12:20].min() > 0.9
    assert plane[0, 44:52, 40:56].min() > 0.2
    assert plane[0, :, 62:].max() < 1e-5
    assert not contrast(torch.full((1, 3, 8, 8), 0.3)).any()


def test_both_squares_are_proposed() -> None:
    (boxes,) = propose(scene())
    truth = torch.tensor([[8.0, 8, 24, 24], [36, 40, 60, 56]])
    assert recall([boxes], [truth], 0.7) == 1
    assert len(boxes) <= MOST


def test_heights_and_areas_are_shares_and_rise() -> None:
    for shares in (HEIGHTS, AREA):
        assert min(shares) > 0
        assert max(shares) < 1
        assert sorted(set(shares)) == list(shares)


def test_nothing_stands_out() -> None:
    (boxes,) = propose(torch.full((1, 3, 32, 32), 0.5))
    assert boxes.shape == (0, 4)
    with pytest.raises(ValueError, match="heights is empty"):
        propose(scene(), ())


def test_prominence_by_hand() -> None:
    heat = torch.zeros(8, 8)
    heat[2:4, 2:4] = 1.0
    boxes = torch.tensor([[2.0, 2, 4, 4], [2, 2, 6, 4], [0, 0, 8, 8]])
    # A square that is full and has an empty rim; one that is half full; all of the image, which has no rim.
    assert prominence(heat, boxes).tolist() == pytest.approx([1, 0.5, 4 / 64])
    box = torch.tensor([[4.0, 5, 6, 8]])  # 2 × 3, with its rim 6 × 7
    for ring, expected in ((2, 1 - 22 / 36), (3, 1)):  # the outermost pixels of the rim count, and no others
        heat = torch.zeros(13, 11)
        heat[5 - ring : 8 + ring, 4 - ring : 6 + ring] = 1
        heat[5 - ring + 1 : 8 + ring - 1, 4 - ring + 1 : 6 + ring - 1] = 0
        heat[5:8, 4:6] = 1
        assert prominence(heat, box).tolist() == pytest.approx([expected])
        assert int(heat.sum()) == 6 + {2: 22, 3: 30}[ring]


def test_recall_by_hand() -> None:
    truth = [torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), torch.zeros(0, 4), torch.tensor([[0.0, 0, 4, 4]])]
    proposed = [torch.tensor([[0.0, 0, 10, 6]]), torch.tensor([[1.0, 1, 2, 2]]), torch.zeros(0, 4)]
    assert recall(proposed, truth) == pytest.approx(1 / 3)
    assert recall(proposed, truth, 0.7) == 0
    assert math.isnan(recall([torch.zeros(0, 4)], [torch.zeros(0, 4)]))


def test_records_with_proposals() -> None:
    records = Sentences(World(size=96), "val", 12)
    proposed = WithProposals(records)
    batch = proposed.batch(range(12))
    assert torch.equal(proposed[5]["proposals"], batch["proposals"][5])
    assert proposed[5]["sentences"] == records[5]["sentences"]
    assert proposed.fingerprint != records.fingerprint
    assert 0.5 < recall(batch["proposals"], batch["boxes"]) < 1, "they miss some: that is what they are for"
    assert any(len(each) > World().critters for each in batch["proposals"]), "and show some twice"
    assert torch.equal(proposed.labels, records.labels)


class Unlike(Records):
    """The scene, and a part of it: images of two sizes."""

    name, split, classes, fingerprint = "unlike", "val", ("square",), "none"

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        return {"image": scene()[0, :, :, : 64 - 4 * index]}


def test_in_a_padded_batch_each_image_has_the_proposals_of_its_own_size() -> None:
    batch = WithProposals(Unlike()).batch([1, 0])
    assert batch["images"].shape == (2, 3, 64, 64)
    for index, proposed in zip([1, 0], batch["proposals"], strict=True):
        assert torch.equal(proposed, propose(Unlike()[index]["image"][None])[0])
