"""Cells name classes by number, by name, or by one 0 or 1 for each; what names none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from data_kit import grey, picture

from wsss_lib.data import load
from wsss_lib.data.records import Records

NAMES = ("leaf", "stem", "root")


def written(path: Path, labels: list[Any], feature: Any = None, **columns: Any) -> Path:
    """A table with a picture in each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [{"bytes": picture(6, 8, i), "path": None} for i in range(len(labels))]
    data = datasets.Dataset.from_dict({"image": pictures, "labels": labels, **columns})
    if feature is not None:
        data = data.cast_column("labels", feature)
    data.to_parquet(path)
    return path


def hot(records: Records) -> list[list[int]]:
    rows = [records[i]["labels"].int().tolist() for i in range(len(records))]
    assert records.labels.int().tolist() == rows
    return rows


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2], [[1, 0, 0], [0, 0, 1]]),
        (["stem", "root"], [[0, 1, 0], [0, 0, 1]]),
        ([[0], [2, 1], []], [[1, 0, 0], [0, 1, 1], [0, 0, 0]]),
        ([["leaf", "leaf"], []], [[1, 0, 0], [0, 0, 0]]),
        ([[0, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]]),
        ([[False, True, True]], [[0, 1, 1]]),
        ([[0.0, 1.0, 0.0]], [[0, 1, 0]]),
        ([[0, 1], [1, 0]], [[1, 1, 0], [1, 1, 0]]),
        ([[0], [1]], [[1, 0, 0], [0, 1, 0]]),
    ],
    ids=[
        "numbers", "names", "lists of numbers", "lists of names", "multi-hot", "Booleans", "multi-hot floats",
        "two numbers of three", "one number of three",
    ],
)  # fmt: skip
def test_every_way_to_name_classes(labels: list[Any], expected: list[list[int]], tmp_path: Path) -> None:
    assert hot(load(written(tmp_path / "t.parquet", labels), names=NAMES)) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.0], "0.5 is no class"),
        ([True, False], "True is no class"),
        ([[0.2, 0.8, 0.0]], r"its labels are \[0.2, 0.8, 0.0\], expected one 0 or 1 for each of the 3 classes"),
        ([[True, False]], "expected one 0 or 1 for each of the 3 classes"),
        ([0, None], r"row 1 of .*t \(t.parquet, id t-00001\): its label is missing"),
        ([float("nan"), 1.0], "its label is missing: write an empty list"),
        ([[0, None]], "None is no class"),
        ([3], "no class 3: 3 classes are numbered from 0"),
        ([-1], "no class -1"),
        (
            [[0, 1, 0, 0], [1, 0, 0, 0]],
            "holds 4 numbers, all 0 or 1, for 3 classes: say what they are with labels_are=",
        ),
        (["flower"], "has the class 'flower', which is not among leaf, stem, root"),
    ],
)
def test_what_names_no_class(labels: list[Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", labels)
    with pytest.raises(ValueError, match=message):
        _ = load(path, names=NAMES).labels


@pytest.mark.parametrize(("count", "listed"), [(6, "a, b, c, d, e, f"), (7, "a, b, c, d, e, f, …")])
def test_a_message_names_six_classes_at_most(count: int, listed: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", ["flower"])
    with pytest.raises(ValueError, match=f"not among {listed}:"):
        load(path, names=list("abcdefg"[:count]))


def test_a_comma_alone_is_part_of_a_name(tmp_path: Path) -> None:
    """As in ImageNet's names; where a part stands alone as well, the cell with the comma is the one that is wrong."""
    named = load(written(tmp_path / "t.parquet", ["tench, Tinca tinca", "goldfish"]))
    assert named.classes == ("goldfish", "tench, Tinca tinca")
    with pytest.raises(ValueError, match="the label 'leaf, stem' seems to be several classes in one cell"):
        load(written(tmp_path / "u.parquet", ["leaf", "leaf, stem"]))


def test_two_classes_need_a_word(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", [[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="holds 2 numbers, all 0 or 1, for 2 classes"):
        load(path, names=NAMES[:2])
    assert hot(load(path, names=NAMES[:2], labels_are="multi-hot")) == [[0, 1], [1, 0]]
    assert hot(load(path, names=NAMES[:2], labels_are="numbers")) == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="labels_are is 'soft'"):
        load(path, names=NAMES[:2], labels_are="soft")
    typed = written(tmp_path / "u.parquet", [[0, 1], [0, 0]], datasets.List(datasets.ClassLabel(names=list(NAMES[:2]))))
    assert hot(load(typed)) == [[1, 1], [1, 0]], "a type of classes leaves no doubt"


# one list of classes


def typed(names: tuple[str, ...]) -> datasets.ClassLabel:
    return datasets.ClassLabel(names=list(names))


def test_parts_with_the_names_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[:3] = 1
    masks = [{"bytes": grey(mask), "path": None}]
    one = written(tmp_path / "a.parquet", [0], typed(("leaf", "stem")), mask=masks)
    two = written(tmp_path / "b.parquet", [0], typed(("stem", "leaf")), mask=masks)
    records = load([one, two])
    assert records.classes == ("leaf", "stem")
    assert hot(records) == [[1, 0], [0, 1]]
    assert [sorted(records[i]["mask"].unique().tolist()) for i in (0, 1)] == [[0, 1], [0, 2]], "masks as well"
    assert hot(load([two], names=("root", "leaf", "stem"))) == [[0, 0, 1]]


def test_splits_share_a_list(tmp_path: Path) -> None:
    written(tmp_path / "train.parquet", [0, 1], typed(("stem", "leaf")))
    written(tmp_path / "val.parquet", [0, 1], typed(("leaf", "stem")))
    for split, expected in (("train", [[1, 0], [0, 1]]), ("val", [[0, 1], [1, 0]])):
        records = load(tmp_path, split=split)
        assert (records.classes, hot(records)) == (("stem", "leaf"), expected)


def test_words_of_all_splits_make_the_list(tmp_path: Path) -> None:
    """A class that a split lacks must not move the numbers of the others."""
    written(tmp_path / "train.parquet", ["stem", "leaf"])
    written(tmp_path / "val.parquet", ["stem", "root"])
    for split in ("train", "val"):
        assert load(tmp_path, split=split).classes == ("leaf", "root", "stem")
    assert load(tmp_path / "val.parquet").classes == ("root", "stem"), "a file alone knows no other"


@pytest.mark.parametrize("together", [True, False])
def test_other_names_are_refused(together: bool, tmp_path: Path) -> None:
    one = written(tmp_path / "train.parquet", [0], typed(("leaf", "stem")))
    two = written(tmp_path / "val.parquet", [0], typed(("leaf", "root")))
    with pytest.raises(ValueError, match=r"have other classes \(root, stem\): pass one list for both as names="):
        load([one, two]) if together else load(tmp_path, split="val")
    united = load(tmp_path, split="val", names=NAMES)
    assert (united.classes, hot(united)) == (NAMES, [[1, 0, 0]])


def test_a_split_that_cannot_be_read_stops_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "train.parquet", ["stem", "leaf"])
    (tmp_path / "val.parquet").write_bytes(b"<html>")
    assert load(tmp_path).classes == ("leaf", "stem")
    assert "the classes of val are not compared with those of train" in caplog.text


def test_names_that_are_no_list(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", [0])
    for names in ((), ("leaf", "leaf")):
        with pytest.raises(ValueError, match="names must state each class once"):
            load(path, names=names)


def test_words_and_numbers_mixed(tmp_path: Path) -> None:
    """Parts whose labels have unlike types: each cell is read by what it is."""
    one, two = written(tmp_path / "a.parquet", [1]), written(tmp_path / "b.parquet", ["leaf"])
    with pytest.raises(ValueError, match="does not say how its classes are called"):
        load([one, two])
    assert hot(load([one, two], names=NAMES)) == [[0, 1, 0], [1, 0, 0]]
