"""RefCOCO, RefCOCO+ and RefCOCOg: sentences by people about objects in photographs of MS COCO, as records.

The tables are those that the Hub serves as ``jxu124/refcoco`` (Parquet): a row a referred object, with its sentences
and, as JSON, its annotation and image of COCO. They hold no images: these are COCO's ``train2014``::

    records = ReferringExpressions("refcoco/validation.parquet", images="coco/train2014")
    records[0]["sentences"], records[0]["sentence_boxes"], records[0]["proposals"]
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from wsss_lib.data.photos.catalogue import COCO
from wsss_lib.data.records import Records, Sample, record_number
from wsss_lib.files import named_path, sha256_of

COLUMNS = ("image_id", "category_id", "sentences", "raw_anns", "raw_image_info")
"""Columns that are read: COCO's numbers of image and category, texts, and two JSON objects."""

CATEGORY_IDS = (
    *range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70, *range(72, 83), *range(84, 91),
)  # fmt: skip
"""COCO's number of each of its 80 classes; ten numbers up to 90 are not in use."""


class ReferringExpressions(Records):
    """A split of RefCOCO, RefCOCO+ or RefCOCOg, an entry an image.

    A sample has ``sentences`` and ``sentence_boxes``; ``boxes`` and ``box_labels`` of the objects that are referred to,
    and as ``proposals`` the same boxes: the protocol of ground-truth boxes, with as many as the table knows.

    Args:
        table: The Parquet file, or several of one split.
        images: Folder of COCO's images.
        split: For people; by default the table's name up to a dash.

    Raises:
        FileNotFoundError: There is no such table, or an image is not in the folder.
        ValueError: A table without a column that is needed, or with a box that is none.
    """

    name = "refcoco"
    classes = COCO

    def __init__(
        self,
        table: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        images: str | os.PathLike[str],
        split: str | None = None,
    ) -> None:
        files = [named_path(table)] if isinstance(table, str | os.PathLike) else [named_path(each) for each in table]
        if missing := [file for file in files if not file.is_file()]:
            raise FileNotFoundError(f"there is no table {missing[0]}: check the path")
        self.images = named_path(images)
        self.split = split or files[0].stem.partition("-")[0]
        self.fingerprint = " ".join(sha256_of(file) for file in files)
        rows = [row for file in files for row in _rows(file)]
        by_image: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            by_image.setdefault(int(row["image_id"]), []).append(row)
        self._images = list(by_image.values())

    def __len__(self) -> int:
        return len(self._images)

    @property
    def labels(self) -> Tensor:
        """What is referred to, (len(self), 80) multi-hot."""
        labels = torch.zeros(len(self), len(COCO))
        for number, rows in enumerate(self._images):
            labels[number, [_class_of(row) for row in rows]] = 1
        return labels

    def __getitem__(self, index: int) -> Sample:
        rows = self._images[record_number(index, len(self), f"{self.name}/{self.split}")]
        info = json.loads(rows[0]["raw_image_info"])
        path = self.images / Path(info["file_name"]).name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is absent: RefCOCO's photographs are COCO's train2014, unpack it there")
        with Image.open(path) as file:
            image = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1).float() / 255  # (3, H, W)
        boxes = torch.stack([_box(row) for row in rows])  # (M, 4)
        said = [(text["sent"], number) for number, row in enumerate(rows) for text in row["sentences"]]
        which = torch.tensor([number for _, number in said], dtype=torch.int64)
        classes = torch.tensor([_class_of(row) for row in rows], dtype=torch.int64)
        labels = torch.zeros(len(COCO))
        labels[classes] = 1
        return {
            "image": image,
            "labels": labels,
            "boxes": boxes,
            "box_labels": classes,
            "proposals": boxes.clone(),
            "sentences": [text for text, _ in said],
            "sentence_boxes": boxes[which],
            "id": str(info["id"]),
        }


def _rows(file: Path) -> list[dict[str, Any]]:
    table = pq.ParquetFile(file)
    if absent := [name for name in COLUMNS if name not in table.schema_arrow.names]:
        raise ValueError(
            f"{file.name} has no column {absent[0]!r}, it has {', '.join(table.schema_arrow.names)}: pass a table of "
            "RefCOCO as jxu124/refcoco has them"
        )
    return list(table.read(columns=list(COLUMNS)).to_pylist())


def _box(row: dict[str, Any]) -> Tensor:
    """xyxy pixels of an annotation, which has x, y, width and height."""
    x, y, width, height = json.loads(row["raw_anns"])["bbox"]
    if width <= 0 or height <= 0:
        raise ValueError(f"an object of image {row['image_id']} is {width} × {height} pixels: leave the row out")
    return torch.tensor([x, y, x + width, y + height], dtype=torch.float32)


def _class_of(row: dict[str, Any]) -> int:
    if row["category_id"] not in CATEGORY_IDS:
        raise ValueError(f"{row['category_id']} is no category of COCO: expected one of its 80 numbers up to 90")
    return CATEGORY_IDS.index(row["category_id"])
