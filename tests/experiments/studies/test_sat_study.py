"""Chapter 4's studies: same recipe for all rows, what is recorded."""

from __future__ import annotations

import pytest
from torch import nn

from wsss_lib.experiments.studies import common
from wsss_lib.experiments.studies import sat as study
from wsss_lib.experiments.studies.__main__ import STUDIES
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.sat import SATConfig


def test_the_studies_are_registered() -> None:
    assert STUDIES["sat"] is study.sat
    assert {"sat_ablation", "sat_settings", "sat_dial"} <= set(STUDIES)


def test_one_setting_changes_a_row_and_the_papers_rows_stand_in_its_order() -> None:
    rows = ["gate only", "gate + area", "gate + normalisation", "gate + area + normalisation"]
    assert list(study.ABLATION) == rows
    ablation = [SATConfig(**changes) for changes in study.ABLATION.values()]
    assert [(c.area_weight, c.norm_weight) for c in ablation] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert ablation[-1] == SATConfig(**study.SETTINGS["as it is"]) == study.BOOK == SATConfig()
    for name, changes in study.SETTINGS.items():
        assert len(changes) == (name != "as it is"), name
        assert (SATConfig(**changes) != study.BOOK) == bool(changes), name


def test_every_method_is_trained_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(common, "SEEDS", (0,))
    monkeypatch.setattr(study, "cost", dict)
    monkeypatch.setattr(Workbench, "backbone", lambda self, **o: study_backbone())
    monkeypatch.setattr(Workbench, "fit", lambda self, method, **changes: asked.append(self.recipe(method, **changes)))
    monkeypatch.setattr(Workbench, "scores", lambda self, method: {"pxap": 0.5})
    result = study.sat("smoke")
    assert [(config.epochs, config.lr, config.head_lr) for config in asked] == [(1, 3e-4, 5.0)] * 3
    assert study.TRAINING == {"epochs": 2, "lr": 3e-4, "head_lr": 5.0}, "as recorded"
    assert list(result["data"]["rows"]) == ["class-token attention", "TS-CAM", "patch scores alone", "SAT"]
    assert set(result["data"]["rows"]["SAT"][0]) == {"pxap", "area", "area_sd", "worst"}


def test_the_cost_is_in_seconds_and_mebibytes() -> None:
    result = study.cost(batch=2, rounds=1)
    assert list(result) == ["class-token attention", "TS-CAM", "SAT"]
    assert all(set(each) == {"seconds", "saved_mib"} for each in result.values())
    saved = {name: each["saved_mib"] for name, each in result.items()}
    assert 1 < saved["TS-CAM"] < saved["SAT"] < 2 * saved["TS-CAM"], "32 images keep about a hundred"


def study_backbone() -> nn.Module:
    from wsss_lib.backbones import tiny_vit

    return tiny_vit(dim=8, depth=6, heads=2)


def test_what_is_known_is_not_measured_again_unless_a_setting_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"data": {"rows": {"SAT": [1, 2, 3]}, "settings": study.settings()}}
    monkeypatch.setattr(study.results, "read", lambda name: stored)
    assert study.recorded("book") == {"SAT": [1, 2, 3]}
    assert study.recorded("smoke") is None
    monkeypatch.setattr(study, "TRAINING", study.TRAINING | {"lr": 1.0})
    assert study.recorded("book") is None

    def absent(name: str) -> dict[str, object]:
        raise FileNotFoundError

    monkeypatch.setattr(study.results, "read", absent)
    assert study.recorded("book") is None
