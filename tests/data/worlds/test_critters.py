"""The world: the same bytes everywhere, what is drawn is what is said, and each dial turns what it names."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib.data.worlds.critters import (
    COMPANIONS,
    NURSERY,
    SPECIES,
    Critters,
    World,
    load_critters,
    render,
)
from wsss_lib.data.worlds.critters.layout import Layer
from wsss_lib.data.worlds.critters.scenery import Window
from wsss_lib.data.worlds.critters.shapes import capsule, coverage, ellipse, turn, value_noise
from wsss_lib.data.worlds.critters.species import tables
from wsss_lib.data.worlds.random_numbers import Draws, image_keys
from wsss_lib.files import cache_folder

# SHA-256 of images, masks and parts of six images, drawn once and looked at. A change here is a change of every number
# in the book: raise DRAWING_VERSION with it.
GOLDEN = {
    "default": "bb69247c46a3a41f020a3ce6f8e9cb21a42f6301392b00c2da3bc57cce064bb8",
    "crowded": "98107e5a1ed3f189b9df468b7a091c723b59f0de414b9bfb716dec8ff80235d1",
    "everything": "6432bba6f67aa8d95445b288ec873029b683edf117560aae33e7f8f950a10014",
    "later": "71003eee36bb96fa655b5ad6e7deb3ce47e17ce4d62003a0e6e6f5e7ae43a598",
    "fingerprint": "836061c219564474b7d3c2330bac020307ed404688d3533512e402c1f46243a0",
}
CROWDED = World(size=64, critters=(2, 3), occlusion=0.4, cooccurrence=0.8, clutter=1.0, seed=7)


def digest(world: World) -> str:
    s = render(world, "train", range(6))
    return hashlib.sha256(s.images.tobytes() + s.masks.tobytes() + s.parts.tobytes()).hexdigest()


def test_the_same_bytes_as_when_the_world_was_first_drawn() -> None:
    assert digest(World()) == GOLDEN["default"]
    assert digest(CROWDED) == GOLDEN["crowded"]
    later = World(size=48, cooccurrence=1.0, companion_size=2.0, loners=("fenn",), scale=(0.3, 0.5))
    assert digest(later) == GOLDEN["later"]


def test_the_same_bytes_of_everything_that_is_ever_drawn() -> None:
    s = render(World(size=48, critters=(1, 2), cooccurrence=0.5, clutter=1.0, seed=3), "val", range(24))
    drawn = {
        field: {critter[field] for image in s.objects for critter in image}
        for field in ("species", "companion", "habitat", "pattern", "coat", "facing")
    }
    assert drawn["species"] == set(SPECIES)
    assert drawn["companion"] == {None, *COMPANIONS}
    assert {field: len(values) for field, values in drawn.items()} == {
        "species": 6, "companion": 7, "habitat": 6, "pattern": 6, "coat": 6, "facing": 2
    }  # fmt: skip
    content = s.images.tobytes() + s.masks.tobytes() + s.parts.tobytes()
    assert hashlib.sha256(content).hexdigest() == GOLDEN["everything"]


def test_dials_that_came_later_are_silent_where_they_change_nothing() -> None:
    later = World(companion_size=2, loners=("fenn",))
    assert "companion_size" not in repr(World())
    assert "loners" not in repr(World())
    assert repr(later).endswith("occlusion=0.0, companion_size=2.0, loners=('fenn',), seed=0)")
    prints = {
        world.fingerprint("val", 3) for world in (World(), later, World(companion_size=2), World(loners=("fenn",)))
    }
    assert len(prints) == 4
    assert World(size=16).fingerprint("val", 3) == GOLDEN["fingerprint"]


def test_an_image_depends_on_its_position_only() -> None:
    whole = render(CROWDED, "train", range(40))
    some = render(CROWDED, "train", np.array([33, 5]), workers=1)
    assert np.array_equal(whole.images[[33, 5]], some.images)
    assert np.array_equal(whole.parts[[33, 5]], some.parts)
    assert [whole.objects[33], whole.objects[5]] == some.objects


def test_splits_and_seeds_are_different_images() -> None:
    train = render(World(size=32), "train", range(3)).images
    assert not np.array_equal(train, render(World(size=32), "test", range(3)).images)
    assert not np.array_equal(train, render(World(size=32, seed=1), "train", range(3)).images)
    assert not np.array_equal(train[0], train[1])


@settings(max_examples=12, deadline=None)
@given(
    st.builds(
        World,
        size=st.sampled_from([24, 33, 48]),
        critters=st.sampled_from([(1, 1), (1, 3), (2, 2)]),
        occlusion=st.sampled_from([0.0, 0.5, 1.0]),
        clutter=st.floats(0, 1),
        contrast=st.floats(0, 1),
        cooccurrence=st.floats(0, 1),
        head_evidence=st.floats(0, 1),
        body_evidence=st.floats(0, 1),
        scale=st.sampled_from([(0.2, 0.3), (0.5, 0.8), (1.0, 1.0)]),
        seed=st.integers(0, 2**31),
    )
)
def test_what_is_said_agrees_with_what_is_drawn(world: World) -> None:
    s = render(world, "train", range(4))
    assert s.images.shape == (4, 3, world.size, world.size)
    assert s.images.dtype == np.uint8
    assert ((s.parts > 0) == (s.masks > 0)).all()
    assert ((s.instances > 0) == (s.masks > 0)).all()
    for i in range(4):
        present = {o["class"] for o in s.objects[i]}
        assert set(np.unique(s.masks[i])) - {0} == {k + 1 for k in present}
        assert set(np.flatnonzero(s.labels[i])) == present
        for number, result in enumerate(s.objects[i], start=1):
            ys, xs = np.nonzero(s.instances[i] == number)
            assert result["box"] == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert set(s.masks[i][ys, xs]) == {result["class"] + 1}
            assert result["species"] == world.species[result["class"]]
            sides = np.array([np.ptp(xs) + 1, np.ptp(ys) + 1])
            assert result["centre"] == pytest.approx((np.array([xs.min(), ys.min()]) + sides / 2) / world.size)
            assert result["extent"] == max(sides) / world.size


def test_masks_follow_the_paint() -> None:
    """Repainting the same scene with critters like the ground changes pixels on the critters and nowhere else."""
    loud, quiet = World(contrast=1.0), World(contrast=0.0)
    a, b = render(loud, "train", range(8)), render(quiet, "train", range(8))
    assert np.array_equal(a.masks, b.masks)
    moved = np.abs(a.images.astype(int) - b.images.astype(int)).max(1) > 40
    inside = a.masks > 0
    near = inside.copy()
    near[:, 1:] |= inside[:, :-1]
    near[:, :-1] |= inside[:, 1:]
    near[:, :, 1:] |= inside[:, :, :-1]
    near[:, :, :-1] |= inside[:, :, 1:]
    assert not (moved & ~near).any()
    assert moved[inside].mean() > 0.5


def test_any_resolution_shows_the_same_scene() -> None:
    small, large = render(World(size=48), "train", range(8)), render(World(size=192), "train", range(8))
    shrunk = large.images.reshape(8, 3, 48, 4, 48, 4).mean((3, 5))
    assert np.abs(shrunk - small.images).mean() < 8
    share = np.abs((small.masks > 0).mean((1, 2)) - (large.masks > 0).mean((1, 2)))
    assert share.max() < 0.02
    assert np.array_equal(small.labels, large.labels)


def nearest_species(world: World, part: str, count: int = 300) -> float:
    """Accuracy of guessing the species from the drawn numbers of one part by the nearest own vector."""
    from wsss_lib.data.worlds.critters.animal import make_look

    table = tables(world.species)
    draws = Draws(image_keys(0, "probe", np.arange(count)))
    species = draws.integers("species", count=len(world.species))
    look = make_look(draws, table, species, world.head_evidence, world.body_evidence)
    weights = getattr(look, {"head": "face", "body": "pattern"}[part])
    typical = table[{"head": "face", "body": "pattern"}[part]]
    return float((((weights[:, None] - typical[None]) ** 2).sum(-1).argmin(1) == species).mean())


def test_evidence_is_graded() -> None:
    for part in ("head", "body"):
        result = [nearest_species(replace(World(), **{f"{part}_evidence": e}), part) for e in (0.0, 1.0)]
        assert result[0] < 0.30, "no evidence: no better than chance (1 in 6)"
        assert result[1] == 1.0
    # Between the two the own vector is in the mixture, however faint: it can be seen, but not by the nearest prototype.
    table, world = tables(SPECIES), World()
    from wsss_lib.data.worlds.critters.animal import make_look

    draws = Draws(image_keys(0, "probe", np.arange(200)))
    species = draws.integers("species", count=6)
    look = make_look(draws, table, species, 1.0, world.body_evidence)
    assert (look.pattern[np.arange(200), species] >= world.body_evidence - 1e-6).all()


def test_dials_turn_what_they_name() -> None:
    base = World(size=48)
    n = range(120)

    def extents(world: World) -> float:
        return float(np.mean([o["extent"] for row in render(world, "train", n).objects for o in row]))

    assert extents(replace(base, scale=(0.3, 0.35))) < 0.45 < 0.75 < extents(replace(base, scale=(0.85, 0.9)))
    several = render(replace(base, critters=(2, 3)), "train", n)
    assert 1.8 < np.mean([len(row) for row in several.objects]) <= 3
    hidden = [o["visible"] for row in render(replace(base, occlusion=0.6), "train", n).objects for o in row]
    assert np.mean(hidden) < 0.9
    assert all(o["visible"] == 1 for row in render(base, "train", n).objects for o in row)
    follows = [
        o["companion"] == COMPANIONS[o["class"]]
        for row in render(replace(base, cooccurrence=0.9), "train", n).objects
        for o in row
    ]
    strays = [o["companion"] == COMPANIONS[o["class"]] for row in render(base, "train", n).objects for o in row]
    assert np.mean(follows) > 0.8
    assert np.mean(strays) < 0.12
    lonely = render(replace(base, cooccurrence=1.0, loners=("fenn", "brok")), "train", n).objects
    own = {name: [o["companion"] == COMPANIONS[o["class"]] for (o, *_) in lonely if o["species"] == name]
           for name in base.species}  # fmt: skip
    assert all(np.mean(own[name]) < 0.2 for name in ("fenn", "brok"))
    assert all(np.mean(own[name]) == 1 for name in ("lopi", "taur", "gira", "olif"))
    alone = render(replace(base, cooccurrence=1.0, companion_size=0.5), "train", n).images.astype(float)
    grown = render(replace(base, cooccurrence=1.0, companion_size=2.0), "train", n).images.astype(float)
    usual = render(replace(base, cooccurrence=1.0), "train", n).images.astype(float)
    assert (np.abs(grown - usual).max(1) > 20).mean() > 2 * (np.abs(alone - usual).max(1) > 20).mean()
    plain = render(replace(base, clutter=0.0), "train", n).images.astype(float)
    busy = render(replace(base, clutter=1.0), "train", n).images.astype(float)
    assert (np.abs(plain - busy).max(1) > 20).mean() > 0.02


@pytest.mark.parametrize(
    ("dial", "value"),
    [
        ("body_evidence", 1.2), ("contrast", -0.1), ("size", 8), ("scale", (0.8, 0.5)), ("critters", (0, 1)),
        ("species", ("fenn",)), ("species", ("fenn", "unicorn")), ("species", ("fenn", "fenn")), ("species", "fenn"),
        ("species", None), ("seed", "7"), ("seed", -1), ("seed", 2**63), ("seed", 7.0), ("seed", True), ("seed", None),
        ("size", "96"), ("size", 96.5), ("clutter", "0.5"), ("clutter", float("nan")), ("contrast", None),
        ("scale", 0.5), ("scale", ("a", "b")), ("critters", (1.5, 2)), ("critters", 2),
        ("companion_size", 0.4), ("companion_size", "2"), ("loners", ("unicorn",)), ("loners", "fenn"),
    ],
)  # fmt: skip
def test_a_dial_out_of_range_is_refused_by_name(dial: str, value: object) -> None:
    with pytest.raises(ValueError, match=dial):
        World(**{dial: value})


def test_a_dial_turns_to_either_end_of_its_range_and_no_farther() -> None:
    low = World(
        size=16, head_evidence=0, body_evidence=0, scale=(0.1, 0.1), clutter=0, contrast=0, cooccurrence=0,
        critters=(1, 1), occlusion=0, companion_size=0.5, species=("fenn", "lopi"), seed=0,
    )  # fmt: skip
    high = World(
        head_evidence=1, body_evidence=1, scale=(1, 1), clutter=1, contrast=1, cooccurrence=1, critters=(6, 6),
        occlusion=1, companion_size=3, seed=2**63 - 1,
    )  # fmt: skip
    assert low != high
    beyond = {
        "size": 15, "scale": (0.09, 0.5), "critters": (1, 7), "companion_size": 3.1, "head_evidence": 1.01,
        "seed": 2**63,
    }  # fmt: skip
    for dial, value in (*beyond.items(), ("scale", (0.5, 1.01)), ("critters", (3, 2)), ("scale", (0.5, 0.6, 0.7))):
        with pytest.raises(ValueError, match=dial):
            World(**{dial: value})


def test_long_seeds_are_seeds_of_their_own_and_numpys_numbers_are_numbers() -> None:
    drawn = [render(World(size=16, seed=seed), "train", range(2)).images for seed in (0, 1, 2**32, 2**33, 2**63 - 1)]
    assert len({images.tobytes() for images in drawn}) == 5
    ours = World(size=np.int64(32), seed=np.uint8(7), clutter=np.float32(0.5), scale=np.array([0.5, 0.75]).tolist())
    assert ours == World(size=32, seed=7, clutter=0.5, scale=(0.5, 0.75))
    assert ours.fingerprint("val", 3) == World(size=32, seed=7, clutter=0.5, scale=(0.5, 0.75)).fingerprint("val", 3)


@pytest.mark.parametrize("count", [0, -1, 2.5, "7"])
def test_a_count_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(ValueError, match="count is"):
        Critters(World(size=16), "val", count)  # type: ignore[arg-type]


def test_an_unknown_dial_is_refused() -> None:
    with pytest.raises(ValueError, match="fluffiness"):
        load_critters("train", count=2, fluffiness=1)


def test_records_give_what_the_scenes_hold() -> None:
    records = Critters(World(size=32, critters=(1, 2)), "val", 5)
    sample = records[3]
    assert torch.equal(sample["image"], torch.from_numpy(records.scenes.images[3]).float() / 255)
    assert sample["boxes"].shape == (len(sample["objects"]), 4)
    batch = records.batch(torch.tensor([3, 0]))
    assert torch.equal(batch["images"][0], sample["image"])
    assert torch.equal(batch["labels"], records.labels[[3, 0]])
    assert batch["masks"].dtype == torch.int64
    with pytest.raises(IndexError, match="there are 5"):
        records[5]


def test_the_fingerprint_names_the_content() -> None:
    same = Critters(World(size=32), "val", 2).fingerprint
    assert same == Critters(World(size=32), "val", 2).fingerprint
    others = [
        Critters(World(size=32), "val", 3),
        Critters(World(size=32), "test", 2),
        Critters(World(size=32, clutter=0.1), "val", 2),
    ]
    assert len({same, *(o.fingerprint for o in others)}) == 4


def test_the_cache_gives_back_what_was_drawn(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WSSS_CACHE", str(tmp_path))
    first = load_critters("val", count=4, size=32)
    (stored,) = (tmp_path / "critters").iterdir()
    assert stored.name == f"{first.fingerprint}.npz", "no temporary file is left"
    monkeypatch.setattr("wsss_lib.data.worlds.critters.dataset.render", lambda *a, **k: pytest.fail("drawn again"))
    again = load_critters("val", count=4, size=32)
    assert np.array_equal(first.scenes.images, again.scenes.images)
    assert first.scenes.objects == again.scenes.objects


def damaged(content: bytes) -> list[bytes]:
    """Files that are empty, foreign, cut, or have one byte turned."""
    cuts = [content[: len(content) * k // 7] for k in range(1, 7)]
    places = np.linspace(0, len(content) - 1, 60).astype(int)
    turned = [content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :] for at in places]
    return [b"", b"<html>not found</html>", *cuts, *turned]


def test_a_damaged_cache_is_drawn_again(tmp_path) -> None:
    world = World(size=16)
    drawn = Critters(world, "val", 2, tmp_path)
    path = tmp_path / "critters" / f"{drawn.fingerprint}.npz"
    whole = path.read_bytes()
    other = Critters(world, "val", 3, tmp_path).fingerprint
    warned = 0
    for content in (*damaged(whole), path.with_stem(other).read_bytes()):
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            again = Critters(world, "val", 2, tmp_path)
        assert np.array_equal(again.scenes.images, drawn.scenes.images)
        assert again.scenes.objects == drawn.scenes.objects
        assert path.read_bytes() == (whole if caught else content), "mended on the way"
        assert not [str(w.message) for w in caught if "drawn again; the variable WSSS_CACHE" not in str(w.message)]
        warned += bool(caught)
    assert warned > 20


def test_a_cache_that_cannot_be_used_stops_nobody(tmp_path, monkeypatch) -> None:
    drawn = Critters(World(size=16), "val", 2).scenes.images
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.warns(UserWarning, match=r"cannot be .*WSSS_CACHE"):
        assert np.array_equal(Critters(World(size=16), "val", 2, file).scenes.images, drawn)
    folder = tmp_path / "locked"
    (folder / "critters").mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise OSError(28, "the disk is full")

    monkeypatch.setattr("wsss_lib.data.worlds.critters.cache.writing", refuse)
    with pytest.warns(UserWarning, match=r"cannot be written.*the disk is full.*drawn anew each time.*WSSS_CACHE"):
        assert np.array_equal(Critters(World(size=16), "val", 2, folder).scenes.images, drawn)


def test_without_a_home_nothing_is_kept(monkeypatch) -> None:
    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    for name in ("WSSS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert cache_folder() is None
    assert len(load_critters("val", count=2, size=16)) == 2


def test_as_a_datasets_dataset() -> None:
    records = Critters(World(size=32, critters=(1, 2)), "val", 4)
    table = records.to_datasets()
    assert np.array_equal(np.asarray(table[2]["image"]).transpose(2, 0, 1), records.scenes.images[2])
    assert np.array_equal(np.asarray(table[2]["mask"]), records.scenes.masks[2])
    assert sorted(table[2]["labels"]) == np.flatnonzero(records.scenes.labels[2]).tolist()
    assert table.features["labels"].feature.names == list(SPECIES)


def test_nursery_species_are_not_the_chapters() -> None:
    ours, theirs = tables(SPECIES), tables(NURSERY)
    pairs = {tuple(p) for p in zip(ours["pattern"].argmax(1).tolist(), ours["face"].argmax(1).tolist(), strict=True)}
    nursery = [
        tuple(p) for p in zip(theirs["pattern"].argmax(1).tolist(), theirs["face"].argmax(1).tolist(), strict=True)
    ]
    assert not pairs & set(nursery)
    assert len(set(nursery)) == len(NURSERY)
    for part in ("body", "head"):
        assert (theirs[part] >= ours[part].min(0)).all()
        assert (theirs[part] <= ours[part].max(0)).all()


def test_distances_are_zero_on_the_edge_and_negative_inside() -> None:
    f = np.float32

    def at(x: float) -> np.ndarray:
        return np.full((1, 1, 1), x, f)

    assert abs(ellipse(at(0.3), at(0), at(0), at(0), at(0.3), at(0.2)).item()) < 1e-6
    assert ellipse(at(0.1), at(0.05), at(0), at(0), at(0.3), at(0.2)).item() < 0
    assert ellipse(at(0.0), at(0.3), at(0), at(0), at(0.3), at(0.2)).item() == pytest.approx(0.1, abs=0.06)
    d = capsule(at(0.5), at(0.3), (at(0), at(0)), (at(1), at(0)), at(0.1), at(0.2))
    assert d.item() == pytest.approx(0.3 - 0.15)
    assert coverage(at(0), at(0.1)).item() == 0.5
    assert coverage(at(-1), at(0.1)).item() == 1


def test_turn_is_close_to_cosine_and_sine() -> None:
    angles = np.linspace(-0.5, 0.5, 101, dtype=np.float32)
    c, s = turn(angles)
    assert np.abs(c - np.cos(angles)).max() < 3e-4
    assert np.abs(s - np.sin(angles)).max() < 3e-4


def test_noise_passes_through_its_lattice() -> None:
    lattice = Draws(image_keys(0, "noise", np.arange(2))).uniform("n", 3, 5)
    field = value_noise(lattice, 60, 60)
    assert field.min() >= lattice.min()
    assert field.max() <= lattice.max()
    assert np.abs(field[:, 0, 0] - lattice[:, 0, 0]).max() < 0.02


def test_draws_are_uniform_and_named() -> None:
    draws = Draws(image_keys(0, "uniform", np.arange(4000)))
    a, b = draws.uniform("a"), draws.uniform("b")
    assert abs(a.mean() - 0.5) < 0.02
    assert abs(np.histogram(a, 10, (0, 1))[0] / 400 - 1).max() < 0.2
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05
    assert np.array_equal(a, draws.uniform("a"))


def test_a_critter_is_painted_in_a_window_that_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(critters=(1, 3), scale=(0.3, 1.0), occlusion=0.3)
    windowed = render(world, "train", range(48))

    class Whole(Window):
        def __init__(self, rows, cx, cy, reach, size):  # type: ignore[no-untyped-def]
            super().__init__(rows, cx, cy, (2.0, 2.0), size)

    monkeypatch.setattr("wsss_lib.data.worlds.critters.scene.Window", Whole)  # shadows
    monkeypatch.setattr("wsss_lib.data.worlds.critters.layout.Window", Whole)  # critters
    whole = render(world, "train", range(48))
    for name in ("images", "masks", "parts", "instances"):
        assert np.array_equal(getattr(windowed, name), getattr(whole, name)), name


def test_the_window_holds_a_critter_that_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The box of its nominal extent, turned by 0.1 rad about its origin either way."""
    plain, rooms = Layer.room, []

    def room(self: Layer, rows: np.ndarray, size: int) -> Window:
        for row in rows:
            window = plain(self, np.array([row]), size)
            left, top, right, bottom = (edge[row] * self.unit[row] for edge in self.look.extent())
            x, y = np.meshgrid(np.array([left, right]) * self.facing[row], [top, bottom])
            for sin, cos in ((np.sin(angle), np.cos(angle)) for angle in (-0.1, 0.1)):
                for cells, places in (
                    (window.columns, self.cx[row] + cos * x - sin * y),
                    (window.lines, self.cy[row] + sin * x + cos * y),
                ):
                    assert cells.min() / size <= places.clip(0, 1).min() + 1e-6
                    assert (cells.max() + 1) / size >= places.clip(0, 1).max() - 1e-6
            rooms.append(window)
        return plain(self, rows, size)

    monkeypatch.setattr(Layer, "room", room)
    render(World(critters=(1, 3), scale=(0.3, 0.6)), "train", range(24))
    assert len(rooms) > 24
