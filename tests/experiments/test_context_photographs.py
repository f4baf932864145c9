"""MARS on photographs: what is dropped and how much of it was wrong, and the rows of one seed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wsss_lib.data.fields import Sample
from wsss_lib.data.records import IGNORE, Records
from wsss_lib.experiments import context, context_photographs
from wsss_lib.experiments.debiased import Debiased
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.segment import Provenance, PseudoLabels


class Masked(Records):
    """Images of nothing, with these masks."""

    name, split, classes, fingerprint = "masked", "train", ("cat", "dog"), "masked"
    image_size = None

    def __init__(self, masks: list[Tensor]) -> None:
        self.held = masks

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: int) -> Sample:
        mask = self.held[index]
        return Sample(image=torch.zeros(3, *mask.shape), labels=torch.ones(2), mask=mask)

    @property
    def labels(self) -> Tensor:
        return torch.ones(len(self), 2)


def labelled(truth: Records, masks: list[list[int]]) -> PseudoLabels:
    return PseudoLabels(truth, [torch.tensor([mask]) for mask in masks], Provenance("cam", "none", 0))


def test_what_was_dropped_is_compared_with_the_truth() -> None:
    truth = Masked([torch.tensor([[0, 1, 1, 0, IGNORE]]), torch.tensor([[2, 2, 0]])])
    before = labelled(truth, [[1, 1, 2, 0, 1], [2, 2, 2]])  # of seven labels, three are wrong, one is asked of nobody
    after = labelled(truth, [[IGNORE, 1, 2, 0, IGNORE], [IGNORE, 2, 2]])
    fell = context_photographs.dropped(before, after, truth)
    assert fell == {"dropped": 2 / 6, "wrong": 1 / 2, "wrong_before": 3 / 6, "better": 1 / 2, "worse": 1 / 2}
    assert not context_photographs.dropped(before, before, truth)["dropped"]


@pytest.fixture
def lab(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setattr("wsss_lib.experiments.workbench.PHOTO_CLASSES", ("fenn", "lopi"))
    monkeypatch.setenv("WSSS_CACHE", str(photographs / "cache"))
    weights = str(photographs / "mobilenet_v2.safetensors")
    return Workbench("smoke", str(photographs), weights, 0, "cpu", fine_tune=True, side=64, trunk="stage3")


def test_a_run_on_photographs_takes_the_books_share(lab: Workbench) -> None:
    many, chosen, reported = len(lab.train_on), len(lab.choose_on), len(lab.report_on)
    context.limited(lab)
    sizes = len(lab.train_on), len(lab.choose_on), len(lab.report_on)
    assert sizes == (math.ceil(many / 2), math.ceil(chosen / 3), reported)


def test_pictures_of_photographs_are_squares(lab: Workbench) -> None:
    assert context.pictures(lab, lab.train_on, [1, 3])["images"].shape == (2, 3, 64, 64)
    drawn = Workbench("smoke")
    assert torch.equal(context.pictures(drawn, drawn.train_on, [1])["images"], drawn.train_on.batch([1])["images"])


def test_the_features_are_the_networks_before_it_learns_and_its_trunk_is_computed_once(
    lab: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = context.unlabelled_features(lab, lab.train_on)
    batch = lab.train_on.batch([0, 1])
    with torch.no_grad():
        plain = lab.backbone().eval()(batch["images"], ("stage3",))["stage3"]
        torch.testing.assert_close(features(batch["images"]) + features.mean[:, None, None], plain)
        monkeypatch.setattr(features.backbone.blocks["stage3"], "forward", lambda x: x * torch.nan)
        assert features(batch["images"]).isfinite().all()


def test_the_rows_of_one_seed(lab: Workbench) -> None:
    cam = lab.classifier().eval()
    run = Debiased.of_method(lab, cam)
    assert run.threshold in context.SIMILARITIES
    assert max(run.curve) == run.curve[context.SIMILARITIES.index(run.threshold)]
    base = context.network(lab, cam, run.labels)[0]
    rows, about = context_photographs.measured(lab, cam, run, {"base": base})
    assert list(rows) == ["CAM", "labels", "debiased labels", *context_photographs.NETWORKS]
    assert rows["CAM"]["miou"] == lab.scores(cam)["miou"]
    assert rows["labels"] == context.row_of(context.label_scores(run.labels, run.labels.parent))
    assert rows["base"] == context.row_of(lab.measure(base))
    assert set(context_photographs.COLUMNS) <= set(rows["MARS"])
    assert 0 <= about["dropped"] <= 1
