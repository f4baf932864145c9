"""The cells of a column of labels: one class or several in each, by name or by number, as people write them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wsss_lib.localize.names import printable

NONE = "none"
"""The separator of cells that hold one class each, whatever stands in them."""
CERTAIN = (";", "|")
"""Marks that hardly any class has in its name."""


@dataclass(frozen=True)
class Cells:
    """What a column of labels says.

    Attributes:
        classes: Names of the classes, in the order of their numbers.
        labels: For each cell the names in it, in the order of the classes; None for an empty cell.
        notes: How the cells were understood, where that is not plain; a sentence each.
    """

    classes: tuple[str, ...]
    labels: tuple[tuple[str, ...] | None, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, cells: Sequence[Any], names: Sequence[str] | None, separator: str | None, source: str) -> Cells:
        """Understand a column.

        Args:
            cells: Each a word, a whole number, a list of them, or None.
            names: Of the classes, where the caller states them.
            separator: What stands between several classes in a word, or ``"none"``; None: what the cells tell.
            source: How a message calls the table.

        Raises:
            ValueError: Two readings are possible, or a cell names no class; the sentence says what to do.
        """
        words = [cell for cell in cells if isinstance(cell, str)]
        mark = _separator(words, source) if separator is None else separator
        several = [None if cell is None else _several(cell, mark) for cell in cells]
        values = [value for each in several for value in each or ()]
        if not values:
            raise ValueError(f"{source} names no class in any row: fill the column label")
        notes = []
        if mark is not None and mark != NONE and any(mark in word for word in words):
            notes.append(f"several classes of a cell stand between {mark!r}")
        if all(_whole(value).isdecimal() for value in values):
            spelt, note = _numbered(sorted({int(_whole(value)) for value in values}), names, source)
            notes += [note] if note else []
            several = [None if each is None else [spelt[int(_whole(value))] for value in each] for each in several]
            classes = tuple(names or spelt.values())
        else:
            classes = tuple(names or sorted(set(values)))
            _check_words(values, classes, source)
            notes += [
                f"the label {printable(name)!r} is one class: say --separator , if it is several"
                for name in sorted(set(values))
                if mark is None and "," in name
            ][:1]
        labels = tuple(
            None if each is None else tuple(name for name in classes if name in set(each)) for each in several
        )
        return cls(classes, labels, tuple(notes))


def _whole(word: str) -> str:
    """A whole number as tables of floats write it, ``3.0``, without what follows the point; other words as they are."""
    return word.removesuffix(".0")


def _several(cell: Any, mark: str | None) -> list[str]:
    """A cell as a list of words."""
    if isinstance(cell, list):
        return [str(value).strip() for value in cell]
    if not isinstance(cell, str) or mark in (None, NONE):
        return [str(cell).strip()]
    return [part.strip() for part in cell.split(mark) if part.strip()]


def _separator(words: Sequence[str], source: str) -> str | None:
    """What stands between several classes of a cell: a semicolon or a bar wherever it occurs; a comma or a space where
    each part of a cell is a class elsewhere too, or all are numbers; None where each cell is one class.

    Raises:
        ValueError: Two marks occur, or a part is a class elsewhere and another is not.
    """
    certain = [mark for mark in CERTAIN if any(mark in word for word in words)]
    if len(certain) > 1:
        raise ValueError(f"the labels of {source} hold both ; and |: write one of them between several classes")
    if certain:
        return certain[0]
    for mark in (",", " "):
        parted = {word: _several(word, mark) for word in set(words)}
        joint = {word: parts for word, parts in parted.items() if len(parts) > 1}
        if not joint:
            continue
        if all(part.isdecimal() for parts in parted.values() for part in parts):
            return mark
        alone = {word.strip() for word in words if word not in joint}
        shared = Counter(part for parts in joint.values() for part in set(parts))
        known = {part for part, count in shared.items() if part in alone or (mark == "," and count > 1)}
        joined = [word for word, parts in joint.items() if known.issuperset(parts)]
        if len(joined) == len(joint):
            return mark
        if joined or (mark == "," and known):
            raise ValueError(
                f"the label {printable(min(joined or joint))!r:.80} of {source} may be one class or several: say "
                f"--separator '{mark}' or --separator none"
            )
    return None


def _numbered(numbers: Sequence[int], names: Sequence[str] | None, source: str) -> tuple[dict[int, str], str | None]:
    """The name of each number, and a sentence on how they count.

    Raises:
        ValueError: There are fewer names than numbers.
    """
    if names is None:
        first = 0 if numbers[0] == 0 else 1
        spelt = {number: str(number) for number in range(first, numbers[-1] + 1)}
        return spelt, f"the classes are called {first} to {numbers[-1]}: --names says what they are"
    first = 1 if 0 not in numbers and numbers[-1] == len(names) else 0
    if numbers[-1] - first >= len(names):
        raise ValueError(
            f"{source} holds the class {numbers[-1]}, and --names has {len(names)} names, which count from 0 or from "
            "1: add the others"
        )
    return {number: names[number - first] for number in numbers}, f"classes are counted from {first}"


def _check_words(values: Iterable[str], classes: Sequence[str], source: str) -> None:
    """Refuse what is not among the classes, two spellings of one class, and numbers among words.

    Raises:
        ValueError: As said.
    """
    words = sorted(set(values))
    if strange := [word for word in words if word not in classes]:
        raise ValueError(
            f"{source} has the class {printable(strange[0])!r:.80}, which --names does not have: add or correct it"
        )
    first: dict[str, str] = {}
    for word in words:
        other = first.setdefault(" ".join(unicodedata.normalize("NFKC", word).casefold().split()), word)
        if other != word:
            raise ValueError(
                f"the classes {printable(other)!r} and {printable(word)!r} of {source} are spelt alike: write one of "
                "them everywhere"
            )
    numbers = [word for word in words if word.isdecimal()]
    if numbers:
        raise ValueError(
            f"{source} names classes by numbers ({numbers[0]}) and by words "
            f"({printable(next(word for word in words if word not in numbers))!r:.80}): write one or the other"
        )
    if broken := [word for word in words if word.startswith("[")]:
        raise ValueError(f'the label {printable(broken[0])!r:.80} of {source} is no list: write ["a", "b"]')
