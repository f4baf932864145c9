"""Class names of tables, and the classes that their cells name by number, by name, or by one 0 or 1 for each."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wsss_lib.data.photos.catalogue import COCO, VOC
from wsss_lib.data.photos.columns import Columns
from wsss_lib.data.photos.rows import Rows

LABELS_ARE = ("numbers", "multi-hot")
"""What a list of whole numbers may be: the classes in the image, or one 0 or 1 for each class."""


def class_names(
    tables: Sequence[tuple[str, Rows]], columns: Columns, names: Sequence[str] | None = None
) -> tuple[str, ...]:
    """One list of classes for all splits of a data set.

    Args:
        tables: Each split's name and rows, in the order in which they are asked; the columns are those of all.
        columns: Which column holds what.
        names: The list, where the caller states it.

    Returns:
        ``names``; else the list that the first table's types state; else the words in the cells of all tables, sorted.
        Beside masks or segments words of PASCAL VOC or MS COCO stand for all classes of that list, by which such masks
        are numbered.

    Raises:
        ValueError: Two tables state other classes, or none does, or words are written in two ways; the message says
            what to do.
    """
    holders = [column for column in (columns.labels, columns.box_labels) if column]
    stated = [
        (f"{split} ({file.name})", list_of_file)
        for split, rows in tables
        for column in holders
        for file, list_of_file in zip(rows.files, rows.class_names(column), strict=True)
        if list_of_file
    ]
    if names is not None:
        if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"names is {names!r}: pass a list of the classes' names, in the order of their numbers")
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"names must state each class once, at least one; got {list(names)}")
        for where, held in stated:
            if _is_list(held) or len(held) != len(names):
                _check_among(where, held, names)
        chosen = tuple(names)
    elif stated:
        for where, held in stated:
            if not _is_list(held):
                raise ValueError(
                    f"the type of the labels of {where} names a class twice or by nothing ({_few(held)}): pass names= "
                    f"with {len(held)} names, in the order of their numbers"
                )
        first_where, chosen = stated[0]
        for where, held in stated[1:]:
            if set(held) != set(chosen):
                raise ValueError(
                    f"{where} and {first_where} have other classes ({_few(sorted(set(held) ^ set(chosen)))}): pass one "
                    "list for both as names=, or load each by its own path"
                )
    else:
        chosen = ()
    cells = (word for _, rows in tables for word in _words(rows, columns, holders))
    words = {word if isinstance(word, str) and word.strip() else "" for word in cells}  # "" for all that is no word
    spelt = bool(words) and "" not in words
    if chosen:
        if spelt:
            _check_among("the table", sorted(words), chosen)
        return chosen
    if spelt:
        _check_words(words)
        numbered = (VOC, COCO) if columns.mask or columns.segments else ()
        return next((known for known in numbered if words <= set(known)), tuple(sorted(words)))
    raise ValueError("the table does not say how its classes are called: pass names=, in the order of their numbers")


def _is_list(names: Sequence[str]) -> bool:
    """Whether each of the names means one class."""
    return len(set(names)) == len(names) and all(name.strip() for name in names)


def _check_words(words: Iterable[str]) -> None:
    """Refuse words that are two spellings of one class, or several classes in one cell.

    A comma alone is no sign of several: names of ImageNet hold one.
    """
    remedy = "pass names= if these are names of classes"
    first: dict[str, str] = {}
    for word in sorted(words):
        other = first.setdefault(" ".join(unicodedata.normalize("NFKC", word).casefold().split()), word)
        if other != word:
            raise ValueError(f"the classes {other!r} and {word!r} are spelt alike: correct one of them, or {remedy}")
    parts = Counter(part.strip() for word in first.values() for part in set(re.split("[,;|]", word)))
    for word in first.values():
        several_in_it = [part.strip() for part in re.split("[,;|]", word)]
        if len(several_in_it) > 1 and (re.search("[;|]", word) or any(parts[part] > 1 for part in several_in_it)):
            raise ValueError(
                f"the label {word!r:.80} seems to be several classes in one cell: write a list, such as "
                f"{json.dumps(several_in_it)[:80]}, or {remedy}"
            )
        if re.match(r"[\[({]\s*['\"\d\[]|\[.*,.*\]$", word):
            raise ValueError(f'the label {word!r:.80} is no list: write it as ["a", "b"], or {remedy}')


def _check_among(where: str, held: Iterable[str], names: Sequence[str]) -> None:
    if strange := [name for name in held if name not in names]:
        raise ValueError(
            f"{where} has the class {strange[0]!r}, which is not among {_few(names)}: load it by its path, "
            "with its own names, or pass names= with all classes"
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _words(rows: Rows, columns: Columns, holders: Sequence[str]) -> Iterator[Any]:
    """What stands in the cells of classes that their type does not name; segments that are no objects are left out."""
    for column in holders:
        if all(rows.class_names(column)):
            continue
        thing = columns.thing if column == columns.box_labels else None
        for row in rows.cells([column, *([thing] if thing else [])]):
            things = several(row[thing]) if thing else None
            for place, word in enumerate(several(row[column])):
                if word is not None and (things is None or (place < len(things) and things[place])):
                    yield word


@dataclass(frozen=True)
class Classes:
    """The classes of a table, and how its cells name them.

    Attributes:
        names: K names.
        numbering: For each file the place in ``names`` of each of its class numbers; None where it counts as they do.
        multi_hot: Whether a cell of image labels holds one 0 or 1 for each class.
    """

    names: tuple[str, ...]
    numbering: tuple[tuple[int, ...] | None, ...]
    multi_hot: bool = False

    @classmethod
    def of(cls, rows: Rows, columns: Columns, names: tuple[str, ...], labels_are: str | None = None) -> Classes:
        """How the cells of a table are to be read.

        Args:
            rows: The table.
            columns: Its columns.
            names: Of the classes.
            labels_are: One of :data:`LABELS_ARE`; None decides by the cells.

        Raises:
            ValueError: ``labels_are`` is unknown, or the cells do not decide.
        """
        if labels_are not in (None, *LABELS_ARE):
            raise ValueError(f"labels_are is {labels_are!r}: choose 'numbers' or 'multi-hot'")
        numbering: list[tuple[int, ...] | None] = [None] * len(rows.files)
        for column in (columns.box_labels, columns.labels):
            if column:
                stated = [held if held and _is_list(held) else None for held in rows.class_names(column)]
                numbering = [tuple(map(names.index, s)) if s else n for s, n in zip(stated, numbering, strict=True)]
        hot = labels_are == "multi-hot"
        if labels_are is None and columns.labels:
            numbers = any(rows.class_names(columns.labels))
            cells = (row[columns.labels] for row in rows.cells([columns.labels]))
            hot = _is_multi_hot(cells, len(names), numbers)
        if hot and any(order not in (None, tuple(range(len(names)))) for order in numbering):
            raise ValueError("labels of one 0 or 1 for each class have the order of the table: leave names= out")
        return cls(names, tuple(numbering), hot)

    def of_image(self, cell: Any, file: int) -> list[int]:
        """The 0-based classes that a cell of image labels names, ascending.

        Args:
            cell: A number or name, several of them, or one 0 or 1 for each class.
            file: Which of the table's files it is from.

        Raises:
            ValueError: It names none.
        """
        if _is_missing(cell):
            raise ValueError(
                "its label is missing: write an empty list for an image that shows no class, or leave the row out"
            )
        if not self.multi_hot:
            return sorted({self.number(value, file) for value in several(cell)})
        values = several(cell)
        if len(values) != len(self.names) or any(value not in (0, 1) for value in values):
            raise ValueError(
                f"its labels are {values!r:.80}, expected one 0 or 1 for each of the {len(self.names)} classes: round "
                "soft labels, or pass labels_are='numbers' if they are class numbers"
            )
        return [k for k, value in enumerate(values) if value]

    def number(self, value: Any, file: int) -> int:
        """The 0-based class that a value names.

        Args:
            value: A name, or a number as the file numbers its classes.
            file: Which of the table's files it is from.

        Raises:
            ValueError: It names none.
        """
        if isinstance(value, str):
            if value not in self.names:
                raise ValueError(
                    f"there is no class {value!r:.80} among {_few(self.names)}: correct it, or pass names="
                )
            return self.names.index(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(
                f"{value!r:.80} is no class: write whole numbers from 0, names, or one 0 or 1 for each class of the "
                "table"
            )
        numbering = self.numbering[file]
        if not 0 <= value < len(self.names if numbering is None else numbering):
            raise ValueError(f"there is no class {value}: {len(self.names)} classes are numbered from 0")
        return value if numbering is None else numbering[value]


def several(cell: Any) -> list[Any]:
    """A cell as a list: empty for none, of one for a single value."""
    if cell is None:
        return []
    return list(cell) if isinstance(cell, list | tuple) else [cell]


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _is_multi_hot(cells: Iterable[Any], classes: int, numbers: bool = False) -> bool:
    """Whether lists of numbers are one 0 or 1 for each class. A repeated class number gives them away.

    Args:
        cells: The labels of each image.
        classes: K.
        numbers: Whether the table's type says that they are class numbers.

    Raises:
        ValueError: Both readings are possible, or they are for another number of classes, or contradict their type.
    """
    lengths: set[int] = set()
    repeated = any_one = False
    for cell in cells:
        if not isinstance(cell, list | tuple):
            return False
        if any(isinstance(value, bool | float) for value in cell):
            return True
        if any(value not in (0, 1) for value in cell):
            return False
        lengths.add(len(cell))
        repeated |= len(set(cell)) < len(cell)
        any_one |= 1 in cell
    if len(lengths) != 1:
        return False
    (length,) = lengths
    if length == 1 and (classes > 1 or any_one):
        return classes == 1 and not numbers
    if length == classes and repeated and not numbers:
        return True
    if numbers and not (length == classes > 2 and repeated):  # two objects an image may be of two classes
        return False
    if length == classes or repeated:
        raise ValueError(
            f"every cell of labels holds {length} number{'s' * (length > 1)}, all 0 or 1, for {classes} "
            f"class{'es' * (classes > 1)}: say what they are with "
            "labels_are='numbers' (the classes in the image) or labels_are='multi-hot' (one 0 or 1 for each class)"
        )
    return False
