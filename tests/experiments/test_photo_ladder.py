"""The ladder on photographs: one split chooses, another reports, and each rung is what its name says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from wsss_lib import maps
from wsss_lib.data.records import IGNORE, Records
from wsss_lib.experiments import Workbench, photo_ladder
from wsss_lib.experiments.studies import ladder
from wsss_lib.segment import SegmenterConfig, only_given


@pytest.fixture
def lab(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Nine small photographs of two classes, behind a frozen trunk."""
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights = str(photographs / "mobilenet_v2.safetensors")
    return Workbench("smoke", str(photographs), weights, 0, "cpu", fine_tune=True, side=64, trunk=True)


def test_every_rung_of_one_seed(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "ON_PHOTOGRAPHS", SegmenterConfig(width=8, dilations=(1,), shallow=""))
    rows, about = photo_ladder.climbed(lab)
    assert list(rows) == [
        "CAM", "CAM + CRF", "network, arg max", "network", "network, labels given",
        "network + CRF", "network + CRF, labels given", "full supervision", "full supervision, labels given",
    ]  # fmt: skip
    assert {row["images"] for row in rows.values()} == {len(lab.report_on)}
    assert all(0 <= row["miou"] <= 1 for row in rows.values())
    assert rows["CAM + CRF"]["thresholds"]["miou"] in photo_ladder.CRF_THRESHOLDS
    assert 0 < about["coverage"] <= 1
    assert about["labelled"] == len(range(0, len(lab.train_on), photo_ladder.EVERY))


def map_of_colour(cut: float) -> SimpleNamespace:
    """A method whose map of every class is 1 where an image is bright, and ``cut`` elsewhere."""

    def localize(images: Tensor, labels: Tensor) -> Tensor:
        bright = images.mean(dim=1, keepdim=True) > 0.5  # (N, 1, H, W)
        return torch.where(bright, 1.0, cut) * labels[:, :, None, None]

    return SimpleNamespace(localize=localize)


def halves() -> dict[str, Tensor]:
    """An image of 40 × 64 pixels, dark on the left and bright on the right, where its only object is."""
    right = torch.arange(64) >= 32
    image = torch.where(right, 0.9, 0.1).expand(1, 3, 40, 64).contiguous()
    return {"images": image, "labels": torch.tensor([[0.0, 1.0]]), "masks": (2 * right.long()).expand(1, 40, 64)}


def test_a_crf_moves_the_outline_to_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_ladder, "CRF_SIDE", 32)
    batch = halves()
    blurred = torch.linspace(0, 1, 64).expand(1, 1, 40, 64)
    heat = torch.cat([torch.zeros_like(blurred), blurred], dim=1)
    plain = maps.seeds(heat, batch["labels"], 0.3)
    sharp = photo_ladder.sharp_maps(heat, batch["images"], 0.3)
    assert sharp.shape == (1, 3, 40, 64)
    torch.testing.assert_close(sharp.sum(dim=1), torch.ones(1, 40, 64))
    assert (plain != batch["masks"]).double().mean() > 0.1
    assert (sharp.argmax(dim=1) != batch["masks"]).double().mean() < 0.05
    several = photo_ladder.sharp_masks(heat, batch["images"], (0.1, 0.3))
    assert torch.equal(several[1:], sharp.argmax(dim=1)[None])
    assert (several[0] > 0).sum() >= (several[1] > 0).sum()
    assert not photo_ladder.sharp_masks(torch.zeros_like(heat), batch["images"], (0.1,)).any(), "no map, no object"


def test_a_network_is_asked_with_and_without_the_labels() -> None:
    batch = halves()
    scores = torch.zeros(1, 3, 40, 64)
    scores[:, 1, :, 32:] = 3  # the class that the image does not show
    scores[:, 2, :, 32:] = 2
    scores[:, 0, :, :32] = 2
    given, lowered = only_given(scores, batch["labels"]), photo_ladder.lowered_by(2.5, scores)
    assert maps.likeliest(scores)[0, 0].tolist() == [0] * 32 + [1] * 32
    assert torch.equal(maps.likeliest(given), batch["masks"])
    assert torch.equal(lowered[:, 1:], scores[:, 1:])
    assert 0 not in maps.likeliest(lowered), "a background that is lowered below all others"
    each = [photo_ladder.sharp_labels(one[None], batch["images"]) for one in (scores, given, lowered)]
    assert [set(one.unique().tolist()) for one in each[:2]] == [{0, 1}, {0, 2}]
    assert 0 not in each[2]
    together = photo_ladder.sharp_labels(torch.stack([scores, given, lowered]), batch["images"])
    assert torch.equal(together, torch.cat(each))


