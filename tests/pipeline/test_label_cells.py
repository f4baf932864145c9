"""Cells of labels as people write them: several in one, numbers, two spellings."""

from __future__ import annotations

from typing import Any

import pytest

from wsss_lib.pipeline.cells import Cells


def read(*cells: Any, names: Any = None, separator: str | None = None) -> tuple[Any, Any]:
    read = Cells.of(cells, names, separator, "zoo.csv")
    return read.classes, read.labels


@pytest.mark.parametrize("mark", [";", "|", ",", " ", " ; ", ", "])
def test_several_classes_of_a_cell(mark: str) -> None:
    classes, labels = read("cat", f"dog{mark}cat", "dog", f"cat{mark}dog{mark}", None)
    assert classes == ("cat", "dog")
    assert labels == (("cat",), ("cat", "dog"), ("dog",), ("cat", "dog"), None)


def test_a_comma_or_a_space_may_be_part_of_a_name() -> None:
    classes, _ = read("polar bear", "brown bear", "polar bear", "dog")
    assert classes == ("brown bear", "dog", "polar bear"), "bear alone is no class"
    classes, _ = read("tench, Tinca tinca", "crane")
    assert classes == ("crane", "tench, Tinca tinca")
    assert "--separator ," in Cells.of(["tench, Tinca tinca", "crane"], None, None, "zoo.csv").notes[0]
    with pytest.raises(ValueError, match=r"'hot dog' of zoo\.csv may be one class or several: say --separator ' ' or"):
        read("hot dog", "dog", "hot", "polar bear")
    assert read("hot dog", "dog", "hot", separator="none")[0] == ("dog", "hot", "hot dog")
    assert read("hot dog", "dog", "hot")[0] == ("dog", "hot")
    with pytest.raises(ValueError, match=r"'cat,dog' of zoo\.csv may be one class or several: say --separator ',' or"):
        read("cat,dog", "cat,owl", "tench, Tinca tinca")


def test_a_mark_that_is_said_is_the_mark() -> None:
    assert read("cat/dog", "dog", separator="/") == (("cat", "dog"), (("cat", "dog"), ("dog",)))
    with pytest.raises(ValueError, match=r"both ; and \|"):
        read("cat;dog", "cat|dog")


def test_lists_and_an_empty_list() -> None:
    assert read(["cat", "dog"], [], "dog") == (("cat", "dog"), (("cat", "dog"), (), ("dog",)))


def test_numbers_count_from_0_or_from_1() -> None:
    assert read(0, 2) == (("0", "1", "2"), (("0",), ("2",)))
    assert read(1, 3) == (("1", "2", "3"), (("1",), ("3",)))
    names = ("cat", "dog", "owl")
    assert read(0, 2, names=names) == (names, (("cat",), ("owl",)))
    assert read(1, 3, names=names) == (names, (("cat",), ("owl",)))
    assert read(1, 2, names=names)[1] == (("dog",), ("owl",)), "nothing says that they count from 1"
    assert read("1;3", "2", names=names)[1] == (("cat", "owl"), ("dog",))
    assert read("0 2", "1")[1] == (("0", "2"), ("1",))
    assert read("0.0", "2.0", names=names) == (names, (("cat",), ("owl",))), "a table of floats, where a cell is empty"
    assert read("v2.0", "v3.0")[0] == ("v2.0", "v3.0")
    assert "counted from 1" in Cells.of([1, 3], names, None, "zoo.csv").notes[0]
    with pytest.raises(ValueError, match="holds the class 4, and --names has 3 names"):
        read(0, 4, names=names)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("Cat", "cat"), "'Cat' and 'cat' of zoo.csv are spelt alike"),
        (("cafe\u0301", "caf\u00e9"), "are spelt alike"),
        (("cat", "2"), r"names classes by numbers \(2\) and by words \('cat'\)"),
        (("['cat', 'dog']", "cat"), "is no list"),
        ((None, None), "names no class in any row"),
        (([], None), "names no class in any row"),
    ],
)
def test_what_is_refused(cells: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(*cells)


def test_a_class_that_is_not_among_the_names() -> None:
    with pytest.raises(ValueError, match=r"has the class 'dgo', which --names does not have"):
        read("dgo", "cat", names=("cat", "dog"))
