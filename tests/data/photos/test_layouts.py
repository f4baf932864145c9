"""Each publisher's layout becomes rows of the one schema."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from data_kit import grey, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import savemat

from wsss_lib.data.photos.archives import Archive
from wsss_lib.data.photos.catalogue import DATA_SETS, VOC
from wsss_lib.data.photos.layouts import (
    LAYOUTS,
    coco_mask,
    coco_zip,
    cub_table,
    cub_tar,
    pets_tar,
    voc_aug,
    voc_table,
    voc_tar,
)
from wsss_lib.data.photos.masks import encode, mask_array, palette
from wsss_lib.data.photos.schema import Split


def tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def mask(value: int, height: int = 4, width: int = 6) -> NDArray[np.uint8]:
    values = np.zeros((height, width), np.uint8)
    values[1:3, 2:5] = value
    values[0, 0] = 255
    return values


def rows_of(split: Split) -> list[dict[str, Any]]:
    return [dict(row) for row in split.rows]


VOC_FILES = {
    "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt": b"2007_000032\n2008_000001\n",
    "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt": b"2007_000033\n",
    "VOCdevkit/VOC2012/ImageSets/Main/train.txt": b"not_this_one\n",
    **{f"VOCdevkit/VOC2012/JPEGImages/{n}.jpg": picture(4, 6, i, "JPEG")
       for i, n in enumerate(("2007_000032", "2008_000001", "2007_000033"))},
    "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png": encode(mask(1)),
    "VOCdevkit/VOC2012/SegmentationClass/2008_000001.png": encode(mask(12)),
    "VOCdevkit/VOC2012/SegmentationClass/2007_000033.png": encode(mask(20)),
}  # fmt: skip


def sbd(body: NDArray[np.uint8]) -> bytes:
    """As the data set stores it: a struct GTcls with Boundaries, Segmentation and CategoriesPresent."""
    buffer = io.BytesIO()
    savemat(buffer, {"GTcls": {"Boundaries": 0, "Segmentation": body, "CategoriesPresent": [1]}})
    return buffer.getvalue()


SBD_FILES = {
    "benchmark_RELEASE/dataset/train.txt": b"2008_000001\n2008_000005\n2007_000033\n",
    "benchmark_RELEASE/dataset/val.txt": b"2008_000007\n",
    **{f"benchmark_RELEASE/dataset/img/{n}.jpg": picture(4, 6, i + 9, "JPEG")
       for i, n in enumerate(("2008_000001", "2008_000005", "2008_000007"))},
    **{f"benchmark_RELEASE/dataset/cls/{n}.mat": sbd(np.full((4, 6), v, np.uint8))
       for n, v in (("2008_000001", 3), ("2008_000005", 4), ("2008_000007", 5))},
}  # fmt: skip


def test_voc_archive(tmp_path: Path) -> None:
    split = voc_tar([tar(tmp_path / "voc.tar", VOC_FILES)], "train", tmp_path)
    assert (split.classes, split.mask, split.boxes) == (VOC, True, False)
    first, second = rows_of(split)
    assert (first["id"], second["id"]) == ("2007_000032", "2008_000001")
    assert first["image"] == VOC_FILES["VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg"], "never encoded again"
    assert np.array_equal(mask_array(second["mask"]), mask(12))
    assert (first["labels"], second["labels"]) == ([0], [11]), "0-based, without background and border"


def test_the_prefix_of_a_mirror_does_not_matter(tmp_path: Path) -> None:
    moved = {name.removeprefix("VOCdevkit/"): body for name, body in VOC_FILES.items()}
    assert len(rows_of(voc_tar([tar(tmp_path / "v.tar", moved)], "train", tmp_path))) == 2


def test_the_augmented_list(tmp_path: Path) -> None:
    """All of SBD and of VOC's train, nothing of VOC's val; VOC's own mask where it has one."""
    files = [tar(tmp_path / "voc.tar", VOC_FILES), tar(tmp_path / "benchmark.tgz", SBD_FILES, "w:gz")]
    split = voc_aug(files, "aug", tmp_path / "scratch")
    assert (split.classes, split.mask, split.boxes) == (VOC, True, False)
    rows = {row["id"]: row for row in rows_of(split)}
    assert list(rows) == ["2007_000032", "2008_000001", "2008_000005", "2008_000007"]
    assert rows["2008_000001"]["labels"] == [11], "VOC's mask, not SBD's 3"
    assert np.array_equal(mask_array(rows["2008_000005"]["mask"]), np.full((4, 6), 4))
    assert rows["2008_000007"]["image"] == SBD_FILES["benchmark_RELEASE/dataset/img/2008_000007.jpg"]