def test_labels_that_no_pixel_may_have_cost_the_crf_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, asked = halves(), []
    images = one["images"].repeat(2, 1, 1, 1)
    scores = torch.full((1, 2, 4, 40, 64), -9.0)
    scores[:, :, 0, :, :32], scores[:, 0, 3, :, 32:], scores[:, 1, 2, :, 32:] = 2, 2, 2
    plain = photo_ladder.sharpened

    def sharpened(few: Tensor, images: Tensor) -> Tensor:
        asked.append((few.amax(dim=(0, 3, 4)) > 0).sum(dim=1).tolist())
        return plain(few, images)

    monkeypatch.setattr(photo_ladder, "sharpened", sharpened)
    few = photo_ladder.sharp_labels(scores, images)
    monkeypatch.setattr(photo_ladder, "POSSIBLE", 0.0)
    assert torch.equal(photo_ladder.sharp_labels(scores, images), few)
    assert asked == [[2, 2], [4, 4]]
    assert [set(mask.unique().tolist()) for mask in few[0]] == [{0, 3}, {0, 2}]


def test_the_background_is_lowered_as_far_as_one_split_asks(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shy(torch.nn.Module):
        """Right about each pixel, but for a background whose score is too high by 0.8."""

        def __init__(self, records: Records) -> None:
            super().__init__()
            self.known = {tuple(records[i]["image"].flatten()[:64].tolist()): i for i in range(len(records))}
            self.records = records

        def forward(self, images: Tensor) -> Tensor:
            masks = [self.records[self.known[tuple(image.flatten()[:64].tolist())]]["mask"] for image in images]
            scores = torch.nn.functional.one_hot(torch.stack(masks).clamp(max=2), 3).permute(0, 3, 1, 2).float()
            scores[:, 0] += 1.8 * (1 - scores[:, 0])
            return scores

    monkeypatch.setattr(photo_ladder, "LOWERED", (0.0, 1.0, 3.0))
    monkeypatch.setattr(photo_ladder, "sharpened", lambda scores, images: scores)
    for name in ("choose_on", "report_on"):
        monkeypatch.setattr(lab, name, getattr(lab, name).subset(range(2)))
    assert photo_ladder.lowerings(lab, Shy(lab.choose_on)) == (1.0, 1.0)  # type: ignore[arg-type]
    assert photo_ladder.lowerings(lab, Shy(lab.choose_on), crf=False) == (1.0,)  # type: ignore[arg-type]


def test_pseudo_labels_come_from_image_labels_and_leave_open_what_is_not_certain(lab: Workbench) -> None:
    few = lab.train_on.subset([0, 1, 2])
    every = photo_ladder.pseudo_labels(lab, map_of_colour(0.0), 0.2, 0.0, few)  # type: ignore[arg-type]
    sure = photo_ladder.pseudo_labels(lab, map_of_colour(0.0), 0.2, 1.1, few)  # type: ignore[arg-type]
    assert len(every) == 3
    assert every.coverage() == 1 or every.without_object
    assert sure.coverage() == 0
    for sample, mask in zip((few[i] for i in range(3)), every.masks, strict=True):
        classes = {int(k) + 1 for k in sample["labels"].nonzero()[:, 0]}
        assert set(mask.unique().tolist()) <= {0, IGNORE, *classes}
    assert every.provenance.thresholds == {"background": 0.2, "certainty": 0.0}


def test_the_threshold_is_chosen_on_the_split_that_chooses(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    method = lab.classifier().eval()
    asked = []
    original = photo_ladder.measure_masks

    def watched(predict: Any, records: Records, **options: Any) -> Any:
        asked.append(records)
        return original(predict, records, **options)

    monkeypatch.setattr(photo_ladder, "measure_masks", watched)
    threshold = photo_ladder.crf_threshold(lab, method, (0.05, 0.4))
    assert threshold in (0.05, 0.4)
    row = photo_ladder.maps_rows(lab, method, threshold)[photo_ladder.REFINED]
    assert asked == [lab.choose_on, lab.report_on]
    assert row["thresholds"] == {"miou": threshold}
