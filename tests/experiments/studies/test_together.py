"""The pictures of the comparing page: maps survive being packed, and every method draws the same images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from wsss_lib.experiments import Workbench, packing, recipes
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import ladder, together
from wsss_lib.methods.contract import Method
from wsss_lib.methods.esol import ESOLConfig
from wsss_lib.segment import PseudoLabels, Segmenter


def test_maps_survive_being_packed() -> None:
    heat = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    back = packing.unpacked(packing.packed(heat), 5)
    assert back.shape == heat.shape
    assert (back - heat).abs().max() <= 0.5 / 255 + 1e-6


def test_values_outside_the_range_are_cut_off() -> None:
    assert packing.unpacked(packing.packed(torch.tensor([[[-1.0, 2.0], [0.0, 1.0]]])), 2).tolist() == [[[0, 1], [0, 1]]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], train=72, rest=16))


def assert_drawn(result: dict[str, Any]) -> None:
    for one in result["methods"].values():
        heat = packing.unpacked(one["maps"], result["side"])
        assert heat.shape == (result["images"], result["side"], result["side"])
        assert 0 <= one["threshold"] <= 1
        assert heat.amax() > 0


@pytest.mark.usefixtures("small")
def test_every_method_draws_the_same_images() -> None:
    assert {"together", "together_expanding"} <= set(studies.STUDIES)
    first, second = (studies.STUDIES[name]("smoke") for name in ("together", "together_expanding"))
    assert {"CAM", "BAS", "SEAM", "TS-CAM", "SAT"} <= set(first["data"]["methods"])
    assert set(second["data"]["methods"]) == {"SSC", "ESOL"}
    assert first["fingerprint"] == second["fingerprint"]
    for result in (first, second):
        assert_drawn(result["data"])


@pytest.mark.usefixtures("small")
def test_a_method_is_drawn_with_the_images_of_its_chapter(monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on: dict[str, int] = {}

    def count(name: str, lab: Workbench) -> Method:
        trained_on[name] = len(lab.train_on)
        return lab.classifier()

    monkeypatch.setattr(recipes, "SSC_IMAGES", 8)
    monkeypatch.setattr(together, "by_its_recipe", count)
    together.expanding("smoke")
    assert trained_on == {"ssc": 8, "esol": 72}


@pytest.mark.usefixtures("small")
def test_the_masks_of_two_networks_are_of_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: dict[str, PseudoLabels] = {}
    taught = ladder.taught

    def watched(lab: Workbench, records: PseudoLabels, *options: Any) -> Segmenter:
        network = taught(lab, records, *options, epochs=1)
        learnt[type(network).__name__] = records
        return network

    monkeypatch.setattr(ladder, "taught", watched)
    monkeypatch.setattr(ladder, "LABELLED", 24)
    monkeypatch.setattr(ladder, "CERTAINTY", 0.0)  # untrained maps are sure of nothing
    result = studies.STUDIES["together_mars"]("smoke")
    drawn, data = Workbench("smoke"), result["data"]
    assert data["images"] == together.SHOWN
    assert result["fingerprint"] == ladder.limited(drawn).report_on.fingerprint
    assert data["masks_of"] == "SEAM"
    for text in data["masks"].values():
        assert packing.unpacked(text, data["side"]).shape == (data["images"], data["side"], data["side"])
    before, after = (learnt[name].coverage() for name in ("Segmenter", "MARS"))
    assert after < before  # MARS drops labels, and its network is the one with a teacher


@pytest.mark.usefixtures("small")
def test_what_an_update_costs_is_over_that_of_the_groups_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(modules: dict[str, Any], batch: Any, *options: Any, **more: Any) -> dict[str, dict[str, float]]:
        assert len(batch["images"]) == together.UPDATE == len(batch["superpixels"])
        numbers = {"CAM": 2.0, "TS-CAM": 4.0, "ESOL, classify": 1.6, "ESOL, expand": 0.8, "ESOL, shrink": 0.4}
        return {name: {"time": numbers.get(name, 1.0)} for name in modules}

    monkeypatch.setattr(together, "UPDATE", 4)
    monkeypatch.setattr(together, "step_costs", counted)
    data = together.costs("smoke")["data"]
    cost = {name: row["time"] for name, row in data["cost"].items()}
    classify, expand, shrink = ESOLConfig().shares
    esol = (1.6 * classify + 0.8 * expand + 0.4 * shrink) / 2
    expected = {"CAM": 1, "BAS": 0.5, "SEAM": 0.5, "SSC": 0.5, "ESOL": esol, "TS-CAM": 1, "SAT": 0.25}
    assert cost == pytest.approx(expected)
    assert data["classifiers"] == ["CAM", "TS-CAM"]
