"""Real photographs as records: the same fields as the drawn world, from tables known by name or of one's own."""

from __future__ import annotations

import glob
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsss_lib.data.photos.annotations import Annotations, Forms
from wsss_lib.data.photos.catalogue import known
from wsss_lib.data.photos.columns import Columns
from wsss_lib.data.photos.convert import stored_image, upright, upright_boxes
from wsss_lib.data.photos.fetch import DataUnavailable, prepare, unavailable
from wsss_lib.data.photos.folders import complete, listing, locate, splits_in, tables
from wsss_lib.data.photos.labels import Classes, class_names
from wsss_lib.data.photos.listings import rows_of
from wsss_lib.data.photos.masks import boxes_from_mask
from wsss_lib.data.photos.rows import Rows
from wsss_lib.data.records import IGNORE, Records, Sample
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
        self.name, self.split = name, split
        said = Forms(**forms)
        self._rows = rows_of(files)
        with _naming(files[0]):
            read = Columns.of(self._rows.columns, columns, said.boxes_are)
            tables = _readable({**(siblings or {}), split: files}, split, self._rows, read) if names is None else []
            every = class_names(tables or [(split, self._rows)], read, names)
            numbering = Classes.of(self._rows, read, every, said.labels_are)
        self._read = Annotations(read, numbering, said, self._rows.folder)
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
        stated = {form: value for form, value in vars(said).items() if value is not None}
        self._options = [*options, stated] if stated else options

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of the content of the files and of the options; computed when it is first asked for."""
        pictures = [c for c in (self._read.columns.image, self._read.columns.mask, self._read.columns.segments) if c]
        return sha256_of_text(json.dumps([self._rows.digests(pictures), self._options]))

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {self.name}/{self.split}: there are {len(self)}")
        position = self._positions[index]
        with self._explained(position):
            sample = self._sample(self._rows.row(position, self._read.columns.used()), position)
        return sample if self._resize is None else self._resize(sample)

    def _sample(self, row: dict[str, Any], position: int) -> Sample:
        read, file = self._read, self._rows.file_of(position)
        image, orientation = stored_image(read.source(row[read.columns.image]), white=read.forms.white)
        height, width = image.shape[-2:]
        stored = read.mask_of(row, file)
        turn = True
        if orientation != 1 and (stored is not None or (read.columns.boxes and row[read.columns.boxes])):
            turn = read.turned(orientation, (height, width), None if stored is None else (stored[0].shape, stored[1]))
        image = upright(image, orientation)
        sample: Sample = {"image": image, "id": self._id(row, position)}
        sample["labels"] = self._hot(read.labels_of(row, file))[self._keep]
        if stored is not None:
            own_turn = orientation if orientation != 1 and turn else stored[1]
            mask = self._values[upright(torch.from_numpy(stored[0]), own_turn).long()]
            if mask.shape != image.shape[-2:]:
                raise ValueError(
                    f"the image is {tuple(image.shape[-2:])}, its mask {tuple(mask.shape)}: they must have one size"
                )
            sample["mask"] = mask
        if read.columns.boxes:
            drawn_on = (height, width) if turn else (image.shape[-2], image.shape[-1])
            boxes, kinds = read.boxes_of(row, file, *drawn_on)
            if turn:
                boxes = upright_boxes(boxes, orientation, height, width)
            place = torch.full((len(read.classes.names),), -1)
            place[self._keep] = torch.arange(len(self._keep))
            kept = place[kinds] >= 0
            sample["boxes"], sample["box_labels"] = boxes[kept], place[kinds][kept]
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
                hot[position] = self._hot(self._read.labels_of(row, self._rows.file_of(position)))
        return hot


def load_known(
    name: str, split: str, *, root: str | os.PathLike[str] | None = None, download: bool = True, **options: Any
) -> Table:
    """A split of a data set that is known by name.

    Args:
        name: One of :data:`wsss_lib.data.photos.catalogue.DATA_SETS`.
        split: One of its splits.
        root: A folder with a copy: its tables are taken, and nothing is fetched. None looks in ``WSSS_DATA``, else in
            ``~/.cache/wsss_lib``, and fetches what is missing.
        download: Whether to fetch what is missing.
        options: As for :class:`Table`.

    Raises:
        ValueError: Unknown data set or split, or ``root`` holds something else.
        DataUnavailable: The split is not there and could not be fetched.
    """
    data_set = known(name, split)
    folder = locate(name, data_set.splits, root)
    files = tables(folder, split)
    if not files and (root is not None or not download):
        held = ", ".join(splits_in(folder)) or "no Parquet files"
        raise DataUnavailable(unavailable(data_set, split, [f"{folder} (it holds {held})"]))
    if not files:
        files = prepare(name, [split])[split]
    if data_set.classes:
        options.setdefault("names", data_set.classes)
    options.setdefault("drawn_on", "stored")  # publishers count the pixels of their files
    return Table(files, name=name, split=split, **options)


def load_files(
    where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], split: str | None = None, **options: Any
) -> Table:
    """Records of files of one's own.

    Args:
        where: A Parquet file, several, a pattern with ``*``, or a CSV of image paths; or a folder: with a Parquet file
            (or numbered parts), a CSV, or a folder of class folders per split, or with class folders alone.
        split: For a folder, which of its splits (``"train"`` if None); otherwise only a name.
        options: As for :class:`Table`.

    Raises:
        FileNotFoundError: There is no such file, or the folder has no such split.
    """
    if isinstance(where, str | os.PathLike):
        path = Path(where).expanduser()
        if path.is_dir():
            return _load_folder(path, split, options)
        pattern = str(path).replace("[", "[[]")  # only * and ? stand for others
        files = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(pattern)) if Path(p).is_file()]
    else:
        files = [Path(each).expanduser() for each in where]
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise FileNotFoundError(f"there is no file {missing[0] if missing else where}: check the path")
    return Table(files, name=files[0].resolve().parent.name, split=split or files[0].stem, **options)


def _load_folder(folder: Path, split: str | None, options: dict[str, Any]) -> Table:
    chosen = _files_of(folder, split)
    others = splits_in(folder)
    if not chosen:
        held = f"it holds {', '.join(others)}: choose one of these with split=" if others else (
            "it holds no Parquet files, no CSV, and no folder of images for each class; images need a folder named as "
            "their class, or a CSV with the columns image and label"
        )  # fmt: skip
        raise FileNotFoundError(f"{folder} has no split {split or 'train'!r}; {held}")
    siblings = {other: files for other in others if (files := _files_of(folder, other, whole=True))}
    return Table(chosen, name=folder.resolve().name, split=split or "train", siblings=siblings, **options)


def _files_of(folder: Path, split: str | None, whole: bool = False) -> list[Path]:
    files = (complete if whole else tables)(folder, split or "train")
    listed = None if files else listing(folder, split)
    return files or ([listed] if listed else [])


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


def _chosen(classes: Sequence[str], every: tuple[str, ...]) -> tuple[str, ...]:
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
