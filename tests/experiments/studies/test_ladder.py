"""The ladder's rungs are measured on the splits that their names say, at thresholds that val chose."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from wsss_lib.experiments import Workbench
from wsss_lib.experiments.studies import ladder
from wsss_lib.experiments.studies.__main__ import STUDIES
from wsss_lib.segment import Provenance, PseudoLabels

HOW = Provenance("cam", "none", 0)


def halved_truth(lab: Workbench) -> SimpleNamespace:
    """A method whose map is 0.5 on the object and 0.3 on the pixels around it."""
    masks = {tuple(image.flatten()[:64].tolist()): mask for records in (lab.train_on, lab.choose_on, lab.report_on)
             for batch in [records.batch(range(len(records)))]
             for image, mask in zip(batch["images"], batch["masks"], strict=True)}  # fmt: skip

    def localize(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        truth = torch.stack([masks[tuple(image.flatten()[:64].tolist())] for image in images])
        inside = (truth[:, None] == torch.arange(1, labels.shape[1] + 1).view(1, -1, 1, 1)).float()
        return torch.maximum(0.5 * inside, 0.3 * F.max_pool2d(inside, 5, 1, 2))

    return SimpleNamespace(localize=localize)


def test_thresholds_are_chosen_on_val_and_reported_on_train(lab: Workbench) -> None:
    row = ladder.chosen(lab, ladder.seeding(halved_truth(lab)), (0.1, 0.4, 0.6))  # type: ignore[arg-type]
    assert row["threshold"] == 0.4
    assert row["miou"] == 1
    loose = ladder.chosen(lab, ladder.seeding(halved_truth(lab)), (0.1,))  # type: ignore[arg-type]
    assert loose["false_positives"] > 0.1 > loose["false_negatives"]
    lab.choose_on = lab.choose_on.subset(range(8))
    lab.train_on = lab.choose_on
    assert ladder.chosen(lab, ladder.seeding(halved_truth(lab)), (0.1,)) != loose  # type: ignore[arg-type]


def test_sure_pixels_are_scored_where_they_are_labelled(lab: Workbench) -> None:
    truth = list(lab.train_on.batch(range(24))["masks"])
    half = [torch.where(torch.arange(32) < 16, mask, 255) for mask in truth]
    scored = ladder.scored(PseudoLabels(lab.train_on, half, HOW).masks, lab.train_on)
    assert scored["miou"] == scored["precision"] == 1
    count = len(lab.classes)
    other = [torch.where((mask > 0) & (mask < 255), mask % count + 1, mask) for mask in half]  # each class the next
    scored = ladder.scored(PseudoLabels(lab.train_on, other, HOW).masks, lab.train_on)
    assert scored["miou"] == pytest.approx(1 / (count + 1))  # the background alone is right


def test_the_rungs_of_a_method_and_the_ceiling(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "LABELLED", 8)
    monkeypatch.setattr(ladder, "AFFINITY", replace(ladder.AFFINITY, steps=32))
    for split in ("choose", "report"):
        lab.limit(split, most=8)  # type: ignore[arg-type]
    rows = dict(ladder.measured(lab, ("cam",)))
    assert list(rows) == ["ceiling", "CAM"]
    row = rows["CAM"]
    assert len(lab.train_on) == 8
    assert row["seed"]["threshold"] in ladder.SEED_THRESHOLDS
    assert row["walk"]["threshold"] in ladder.SEED_THRESHOLDS
    assert row["refined"]["threshold"] in ladder.CRF_THRESHOLDS
    for part in (row["seed"], row["walk"], row["refined"], row["pseudo_labels"], row["network"]):
        assert set(part) >= {"miou", "precision", "recall"}
        assert 0 <= part["miou"] <= 1
    for network in (row["network"], rows["ceiling"]["network"]):
        assert network["given"]["test"]["miou"] >= 0
        assert set(network["sharpened"]) == set(network["given"]["train"])
    assert 0 < row["pseudo_labels"]["coverage"] <= 1
    assert STUDIES["ladder"] is ladder.ladder


def test_a_network_starts_where_the_classifier_ended(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    fit = lab.fit
    monkeypatch.setattr(lab, "fit", lambda network, *_, **__: starts.append(copy.deepcopy(network)))
    classifier = lab.classifier()
    fit(classifier)
    ladder.network_row(lab, lab.train_on, classifier.backbone)
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(starts[0].backbone.state_dict()[name], value)
