"""RefCOCO: sentences by people about objects in photographs of MS COCO, as the Hub has them and as records.

    records = load("refcoco", split="val")
    records[0]["sentences"], records[0]["sentence_boxes"], records[0]["proposals"]

Two forms are read: tables of images with all that is said of each (``jxu124/refcoco-benchmark``), and tables with a row
a referred object, without images (``jxu124/refcoco``), beside COCO's own archive of ``train2014``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from wsss_lib.data.photos.archives import Archive
from wsss_lib.data.photos.catalogue import COCO
from wsss_lib.data.photos.convert import content
from wsss_lib.data.photos.rows import records_of
from wsss_lib.data.photos.schema import Row, Split
from wsss_lib.data.photos.table import Table
from wsss_lib.data.records import Sample, record_number

CATEGORY_IDS = (
    *range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70, *range(72, 83), *range(84, 91),
)  # fmt: skip
"""COCO's number of each of its 80 classes; ten numbers up to 90 are not in use."""
SAID = ("sentences", "spoken_of")
"""The columns of the sentences, and of which box each means."""


def refcoco_images(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """Tables with a row an image: ``image``, ``image_info``, and ``ref_list`` of annotations and their sentences."""

    def rows() -> Iterator[Row]:
        for record in records_of(files, ("image", "image_info", "ref_list")):
            objects = [(each["ann_info"], each["ref_info"]["sentences"]) for each in record["ref_list"]]
            yield _row(str(record["image_info"]["id"]), content(record["image"]), objects)

    return Split(COCO, mask=False, boxes=True, sentences=True, rows=rows())


def refcoco_table(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """Tables with a row an object, and last COCO's ``train2014.zip``, in which the photographs lie.

    The columns ``raw_anns`` and ``raw_image_info`` hold JSON of COCO: the object's annotation, and its image.
    """
    photos = Archive(files[-1], scratch)

    def rows() -> Iterator[Row]:
        by_image: dict[int, list[dict[str, Any]]] = {}
        for record in records_of(files[:-1], ("image_id", "sentences", "raw_anns", "raw_image_info")):
            by_image.setdefault(int(record["image_id"]), []).append(record)
        for number, records in by_image.items():
            # The table's own file_name has the number of the object in it.
            name = Path(json.loads(records[0]["raw_image_info"])["file_name"]).name
            objects = [(json.loads(record["raw_anns"]), record["sentences"]) for record in records]
            yield _row(str(number), photos.read(f"train2014/{name}"), objects)

    return Split(COCO, mask=False, boxes=True, sentences=True, rows=rows())


def _row(name: str, image: bytes, objects: Sequence[tuple[dict[str, Any], Sequence[dict[str, Any]]]]) -> Row:
    """The row of an image; an object is its annotation and the sentences about it."""
    classes = [_class_of(annotation["category_id"]) for annotation, _ in objects]
    said = [(text["sent"], number) for number, (_, texts) in enumerate(objects) for text in texts]
    return {
        "id": name, "image": image, "labels": sorted(set(classes)),
        "boxes": [_box(name, annotation["bbox"]) for annotation, _ in objects], "box_labels": classes,
        "sentences": [text for text, _ in said], "spoken_of": [number for _, number in said],
    }  # fmt: skip


def _box(name: str, bbox: Sequence[float]) -> list[float]:
    """xyxy pixels of an annotation, which has x, y, width and height."""
    x, y, width, height = (float(value) for value in bbox)
    if width <= 0 or height <= 0:
        raise ValueError(f"an object of image {name} is {width:g} × {height:g} pixels: leave it out")
    return [x, y, x + width, y + height]


def _class_of(category: int) -> int:
    if category not in CATEGORY_IDS:
        raise ValueError(f"{category} is no category of COCO: expected one of its 80 numbers up to 90")
    return CATEGORY_IDS.index(category)


class SpokenTable(Table):
    """A table of photographs with sentences about their boxes.

    A sample has what :class:`~wsss_lib.data.photos.table.Table` gives, and ``sentences``, ``sentence_boxes``, and as
    ``proposals`` the table's boxes: the protocol of ground-truth boxes, with as many as the table knows.

    Raises:
        ValueError: ``classes`` is given: a sentence about a class that is left out would have no box. Or the table has
            no sentences.
    """

    def __init__(self, files: Sequence[Path], **options: Any) -> None:
        if options.get("classes") is not None:
            raise ValueError("sentences speak of all classes: leave classes out, and take a subset of the records")
        super().__init__(files, **options)
        if absent := set(SAID) - set(self._rows.columns):
            raise ValueError(f"{files[0].name} has no column {sorted(absent)}: prepare the data set anew")

    def __getitem__(self, index: int) -> Sample:
        position = self._positions[record_number(index, len(self), f"{self.name}/{self.split}")]
        row = self._rows.row(position, SAID)
        sample = super().__getitem__(index)
        boxes = sample["boxes"]
        return sample | {
            "proposals": boxes.clone(),
            "sentences": list(row["sentences"]),
            "sentence_boxes": boxes[torch.tensor(row["spoken_of"], dtype=torch.int64)],
        }
