"""Labels are class numbers, class names or multi-hot rows, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_kit import load_rows, photo, refusal, rows_to_parquet

from wsss_lib.data import load

NAMES = ["cat", "dog", "owl"]


def labels_of(folder: Path, cells: list[Any], column: str = "labels", **options: Any) -> list[list[float]]:
    rows = [{"id": f"bird{i}", "image": photo(), column: cell} for i, cell in enumerate(cells)]
    options.setdefault("names", NAMES)
    records = load_rows(folder, rows, **options)
    labels = records.labels.tolist()
    assert [records[i]["labels"].tolist() for i in range(len(records))] == labels
    return labels


RIGHT = {
    "numbers": ([[1], [0, 2]], [[0, 1, 0], [1, 0, 1]]),
    "one number": ([2, 0], [[0, 0, 1], [1, 0, 0]]),
    "names": ([["dog"], ["owl", "cat"]], [[0, 1, 0], [1, 0, 1]]),
    "one name": (["dog", "owl"], [[0, 1, 0], [0, 0, 1]]),
    "none": ([[], [1]], [[0, 0, 0], [0, 1, 0]]),
    "multi-hot": ([[0, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]]),
    "multi-hot, two classes": ([[0, 1, 1], [1, 0, 0]], [[0, 1, 1], [1, 0, 0]]),
    "multi-hot of Booleans": ([[False, True, False], [True, False, True]], [[0, 1, 0], [1, 0, 1]]),
    "multi-hot of floats": ([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0, 1, 0], [0, 0, 0]]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_labels_are_read_as_what_they_are(tmp_path: Path, name: str) -> None:
    cells, expected = RIGHT[name]
    assert labels_of(tmp_path, cells) == expected


NO_CLASS = {
    "one half": ([0.5, 1.0], r"0\.5"),
    "soft labels": ([[0.1, 0.7, 0.2], [0.0, 1.0, 0.0]], r"0\.1|0\.7"),
    "NaN": ([1.0, float("nan")], r"1\.0|NaN"),
    "infinite": ([1.0, float("inf")], r"1\.0|inf"),
    "out of range": ([0, 3], r"\b3\b"),
    "negative": ([0, -1], r"-1"),
    "one Boolean": ([True, False], r"True|False|Boolean"),
    "an unknown name": (["cat", "cow"], r"cow"),
    "Booleans of another length": ([[True, False], [False, True]], r"3|Boolean"),
    "a list of lists": ([[[0, 1]], [[2, 2]]], r"\[0, 1\]"),
    "a date": (["2024-01-01", "cat"], r"2024"),
}


@pytest.mark.parametrize("name", NO_CLASS)
def test_what_is_no_class_is_refused(tmp_path: Path, name: str) -> None:
    cells, cause = NO_CLASS[name]
    refusal(lambda: labels_of(tmp_path, cells), cause, "birds")


def typed(folder: Path, stated: list[str], cells: list[Any], **options: Any) -> list[list[float]]:
    """Labels of a table whose type states the classes."""
    label = datasets.ClassLabel(names=["a", "b", "c"][: len(stated)])
    kind = datasets.List(label) if isinstance(cells[0], list) else label
    features = datasets.Features({"image": datasets.Value("binary"), "label": kind})
    made = datasets.Dataset.from_dict({"image": [photo()] * len(cells), "label": cells}, features=features)
    table = made.data.table
    noted = json.loads(table.schema.metadata[b"huggingface"])
    feature = noted["info"]["features"]["label"]
    feature.get("feature", feature)["names"] = stated
    pq.write_table(table.replace_schema_metadata({b"huggingface": json.dumps(noted)}), folder / "birds.parquet")
    return load(folder / "birds.parquet", **options).labels.tolist()


def test_a_type_that_names_a_class_twice_is_asked_about(tmp_path: Path) -> None:
    refusal(lambda: typed(tmp_path, ["crane", "crane"], [0, 1]), "birds.parquet", "twice", "names= with 2 names")
    refusal(lambda: typed(tmp_path, ["crane", " "], [0, 1]), "birds.parquet", "names= with 2 names")
    assert typed(tmp_path, ["crane", "crane"], [0, 1], names=["a bird", "a machine"]) == [[1, 0], [0, 1]]


def test_multi_hot_rows_of_a_type_of_class_numbers_are_asked_about(tmp_path: Path) -> None:
    cells = [[0, 1, 0], [0, 0, 1]]
    refusal(lambda: typed(tmp_path, ["a", "b", "c"], cells), "3 classes", "labels_are=")
    assert typed(tmp_path, ["a", "b", "c"], cells, labels_are="multi-hot") == cells
    assert typed(tmp_path, ["a", "b", "c"], [[0, 0, 2], [1, 0, 0]]) == [[1, 0, 1], [1, 1, 0]]


def test_one_class_may_be_there_or_not(tmp_path: Path) -> None:
    assert labels_of(tmp_path, [[1], [0]], names=["cat"]) == [[1], [0]]


def test_zeros_for_one_class_are_no_class_or_its_number(tmp_path: Path) -> None:
    refusal(lambda: labels_of(tmp_path, [[0], [0]], names=["cat"]), "labels_are=")
    assert labels_of(tmp_path, [[0], [0]], names=["cat"], labels_are="multi-hot") == [[0], [0]]
    assert labels_of(tmp_path, [[0], [0]], names=["cat"], labels_are="numbers") == [[1], [1]]


def test_a_null_label_names_its_row(tmp_path: Path) -> None:
    cause = r"null|no label|empty|missing"
    refusal(lambda: labels_of(tmp_path, [0, None, 1], column="label"), cause, r"\b1\b", "bird1")


def test_numbers_without_names_are_refused(tmp_path: Path) -> None:
    refusal(lambda: labels_of(tmp_path, [0, 1], names=None), "names=")


@pytest.mark.parametrize("names", [["cat", "cat", "dog"], ["cat", "", "dog"], "cat", [1, 2, 3]])
def test_names_that_are_no_list_of_names_are_refused(tmp_path: Path, names: Any) -> None:
    refusal(lambda: labels_of(tmp_path, [0, 1], names=names), "name")


def test_numbers_and_names_in_one_cell_list_cannot_be_told_apart_silently(tmp_path: Path) -> None:
    path = rows_to_parquet(
        tmp_path / "birds.parquet",
        [{"image": photo(), "labels": ["0"]}, {"image": photo(), "labels": ["dog"]}],
        labels=pa.list_(pa.string()),
    )
    refusal(lambda: load(path, names=NAMES).labels, r"'0'")
