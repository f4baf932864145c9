"""What a person's folder holds: photographs, what a CSV or their folders say of each, and masks where there are any."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsss_lib.data.photos.catalogue import COCO, VOC
from wsss_lib.data.photos.listings import ANNOTATIONS, CSV_SUFFIXES, PICTURES, class_folders, csv_rows, is_called
from wsss_lib.data.records import IGNORE
from wsss_lib.localize.names import printable
from wsss_lib.pipeline.cells import Cells
from wsss_lib.pipeline.folder import Files, images_below
from wsss_lib.pipeline.stages import MARK

IMAGE = ("image", "img", "image_path", "path", "file", "filename", "file_name", "photo")
LABEL = ("label", "labels", "class", "classes", "category", "categories", "tag", "tags")
MASK = ("mask", "mask_path", "segmentation")
"""How a column may be called, in any case."""


@dataclass
class Photo:
    """A photograph, and what is said of it.

    Attributes:
        image: Its file.
        labels: The classes that it shows; none of them, where it is empty.
        mask: The file of its mask.
        id: Its path below the folder.
    """

    image: Path
    labels: tuple[str, ...]
    mask: Path | None = None
    id: str = ""


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        source: The CSV, or the folder of class folders.
        classes: Names, in the order of the masks' values: those of PASCAL VOC or MS COCO where masks lie beside labels
            that are all among them, for such masks are numbered so.
        photos: Each once, in the order of the list.
        notes: What was done with what is odd, a sentence each.
        failures: What could not be used, a sentence each.
    """

    source: Path
    classes: tuple[str, ...] = ()
    photos: list[Photo] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


FLAGS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
"""How spreadsheets and tables of floats write 0 and 1."""


def read_listing(data: Path, *, names: Sequence[str] | None = None, separator: str | None = None) -> Listing:
    """List the photographs of a folder with their labels and masks; nothing is decoded yet.

    Results of this command that lie below the folder are passed over.

    Args:
        data: A CSV; or a folder that holds one CSV, or a folder of images for each class.
        names: Of the classes, in the order of their numbers and of the masks' values.
        separator: What stands between several classes of a cell; ``"none"``: each cell is one class.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It holds no list, several, or one that cannot be read; the sentence says what to do.
    """
    source = _source(data)
    if source.is_dir():
        rows, columns = _folder_rows(source), {"image": "image", "label": "label"}
    else:
        table = csv_rows(source)
        rows, columns = list(table.cells(table.columns)), _columns(source, table.columns)
    listing = Listing(source)
    folder = Path(os.path.normpath(source if source.is_dir() else source.parent))
    files = Files(folder)
    cells = Cells.of([_label_cell(row, columns) for row in rows], names, separator, str(source))
    listing.classes, listing.notes = cells.classes, list(cells.notes)
    by_file: dict[Path, Photo] = {}
    joined = 0
    for row, labels in zip(rows, cells.labels, strict=True):
        try:
            photo = _photo(row, columns, labels, files)
        except ValueError as error:
            listing.failures.append(str(error))
            continue
        before = by_file.setdefault(photo.image, photo)
        if before is not photo:
            joined += 1
            before.labels = tuple(name for name in cells.classes if name in {*before.labels, *photo.labels})
            before.mask = before.mask or photo.mask
    listing.photos = list(by_file.values())
    if names is None and any(photo.mask for photo in listing.photos):
        known = next((known for known in (VOC, COCO) if set(listing.classes) <= set(known)), None)
        listing.classes = known or listing.classes
    if len(listing.classes) >= IGNORE:
        raise ValueError(f"{source} has {len(listing.classes)} classes, and a mask numbers {IGNORE - 1}: keep fewer")
    if joined:
        listing.notes.append(f"{_rows(joined)} of {printable(source.name)} name a photograph again: labels are joined")
    if unlisted := [path for path in files.images if path not in by_file and not source.is_dir()]:
        shown = ", ".join(printable(path.relative_to(folder)) for path in unlisted[:3])
        listing.notes.append(
            f"{len(unlisted)} photograph{'s have' if len(unlisted) > 1 else ' has'} no row and no part in this: "
            f"{shown}{', …' if len(unlisted) > 3 else ''}"
        )
    return listing


