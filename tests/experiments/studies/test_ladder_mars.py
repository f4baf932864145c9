"""MARS on the ladder: between the refined labels and the network, and nothing else is another."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from wsss_lib.experiments import Workbench, context
from wsss_lib.experiments.studies import ladder, ladder_mars
from wsss_lib.experiments.studies.__main__ import STUDIES
from wsss_lib.segment import MARS, MARSConfig, Provenance, PseudoLabels, Segmenter

HOW = Provenance("cam", "none", 0, {"background": 0.1})


def test_the_rungs_with_mars(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "LABELLED", 8)
    for split in ("choose", "report"):
        lab.limit(split, most=8)  # type: ignore[arg-type]
    rows = dict(ladder_mars.measured(lab, ("cam",)))
    assert list(rows) == ["CAM + MARS"]
    row = rows["CAM + MARS"]
    assert len(lab.train_on) == 8
    assert row["pseudo_labels"]["similarity"] in context.THRESHOLDS
    for part in (row["labels_before"], row["refined"], row["pseudo_labels"], row["network"]):
        assert 0 <= part["miou"] <= 1
    assert row["network"]["given"]["test"]["miou"] >= 0
    assert STUDIES["ladder_mars"] is ladder_mars.with_mars


def test_the_recorded_rows_stand_on_the_ladders_own_labels() -> None:
    rows = ladder_mars.recorded_rows()
    debiased = [name for name in rows if name.endswith(" + MARS")]
    assert "CAM + MARS" in debiased
    for name in debiased:
        base = name.removesuffix(" + MARS")
        assert list(rows).index(name) == list(rows).index(base) + 1
        for row, with_mars in zip(rows[base], rows[name], strict=True):  # other roundings of other versions
            before = {key: value for key, value in row["refined"].items() if key != "threshold"}
            assert with_mars["labels_before"] == pytest.approx(before, abs=1e-3)
            assert with_mars["seed"] == row["seed"]


def test_a_dropped_label_says_background(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = list(lab.train_on.batch(range(24))["masks"])
    labels = PseudoLabels(lab.train_on, truth, HOW)
    left = [torch.where((mask > 0) & (torch.arange(32) < 16), 255, mask) for mask in truth]
    debiased = PseudoLabels(lab.train_on, left, HOW)
    network = []
    monkeypatch.setattr("wsss_lib.experiments.debiased.debias", lambda *_, **__: debiased)
    monkeypatch.setattr(context, "chosen_threshold", lambda *_: (0.4, []))
    monkeypatch.setattr(ladder, "sharpened", lambda *_: torch.full((24, len(lab.classes) + 1, 32, 32), 1.0))
    monkeypatch.setattr(
        ladder, "network_row", lambda lab, records, start, net: network.append((records, net)) or {"miou": 1.0}
    )
    classifier = lab.classifier()
    made = ladder_mars.rungs(lab, classifier, labels, truth, classifier.backbone)
    spoilt = [torch.where(after == 255, 0, before) for before, after in zip(truth, debiased.masks, strict=True)]
    assert made["refined"] == {"threshold": 0.1, **ladder.scored(spoilt, lab.train_on)}
    assert made["pseudo_labels"]["miou"] == made["refined"]["miou"] < 1
    assert made["pseudo_labels"]["coverage"] == debiased.coverage() < 1
    assert made["pseudo_labels"]["similarity"] == 0.4
    assert made["labels_before"]["miou"] == 1
    ((learnt, net),) = network
    assert learnt is debiased
    assert (type(net), net.config.refill, net.config.scene) == (MARS, "weighted", True)


def test_the_network_of_mars_is_the_same_with_a_teacher(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[Segmenter] = []
    monkeypatch.setattr(lab, "fit", lambda network, *_, **__: networks.append(network))
    classifier = lab.classifier()
    for network in (None, lab.build(MARS, MARSConfig(**asdict(ladder.NETWORK)))):
        ladder.network_row(lab, lab.train_on, classifier.backbone, network)
    plain, mars = networks
    student = {name: value for name, value in mars.state_dict().items() if not name.startswith("teacher.")}
    assert type(plain) is Segmenter
    for name, value in plain.state_dict().items():
        assert torch.equal(student[name], value)
        assert torch.equal(mars.teacher.network.state_dict()[name], value)
