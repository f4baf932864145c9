"""RefCOCO's tables: small files of the same columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from wsss_lib.data.photos.catalogue import COCO
from wsss_lib.data.photos.referring import CATEGORY_IDS, ReferringExpressions
from wsss_lib.data.records import collate
from wsss_lib.methods.triads import parse


def row(image: int, category: int, box: list[float], sentences: list[str], number: int = 0) -> dict[str, Any]:
    name = f"COCO_train2014_{image:012d}.jpg"
    return {
        "sent_ids": list(range(len(sentences))),
        "file_name": name.replace(".jpg", f"_{number}.jpg"),  # as there: with the number of the object
        "ann_id": number,
        "ref_id": number,
        "image_id": image,
        "split": "val",
        "sentences": [{"raw": s.title(), "sent": s, "sent_id": 0, "tokens": s.split()} for s in sentences],
        "category_id": category,
        "raw_anns": json.dumps({"bbox": box, "iscrowd": 0}),
        "raw_image_info": json.dumps({"file_name": name, "id": image, "height": 20, "width": 30}),
        "bbox": box,
    }


ROWS = [
    row(7, 1, [2, 3, 10, 12.5], ["man on the left", "left guy"], 1),
    row(9, 17, [0, 0, 5, 5], ["black cat"], 2),
    row(7, 90, [20, 1, 4, 6], ["the brush right of the man"], 3),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for image, size in ((7, (30, 20)), (9, (16, 24))):
        Image.new("RGB", size, (255, 0, 0)).save(tmp_path / "images" / f"COCO_train2014_{image:012d}.jpg")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "validation-00000-of-00001.parquet")
    return tmp_path


def load(folder: Path) -> ReferringExpressions:
    return ReferringExpressions(folder / "validation-00000-of-00001.parquet", folder / "images")


def test_an_image_has_all_that_is_said_of_it(folder: Path) -> None:
    records = load(folder)
    assert (len(records), records.name, records.split) == (2, "refcoco", "validation")
    first = records[0]
    assert first["sentences"] == ["man on the left", "left guy", "the brush right of the man"]
    assert first["boxes"].tolist() == [[2, 3, 12, 15.5], [20, 1, 24, 7]]
    assert first["sentence_boxes"].tolist() == [[2, 3, 12, 15.5], [2, 3, 12, 15.5], [20, 1, 24, 7]]
    assert torch.equal(first["proposals"], first["boxes"])
    assert [COCO[k] for k in first["box_labels"].tolist()] == ["person", "toothbrush"]
    assert first["image"].shape == (3, 20, 30)
    assert records.labels.nonzero().tolist() == [[0, 0], [0, 79], [1, 15]]
    assert torch.equal(records.labels[1], records[1]["labels"])
    assert parse(first["sentences"][2]) == ("brush", "man", "right")
    batch = collate([records[0], records[1]])
    assert [len(each) for each in batch["sentences"]] == [3, 1]


def test_the_numbers_of_coco_are_those_of_its_classes() -> None:
    assert len(CATEGORY_IDS) == len(COCO) == 80
    known = {1: "person", 13: "stop sign", 27: "backpack", 44: "bottle", 65: "bed", 67: "dining table", 70: "toilet",
             72: "tv", 82: "refrigerator", 84: "book", 90: "toothbrush"}  # fmt: skip
    assert {number: COCO[CATEGORY_IDS.index(number)] for number in known} == known


def test_several_tables_are_one_split(folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS[:1]), folder / "train-0.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[1:]), folder / "train-1.parquet")
    records = ReferringExpressions([folder / "train-0.parquet", folder / "train-1.parquet"], folder / "images")
    assert [len(records[i]["sentences"]) for i in (0, 1)] == [3, 1]
    assert records.fingerprint != load(folder).fingerprint


def test_what_is_absent_or_wrong_is_said(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no table"):
        ReferringExpressions(folder / "no.parquet", folder)
    with pytest.raises(FileNotFoundError, match=r"COCO's train2014"):
        ReferringExpressions(folder / "validation-00000-of-00001.parquet", folder)[0]
    lacking = [{key: value for key, value in row.items() if key != "sentences"} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(lacking), folder / "bad.parquet")
    with pytest.raises(ValueError, match="has no column 'sentences'"):
        ReferringExpressions(folder / "bad.parquet", folder / "images")
    for changes, message in (
        ({"category_id": 12}, "12 is no category"),
        ({"raw_anns": '{"bbox": [1, 1, 0, 4]}'}, "0 × 4"),
    ):
        pq.write_table(pa.Table.from_pylist([ROWS[0] | changes]), folder / "odd.parquet")
        with pytest.raises(ValueError, match=message):
            ReferringExpressions(folder / "odd.parquet", folder / "images")[0]
