"""Choosing records: positions or a mask, and nothing in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fault_kit import load_rows, photo, refusal

from wsss_lib.data import Records, load


@pytest.fixture
def six(tmp_path: Path) -> Records:
    return load_rows(tmp_path, [{"id": f"r{i}", "image": photo(seed=i), "label": "ab"[i % 2]} for i in range(6)])


MASK = [False, False, True, False, False, True]
CHOICES: dict[str, tuple[Any, list[int]]] = {
    "a list": ([4, 0, 0], [4, 0, 0]),
    "a range": (range(1, 6, 2), [1, 3, 5]),
    "an array": (np.array([5, 2]), [5, 2]),
    "a tensor": (torch.tensor([5, 2]), [5, 2]),
    "unsigned": (np.array([3], np.uint8), [3]),
    "a Boolean list": (MASK, [2, 5]),
    "a Boolean array": (np.array(MASK), [2, 5]),
    "a Boolean tensor": (torch.tensor(MASK), [2, 5]),
    "none": ([], []),
    "a column of pandas": (pd.Series([5, 2], index=[70, 71]), [5, 2]),
    "a Boolean column of pandas": (pd.Series(MASK, index=range(70, 76)), [2, 5]),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_takes_what_it_names(six: Records, name: str) -> None:
    choice, expected = CHOICES[name]
    subset = six.subset(choice)
    assert [subset[i]["id"] for i in range(len(subset))] == [f"r{i}" for i in expected]
    if expected:
        assert torch.equal(subset.labels, six.labels[expected])


REFUSED: dict[str, tuple[Any, str]] = {
    "floats": ([0.0, 2.7], r"2\.7|float"),
    "an array of floats": (np.array([1.5]), r"1\.5|float"),
    "a tensor of floats": (torch.tensor([1.0]), r"float"),
    "a short mask": (np.array(MASK[:4]), r"\b4\b.*\b6\b|\b6\b.*\b4\b"),
    "a long mask": ([*MASK, True], r"\b7\b.*\b6\b|\b6\b.*\b7\b"),
    "too large": ([0, 6], r"6"),
    "too small": ([-7], r"-7"),
    "words": (["r0"], r"r0|str"),
    "two dimensions": (np.array([[0, 1]]), r"dimension|one"),
    "nothing": ([None], r"None"),
    "a slice": (slice(0, 3), r"slice"),
    "one number": (3, r"\b3\b"),
    "bytes of a mask": (torch.tensor([1, 0, 0, 1, 0, 0], dtype=torch.uint8), r"Boolean"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_names_no_record_is_refused(six: Records, name: str) -> None:
    choice, cause = REFUSED[name]
    refusal(lambda: six.subset(choice), cause)


def test_the_same_choice_has_the_same_fingerprint(six: Records) -> None:
    assert (
        six.subset(MASK).fingerprint == six.subset([2, 5]).fingerprint == six.subset(torch.tensor([2, 5])).fingerprint
    )
    assert six.subset([2, 5]).fingerprint != six.subset([5, 2]).fingerprint


@pytest.mark.parametrize("index", [1.0, "0", None, True, slice(0, 1), [0, 1]])
def test_one_record_has_a_whole_number(six: Records, index: Any) -> None:
    for records in (six, six.subset([0, 1]), load("critters", split="val", count=2)):
        refusal(lambda records=records: records[index], "whole number")


def test_a_loop_over_records_ends_and_negative_numbers_count_from_the_end(six: Records) -> None:
    for records in (six, six.subset([0, 1]), load("critters", split="val", count=2)):
        assert len(list(records)) == len(records)
        assert records[-1]["id"] == records[len(records) - 1]["id"]
        refusal(lambda records=records: records[len(records)], f"there are {len(records)}")
