"""Stage *labels*: every photograph and mask is read once, and what is good is listed for all that follows."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from wsss_lib.data import load
from wsss_lib.data.records import Records
from wsss_lib.files import sha256_of, write_atomically
from wsss_lib.localize.names import printable
from wsss_lib.pipeline.listing import Listing, Photo, read_listing
from wsss_lib.pipeline.stages import Stage, Work

LIST = "photos.csv"
"""The list that a stage leaves: id, image, label, mask, as :func:`wsss_lib.data.load` reads it."""
FEW = 5
"""Photographs of a class below which the user is told that they are few."""
NOTHING = {"background", "empty", "none", "nothing"}
"""Words that hardly any class is called."""


def read_labels(work: Work) -> dict[str, Any]:
    """List what can be used; say what cannot.

    Raises:
        ValueError: No photograph can be used, or nothing tells the classes apart.
    """
    listing = _listing(work)
    path = work.folder("labels") / LIST
    if listing.photos:
        write_list(path, listing.photos)
        listing.photos = list(_good(listing, path, work.settings.drawn_on))
    if not listing.photos:
        first = f": {listing.failures[0]}" if listing.failures else ""
        raise ValueError(f"no photograph of {listing.source} can be used{first}")
    write_list(path, listing.photos)
    counts = {name: sum(name in photo.labels for photo in listing.photos) for name in listing.classes}
    shown = [name for name, count in counts.items() if count]
    if not any(count < len(listing.photos) for name, count in counts.items() if count):
        raise ValueError(
            f"every photograph of {listing.source} shows {' and '.join(map(printable, shown)) or 'nothing'}: add some "
            "that do not, with the label [], for a classifier learns from the difference"
        )
    return {
        "source": printable(listing.source.name),
        "photos": len(listing.photos),
        "masks": sum(photo.mask is not None for photo in listing.photos),
        "classes": list(listing.classes),
        "counts": {name: counts[name] for name in shown},
        "notes": [*listing.notes, *_doubts(counts, len(listing.photos))],
        "failures": listing.failures,
    }


def content(work: Work) -> list[Any]:
    """What the stage depends on: the list, and size and time of each file that it names."""
    listing = _listing(work)
    source = sha256_of(listing.source) if listing.source.is_file() else None
    files = [[photo.id, _stamp(photo.image), photo.mask and _stamp(photo.mask)] for photo in listing.photos]
    return [str(work.data), source, files, listing.failures]


def listed(work: Work, stage: str = "labels", **options: Any) -> Records:
    """The photographs that a stage lists, with the classes that occur; ``options`` are those of ``load``."""
    result = work.results["labels"]
    given = {"names": result["classes"], "classes": list(result["counts"]), "keep_empty": True}
    return load(work.folder(stage) / LIST, **(given | {"drawn_on": work.settings.drawn_on} | options))


def read_list(path: Path) -> list[Photo]:
    """The photographs of a list as :func:`write_list` has written it."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Photo(
                Path(os.path.normpath(path.parent / row["image"])),
                tuple(json.loads(row["label"])),
                Path(os.path.normpath(path.parent / row["mask"])) if row["mask"] else None,
                row["id"],
            )
            for row in csv.DictReader(file)
        ]


def write_list(path: Path, photos: Sequence[Photo]) -> None:
    """Write a list of photographs; paths in it start at its folder."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "image", "label", "mask"])
    for photo in photos:
        mask = "" if photo.mask is None else _relative(photo.mask, path.parent)
        labels = json.dumps(list(photo.labels), ensure_ascii=False)
        writer.writerow([photo.id, _relative(photo.image, path.parent), labels, mask])
    write_atomically(path, text.getvalue())


def _listing(work: Work) -> Listing:
    settings = work.settings
    return read_listing(work.data, names=settings.names, separator=settings.separator)


def _good(listing: Listing, path: Path, drawn_on: str | None) -> Iterator[Photo]:
    """The photographs that can be read, each with its mask where that can be; the others become failures."""
    options: dict[str, Any] = {"names": listing.classes, "drawn_on": drawn_on}
    plain = load(path, columns={"mask": None}, **options)
    masked = load(path, **options)
    for number, photo in enumerate(tqdm(listing.photos, "photographs", unit="", leave=False, disable=None)):
        name = printable(photo.id)
        try:
            image = plain[number]["image"]
        except (ValueError, MemoryError) as error:
            listing.failures.append(f"{name} is left out: {_cause(error, photo, path.parent)}")
            continue
        if not torch.isfinite(image).all():
            listing.failures.append(f"{name} is left out: it holds values that are no numbers")
            continue
        if photo.mask is not None:
            try:
                masked[number]
            except (ValueError, MemoryError) as error:
                listing.failures.append(f"{name} is used without its mask: {_cause(error, photo, path.parent)}")
                photo.mask = None
        yield photo


def _cause(error: BaseException, photo: Photo, folder: Path) -> str:
    """What is wrong, without the place in a list that the user has not written, and in the command's words.

    Args:
        error: As reading the list raised it.
        photo: Of which photograph.
        folder: Of that list, from which its paths start.
    """
    sentence = str(error.__cause__ or error) or "out of memory: make it smaller"
    for file in (photo.image, photo.mask):
        sentence = sentence.replace(str(folder / _relative(file, folder)), str(file)) if file else sentence
    for python, option in (
        ("drawn_on='stored' or drawn_on='upright'", "--drawn-on stored or --drawn-on upright"),
        ("pass names= in the order of the mask's values", "say --names in the order of the mask's values"),
        (", or take the labels from the mask with columns={'labels': None}", ""),
    ):
        sentence = sentence.replace(python, option)
    return printable(sentence)


def _doubts(counts: dict[str, int], photos: int) -> Iterator[str]:
    """What will make a classifier weak."""
    few = [f"{printable(name)} ({count})" for name, count in counts.items() if 0 < count < FEW]
    if few:
        yield f"photographs are few of {', '.join(few)}"
    for name, count in counts.items():
        if name.casefold() in NOTHING:
            yield f"{printable(name)} is taken for a class: write [] for a photograph that shows none of the classes"
        if count == photos:
            yield f"every photograph shows {printable(name)}: add some that do not, or its map will say little"


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # Windows: on another drive
        return path.resolve().as_posix()


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _summary(result: dict[str, Any]) -> str:
    counts = ", ".join(f"{printable(name)} {count}" for name, count in list(result["counts"].items())[:8])
    more = ", …" if len(result["counts"]) > 8 else ""
    masks = f", {result['masks']} with a mask" if result["masks"] else ""
    return f"{result['photos']} photographs{masks}; {counts}{more}"


LABELS = Stage("labels", read_labels, _summary, ("names", "separator", "drawn_on"), content)