@pytest.mark.parametrize("colours", [True, False])
def test_voc_tables_of_the_hub(colours: bool, tmp_path: Path) -> None:
    stored = [grey(palette()[mask(v)]) if colours else encode(mask(v)) for v in (8, 15)]
    files = []
    for part, png in enumerate(stored):
        data = datasets.Dataset.from_dict(
            {"image": [{"bytes": picture(4, 6, part), "path": None}], "mask": [{"bytes": png, "path": None}]}
        )
        files.append(tmp_path / f"{part}.parquet")
        data.to_parquet(files[-1])
    first, second = rows_of(voc_table(files, "val", tmp_path))
    assert (first["id"], second["id"]) == ("val-00000", "val-00001"), "numbered through all files"
    assert (first["labels"], second["labels"]) == ([7], [14])
    assert np.array_equal(mask_array(second["mask"]), mask(15))
    assert second["image"] == picture(4, 6, 1)


def test_a_table_of_another_schema_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"image": [b""], "annotation": [b""]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"no column \['mask'\]"):
        rows_of(voc_table([tmp_path / "x.parquet"], "val", tmp_path))


CUB_FILES = {
    "CUB_200_2011/images.txt": b"1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg\n"
    b"2 002.Laysan_Albatross/Laysan_Albatross_0001.jpg\n",
    "CUB_200_2011/train_test_split.txt": b"1 0\n2 1\n",
    "CUB_200_2011/image_class_labels.txt": b"1 1\n2 2\n",
    "CUB_200_2011/classes.txt": b"1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
    "CUB_200_2011/bounding_boxes.txt": b"1 60.0 27.0 325.0 304.0\n2 1.0 2.0 3.0 2.0\n",
    "CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": picture(9, 9, 1, "JPEG"),
    "CUB_200_2011/images/002.Laysan_Albatross/Laysan_Albatross_0001.jpg": picture(4, 6, 2, "JPEG"),
}


def test_cub_archive(tmp_path: Path) -> None:
    path = tar(tmp_path / "CUB.tgz", CUB_FILES, "w:gz")
    split = cub_tar([path], "train", tmp_path / "s")
    assert (split.classes, split.mask, split.boxes) == (("Black footed Albatross", "Laysan Albatross"), False, True)
    (bird,) = rows_of(split)
    assert (bird["id"], bird["labels"], bird["box_labels"]) == ("Laysan_Albatross_0001", [1], [1])
    assert bird["boxes"] == [[1, 2, 4, 4]], "x, y, width, height become corners"
    assert bird["image"] == picture(4, 6, 2, "JPEG")
    (other,) = rows_of(cub_tar([path], "test", tmp_path / "t"))
    assert (other["labels"], other["boxes"]) == ([0], [[60, 27, 385, 331]])


def test_cub_tables_of_the_hub(tmp_path: Path) -> None:
    species = datasets.ClassLabel(names=["001.Black_footed_Albatross", "002.Laysan_Albatross"])
    corners = datasets.List(datasets.Value("float64"))
    features = datasets.Features({"image": datasets.Image(), "label": species, "bbox": corners})
    rows = {"image": [{"bytes": picture(4, 6), "path": None}], "label": [1], "bbox": [[1.0, 2.0, 4.0, 4.0]]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "x.parquet")
    split = cub_table([tmp_path / "x.parquet"], "train", tmp_path)
    assert split.classes == ("Black footed Albatross", "Laysan Albatross")
    (bird,) = rows_of(split)
    assert (bird["labels"], bird["boxes"], bird["box_labels"]) == ([1], [[1, 2, 4, 4]], [1])


