"""The pictures of the comparing page: maps survive being packed, and every method draws the same images."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.experiments import workbench as lab
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import together


def test_maps_survive_being_packed() -> None:
    heat = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    back = together.unpacked(together.packed(heat), 5)
    assert back.shape == heat.shape
    assert (back - heat).abs().max() <= 0.5 / 255 + 1e-6


def test_values_outside_the_range_are_cut_off() -> None:
    assert together.unpacked(together.packed(torch.tensor([[[-1.0, 2.0], [0.0, 1.0]]])), 2).tolist() == [
        [[0, 1], [0, 1]]
    ]


def test_every_method_draws_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lab.COUNTS, "smoke", (32, 16))
    assert "together" in studies.STUDIES
    found = together.together("smoke")["data"]
    assert {"CAM", "BAS", "SEAM", "TS-CAM", "SAT"} <= set(found["methods"])
    for one in found["methods"].values():
        heat = together.unpacked(one["maps"], found["side"])
        assert heat.shape == (found["images"], found["side"], found["side"])
        assert 0 <= one["threshold"] <= 1
        assert heat.amax() > 0
