"""The pictures of the comparing page: maps survive being packed, and every method draws the same images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wsss_lib.experiments import packing
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import together


def test_maps_survive_being_packed() -> None:
    heat = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    back = packing.unpacked(packing.packed(heat), 5)
    assert back.shape == heat.shape
    assert (back - heat).abs().max() <= 0.5 / 255 + 1e-6


def test_values_outside_the_range_are_cut_off() -> None:
    assert packing.unpacked(packing.packed(torch.tensor([[[-1.0, 2.0], [0.0, 1.0]]])), 2).tolist() == [[[0, 1], [0, 1]]]


def test_every_method_draws_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], train=32, rest=16))
    assert "together" in studies.STUDIES
    result = together.together("smoke")["data"]
    assert {"CAM", "BAS", "SEAM", "TS-CAM", "SAT"} <= set(result["methods"])
    for one in result["methods"].values():
        heat = packing.unpacked(one["maps"], result["side"])
        assert heat.shape == (result["images"], result["side"], result["side"])
        assert 0 <= one["threshold"] <= 1
        assert heat.amax() > 0
