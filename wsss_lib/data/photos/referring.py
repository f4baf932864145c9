"""RefCOCO: sentences by people about objects in photographs of MS COCO, as the Hub has them and as records.

    records = load("refcoco", split="val")
    records[0]["sentences"], records[0]["sentence_boxes"], records[0]["proposals"]

Two forms are read: tables of images with all that is said of each (``jxu124/refcoco-benchmark``), and tables with a row
a referred object, without images (``jxu124/refcoco``), beside COCO's own archive of ``train2014``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
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
            name = str(_held(record["image_info"], "id", int | str, "image_info"))
            objects = [
                (_held(each, "ann_info", Mapping, name), _said(_held(each, "ref_info", Mapping, name), name))
                for each in _held(record, "ref_list", list, name)
            ]
            yield _row(name, content(record["image"]), objects)

    return Split(COCO, mask=False, boxes=True, sentences=True, rows=rows())


def refcoco_table(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """Tables with a row an object, and last COCO's ``train2014.zip``, in which the photographs lie.

    The columns ``raw_anns`` and ``raw_image_info`` hold JSON of COCO: the object's annotation, and its image.
    """
    photos = Archive(files[-1], scratch)

    def rows() -> Iterator[Row]:
        by_image: dict[int, list[dict[str, Any]]] = {}
        for record in records_of(files[:-1], ("image_id", "sentences", "raw_anns", "raw_image_info")):
            by_image.setdefault(_held(record, "image_id", int, "a row"), []).append(record)
        for number, records in by_image.items():
            # The table's own file_name has the number of the object in it.
            file = _held(_object(records[0], "raw_image_info", number), "file_name", str, f"raw_image_info of {number}")
            objects = [(_object(record, "raw_anns", number), _said(record, f"image {number}")) for record in records]
            yield _row(str(number), photos.read(f"train2014/{Path(file).name}"), objects)

    return Split(COCO, mask=False, boxes=True, sentences=True, rows=rows())


def _held(held: Any, name: str, kind: Any, where: str) -> Any:
    """A field of a row, or of what lies in one.

    Raises:
        ValueError: It is absent, or of another kind; ``where`` is how the message calls the row.
    """
    value = held.get(name) if isinstance(held, Mapping) else None
    if not isinstance(value, kind):
        raise ValueError(f"{where}: its {name} cannot be read ({value!r:.80}): leave it out, or fetch the tables anew")
    return value


def _object(record: Mapping[str, Any], name: str, number: int) -> Any:
    """The JSON in a cell.

    Raises:
        ValueError: There is none.
    """
    text = _held(record, name, str, f"image {number}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"image {number}: its {name} is no JSON ({error}): fetch the tables anew") from error


def _said(record: Mapping[str, Any], where: str) -> list[str]:
    """What is said of an object, without empty sentences.

    Raises:
        ValueError: It is no list of sentences.
    """
    texts = [_held(each, "sent", str, f"{where}, a sentence") for each in _held(record, "sentences", list, where)]
    return [text for text in texts if text.strip()]


def _row(name: str, image: bytes, objects: Sequence[tuple[Mapping[str, Any], Sequence[str]]]) -> Row:
    """The row of an image; an object is its annotation and the sentences about it."""
    classes = [_class_of(_held(annotation, "category_id", int, f"image {name}")) for annotation, _ in objects]
    said = [(text, number) for number, (_, texts) in enumerate(objects) for text in texts]
    return {
        "id": name, "image": image, "labels": sorted(set(classes)),
        "boxes": [_box(name, annotation) for annotation, _ in objects], "box_labels": classes,
        "sentences": [text for text, _ in said], "spoken_of": [number for _, number in said],
    }  # fmt: skip


def _box(name: str, annotation: Mapping[str, Any]) -> list[float]:
    """xyxy pixels of an annotation, whose ``bbox`` is x, y, width and height."""
    bbox = _held(annotation, "bbox", list, f"image {name}")
    numbers = [float(value) for value in bbox if isinstance(value, int | float) and math.isfinite(value)]
    if len(bbox) != 4 or len(numbers) != 4:
        raise ValueError(f"image {name}: a bbox is {bbox!r:.80}, expected x, y, width and height: leave it out")
    x, y, width, height = numbers
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
        texts, objects = row["sentences"], row["spoken_of"]
        if (
            not isinstance(texts, list)
            or not isinstance(objects, list)
            or len(texts) != len(objects)
            or not all(isinstance(text, str) for text in texts)
            or not all(isinstance(number, int) and 0 <= number < len(boxes) for number in objects)
        ):
            raise ValueError(
                f"{sample['id']}: it has not one of its {len(boxes)} boxes for each of its sentences: prepare the data "
                "set anew"
            )
        return sample | {
            "proposals": boxes.clone(),
            "sentences": list(texts),
            "sentence_boxes": boxes[torch.tensor(objects, dtype=torch.int64)],
        }
