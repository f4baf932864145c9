"""Chapter 10's measurements: a small run of each, and what is recorded says what the chapter says."""

from __future__ import annotations

import json
import statistics

import pytest

from wsss_lib.data.worlds.sentences import KINDS
from wsss_lib.experiments import results
from wsss_lib.experiments.grounding import COLUMNS, bench
from wsss_lib.experiments.studies import dtmr as study


def test_a_batch_has_as_many_proposals_as_are_asked_for() -> None:
    lab = bench("smoke", 0)
    for number in (3, 9):
        batch = study.example(lab, number)
        assert {len(each) for name in ("regions", "proposals") for each in batch[name]} == {number}
    assert sum(map(len, batch["sentences"])) > 32


def mean(name: str, key: str, record: str = "dtmr") -> float:
    return statistics.fmean(row[key] for row in results.read(record)["data"]["rows"][name])


def test_what_is_recorded_has_three_seeds_and_every_score() -> None:
    document = results.read("dtmr")
    assert document["provenance"]["seeds"] == [0, 1, 2]
    assert json.dumps(document, allow_nan=False)
    data = document["data"]
    assert set(data["rows"]) == {*study.ROWS, study.SENTENCE, study.PROPOSED}
    for rows in (*data["rows"].values(), *data["unambiguous"]["rows"][study.FULL]):
        assert len(rows) == 3
        for row in rows:
            assert set(row) >= {*COLUMNS, *(f"accuracy: {kind}" for kind in KINDS)}
            assert all(0 <= row[key] <= 1 for key in ("accuracy", "attribute", "relation", "species"))


def test_a_better_reconstruction_is_no_better_match() -> None:
    full, independent = study.FULL, "independent softmaxes"
    assert mean(independent, "rebuilt") < mean(full, "rebuilt")
    assert mean(full, "accuracy") > mean(independent, "accuracy") + 0.2
    for name in ("raw scores, as released", independent):
        assert mean(name, "accuracy") < mean("category alone", "accuracy") + 0.05, "no more than the species"


def test_both_words_are_needed() -> None:
    full = study.FULL
    assert mean(full, "relation") > mean("no reference", "relation") + 0.05
    assert mean(full, "accuracy") > mean("no discriminative word", "accuracy") + 0.2
    assert mean(full, "accuracy") > mean(study.SENTENCE, "accuracy") + 0.1


def test_without_unambiguous_scenes_relations_are_lost() -> None:
    dial = results.read("dtmr")["data"]["unambiguous"]
    none, book = (dial["rows"][study.FULL][at] for at in (0, -1))
    relation = [statistics.fmean(row["relation"] for row in rows) for rows in (none, book)]
    assert relation[0] < relation[1] - 0.1


@pytest.mark.parametrize("number", study.PROPOSALS)
def test_the_cost_grows_with_the_pairs(number: int) -> None:
    rows = results.read("dtmr_cost")["data"]["rows"]
    dtmr, rival = (rows[f"{name}, {number} proposals"][0] for name in ("DTMR", "GroundeR"))
    assert dtmr["parameters"] < rival["parameters"]
    assert (dtmr["flops"] > rival["flops"]) == (number >= 5)