PET_NOTES = {
    "annotations/trainval.txt": b"Abyssinian_100 1 1 1\namerican_bulldog_7 2 2 1\n",
    "annotations/test.txt": b"Abyssinian_201 1 1 1\n",
    **{f"annotations/trimaps/{n}.png": grey(np.array([[1, 2, 3]], np.uint8))
       for n in ("Abyssinian_100", "american_bulldog_7", "Abyssinian_201")},
}  # fmt: skip
PET_IMAGES = {
    f"images/{n}.jpg": picture(1, 3, i)
    for i, n in enumerate(("Abyssinian_100", "american_bulldog_7", "Abyssinian_201"))
}


@pytest.mark.parametrize("in_one", [False, True])
def test_pets_archives(in_one: bool, tmp_path: Path) -> None:
    if in_one:
        both = {f"oxford-iiit-pet/{name}": body for name, body in {**PET_IMAGES, **PET_NOTES}.items()}
        files = [tar(tmp_path / "pets.tgz", both, "w:gz")]
    else:
        files = [tar(tmp_path / "images.tar.gz", PET_IMAGES, "w:gz"), tar(tmp_path / "notes.tar.gz", PET_NOTES, "w:gz")]
    split = pets_tar(files, "train", tmp_path / "s")
    assert (split.classes, split.mask) == (("Abyssinian", "american bulldog"), True)
    cat, dog = rows_of(split)
    assert mask_array(cat["mask"]).tolist() == [[1, 0, 255]], "pet, background, unclassified rim"
    assert mask_array(dog["mask"]).tolist() == [[2, 0, 255]]
    assert (cat["labels"], dog["labels"], dog["image"]) == ([0], [1], PET_IMAGES["images/american_bulldog_7.jpg"])
    (test,) = rows_of(pets_tar(files, "test", tmp_path / "t"))
    assert (test["id"], test["labels"]) == ("Abyssinian_201", [0])


def square(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


COCO_OBJECTS = [
    {"image_id": 9, "category_id": 3, "iscrowd": 0, "area": 9.0, "bbox": [1, 1, 2, 2],
     "segmentation": [square(1, 1, 3, 3)]},
    {"image_id": 9, "category_id": 90, "iscrowd": 0, "area": 40.0, "bbox": [0, 0, 5, 4],
     "segmentation": [square(0, 0, 5, 4)]},
    # A crowd in the last two columns: 4 rows, 6 columns before them are 24 zeros.
    {"image_id": 9, "category_id": 3, "iscrowd": 1, "area": 8.0, "bbox": [6, 0, 2, 4],
     "segmentation": {"size": [4, 8], "counts": [24, 8]}},
    {"image_id": 9, "category_id": 90, "iscrowd": 0, "area": 0.0, "bbox": [5, 1, 0, 2],
     "segmentation": [square(5, 1, 5, 3)]},
]  # fmt: skip
COCO_NOTES = {
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}],
    "images": [
        {"id": 25, "file_name": "COCO_train2014_000000000025.jpg", "height": 4, "width": 8},
        {"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "height": 4, "width": 8},
    ],
    "annotations": COCO_OBJECTS,
}


