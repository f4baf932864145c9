"""Chapter 10's measurements: a small run of each, and what is recorded says what the chapter says."""

from __future__ import annotations

import io
import json
import statistics
from pathlib import Path

import pytest
from PIL import Image

from wsss_lib.data.photos.catalogue import COCO
from wsss_lib.data.photos.schema import Row, Split, write
from wsss_lib.data.worlds.sentences import KINDS
from wsss_lib.experiments import results
from wsss_lib.experiments.grounding import COLUMNS, bench
from wsss_lib.experiments.studies import dtmr as study
from wsss_lib.experiments.studies import dtmr_coco
from wsss_lib.methods import dtmr
from wsss_lib.methods.triads import parse


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


def photograph(number: int) -> Row:
    """Two cats and a dog, and three sentences about them."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (40 * number, 80, 120)).save(buffer, "PNG")
    return {
        "id": str(number), "image": buffer.getvalue(), "labels": [15, 16],
        "boxes": [[2, 3, 20, 30], [30, 4, 50, 40], [22, 2, 30, 20]], "box_labels": [15, 15, 16],
        "sentences": ["left cat", "the cat right of the dog", "small dog"], "spoken_of": [0, 1, 2],
    }  # fmt: skip


def test_refcoco_from_its_tables_to_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way on small tables of the schema; the grammar stands for the parser of free English."""
    monkeypatch.setenv("WSSS_DATA", str(tmp_path))
    (tmp_path / "refcoco").mkdir()
    for split, count in (("train", 5), ("val", 3)):
        rows = [photograph(number) for number in range(count)]
        write(Split(COCO, mask=False, boxes=True, sentences=True, rows=rows), tmp_path / "refcoco" / f"{split}.parquet")
    monkeypatch.setattr(dtmr_coco, "BACKBONE", "tiny_cnn")
    monkeypatch.setitem(dtmr.PARSERS, "english", parse)
    measured = dtmr_coco.refcoco("smoke")
    assert set(measured["data"]["rows"]) == set(dtmr_coco.ROWS)
    assert all(len(rows) == 3 and 0 <= rows[0]["accuracy"] <= 1 for rows in measured["data"]["rows"].values())
    assert measured["data"]["sentences"] == [15, 9]
    assert measured["data"]["guess"] == pytest.approx(1 / 3)
    assert set(measured["fingerprint"]) == {"train", "val"}


def test_more_updates_do_not_change_the_order() -> None:
    rows = results.read("dtmr_longer")["data"]["rows"]
    titles = {name: f"{name}, 4 times the updates" for name in ("DTMR", "GroundeR")}
    assert set(rows) == set(titles.values())
    assert all(len(each) == 3 for each in rows.values())
    late = {name: mean(title, "accuracy", "dtmr_longer") for name, title in titles.items()}
    assert late["DTMR"] > late["GroundeR"] + 0.1
    assert late["GroundeR"] < mean("category alone", "accuracy") + 0.05, "the whole sentence tells the species at most"
