"""Tables of every kind as rows: Parquet files, a CSV of image paths, or a folder of images for each class."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from wsss_lib.data.photos.rows import ClassNames, ParquetRows, Rows
from wsss_lib.files import sha256_of, sha256_of_text

_log = logging.getLogger(__name__)
CSV_SUFFIXES = (".csv", ".tsv")
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")
"""A whole number as programs write it; 007 is a word."""
_FOREIGN = {"__MACOSX", "@eaDir", "$RECYCLE.BIN"}
"""Folders that systems leave among a person's own."""
PICTURES = {"images", "image", "imgs", "img", "jpegimages", "photos"}
ANNOTATIONS = {
    *("masks", "mask", "annotations", "labels", "labelmaps", "segmentation", "segmentations", "groundtruth", "gt"),
    *("segmentationclass", "segmentationobject", "trimaps"),
}
"""Names, in lower case, of folders of images and of what was drawn on them: such folders are no classes."""


def rows_of(files: Sequence[Path]) -> Rows:
    """The rows of files, of whatever kind they are.

    Raises:
        ValueError: They are no table, or several that are not Parquet.
    """
    if len(files) == 1 and files[0].is_dir():
        return folder_rows(files[0])
    if lists := [file for file in files if file.suffix.lower() in CSV_SUFFIXES]:
        if len(files) > 1:
            raise ValueError(f"{lists[0]} is a CSV, of which one is read at a time: join the files")
        return csv_rows(files[0])
    return ParquetRows(files)


class ListedRows:
    """Rows in memory whose cells are paths of images.

    Args:
        path: The list, or the folder.
        rows: The rows.
        columns: The names of their columns.
        folder: Where the paths start.
    """

    def __init__(self, path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str], folder: Path) -> None:
        if not rows:
            raise ValueError(f"{path} holds no rows: write or download it anew")
        self.files: tuple[Path, ...] = (path,)
        self.columns = tuple(columns)
        self.folder: Path | None = folder
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def file_of(self, position: int) -> int:
        return 0

    def row(self, position: int, columns: Sequence[str]) -> dict[str, Any]:
        return {column: self._rows[position][column] for column in columns}

    def cells(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        return (self.row(position, columns) for position in range(len(self)))

    def class_names(self, column: str) -> list[ClassNames]:
        return [None]

    def digests(self, columns: Sequence[str]) -> list[str]:
        paths = [Path(self.folder or "") / row[column] for row in self._rows for column in columns if row[column]]
        return [sha256_of_text(json.dumps(self._rows)), *(sha256_of(path) for path in paths)]


def csv_rows(path: Path) -> ListedRows:
    """A CSV with a line of column names; paths in it start at its folder, lists are written as ``[1, 2]``.

    Args:
        path: The file; commas, semicolons or tabs separate its columns.

    Raises:
        ValueError: It is no text, or its lines have unlike numbers of cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV that can be read ({error}): save it as UTF-8 with commas") from error
    filled = [(number, cells) for number, cells in enumerate(lines, start=1) if any(cell.strip() for cell in cells)]
    columns = [name.strip() for name in filled[0][1]] if filled else []
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path} has two columns of one name among {', '.join(columns)}: rename one")
    if len(filled) == 1:
        raise ValueError(f"{path} holds one line: the first says the names of the columns, then come the rows")
    rows = []
    for number, cells in filled[1:]:
        if len(cells) != len(columns):
            raise ValueError(f"{path}, line {number}: {len(cells)} cells under {len(columns)} column names: correct it")
        rows.append({name: _value(cell.strip()) for name, cell in zip(columns, cells, strict=True)})
    return ListedRows(path, _numbered(rows), columns, path.parent)


def _value(cell: str) -> Any:
    """None for an empty cell, a list where one is written, else the word itself."""
    if cell.startswith("["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):  # the row says what is wrong with it
            return cell
    return cell or None


def _numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Columns that hold whole numbers only, or nothing, as numbers."""
    for column in rows[0] if rows else ():
        cells = [row[column] for row in rows]
        if any(cells) and all(cell is None or (isinstance(cell, str) and _NUMBER.fullmatch(cell)) for cell in cells):
            for row in rows:
                row[column] = None if row[column] is None else int(row[column])
    return rows


def is_called(folder: str, kind: set[str]) -> bool:
    """Whether a folder's name is one of a kind, such as :data:`ANNOTATIONS`, in any case and with or without ``_``."""
    return folder.lower().replace("_", "") in kind


def folder_rows(folder: Path) -> ListedRows:
    """The images of a folder that has a folder for each class, by name.

    Args:
        folder: Of the class folders; hidden files are passed over, others that are no images with a warning.

    Raises:
        ValueError: It holds no images, or a folder of images beside one of masks.
    """
    rows: list[dict[str, Any]] = []
    classes = class_folders(folder)
    if all(any(is_called(place.name, kind) for place in classes) for kind in (PICTURES, ANNOTATIONS)):
        raise ValueError(
            f"{folder} holds {', '.join(place.name for place in classes)}, which seem to be images and their masks, no "
            "classes: write a CSV with the columns image, mask and label"
        )
    strange = [path for path in sorted(_visible_files(folder, below=False)) if _is_readable(path)]
    if strange:
        _log.warning(
            "%d images lie in %s itself, in the folder of no class, and are left out: %s%s", len(strange), folder,
            ", ".join(path.name for path in strange[:3]), ", …" if len(strange) > 3 else "",
        )  # fmt: skip
    if empty := [place.name for place in _visible_folders(folder) if place not in classes]:
        _log.warning("%s in %s holds no image that can be read, and is no class", ", ".join(empty[:5]), folder)
    strange = []
    for place in classes:
        for path in sorted(_visible_files(place)):
            if _is_readable(path):
                name = path.relative_to(folder).as_posix()
                rows.append({"id": name, "image": name, "label": place.name})
            else:
                strange.append(path)
    if strange:
        _log.warning(
            "%d files in %s are no images that can be read and are left out: %s%s; convert them to JPEG or PNG",
            len(strange), folder, ", ".join(path.name for path in strange[:3]), ", …" if len(strange) > 3 else "",
        )  # fmt: skip
    return ListedRows(folder, rows, ("id", "image", "label"), folder)


def class_folders(folder: Path) -> list[Path]:
    """The folders directly in a folder that hold an image somewhere below, by name; hidden ones are passed over."""
    return [place for place in _visible_folders(folder) if any(map(_is_readable, _visible_files(place)))]


def _visible_folders(folder: Path) -> list[Path]:
    """The folders directly in a folder, by name, without hidden ones and those that a system has left there."""
    places = (path for path in folder.iterdir() if path.is_dir() and path.name not in _FOREIGN)
    return sorted(path for path in places if not path.name.startswith("."))


def _visible_files(folder: Path, below: bool = True) -> Iterator[Path]:
    """The files in a folder, and in those below it, without hidden ones (``._a.jpg``), dangling links and pipes."""
    for path in folder.rglob("*") if below else folder.iterdir():
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _is_readable(path: Path) -> bool:
    """Whether the suffix is one of an image that Pillow opens."""
    return path.suffix.lower() in _readable_suffixes()


@cache
def _readable_suffixes() -> frozenset[str]:
    Image.init()
    return frozenset(suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN)
