"""RefCOCO through the same door as all photographs: small files of the same columns, from a server of one's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from data_kit import Site, picture
from test_layouts import zipped

from wsss_lib.data import load
from wsss_lib.data.photos.catalogue import COCO, DATA_SETS, HubFiles, RemoteFile, Source
from wsss_lib.data.photos.fetch import DataUnavailable
from wsss_lib.data.photos.folders import describe
from wsss_lib.data.photos.referring import CATEGORY_IDS, refcoco_images, refcoco_table
from wsss_lib.data.records import collate
from wsss_lib.methods.triads import parse

pytestmark = pytest.mark.usefixtures("own_home")

OBJECTS = [
    (7, 1, [2, 3, 10, 12.5], ["man on the left", "left guy"]),
    (9, 17, [0, 0, 5, 5], ["black cat"]),
    (7, 90, [20, 1, 4, 6], ["the brush right of the man"]),
]
"""Image, COCO's category, x, y, width and height, and what is said."""
SIZES = {7: (20, 30), 9: (24, 16)}
NAME = "COCO_train2014_{:012d}.jpg"


def said(texts: list[str]) -> list[dict[str, Any]]:
    return [{"raw": text.title(), "sent": text, "sent_id": 0, "tokens": text.split()} for text in texts]


def of_objects() -> list[dict[str, Any]]:
    """Rows as ``jxu124/refcoco`` has them: the columns of its card."""
    return [
        {
            "sent_ids": list(range(len(texts))), "file_name": NAME.format(image).replace(".jpg", f"_{number}.jpg"),
            "ann_id": number, "ref_id": number, "image_id": image, "split": "val", "sentences": said(texts),
            "category_id": category, "raw_anns": json.dumps({"bbox": box, "iscrowd": 0, "category_id": category}),
            "raw_image_info": json.dumps({"file_name": NAME.format(image), "id": image}), "raw_sentences": "[]",
            "image_path": f"coco/train2014/{NAME.format(image)}", "bbox": box, "captions": texts,
            "global_image_id": f"coco.{image}", "anns_id": str(number),
        }
        for number, (image, category, box, texts) in enumerate(OBJECTS)
    ]  # fmt: skip


def of_images() -> list[dict[str, Any]]:
    """Rows as ``jxu124/refcoco-benchmark`` has them."""
    rows = []
    for image, size in SIZES.items():
        refs = [
            {
                "ann_info": {
                    "area": 1.0, "bbox": [float(v) for v in box], "category_id": category, "id": number,
                    "image_id": image, "iscrowd": 0, "segmentation": [[0.0, 0.0, 1.0, 1.0]],
                },
                "ref_info": {
                    "ann_id": number, "category_id": category, "file_name": NAME.format(image), "image_id": image,
                    "ref_id": number, "sent_ids": [0], "sentences": said(texts), "split": "val",
                },
            }
            for number, (of, category, box, texts) in enumerate(OBJECTS)
            if of == image
        ]  # fmt: skip
        info = {"file_name": NAME.format(image), "height": size[0], "id": image, "width": size[1]}
        image_cell = {"bytes": picture(*size, seed=image), "path": None}
        rows.append({"ref_list": refs, "image_info": info, "image": image_cell})
    return rows


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def coco_archive(folder: Path) -> Path:
    photos = {f"train2014/{NAME.format(image)}": picture(*size, seed=image) for image, size in SIZES.items()}
    return zipped(folder / "train2014.zip", photos)


