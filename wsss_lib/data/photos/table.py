"""A table of photographs as records, with the same fields as the drawn world."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsss_lib.data.photos.annotations import Annotations, Forms
from wsss_lib.data.photos.columns import Columns
from wsss_lib.data.photos.convert import stored_image, upright, upright_boxes
from wsss_lib.data.photos.labels import Classes, class_names
from wsss_lib.data.photos.listings import rows_of
from wsss_lib.data.photos.masks import boxes_from_mask
from wsss_lib.data.photos.rows import Rows
from wsss_lib.data.records import IGNORE, Records, Sample, record_number
from wsss_lib.data.transforms import Resize
from wsss_lib.files import sha256_of_text

_log = logging.getLogger(__name__)


class Table(Records):
    """A split in Parquet, in a CSV of image paths, or in a folder for each class.

    Sample fields: ``image``, ``labels`` and ``id`` always; ``mask`` where the row has one; ``boxes`` and ``box_labels``
    where the table has boxes, or masks to draw them around (then one box per class present, see
    :func:`wsss_lib.data.photos.masks.boxes_from_mask`). Images are upright, their annotations with them.

    Args:
        files: The Parquet files, in order; or one CSV; or one folder.
        name: Of the data set.
        split: Of the split.
        size: None keeps each image's size; a number makes it the longer side; (height, width) makes exactly that.
        classes: Keep only these classes, in this order, and only images that show one of them.
        others: What pixels of the classes that are not kept become: ``"background"`` or ``"ignore"``.
        keep_empty: Keep images that show none of ``classes`` as well.
        names: Names of the classes in the table, where it does not say them itself, or one list for several tables.
        columns: Which column holds what, where the names are not certain, for example ``{"mask": "annotation"}``;
            None leaves a column out.
        siblings: The files of the data set's splits by name, which share one list of classes.
        forms: What else the table does not say: see :class:`wsss_lib.data.photos.annotations.Forms`.

    Raises:
        ValueError: The table does not fit the options; the message says what it holds.
    """

    def __init__(
        self, files: Sequence[Path], *, name: str, split: str, size: int | tuple[int, int] | None = None,
        classes: Sequence[str] | None = None, others: str = "background", keep_empty: bool = False,
        names: Sequence[str] | None = None, columns: dict[str, str | None] | None = None,
        siblings: Mapping[str, Sequence[Path]] | None = None, **forms: Any,
    ) -> None:  # fmt: skip
        if others not in ("background", "ignore"):
            raise ValueError(f"others is {others!r}: choose 'background' or 'ignore'")
        if strange := set(forms) - {field.name for field in fields(Forms)}:
            raise ValueError(f"there is no option {sorted(strange)[0]!r}: choose among {', '.join(_options())}")
        self.name, self.split = name, split
        given = Forms(**forms)
        self._rows = rows_of(files)
        with _naming(files[0]):
            read = Columns.of(self._rows.columns, columns, given.boxes_are)
            tables = _readable({**(siblings or {}), split: files}, split, self._rows, read) if names is None else []
            every = class_names(tables or [(split, self._rows)], read, names)
            numbering = Classes.of(self._rows, read, every, given.labels_are)
        self._read = Annotations(read, numbering, given, self._rows.folder)
        self.classes = every if classes is None else _chosen(classes, every)
        self._resize = None if size is None else Resize(size)
        self.image_size = None if size is None or isinstance(size, int) else (size[0], size[1])
        self._keep = torch.tensor([every.index(c) for c in self.classes])
        self._values = _mask_values(len(every), self._keep, IGNORE if others == "ignore" else 0)
        self._positions: Sequence[int] = range(len(self._rows))
        self._labels: Tensor | None = None
        if classes is not None and not keep_empty:
            shown = self._all_labels()[:, self._keep]
            self._positions = shown.any(1).nonzero().squeeze(1).tolist()
            self._labels = shown[self._positions]
        options = [size, list(self.classes), others, keep_empty, [*read.described(), every]]
        # "stored" is no other reading than None, which refuses the rows that it would matter to.
        unusual = {form: value for form, value in vars(given).items() if value not in (None, "stored")}
        self._options = [*options, unusual] if unusual else options

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of the content of the files and of the options; computed when it is first asked for."""
        pictures = [c for c in (self._read.columns.image, self._read.columns.mask, self._read.columns.segments) if c]
        return sha256_of_text(json.dumps([self._rows.digests(pictures), self._options]))

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> Sample:
        position = self._positions[record_number(index, len(self), f"{self.name}/{self.split}")]
        with self._explained(position):
            sample = self._sample(self._rows.row(position, self._read.columns.used()), position)
        return sample if self._resize is None else self._resize(sample)

    def _sample(self, row: dict[str, Any], position: int) -> Sample:
        read, file = self._read, self._rows.file_of(position)
        stored, orientation = stored_image(read.source(row[read.columns.image]), white=read.forms.white)
        image = upright(stored, orientation)
        mask = read.mask_of(row, file)
        has_boxes = read.columns.boxes is not None and bool(row[read.columns.boxes])
        turn = 1  # by which annotations are turned
        if orientation != 1 and (mask is not None or has_boxes):
            turn = read.turn_of(orientation, _size(stored), None if mask is None else (mask[0].shape, mask[1]))
        sample: Sample = {"image": image, "id": self._id(row, position)}
        sample["labels"] = self._hot(read.labels_of(row, file, mask))[self._keep]
        if mask is not None:
            turned = upright(torch.from_numpy(mask[0]), mask[1] if turn == 1 else turn)
            if _size(turned) != _size(image):
                raise ValueError(f"the image is {_size(image)}, its mask {_size(turned)}: they must have one size")
            sample["mask"] = self._values[turned.long()]
        if read.columns.boxes:
            drawn_on = stored if turn == orientation else image
            boxes, kinds = read.boxes_of(row, file, *_size(drawn_on))
            place = torch.full((len(read.classes.names),), -1)
            place[self._keep] = torch.arange(len(self._keep))
            kept = place[kinds] >= 0
            sample["boxes"] = upright_boxes(boxes, turn, *_size(stored))[kept]
            sample["box_labels"] = place[kinds][kept]
        elif read.columns.mask or read.columns.segments:
            nothing = torch.zeros(1, 1, dtype=torch.int64)
            sample["boxes"], sample["box_labels"] = boxes_from_mask(sample.get("mask", nothing))
        return sample

    def _id(self, row: dict[str, Any], position: int) -> str:
        column = self._read.columns.id
        return str(row[column]) if column and row[column] is not None else f"{self.split}-{position:05d}"

    def _hot(self, classes: Sequence[int]) -> Tensor:
        hot = torch.zeros(len(self._read.classes.names))
        hot[list(classes)] = 1
        return hot

    @contextmanager
    def _explained(self, position: int) -> Iterator[None]:
        """An error of a row, with the table, the row and the id in front."""
        try:
            yield
        except (ValueError, FileNotFoundError) as error:
            column = self._read.columns.id
            row = self._rows.row(position, [column]) if column else {}
            file = self._rows.files[self._rows.file_of(position)]
            raise ValueError(
                f"row {position} of {self.name}/{self.split} ({file.name}, id {self._id(row, position)}): {error}"
            ) from error

    @property
    def labels(self) -> Tensor:
        """All image labels, (len(self), K) float32 multi-hot, without decoding an image.

        A table without a column of labels is read for its masks, once.
        """
        if self._labels is None:
            self._labels = self._all_labels()[list(self._positions)][:, self._keep]
        return self._labels

    def _all_labels(self) -> Tensor:
        hot = torch.zeros(len(self._rows), len(self._read.classes.names))
        for position, row in enumerate(self._rows.cells(self._read.label_columns())):
            with self._explained(position):
                file = self._rows.file_of(position)
                mask = None if self._read.says_labels() else self._read.mask_of(row, file)
                hot[position] = self._hot(self._read.labels_of(row, file, mask))
        return hot