def _rows(count: int) -> str:
    return f"{count} row{'s' if count > 1 else ''}"


def _source(data: Path) -> Path:
    """The CSV, or the folder of class folders."""
    if data.is_file():
        if data.suffix.lower() not in CSV_SUFFIXES:
            raise ValueError(f"{data} is no CSV: name a folder of photographs with a CSV, or the CSV itself")
        return data
    if not data.is_dir():
        raise FileNotFoundError(f"there is no folder {data}: name one that holds photographs and a CSV of their labels")
    lists = sorted(path for path in data.iterdir() if path.suffix.lower() in CSV_SUFFIXES and path.is_file())
    lists = [path for path in lists if not path.name.startswith(".")]
    if len(lists) > 1:
        raise ValueError(
            f"{data} holds {', '.join(path.name for path in lists[:4])}: name the one that says the labels, for "
            f"example {data / lists[0].name}"
        )
    if lists:
        return lists[0]
    if not _folders_of_classes(data):
        raise ValueError(
            f"{data} says no labels: add a CSV with the columns image and label, or sort the photographs into a "
            "folder for each class"
        )
    return data


def _folders_of_classes(folder: Path) -> list[Path]:
    places = [place for place in class_folders(folder) if not is_called(place.name, ANNOTATIONS | PICTURES)]
    return [place for place in places if not (place / MARK).is_file()]


def _folder_rows(folder: Path) -> list[dict[str, Any]]:
    return [
        {"image": path.relative_to(folder).as_posix(), "label": place.name}
        for place in _folders_of_classes(folder)
        for path in sorted(images_below(place))
    ]


def _columns(source: Path, held: Sequence[str]) -> dict[str, Any]:
    """Which column holds what; ``hot`` lists columns of 0 and 1, one a class, where no column holds labels."""
    lower = {name.lower(): name for name in held}
    columns: dict[str, Any] = {}
    for role, known in (("image", IMAGE), ("label", LABEL), ("mask", MASK)):
        named = [lower[name] for name in known if name in lower]
        if len(named) > 1:
            raise ValueError(f"{source} has the columns {' and '.join(named)}: leave one, called {role}")
        columns[role] = named[0] if named else None
    if columns["image"] is None:
        raise ValueError(
            f"{source} has no column image among {', '.join(held)}: its first line names the columns, for example "
            "image,label"
        )
    if columns["label"] is None:
        columns["hot"] = [name for name in held if name not in columns.values()]
        if not columns["hot"]:
            raise ValueError(f"{source} has no column label: add one, with the class or the classes of each photograph")
    return columns


def _label_cell(row: dict[str, Any], columns: dict[str, Any]) -> Any:
    """The cell of the labels; of columns of 0 and 1 the names of those with a 1."""
    if columns["label"] is not None:
        return row[columns["label"]]
    values = {name: FLAGS.get(str(row[name]).lower(), row[name]) for name in columns["hot"]}
    if strange := [name for name, value in values.items() if value not in (0, 1)]:
        raise ValueError(
            f"there is no column label, and the column {strange[0]} holds {values[strange[0]]!r}: call the column of "
            "the classes label, or write 0 or 1 for each class"
        )
    return [name for name, value in values.items() if value]


def _photo(row: dict[str, Any], columns: dict[str, Any], labels: tuple[str, ...] | None, files: Files) -> Photo:
    name = row[columns["image"]]
    if name is None:
        raise ValueError("a row names no photograph: fill its cell, or leave the row out")
    if not isinstance(name, str):
        name = str(name)
    image = files.find(name, "photograph", files.images)
    if labels is None:
        raise ValueError(
            f"{printable(name)} has no label: write [] for a photograph that shows none of the classes, or leave the "
            "row out"
        )
    mask = row[columns["mask"]] if columns.get("mask") else None
    where = files.find(str(mask), "mask", files.masks) if mask is not None else files.mask_of(image)
    return Photo(image, labels, where, files.name_of(image))