def test_coco_archives(tmp_path: Path) -> None:
    names = ("train2014/COCO_train2014_000000000009.jpg", "train2014/COCO_train2014_000000000025.jpg")
    images = zipped(
        tmp_path / "train2014.zip", {"train2014/": b"", **{n: picture(4, 8, i) for i, n in enumerate(names)}}
    )
    notes = zipped(tmp_path / "a.zip", {"annotations/instances_train2014.json": json.dumps(COCO_NOTES).encode()})
    split = coco_zip([images, notes], "train", tmp_path)
    assert (split.classes, split.mask, split.boxes) == (("car", "toothbrush"), True, True), "in the order of the ids"
    first, second = rows_of(split)
    assert (first["id"], second["id"]) == ("9", "25")
    assert first["labels"] == [0, 1]
    assert first["boxes"] == [[1, 1, 3, 3], [0, 0, 5, 4]], "corners; crowd and line have none"
    assert first["box_labels"] == [0, 1]
    assert mask_array(first["mask"])[:, 6:].tolist() == [[255, 255]] * 4
    assert (second["labels"], second["boxes"], mask_array(second["mask"]).max()) == ([], [], 0), "an empty image stays"
    assert second["image"] == picture(4, 8, 1)


def test_coco_masks_put_the_smaller_object_on_top() -> None:
    drawn = coco_mask(COCO_OBJECTS[:2], {3: 0, 90: 1}, 4, 8)
    assert drawn[2, 2] == 1, "the car, though it was listed first"
    assert drawn[0, 0] == 2
    assert drawn[0, 7] == 0


def test_a_crowd_does_not_hide_an_object() -> None:
    crowd = {"category_id": 3, "iscrowd": 1, "area": 99.0, "segmentation": {"size": [4, 8], "counts": [0, 32]}}
    drawn = coco_mask([crowd, COCO_OBJECTS[0]], {3: 0, 90: 1}, 4, 8)
    assert drawn[2, 2] == 1
    assert drawn[0, 7] == 255


@given(st.lists(st.booleans(), min_size=12, max_size=12))
@settings(max_examples=40, deadline=None)
def test_run_lengths_against_the_obvious(flags: list[bool]) -> None:
    """COCO counts down the columns, zeros first."""
    counts, value, i = [], False, 0
    while i < len(flags):
        run = 0
        while i < len(flags) and flags[i] == value:
            run, i = run + 1, i + 1
        counts.append(run)
        value = not value
    crowd = {"category_id": 3, "iscrowd": 1, "area": 1.0, "segmentation": {"size": [3, 4], "counts": counts}}
    drawn = coco_mask([crowd], {3: 0}, 3, 4)
    assert [bool(drawn[i % 3, i // 3]) for i in range(12)] == flags


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_archives_say_what_they_lack(kind: str, tmp_path: Path) -> None:
    files = {"a/b/c.txt": b"one\n\ntwo\n"}
    path = tmp_path / f"x.{kind}"
    made = zipped(path, files) if kind == "zip" else tar(path, files, "w:gz" if kind == "tgz" else "w")
    archive = Archive(made, tmp_path / "scratch")
    assert archive.lines("b/c.txt") == ["one", "two"]
    with pytest.raises(ValueError, match=rf"x\.{kind} holds no file 'b/d\.txt'"):
        archive.read("b/d.txt")


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    path = tar(tmp_path / "evil.tgz", {"../../evil.txt": b"x", "/abs/evil.txt": b"y", "a/../evil": b"z"}, "w:gz")
    Archive(path, tmp_path / "deep" / "scratch")
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {"evil.tgz", "deep/scratch/evil.tgz/abs/evil.txt"}


def test_every_source_has_a_reader_and_every_data_set_a_second_source() -> None:
    for data_set in DATA_SETS.values():
        for source in data_set.sources:
            assert source.layout in LAYOUTS
            assert set(source.splits) <= set(data_set.splits)
            assert all(isinstance(files, tuple) and files for files in source.splits.values())
        assert set(data_set.gigabytes) == set(data_set.splits)
        if data_set.name == "imagenet":  # each person must agree to the terms themselves
            assert not data_set.sources
            continue
        for split in data_set.splits:
            wanted = [str(source.splits[split]) for source in data_set.sources if split in source.splits]
            assert len(set(wanted)) == len(wanted) >= 2, f"{data_set.name}/{split}: each from another place"