def _options() -> list[str]:
    """What a caller may say of a table."""
    sources = ("files", "name", "split", "siblings", "forms")
    named = [name for name in signature(Table).parameters if name not in sources]
    return named + [field.name for field in fields(Forms)]


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """An error of a table as a whole, with its file in front."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _readable(files: Mapping[str, Sequence[Path]], split: str, rows: Rows, read: Columns) -> list[tuple[str, Rows]]:
    """The splits that share a list of classes, train first; one that cannot be read can have no part in it."""
    tables: list[tuple[str, Rows]] = []
    holders = {column for column in (read.labels, read.box_labels, read.thing) if column}
    for name in sorted(files, key=lambda name: (name != "train", name)):
        try:
            other = rows if name == split or files[name] == files[split] else rows_of(files[name])
        except (ValueError, FileNotFoundError) as error:
            _log.warning("the classes of %s are not compared with those of %s: %s", name, split, error)
            continue
        if holders <= set(other.columns):
            tables.append((name, other))
    return tables


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[-2], pixels.shape[-1]


def _chosen(classes: Sequence[str], every: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(classes, str):
        raise ValueError(f"classes is {classes!r}: pass a list of class names")
    if unknown := [c for c in classes if c not in every]:
        raise ValueError(f"there is no class {unknown[0]!r}: choose among {', '.join(every)}")
    if len(set(classes)) != len(classes) or not classes:
        raise ValueError(f"classes must be named once each, at least one; got {list(classes)}")
    return tuple(classes)


def _mask_values(count: int, keep: Tensor, others: int) -> Tensor:
    """What each value of a stored mask becomes, (256,), or more where there are more classes (and hence no masks)."""
    values = torch.zeros(max(IGNORE, count) + 1, dtype=torch.int64)
    values[1 : count + 1] = others
    values[keep + 1] = torch.arange(1, len(keep) + 1)
    values[IGNORE] = IGNORE
    return values
