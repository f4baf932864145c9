"""Tables of RefCOCO with cells that are not what they should be: one sentence that names the image."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fault_kit import encoded, refusal, rows_to_parquet

from wsss_lib.data.photos.referring import SpokenTable, refcoco_images, refcoco_table

sys.path[:0] = [str(Path(__file__).parents[1] / "data"), str(Path(__file__).parents[1] / "data" / "photos")]
from test_referring import coco_archive, of_images, of_objects, parquet  # noqa: E402

Rows = list[dict[str, Any]]


def cell(**fields: Any) -> Callable[[Rows], object]:
    return lambda rows: [row.update(fields) for row in rows]


def annotation(**fields: Any) -> Callable[[Rows], object]:
    return lambda rows: [row.update(raw_anns=json.dumps(json.loads(row["raw_anns"]) | fields)) for row in rows]


OBJECTS: dict[str, tuple[Callable[[Rows], object], str]] = {
    **{
        f"annotations of {text!r:.9}": (cell(raw_anns=text), cause)
        for text, cause in {
            "{": "image 7: its raw_anns is no JSON", "[" * 100_000: "raw_anns is no JSON", "[]": "category_id",
            "3": "category_id", '{"category_id": 1}': "its bbox", '{"bbox": [1, 1, 2, 2]}': "its category_id",
        }.items()
    },
    "no annotation": (cell(raw_anns=None), "image 7: its raw_anns"),
    **{
        f"a box of {value!r}": (annotation(bbox=value), "image 7")
        for value in ([1, 2, 3], [1, 2, 3, 4, 5], ["a", 1, 2, 3], None, "x", {}, [0, 0, float("nan"), 3],
                      [0, 0, float("inf"), 3], [1, 1, -2, 3], [1, 1, 0, 3], [[1, 1, 2, 2]])
    },
    **{
        f"the category {value!r}": (annotation(category_id=value), "categor")
        for value in ("cat", None, 0, -1, 12, 91, 1.5, [1], {})
    },
    **{
        f"an image of {text!r:.30}": (cell(raw_image_info=text), cause)
        for text, cause in {
            "{": "image 7: its raw_image_info is no JSON", "{}": "file_name", '{"file_name": 3}': "file_name",
            "[]": "file_name", '{"file_name": "../../etc/passwd"}': "no file 'train2014/passwd'",
            '{"file_name": ""}': "no file",
        }.items()
    },
    "an image's number in a word": (cell(image_id="x"), "image_id"),
    "no image's number": (cell(image_id=None), "image_id"),
    "no sentences": (cell(sentences=None), "image 7: its sentences"),
    "sentences in a word": (cell(sentences="abc"), "image 7: its sentences"),
    "sentences without words": (cell(sentences=[{"raw": "a"}]), "image 7, a sentence"),
    "sentences that are words": (cell(sentences=["a"]), "image 7, a sentence"),
    "sentences of nothing": (cell(sentences=[{"sent": None}]), "image 7, a sentence"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_a_row_of_an_object_that_cannot_be(tmp_path: Path, name: str) -> None:
    change, cause = OBJECTS[name]
    rows = of_objects()
    change(rows)
    files = [parquet(tmp_path / "o.parquet", rows), coco_archive(tmp_path)]
    refusal(lambda: list(refcoco_table(files, "val", tmp_path).rows), cause)


def within(*path: str, value: Any = ...) -> Callable[[Rows], object]:
    """Another value in each object of each image; none, where none is given."""

    def change(rows: Rows) -> None:
        for row in rows:
            for held in row["ref_list"]:
                for step in path[:-1]:
                    held = held[step]
                if value is ...:
                    held.pop(path[-1])
                else:
                    held[path[-1]] = value

    return change


IMAGES: dict[str, tuple[Callable[[Rows], object], str]] = {
    **{f"no {path[-1]}": (within(*path), path[-1]) for path in (
        ("ann_info",), ("ref_info",), ("ann_info", "bbox"), ("ann_info", "category_id"), ("ref_info", "sentences"),
    )},
    "a box of two numbers": (within("ann_info", "bbox", value=[1.0, 2.0]), "image 7: a bbox"),
    "a box of nothing": (within("ann_info", "bbox", value=None), "bbox"),
    "an annotation of nothing": (within("ann_info", value=None), "ann_info"),
    "sentences that are words": (within("ref_info", "sentences", value=["a"]), "a sentence"),
    "no objects": (cell(ref_list=None), "ref_list"),
    "objects in a word": (cell(ref_list="x"), "ref_list"),
    "no image's own": (cell(image_info=None), "image_info"),
    "no image": (cell(image=None), "image is missing"),
    "an image elsewhere": (cell(image={"bytes": None, "path": "a.jpg"}), "holds no bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_a_row_of_an_image_that_cannot_be(tmp_path: Path, name: str) -> None:
    change, cause = IMAGES[name]
    rows = of_images()
    change(rows)
    refusal(lambda: list(refcoco_images([parquet(tmp_path / "i.parquet", rows)], "val", tmp_path).rows), cause)


def test_an_object_of_which_nothing_is_said_has_a_box_and_no_sentence(tmp_path: Path) -> None:
    for sentences in ([], [{"sent": " "}]):
        rows = of_objects()
        cell(sentences=sentences)(rows)
        files = [parquet(tmp_path / "o.parquet", rows), coco_archive(tmp_path)]
        made = list(refcoco_table(files, "val", tmp_path).rows)
        assert [(len(row["boxes"]), row["sentences"], row["spoken_of"]) for row in made] == [(2, [], []), (1, [], [])]


SPOKEN: dict[str, tuple[Any, Any]] = {
    "a box that is not there": (["a"], [1]),
    "a box below 0": (["a"], [-1]),
    "a sentence more": (["a", "b"], [0]),
    "a box more": (["a"], [0, 0]),
    "a sentence of nothing": ([None], [0]),
    "no box": (["a"], [None]),
    "no sentences": (None, [0]),
    "no boxes": (["a"], None),
}


@pytest.mark.parametrize("name", SPOKEN)
def test_sentences_and_boxes_that_do_not_meet(tmp_path: Path, name: str) -> None:
    from PIL import Image

    sentences, spoken_of = SPOKEN[name]
    row = {
        "id": "7", "image": encoded(Image.new("RGB", (20, 30))), "labels": [0], "boxes": [[1.0, 1.0, 9.0, 9.0]],
        "box_labels": [0], "sentences": sentences, "spoken_of": spoken_of,
    }  # fmt: skip
    types = {"sentences": pa.list_(pa.string()), "spoken_of": pa.list_(pa.int64())}
    path = rows_to_parquet(tmp_path / "val.parquet", [row], **types)
    table = SpokenTable([path], name="refcoco", split="val", names=["cat", "dog"])
    refusal(lambda: table[0], "7: it has not one of its 1 boxes", "prepare")
