"""A seed taken apart: the world of one, the start of another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from wsss_lib.experiments.studies import sat_spread as study
from wsss_lib.experiments.studies.__main__ import STUDIES
from wsss_lib.experiments.workbench import Workbench


class Counted:
    """What a pass over a split counted."""

    pixels = SimpleNamespace(value=lambda: 0.5)
    boxes = SimpleNamespace(maximum=lambda: torch.tensor([0.25, 0.75]))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """World, start and epochs of every training; nothing is trained, nothing measured."""
    from wsss_lib.backbones import tiny_vit

    trainings: list[tuple[int, int, int]] = []

    def fit(self: Workbench, method: Any, **changes: int) -> None:
        config = self.recipe(method, **changes)
        trainings.append((self.world.seed, config.seed, config.epochs))

    monkeypatch.setattr(Workbench, "backbone", lambda self, **o: tiny_vit(dim=8, depth=6, heads=2))
    monkeypatch.setattr(Workbench, "fit", fit)
    monkeypatch.setattr(Workbench, "scores", lambda self, method: {"pxap": 0.5})
    monkeypatch.setattr(Workbench, "measure", lambda self, method: Counted)
    return trainings


def test_what_the_rows_have_not_measured(asked: list[tuple[int, int, int]]) -> None:
    result = study.sat_spread("smoke")["data"]
    assert asked == [(1, 0, 1), (1, 0, 1), (1, 2, 1), (1, 2, 1)]
    assert [row["map"] for row in result["rows"][:2]] == ["class-token attention", "SAT"]
    assert [(row["world"], row["start"]) for row in result["rows"][::2]] == list(study.CASES)
    assert not any(world == start for world, start in study.CASES), "that is a row of sat's"
    assert result["untrained"] == [{"max_box_acc_v2": 0.5, "pxap": 0.5}] * 3
    assert STUDIES["sat_spread"] is study.sat_spread


def test_images_are_the_worlds_and_weights_the_starts(asked: list[tuple[int, int, int]]) -> None:
    mixed = study.bench("smoke", 1, 2)
    assert mixed.report_on.fingerprint == Workbench("smoke", seed=1).report_on.fingerprint

    def head(lab: Workbench) -> torch.Tensor:
        return lab.build("class-token").head.weight

    assert torch.equal(head(mixed), head(study.bench("smoke", 0, 2)))
    assert not torch.equal(head(mixed), head(study.bench("smoke", 1, 1)))


def test_maps_of_the_images_that_the_chapter_shows(asked: list[tuple[int, int, int]]) -> None:
    data = study.sat_maps("smoke")["data"]
    assert asked == [(0, 0, 1)]
    assert data["maps"].shape[0] == 8
    assert data["maps"].amax((1, 2)).tolist() == [1.0] * 8, "the map of the image's class, stretched"
    assert data["pxap"] == 0.5
