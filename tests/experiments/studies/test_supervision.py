"""What each kind of supervision tells: a click a thing, a whole box, the region of a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from wsss_lib.data import load
from wsss_lib.data.records import IGNORE, Records
from wsss_lib.experiments import Workbench, packing
from wsss_lib.experiments.grounding import bench
from wsss_lib.experiments.studies import ladder, supervision
from wsss_lib.segment import Segmenter


@pytest.fixture(scope="module")
def critters() -> Records:
    return load("critters", split="train", count=12)


def test_a_click_is_one_pixel_of_each_class_and_one_of_the_ground(critters: Records) -> None:
    batch = critters.batch(range(12))
    clicked = supervision.clicks(0)(batch)
    told = clicked != IGNORE
    assert torch.equal(clicked[told], batch["masks"][told])
    for mask, one in zip(batch["masks"], clicked, strict=True):
        assert one[one != IGNORE].sort().values.tolist() == mask.unique().tolist()
    again, other = (supervision.clicks(seed)(batch) for seed in (0, 1))
    assert torch.equal(clicked, again)
    assert not torch.equal(clicked, other)


def test_a_box_is_filled_and_the_smaller_one_lies_on_top() -> None:
    batch: Any = {
        "masks": torch.full((1, 6, 8), 9),
        "boxes": [torch.tensor([[2.0, 2.0, 4.0, 4.0], [0.0, 1.0, 6.0, 5.0]])],
        "box_labels": [torch.tensor([3, 1])],
    }
    masks = supervision.filled(batch)[0]
    assert masks[0].unique().tolist() == [0]
    assert masks[1, 0] == masks[4, 5] == 2
    assert (masks[2:4, 2:4] == 4).all()
    assert (masks == 2).sum() == 24 - 4
    assert (masks[:, 6:] == 0).all()


def test_the_middle_of_a_box_is_sure_and_the_rest_of_it_ignored() -> None:
    batch: Any = {
        "masks": torch.zeros(1, 40, 60, dtype=torch.int64),
        "boxes": [torch.tensor([[10.0, 5.0, 50.0, 35.0]])],
        "box_labels": [torch.tensor([2])],
    }
    masks = supervision.cored(batch)[0]
    assert masks[20, 30] == 3
    assert (masks == 3).sum().item() / (40 * 30) == pytest.approx(supervision.CORE, abs=0.03)
    assert masks[5, 10] == masks[34, 49] == IGNORE
    assert ((masks == 3) | (masks == IGNORE)).sum() == 40 * 30
    assert (masks[:5] == 0).all()


def test_a_network_may_say_only_what_is_known_to_be_there(critters: Records) -> None:
    batch = critters.batch(range(4))
    scores = torch.randn(4, len(critters.classes) + 1, *batch["masks"].shape[1:], generator=torch.manual_seed(0))
    network: Any = lambda images: scores  # noqa: E731
    for boxes in (False, True):
        said = supervision.allowed(network, boxes=boxes)(batch)
        assert torch.allclose(said.sum(1), torch.ones_like(said[:, 0]))
        assert (said >= -1e-6).all()
        absent = batch["labels"][:, :, None, None].expand_as(said[:, 1:]) == 0
        assert said[:, 1:][absent].abs().max() == 0
        outside = supervision.filled(batch) == 0
        assert bool((said[:, 0][outside] > 0.999).all()) == boxes


def test_the_told_loss_falls_with_the_region_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = bench("smoke", 0)
    method = lab.build(supervision.ToldDTMR)
    batch = lab.train_on.batch(range(3))
    meant = [
        (boxes[:, None] == proposals[None]).all(-1).long().argmax(1)
        for boxes, proposals in zip(batch["sentence_boxes"], batch["proposals"], strict=True)
    ]
    most = max(map(len, batch["proposals"]))
    real = torch.cat([torch.arange(most).expand(len(t), most) < len(p)
                      for t, p in zip(batch["sentences"], batch["proposals"], strict=True)])  # fmt: skip
    right = torch.nn.functional.one_hot(torch.cat(meant), most).float()
    pairs = SimpleNamespace(target=8 * right, reference=0 * right, word=torch.zeros(len(right), most, most), real=real)
    losses = []
    for sign in (1, 0, -1):
        pairs.target = 8 * sign * right
        monkeypatch.setattr(method, "match", lambda batch: (pairs,))
        losses.append(float(method.losses(batch)["region"]))
    assert losses[0] < 1e-3 < losses[1] < losses[2]
    counts = torch.cat([torch.full((len(t),), float(len(p)))
                        for t, p in zip(batch["sentences"], batch["proposals"], strict=True)])  # fmt: skip
    assert losses[1] == pytest.approx(float(counts.log().mean()), rel=1e-4)


def test_without_a_sentence_the_told_loss_is_zero() -> None:
    lab = bench("smoke", 0)
    method = lab.build(supervision.ToldDTMR)
    batch: dict[str, Any] = dict(lab.train_on.batch(range(2)))
    batch["sentences"] = [[] for _ in batch["sentences"]]
    batch["sentence_boxes"] = [boxes[:0] for boxes in batch["sentence_boxes"]]
    loss = method.losses(batch)["region"]  # type: ignore[arg-type]
    loss.backward()
    assert float(loss.detach()) == 0


def test_masks_of_the_first_images_are_kept_as_text() -> None:
    lab = Workbench("smoke")
    lab.limit("report", most=6)
    text = supervision.outlined(lab, lab.build(Segmenter, ladder.NETWORK).eval(), 3, 24)
    assert packing.unpacked(text, 24).shape == (3, 24, 24)
