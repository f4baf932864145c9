"""The one schema in which real data lie on disk, and how rows get there.

Whatever a source looks like (a Parquet file of the Hub with columns of its own, a tar of JPEGs and XML), what is kept
is Parquet with these columns, which ``datasets`` decodes without any script:

=============  =====================================================================================
``id``         string
``image``      the image file as the publisher wrote it, never encoded again
``mask``       palette PNG: 0 background, k + 1 for class k, 255 border (where the data set has masks)
``labels``     list of the classes in the image, 0-based ``ClassLabel``
``boxes``      list of xyxy pixels, right and bottom exclusive (where the data set has boxes)
``box_labels`` list of the boxes' classes, as long as ``boxes``
``sentences``  list of texts, each about one of the boxes (where the data set has sentences)
``spoken_of``  list, as long as ``sentences``: which of the boxes each means
=============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from wsss_lib.data.photos.download import shown
from wsss_lib.files import writing

if TYPE_CHECKING:  # importing datasets takes seconds: only where it is used
    import datasets

ROWS_A_GROUP = 16
"""Rows that a Parquet reader has to hold at once; small, because a row holds an image and whoever
shuffles reads a group for each."""


class Row(TypedDict, total=False):
    """A row before it is written; images and masks are encoded files."""

    id: str
    image: bytes
    mask: bytes | None
    labels: list[int]
    boxes: list[list[float]]
    box_labels: list[int]
    sentences: list[str]
    spoken_of: list[int]


@dataclass(frozen=True)
class Split:
    """A split on its way to disk.

    Attributes:
        classes: Names of the K classes.
        mask: Whether every row has a mask.
        boxes: Whether every row has boxes and their classes.
        rows: Made one at a time.
        sentences: Whether every row has sentences about its boxes.
    """

    classes: tuple[str, ...]
    mask: bool
    boxes: bool
    rows: Iterable[Row]
    sentences: bool = False


def schema(classes: tuple[str, ...], *, mask: bool, boxes: bool, sentences: bool = False) -> datasets.Features:
    """The columns as ``datasets`` features."""
    import datasets

    label = datasets.ClassLabel(names=list(classes))
    columns: dict[str, object] = {"id": datasets.Value("string"), "image": datasets.Image()}
    if mask:
        columns["mask"] = datasets.Image()
    columns["labels"] = datasets.List(label)
    if boxes:
        columns["boxes"] = datasets.List(datasets.List(datasets.Value("float32"), length=4))
        columns["box_labels"] = datasets.List(label)
    if sentences:
        columns["sentences"] = datasets.List(datasets.Value("string"))
        columns["spoken_of"] = datasets.List(datasets.Value("int64"))
    return datasets.Features(columns)


def write(
    split: Split,
    path: Path,
    *,
    total: int | None = None,
    progress: bool | None = False,
    about: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Write a split to one Parquet file, in one step: a half-written table never stands under the real name.

    Args:
        split: The rows.
        path: The file.
        total: How many rows there must be; None for any number.
        progress: Whether to show a bar; None shows one on a terminal and in a notebook.
        about: What else the file says of itself, in the metadata of its schema.

    Returns:
        How many rows were written.

    Raises:
        ValueError: There were more or fewer rows than ``total``; nothing is kept.
        OSError: The file cannot be written; the message of a full disk names the file and the remedy.
    """
    arrow = schema(split.classes, mask=split.mask, boxes=split.boxes, sentences=split.sentences).arrow_schema
    arrow = arrow.with_metadata((arrow.metadata or {}) | {k.encode(): v.encode() for k, v in about.items()})
    count = 0
    with writing(path) as partial:
        with (
            pq.ParquetWriter(partial, arrow, compression="snappy") as writer,
            tqdm(total=total, desc=path.stem, unit=" images", disable=not shown(progress)) as bar,
        ):
            for chunk in _chunks(iter(split.rows)):
                columns = {name: [_cell(name, row) for row in chunk] for name in arrow.names}
                writer.write_table(pa.table(columns, schema=arrow))
                count += len(chunk)
                bar.update(len(chunk))
        if total is not None and count != total:
            raise ValueError(f"{count} images instead of {total}")
    return count


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, ROWS_A_GROUP)):
        yield chunk


def _cell(name: str, row: Row) -> object:
    value = row[name]  # type: ignore[literal-required]
    picture = name in ("image", "mask") and value is not None  # a row may lack its mask
    return {"bytes": value, "path": None} if picture else value
