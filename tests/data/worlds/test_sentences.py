"""Sentences about critters: each is true of the critter that is meant and of no other, and a parser reads it back."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter

import numpy as np
import pytest
import torch

from wsss_lib.data.worlds.random_numbers import Draws, image_keys
from wsss_lib.data.worlds.sentences import ATTRIBUTES, KINDS, RELATIONS, WORDS, Sentences, World, said, statements
from wsss_lib.data.worlds.sentences.layout import lay_out
from wsss_lib.methods.triads import parse

SMALL = World(size=64)
# SHA-256 of the images, and of what is said of them: a change here is a change of chapter 10's numbers.
GOLDEN = "d442577d367d59c624453ef5c2e02fbd90a9f02e5666c03539d27d3a30756c8e"
# So many critters that some scenes find no places without overlap, and keep the best of all that were drawn.
CROWDED = World(size=48, critters=6, alike=3, unambiguous=0.5, seed=5)
GOLDEN_CROWDED = "80b43bd54fe116d367e39f054a0e1ea1692d734f1b94dba911f190feec13d76d"


@pytest.fixture(scope="module")
def train() -> Sentences:
    return Sentences(SMALL, "train", 120)


@pytest.fixture(scope="module")
def test() -> Sentences:
    return Sentences(SMALL, "test", 120)


def test_the_same_scenes_and_sentences_as_when_they_were_first_drawn() -> None:
    assert digest(Sentences(World(), "train", 4)) == GOLDEN
    assert digest(Sentences(CROWDED, "train", 60)) == GOLDEN_CROWDED


def digest(records: Sentences) -> str:
    texts = "|".join(each.text for row in records.statements for each in row)
    return hashlib.sha256(records.scenes.images.tobytes() + texts.encode()).hexdigest()


def test_a_scene_depends_on_its_position_only(train: Sentences) -> None:
    fewer = Sentences(SMALL, "train", 7)
    assert np.array_equal(fewer.scenes.images, train.scenes.images[:7])
    assert fewer.statements == train.statements[:7]


def value(thing: dict, kind: str, size: int) -> float:
    x0, y0, x1, y1 = thing["box"]
    return {
        "beside": (x0 + x1) / 2,
        "above": (y0 + y1) / 2,
        "in front": y1,
        "larger": max(x1 - x0, y1 - y0),
    }[kind] / size


def holds(word: str, kind: str, first: dict, second: dict, size: int) -> bool:
    sign = 1 if word in ("right", "below", "front", "larger") else -1
    return sign * (value(first, kind, size) - value(second, kind, size)) > 0


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_sentence_is_true_of_one_critter_alone(split: str, request: pytest.FixtureRequest) -> None:
    records: Sentences = request.getfixturevalue(split)
    seen = Counter()
    for things, row in zip(records.scenes.objects, records.statements, strict=True):
        for each in row:
            target, reference, word = each.triad
            alike = [i for i, thing in enumerate(things) if thing["species"] == target]
            assert each.target in alike
            if each.kind == "colour":
                assert [i for i in alike if things[i]["coat"] == word] == [each.target]
            elif each.kind == "size":
                sizes = [value(things[i], "larger", SMALL.size) for i in alike]
                best = max(sizes) if word == "large" else min(sizes)
                assert value(things[each.target], "larger", SMALL.size) == best
            else:
                (other,) = [thing for thing in things if thing["species"] == reference]
                true = [i for i in alike if holds(word, each.kind, things[i], other, SMALL.size)]
                assert true == [each.target]
                # Who has the word the wrong way round means another one.
                assert all(holds(word, each.kind, other, things[i], SMALL.size) for i in set(alike) - {each.target})
            seen[each.kind] += 1
    assert set(seen) == set(KINDS)
    assert min(seen.values()) >= 10


def test_a_species_that_stands_there_twice_is_no_reference(test: Sentences) -> None:
    tried = 0
    for drawn, row in zip(test.scenes.objects, test.statements, strict=True):
        things = [thing | {"foot": thing["box"][3] / SMALL.size} for thing in drawn]
        for target, reference, _ in {each.triad for each in row if each.kind in RELATIONS}:
            again = [*things, next(thing for thing in things if thing["species"] == reference)]
            assert reference not in {each.triad[1] for each in statements(again, target)}
            tried += 1
    assert tried > 20


def test_the_parser_reads_back_what_was_meant(train: Sentences, test: Sentences) -> None:
    every = {(each.text, each.triad) for records in (train, test) for row in records.statements for each in row}
    assert len(every) > 200
    assert all(parse(text) == triad for text, triad in every)
    assert {word for _, triad in every for word in triad} <= set(WORDS)


def test_ambiguity_is_a_dial(train: Sentences, test: Sentences) -> None:
    def most_alike(records: Sentences) -> list[int]:
        return [max(Counter(o["species"] for o in row).values()) for row in records.scenes.objects]

    assert 0.35 < np.mean([number == 1 for number in most_alike(train)]) < 0.65
    assert set(most_alike(test)) == {2, 3}
    assert set(most_alike(Sentences(World(size=48, unambiguous=1.0), "train", 20))) == {1}
    assert set(most_alike(Sentences(World(size=48, unambiguous=0.0, alike=2), "train", 20))) == {2}
    unambiguous = Sentences(World(size=48, unambiguous=1.0), "test", 20)
    assert 1 not in most_alike(unambiguous), "the splits that are measured are always ambiguous"


def test_a_record_holds_sentences_boxes_and_kinds(test: Sentences) -> None:
    sample, batch = test[3], test.batch([3, 5])
    assert sample["sentences"] == batch["sentences"][0] == [each.text for each in test.statements[3]]
    assert set(sample["sentence_kinds"]) <= set(KINDS)
    assert torch.equal(sample["sentence_boxes"], batch["sentence_boxes"][0])
    assert len(sample["sentences"]) == len(sample["sentence_boxes"]) <= SMALL.sentences
    assert torch.equal(sample["proposals"], sample["boxes"])
    assert sample["image"].shape == (3, 64, 64)
    sorts = [[each.kind in ATTRIBUTES for each in row] for row in test.statements]
    assert all(sort[:2] == [True, False] for sort in sorts if False in sort), "an attribute and a relation in turn"
    assert sum(False in sort for sort in sorts) > len(sorts) / 2
    assert set(ATTRIBUTES) | set(RELATIONS) == set(KINDS)


def test_the_meant_one_has_no_place_of_its_own_among_the_boxes(test: Sentences) -> None:
    places = Counter(each.target for row in test.statements for each in row)
    assert set(places) == set(range(SMALL.critters))
    assert max(places.values()) < 2 * min(places.values())


def test_nothing_is_said_of_nothing() -> None:
    draws = Draws(image_keys(0, "x", np.array([0])))
    assert statements([], "fenn") == []
    assert said([], draws, 4) == []


def test_who_stands_where_overlaps_little() -> None:
    draws = Draws(image_keys(0, "places", np.arange(64)))
    layers = lay_out(SMALL.scenery(), draws, draws.uniform("horizon", low=0.22, high=0.45), alike=3, unambiguous=0.0)
    visible = [o["visible"] for row in Sentences(SMALL, "val", 60).scenes.objects for o in row]
    assert np.quantile(visible, 0.05) > 0.9
    assert all((layer.extent >= 0.16).all() and (layer.extent <= 0.36).all() for layer in layers)


@pytest.mark.parametrize(
    ("dial", "value"),
    [
        ("size", 40), ("size", 64.5), ("critters", 2), ("critters", 7), ("alike", 1), ("alike", 5), ("sentences", 0),
        ("unambiguous", 1.1), ("unambiguous", "half"), ("clutter", -1), ("contrast", 2), ("seed", -1),
    ],
)  # fmt: skip
def test_a_dial_outside_its_range_is_refused_by_name(dial: str, value: object) -> None:
    with pytest.raises(ValueError, match=dial):
        World(**{dial: value})


def test_a_dial_turns_to_either_end_of_its_range() -> None:
    low = World(size=48, critters=3, alike=2, unambiguous=0, sentences=1, clutter=0, contrast=0, seed=0)
    high = World(critters=6, alike=5, unambiguous=1, clutter=1, contrast=1, seed=2**63 - 1)
    assert low != high
    with pytest.raises(ValueError, match="size is 47, expected a whole number from 48 upwards"):
        World(size=47)


def test_the_range_of_a_dial_is_said() -> None:
    with pytest.raises(ValueError, match="critters is 7, expected a whole number from 3 to 6: turn"):
        World(critters=7)
    with pytest.raises(ValueError, match="sentences is 0, expected a whole number from 1 upwards: turn"):
        World(sentences=0)


def test_the_dials_of_chapter_10_are_those_it_was_measured_with() -> None:
    """What was drawn and trained before is found by this name."""
    known = "b93e03872d401d8c0106b562ffb7f53b2e731d27cf2f6e14f8eeaf521ea84fa2"
    assert World().fingerprint("val", 3) == known


def test_every_dial_is_part_of_the_fingerprint() -> None:
    other = {"size": 80, "critters": 6, "alike": 2, "unambiguous": 0.1, "sentences": 2, "clutter": 0.9,
             "contrast": 0.5, "seed": 3}  # fmt: skip
    assert set(other) == {field.name for field in dataclasses.fields(World)}
    prints = {World(**{name: value}).fingerprint("test", 5) for name, value in other.items()}
    assert len(prints | {World().fingerprint("test", 5)}) == len(other) + 1


def test_no_scene_is_refused() -> None:
    with pytest.raises(ValueError, match="count is 0"):
        Sentences(SMALL, "train", 0)
