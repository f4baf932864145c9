"""The expressions with labels, and how parsers are measured against them."""

from __future__ import annotations

import pytest

from wsss_lib.experiments import results
from wsss_lib.experiments.studies.english import accuracy, english, labelled
from wsss_lib.methods.triads import PHRASES, Triad, parse


def test_the_expressions_keep_their_rules() -> None:
    rows = labelled()
    assert len(rows) == 240
    assert len({expression for expression, _ in rows}) == 240
    links = set(PHRASES.values())
    for expression, (target, reference, word) in rows:
        assert all((target, reference, word)), expression
        assert word not in PHRASES or PHRASES[word] in links & {word}, f"{expression}: the phrase has a word"
        assert target == "one" or target[:3] in expression, expression


def test_accuracy_by_hand() -> None:
    rows = [
        ("the red cup", Triad("cup", "cup", "red")),
        ("the cup behind the tin", Triad("cup", "pot", "behind")),
        ("the", Triad("one", "one", "one")),
        ("the cup", Triad("cup", "cup", "one")),
    ]
    assert accuracy(parse, rows) == {"triad": 0.5, "target": 0.75, "reference": 0.5, "word": 0.75}


def test_the_study_measures_what_is_recorded() -> None:
    pytest.importorskip("spacy", reason="needs the extra english")
    data = english("smoke")["data"]
    recorded = results.read("dtmr_english")["data"]
    if data["versions"] != recorded["versions"]:
        pytest.skip("recorded with other versions of spaCy and its model")
    assert data["mistakes"] == recorded["mistakes"]
    for name, halves in data["accuracy"].items():
        for half, shares in halves.items():
            assert recorded["accuracy"][name][half] == pytest.approx(shares, abs=1e-5)
