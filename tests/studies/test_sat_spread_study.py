"""A seed taken apart: the world of one, the start of another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsss_lib.lab import Lab
from wsss_lib.studies import sat as rows
from wsss_lib.studies import sat_spread as study
from wsss_lib.studies.__main__ import STUDIES


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """World, start and epochs of every training; nothing is trained."""
    from wsss_lib.backbones import tiny_vit

    seen: list[tuple[int, int, int]] = []
    monkeypatch.setattr(Lab, "backbone", lambda self, **o: tiny_vit(dim=8, depth=6, heads=2))
    monkeypatch.setattr(
        Lab, "fit", lambda self, m, **c: seen.append((self.world.seed, self.recipe().seed, c["epochs"]))
    )
    monkeypatch.setattr(Lab, "scores", lambda self, m: {"pxap": float(next(m.parameters()).sum())})
    return seen


def test_what_the_rows_have_not_measured(asked: list[tuple[int, int, int]]) -> None:
    found = study.sat_spread("smoke")["data"]
    assert asked == [(1, 0, 1), (1, 0, 1), (1, 2, 1), (1, 2, 1), (0, 1, 1), (0, 1, 1), (1, 1, 2), (1, 1, 2)]
    assert [row["map"] for row in found["rows"][:2]] == ["class-token attention", "SAT"]
    assert [(row["world"], row["start"], row["times"]) for row in found["rows"][::2]] == list(study.CASES)
    assert not any(world == start and times == 1 for world, start, times in study.CASES), "that is a row of sat's"
    assert len(found["untrained"]) == len(rows.SEEDS)
    assert STUDIES["sat_spread"] is study.sat_spread


def test_images_are_the_worlds_and_weights_the_starts(asked: list[tuple[int, int, int]]) -> None:
    mixed = study.bench("smoke", 1, 2)
    assert mixed.report_on.fingerprint == Lab("smoke", seed=1).report_on.fingerprint

    def head(lab: Lab) -> torch.Tensor:
        return lab.build(study.ClassToken).head.weight

    assert torch.equal(head(mixed), head(study.bench("smoke", 0, 2)))
    assert not torch.equal(head(mixed), head(study.bench("smoke", 1, 1)))


def test_maps_of_the_images_that_the_chapter_shows(
    asked: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pixels:
        value = staticmethod(lambda: 0.5)

    class Found:
        pixels = Pixels

    def measure(self: Lab, method: nn.Module) -> type[Found]:
        return Found

    monkeypatch.setattr(Lab, "measure", measure)
    data = study.sat_maps("smoke")["data"]
    assert data["maps"].shape[0] == 8
    assert data["maps"].amax((1, 2)).tolist() == [1.0] * 8, "the map of the image's class, stretched"
    assert data["pxap"] == 0.5