@pytest.fixture
def served(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Both sources of ``val``, on the loopback; and of ``train`` the second."""
    bodies = {
        "images.parquet": parquet(tmp_path / "i.parquet", of_images()).read_bytes(),
        "objects.parquet": parquet(tmp_path / "o.parquet", of_objects()).read_bytes(),
        "train2014.zip": coco_archive(tmp_path).read_bytes(),
    }
    site.files |= {f"/{name}": body for name, body in bodies.items()}
    images, objects, photos = (
        RemoteFile(f"{site.url}/{name}", name, sha256=hashlib.sha256(body).hexdigest()) for name, body in bodies.items()
    )
    refcoco = DATA_SETS["refcoco"]
    layouts = [source.layout for source in refcoco.sources]
    assert layouts == ["refcoco_images", "refcoco_table", "refcoco_table"]
    sources = (
        Source("with images", layouts[0], {"val": (images,)}),
        Source("without", layouts[1], {"val": (objects, photos), "train": (objects, photos)}),
    )
    monkeypatch.setitem(
        DATA_SETS, "refcoco", replace(refcoco, splits={"train": 2, "val": 2}, gigabytes={}, sources=sources)
    )
    return site


@pytest.mark.parametrize("first", [True, False])
def test_an_image_has_all_that_is_said_of_it(served: Site, first: bool) -> None:
    if not first:
        del served.files["/images.parquet"]
    records = load("refcoco", split="val")
    assert (len(records), records.name, records.split, records.classes) == (2, "refcoco", "val", COCO)
    one = records[0]
    assert one["sentences"] == ["man on the left", "left guy", "the brush right of the man"]
    assert one["boxes"].tolist() == [[2, 3, 12, 15.5], [20, 1, 24, 7]]
    assert one["sentence_boxes"].tolist() == [[2, 3, 12, 15.5], [2, 3, 12, 15.5], [20, 1, 24, 7]]
    assert torch.equal(one["proposals"], one["boxes"])
    assert one["proposals"] is not one["boxes"]
    assert [COCO[k] for k in one["box_labels"].tolist()] == ["person", "toothbrush"]
    assert (one["image"].shape, one["id"]) == ((3, 20, 30), "7")
    assert records.labels.nonzero().tolist() == [[0, 0], [0, 79], [1, 15]]
    assert parse(one["sentences"][2]) == ("brush", "man", "right")
    batch = collate([records[0], records[1]])
    assert [len(each) for each in batch["sentences"]] == [3, 1]
    paths = [path for path, _ in served.log]
    assert "/train2014.zip" not in paths if first else paths[-1] == "/train2014.zip"


def test_boxes_follow_a_new_size(served: Site) -> None:
    one = load("refcoco", split="train", size=60)[0]
    assert one["image"].shape == (3, 40, 60)
    assert one["sentence_boxes"].tolist() == [[4, 6, 24, 31], [4, 6, 24, 31], [40, 2, 48, 14]]
    assert one["sentences"][1] == "left guy"


def test_what_cannot_be_is_said(served: Site, own_home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave classes out"):
        load("refcoco", split="val", classes=["person"])
    table = own_home / "refcoco" / "val.parquet"
    pq.write_table(pq.read_table(table).drop_columns(["spoken_of"]), table)
    with pytest.raises(ValueError, match=r"has no column \['spoken_of'\]: prepare the data set anew"):
        load("refcoco", split="val")
    served.files.clear()
    with pytest.raises(DataUnavailable, match="refcoco/train could not be had; tried without"):
        load("refcoco", split="train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 12}, "12 is no category"),
        ({"bbox": [1, 1, 0, 4]}, "an object of image 7 is 0 × 4 pixels"),
    ],
)
def test_what_is_wrong_in_a_table_is_said(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    objects, images = of_objects(), of_images()
    objects[0]["raw_anns"] = json.dumps(json.loads(objects[0]["raw_anns"]) | changes)
    images[0]["ref_list"][0]["ann_info"] |= changes
    archive = coco_archive(tmp_path)
    for split in (
        refcoco_table([parquet(tmp_path / "o.parquet", objects), archive], "val", tmp_path),
        refcoco_images([parquet(tmp_path / "i.parquet", images)], "val", tmp_path),
    ):
        with pytest.raises(ValueError, match=message):
            list(split.rows)


def test_a_photograph_or_a_column_that_is_not_there(tmp_path: Path) -> None:
    objects = of_objects()
    objects[1]["raw_image_info"] = json.dumps({"file_name": "COCO_train2014_000000000010.jpg"})
    table = parquet(tmp_path / "o.parquet", objects)
    with pytest.raises(ValueError, match=r"holds no file 'train2014/COCO_train2014_000000000010\.jpg'"):
        list(refcoco_table([table, coco_archive(tmp_path)], "val", tmp_path).rows)
    lacking = [{key: value for key, value in row.items() if key != "ref_list"} for row in of_images()]
    with pytest.raises(ValueError, match=r"has no column \['ref_list'\]"):
        list(refcoco_images([parquet(tmp_path / "i.parquet", lacking)], "val", tmp_path).rows)


def test_the_numbers_of_coco_are_those_of_its_classes() -> None:
    assert len(CATEGORY_IDS) == len(COCO) == 80
    known = {1: "person", 13: "stop sign", 27: "backpack", 44: "bottle", 65: "bed", 67: "dining table", 70: "toilet",
             72: "tv", 82: "refrigerator", 84: "book", 90: "toothbrush"}  # fmt: skip
    assert {number: COCO[CATEGORY_IDS.index(number)] for number in known} == known


def test_the_entry_names_what_it_wants_of_the_hub() -> None:
    """Every table is pinned to a commit and has a SHA-256; the photographs have COCO's own MD5."""
    for source in DATA_SETS["refcoco"].sources:
        for files in source.splits.values():
            table = files[0]
            assert isinstance(table, HubFiles)
            assert len(table.revision) == 40
            assert [len(sha256) for sha256 in table.sha256.values()] == [64]
            assert set(table.sha256) == {table.pattern}
            assert all(isinstance(photos, RemoteFile) and photos.md5 for photos in files[1:])
            hosted = source.layout == "refcoco_table"
            assert [photos.name for photos in files[1:] if isinstance(photos, RemoteFile)] == ["train2014.zip"] * hosted
    assert "the files themselves were not at hand" in str(describe("refcoco")).replace("\n    ", " ")
