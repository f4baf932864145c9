"""Every world that is drawn, by its name: what a chapter, load and the command expect of it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from wsss_lib.cli import main
from wsss_lib.data import load, splits
from wsss_lib.data.fields import FIELDS
from wsss_lib.data.worlds.critters import Critters, render
from wsss_lib.data.worlds.critters import World as Scenery
from wsss_lib.data.worlds.drawn import WORLDS, drawn_world
from wsss_lib.data.worlds.sentences import Sentences


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_has_dials_a_seed_and_three_splits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = drawn_world(name)
    dials = world.dials()
    with pytest.raises(FrozenInstanceError):
        dials.seed = 1
    assert "seed" in {field.name for field in fields(world.dials)}
    assert splits(name) == tuple(world.counts) == ("train", "val", "test")
    records, same, other = (world.load("test", count=3, seed=seed) for seed in (1, 1, 2))
    assert (records.name, records.split, len(records)) == (name, "test", 3)
    assert records.fingerprint == same.fingerprint != other.fingerprint
    assert set(records[0]) <= set(FIELDS)
    assert load(name, "test", count=3, seed=1).fingerprint == records.fingerprint
    with pytest.raises(ValueError, match=r"the world has no dial named nonsense: turn one of .*seed"):
        world.load(nonsense=1)
    assert main(["data", "show", name]) == 0
    assert f"load({name!r}, dial=value)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "counts"),
    [("critters", (2000, 400, 400, 400)), ("sentences", (1200, 300, 300, 300)), ("lidar", (400, 80, 80, 100))],
)
def test_how_many_are_drawn_where_nobody_says(
    name: str, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented numbers, and one for a split of any other name; nothing is drawn here."""
    one = render(Scenery(size=16), "train", range(1))
    for records in (Critters, Sentences):
        monkeypatch.setattr(records, "_scenes", lambda self, cache: one)
    monkeypatch.setattr(Sentences, "_said", lambda self, index: [])
    load_split = drawn_world(name).load
    assert tuple(len(load_split(split)) for split in ("train", "val", "test", "elsewhere")) == counts


@pytest.mark.parametrize("name", WORLDS)
def test_what_training_changes_at_random_drops_nothing(name: str) -> None:
    world = drawn_world(name)
    if world.augment is None:
        pytest.skip("nothing is changed")
    sample = world.load("test", count=1)[0]
    changed = world.augment()(sample, generator=torch.Generator().manual_seed(0))
    needed = {field for field in sample if FIELDS[field].moves != "drop"}
    assert needed <= set(changed)
