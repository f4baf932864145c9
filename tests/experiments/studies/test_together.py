"""The pictures of the comparing page: maps survive being packed, and every method draws the same images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from wsss_lib.experiments import Workbench, packing, recipes
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import together
from wsss_lib.methods.contract import Method


def test_maps_survive_being_packed() -> None:
    heat = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    back = packing.unpacked(packing.packed(heat), 5)
    assert back.shape == heat.shape
    assert (back - heat).abs().max() <= 0.5 / 255 + 1e-6


def test_values_outside_the_range_are_cut_off() -> None:
    assert packing.unpacked(packing.packed(torch.tensor([[[-1.0, 2.0], [0.0, 1.0]]])), 2).tolist() == [[[0, 1], [0, 1]]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], train=96, rest=16))


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
    assert trained_on == {"ssc": 8, "esol": 96}
