"""Photographs in Parquet give the same records as the drawn world, whatever their columns are called."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from data_kit import grey, picture
from numpy.typing import NDArray
from PIL import Image

from wsss_lib.data import batches, load
from wsss_lib.data.photos.catalogue import COCO, VOC
from wsss_lib.data.photos.masks import (
    encode,
    palette,
    present,
)
from wsss_lib.data.photos.schema import Row, Split, write
from wsss_lib.data.photos.table import Table

pytestmark = pytest.mark.usefixtures("own_home")
CAT, DOG, PERSON = VOC.index("cat"), VOC.index("dog"), VOC.index("person")


def mask_of(*rectangles: tuple[int, int, int, int, int], height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    """Rectangles (value, left, top, right, bottom), the later ones on top."""
    mask = np.zeros((height, width), np.uint8)
    for value, left, top, right, bottom in rectangles:
        mask[top:bottom, left:right] = value
    return mask


MASKS = [
    mask_of((CAT + 1, 1, 2, 6, 9), (255, 6, 2, 7, 9)),
    mask_of((DOG + 1, 0, 0, 16, 4), (PERSON + 1, 3, 6, 8, 12)),
    mask_of((PERSON + 1, 10, 3, 15, 11)),
    mask_of(),
]


def voc_like(path: Path, masks: list[NDArray[np.uint8]] = MASKS) -> Path:
    """A table of the schema of the real ones, written as they are."""
    rows: list[Row] = [
        {"id": f"img{i}", "image": picture(m.shape[0], m.shape[1], i), "mask": encode(m), "labels": present(m)}
        for i, m in enumerate(masks)
    ]
    assert write(Split(VOC, mask=True, boxes=False, rows=rows), path) == len(masks)
    return path


def table(path: Path, columns: dict[str, list[Any]], **features: Any) -> Path:
    """Any other table; image columns are given as bytes."""
    data = datasets.Dataset.from_dict({
        name: [{"bytes": c, "path": None} for c in cells] if isinstance(cells[0], bytes) else cells
        for name, cells in columns.items()
    })  # fmt: skip
    for name, feature in features.items():
        data = data.cast_column(name, feature)
    data.to_parquet(path)
    return path


def test_fields_of_a_sample(tmp_path: Path) -> None:
    records = load(voc_like(tmp_path / "voc" / "train.parquet"))
    assert (records.name, records.split, len(records), records.classes) == ("voc", "train", 4, VOC)
    sample = records[0]
    assert set(sample) == {"image", "labels", "mask", "boxes", "box_labels", "id"}
    pixels = np.array(Image.open(io.BytesIO(picture(12, 16, seed=0))))
    assert sample["image"].dtype == torch.float32
    assert torch.equal(sample["image"], torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    assert sample["mask"].dtype == torch.int64
    assert torch.equal(sample["mask"], torch.from_numpy(MASKS[0]).long())
    assert sample["labels"].nonzero().flatten().tolist() == [CAT]
    assert sample["boxes"].tolist() == [[1, 2, 6, 9]], "the border is not part of the object"
    assert sample["box_labels"].tolist() == [CAT]
    assert sample["id"] == "img0"
    assert records[3]["boxes"].shape == (0, 4)
    with pytest.raises(IndexError, match="there are 4"):
        records[4]


def test_batches_run_on_photographs(tmp_path: Path) -> None:
    masks = [MASKS[0], mask_of((CAT + 1, 0, 0, 3, 3), height=9, width=20)]
    (batch,) = batches(load(voc_like(tmp_path / "t.parquet", masks)), 2)
    assert batch["images"].shape == (2, 3, 12, 20)
    assert batch["sizes"] == [(12, 16), (9, 20)]
    assert (batch["masks"][0, :, 16:] == 255).all()
    assert (batch["masks"][1, 9:] == 255).all()


def test_labels_need_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = load(voc_like(tmp_path / "t.parquet"))

    def decode(_: bytes) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("wsss_lib.data.photos.table.stored_image", decode)
    monkeypatch.setattr("wsss_lib.data.photos.annotations.stored_mask", decode)
    assert [row.nonzero().flatten().tolist() for row in records.labels] == [[CAT], sorted([DOG, PERSON]), [PERSON], []]
    assert records.labels.dtype == torch.float32


def test_classes_are_chosen_and_renumbered(tmp_path: Path) -> None:
    path = voc_like(tmp_path / "t.parquet")
    records = load(path, classes=("dog", "cat"))
    assert records.classes == ("dog", "cat")
    assert [records[i]["id"] for i in range(len(records))] == ["img0", "img1"], (
        "images without a dog or cat are left out"
    )
    cat, dog = records[0], records[1]
    assert cat["labels"].tolist() == [0, 1]
    assert torch.equal(cat["mask"] == 2, torch.from_numpy(MASKS[0] == CAT + 1))
    assert torch.equal(cat["mask"] == 255, torch.from_numpy(MASKS[0] == 255))
    assert dog["mask"].unique().tolist() == [0, 1], "the person is background"
    assert (dog["boxes"].tolist(), dog["box_labels"].tolist()) == ([[0, 0, 16, 4]], [0])
    assert records.labels.tolist() == [[0, 1], [1, 0]]
    ignoring = load(path, classes=("dog", "cat"), others="ignore")
    assert torch.equal(ignoring[1]["mask"] == 255, torch.from_numpy(MASKS[1] == PERSON + 1))
    everything = load(path, classes=("dog", "cat"), keep_empty=True)
    assert everything.labels.tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("cat", "unicorn")}, "no class 'unicorn': choose among aeroplane"),
        ({"classes": ("cat", "cat")}, "once each"),
        ({"classes": ()}, "at least one"),
        ({"others": "nothing"}, "'background' or 'ignore'"),
        ({"columns": {"mask": "annotation"}}, "no column 'annotation': the table has id, image"),
        ({"columns": {"picture": "image"}}, "columns names 'picture'"),
        ({"size": 0}, "the longer side or"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(voc_like(tmp_path / "t.parquet"), **options)


def test_size(tmp_path: Path) -> None:
    path = voc_like(tmp_path / "t.parquet")
    longer = load(path, size=8)[0]
    assert longer["image"].shape == (3, 6, 8)
    assert longer["mask"].shape == (6, 8)
    assert longer["boxes"].tolist() == [[0.5, 1, 3, 4.5]]
    assert load(path, size=(24, 8))[0]["image"].shape == (3, 24, 8)


def test_the_fingerprint_tells_content_and_options_apart(tmp_path: Path) -> None:
    path = voc_like(tmp_path / "a" / "t.parquet")
    same = voc_like(tmp_path / "b" / "t.parquet")
    other = voc_like(tmp_path / "c" / "t.parquet", [*MASKS[:3], MASKS[0]])
    one = load(path).fingerprint
    assert len(one) == 64
    assert one == load(path).fingerprint == load(same).fingerprint
    prints = {
        one, load(other).fingerprint, load(path, size=8).fingerprint, load(path, classes=("cat",)).fingerprint,
        load(path, classes=("cat",), others="ignore").fingerprint, load([path, other]).fingerprint,
    }  # fmt: skip
    assert len(prints) == 6


@pytest.mark.parametrize("store_as", ["index", "palette", "colours", "colours with alpha"])
def test_every_way_to_store_a_mask(store_as: str, tmp_path: Path) -> None:
    stored = {
        "index": grey, "palette": encode, "colours": lambda m: grey(palette()[m]),
        "colours with alpha": lambda m: grey(np.dstack([palette()[m], np.full(m.shape, 255, np.uint8)])),
    }[store_as]  # fmt: skip
    path = table(
        tmp_path / "t.parquet", {"image": [picture(12, 16)] * 4, "mask": [stored(m) for m in MASKS]},
        image=datasets.Image(), mask=datasets.Image(),
    )  # fmt: skip
    records = load(path, names=VOC)
    for i, mask in enumerate(MASKS):
        assert torch.equal(records[i]["mask"], torch.from_numpy(mask).long())
        assert records[i]["id"] == f"t-{i:05d}", "a table without ids numbers its rows"
    assert [r.nonzero().flatten().tolist() for r in records.labels] == [present(m) for m in MASKS], (
        "labels of the masks"
    )


def test_plain_bytes_and_other_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(
        pa.table({"photo": [picture(12, 16)], "truth": [grey(MASKS[1])], "name": ["x"], "labels": [["dog", "person"]]}),
        path,
    )
    sample = load(path, columns={"image": "photo", "mask": "truth", "id": "name"}, names=VOC)[0]
    assert torch.equal(sample["mask"], torch.from_numpy(MASKS[1]).long())
    assert (sample["id"], sample["labels"].sum()) == ("x", 2)


def test_one_label_and_one_box_per_image(tmp_path: Path) -> None:
    """As CUB's tables on the Hub: a number and four coordinates."""
    path = table(
        tmp_path / "t.parquet",
        {"image": [picture(12, 16)] * 2, "label": [1, 0], "bbox": [[1.0, 2.0, 7.0, 9.0], [0.0, 0.0, 16.0, 12.0]]},
        image=datasets.Image(), label=datasets.ClassLabel(names=["ani", "auklet"]),
    )  # fmt: skip
    records = load(path, boxes_are="xyxy")
    assert records.classes == ("ani", "auklet")
    assert "mask" not in records[0]
    assert (records[0]["boxes"].tolist(), records[0]["box_labels"].tolist()) == ([[1, 2, 7, 9]], [1])
    assert records.labels.tolist() == [[0, 1], [1, 0]]
    only = load(path, classes=("ani",), boxes_are="xyxy")
    assert (len(only), only[0]["box_labels"].tolist()) == (1, [0])


def test_more_classes_than_a_mask_can_hold(tmp_path: Path) -> None:
    table(
        tmp_path / "train.parquet", {"image": [picture(12, 16)] * 2, "label": [255, 999]},
        image=datasets.Image(), label=datasets.ClassLabel(names=[f"class {i}" for i in range(1000)]),
    )  # fmt: skip
    records = load(tmp_path, split="train")
    assert records.labels.argmax(1).tolist() == [255, 999]
    assert records[1]["labels"].argmax() == 999


def test_segments_objects_stuff_and_crowds(tmp_path: Path) -> None:
    """As COCO's panoptic tables: a picture of numbered segments, each with a category."""
    segments = mask_of((1, 0, 0, 5, 5), (2, 5, 0, 10, 5), (3, 0, 6, 16, 12), (4, 12, 0, 16, 4))
    path = table(
        tmp_path / "t.parquet",
        {
            "id": [7], "image": [picture(12, 16)], "segments": [grey(segments)],
            "boxes": [[[0.0, 0, 5, 5], [5, 0, 10, 5], [0, 6, 16, 12], [12, 0, 16, 4]]],
            "categories": [["dog", "person", "grass", "person"]], "is_thing": [[True, True, False, True]],
            "is_crowd": [[False, False, False, True]],
        },
        image=datasets.Image(), segments=datasets.Image(),
    )  # fmt: skip
    records = load(path)
    sample = records[0]
    assert records.classes == VOC, "the first known list of classes that holds all of them"
    assert sample["id"] == "7"
    expected = mask_of((DOG + 1, 0, 0, 5, 5), (PERSON + 1, 5, 0, 10, 5), (255, 12, 0, 16, 4))
    assert torch.equal(sample["mask"], torch.from_numpy(expected).long())
    assert sample["boxes"].tolist() == [[0, 0, 5, 5], [5, 0, 10, 5]], "neither stuff nor crowds have boxes"
    assert sample["box_labels"].tolist() == [DOG, PERSON]
    assert records.labels.nonzero()[:, 1].tolist() == [DOG, PERSON]
    only = load(path, classes=("person",))[0]
    assert (only["boxes"].tolist(), only["box_labels"].tolist()) == ([[5, 0, 10, 5]], [0]), "no box of another class"


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"image": [picture(4, 4)], "labels": [[0]]}, {}, "does not say how its classes are called"),
        ({"image": [picture(4, 4)], "caption": ["a cat"]}, {}, "no labels, masks or boxes"),
        ({"caption": ["a cat"], "label": ["cat"]}, {}, "no column of images"),
        (
            {"image": [picture(4, 4)], "labels": [["cat"]]},
            {"names": ["dog"]},
            "the class 'cat', which is not among dog",
        ),
    ],
)
def test_tables_that_say_too_little(
    columns: dict[str, list[Any]], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "t.parquet", columns)
    with pytest.raises(ValueError, match=message):
        load(path, **options)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"mask": [grey(mask_of((21, 0, 0, 2, 2)))]}, "row 0 of .*: the mask holds 21, but there are 20 classes"),
        ({"mask": [grey(mask_of(height=5))]}, "the image is .*, its mask .*: they must have one size"),
        ({"mask": [grey(np.full((12, 16, 3), 9, np.uint8))]}, r"the colour \(9, 9, 9\) at row 0, column 0"),
        ({"labels": [[20]]}, "no class 20: 20 classes are numbered from 0"),
        ({"labels": [[0, 1]], "boxes": [[[0.0, 0, 2, 2]]]}, "its boxes have no classes"),
        ({"box_labels": [[0, 1]], "boxes": [[[0.0, 0, 2, 2]]]}, "1 boxes have 2 classes"),
    ],
)
def test_rows_that_are_wrong(columns: dict[str, list[Any]], message: str, tmp_path: Path) -> None:
    records = load(table(tmp_path / "t.parquet", {"image": [picture(12, 16)], **columns}), names=VOC)
    with pytest.raises(ValueError, match=message):
        records[0]


def test_an_image_that_is_only_a_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    cell = pa.array([{"bytes": None, "path": "x.jpg"}], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"image": cell, "label": ["cat"]}), path)
    with pytest.raises(ValueError, match=r"no bytes \(path 'x.jpg'\): write the table with the images embedded"):
        load(path)[0]


def test_where_files_may_be(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    voc_like(folder / "train.parquet")
    voc_like(folder / "aug-0.parquet", MASKS[:2])
    voc_like(folder / "aug-1.parquet", MASKS[2:])
    voc_like(folder / "data" / "validation-00000-of-00001-0a1b.parquet", MASKS[:1])
    voc_like(folder / "test" / "0000.parquet", MASKS[:3])
    assert len(load(folder)) == 4, "train unless asked otherwise"
    aug = load(folder, split="aug")
    assert (len(aug), aug[2]["labels"].nonzero().item()) == (4, PERSON)
    assert len(load(str(folder), split="val")) == 1
    assert len(load(folder, split="test")) == 3
    both = load(f"{folder}/aug-*.parquet", split="mine")
    assert (len(both), both.split) == (4, "mine")
    assert len(load([folder / "aug-1.parquet", str(folder / "aug-0.parquet")])) == 4
    with pytest.raises(FileNotFoundError, match="no split 'valid'; it holds aug, test, train, validation"):
        load(folder, split="valid")
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.parquet"):
        load(folder / "none.parquet")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(f"{folder}/none-*.parquet")


def test_a_missing_part_is_noticed(tmp_path: Path) -> None:
    voc_like(tmp_path / "train-00000-of-00003.parquet")
    voc_like(tmp_path / "train-00002-of-00003.parquet")
    with pytest.raises(FileNotFoundError, match="2 files of a split in 3 parts"):
        load(tmp_path, split="train")
    names = [f"test-{i}.parquet" for i in (0, 1, 2, 4, 5)]
    for name, listed in ((names[3], r"\(test-0.*, test-2.parquet, test-4.parquet\)"), (names[4], r"\(.*test-4.*, …\)")):
        for each in (*names[:3], name):
            (tmp_path / each).touch()
        with pytest.raises(FileNotFoundError, match=rf"{4 + (name == names[4])} files of a split {listed}: add the"):
            load(tmp_path, split="test")


def test_a_known_set_from_a_folder(tmp_path: Path, own_home: Path) -> None:
    voc_like(tmp_path / "copy" / "val.parquet")
    voc_like(own_home / "voc2012" / "val.parquet", MASKS[:2])
    for root in (tmp_path / "copy", str(tmp_path / "copy")):
        records = load("voc2012", split="val", root=root)
        assert (records.name, records.split, len(records)) == ("voc2012", "val", 4)
    assert len(load("voc2012", split="val")) == 2, "WSSS_DATA"
    assert len(load("voc2012", split="val", root=own_home)) == 2, "the folder of all data as root"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    path = table(
        tmp_path / "train.parquet", {"image": [picture(4, 4)], "label": [0]}, label=datasets.ClassLabel(names=["owl"])
    )
    with pytest.raises(
        ValueError, match=r"train\.parquet.* has the class 'owl', which is not among aeroplane.*: load it by its path"
    ):
        load("voc2012", root=path.parent)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'voc2012'"):
        load("voc2021")
    with pytest.raises(ValueError, match="no split 'test': choose one of train, val, aug"):
        load("voc2012", split="test", root=tmp_path)


def test_importing_the_package_reads_no_library_of_tables() -> None:
    """Drawing critters must not wait for datasets and its dependants."""
    import subprocess
    import sys

    code = (
        "import sys, wsss_lib.data as d; print([m for m in ('datasets', 'pyarrow', 'requests') if m in sys.modules]);"
        "from wsss_lib.data import prepare, describe, Table; print(callable(prepare), callable(describe))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "True True"]


def test_a_table_replaced_under_its_old_time_is_read_anew(tmp_path: Path) -> None:
    """Rows and fingerprint are those of the content, whatever the clock says."""
    path = voc_like(tmp_path / "t.parquet", MASKS[:2])
    before, stat = load(path), path.stat()
    first = before[0]["image"]
    voc_like(tmp_path / "other.parquet", [MASKS[2], MASKS[0]])
    os.replace(tmp_path / "other.parquet", path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = load(path)
    assert after.labels.tolist() != before.labels.tolist()
    assert torch.equal(after[0]["mask"], torch.from_numpy(MASKS[2]).long())
    assert torch.equal(before[0]["image"], first), "what was open goes on giving its rows"
    assert before.fingerprint == load(voc_like(tmp_path / "again.parquet", MASKS[:2])).fingerprint != after.fingerprint


def test_a_table_is_picklable_for_workers(tmp_path: Path) -> None:
    import pickle

    records = load(voc_like(tmp_path / "t.parquet"), classes=("cat",))
    stored = pickle.dumps(records)
    assert torch.equal(pickle.loads(stored)[0]["mask"], records[0]["mask"])
    voc_like(tmp_path / "other.parquet")
    os.replace(tmp_path / "other.parquet", tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="was replaced or removed after it had been loaded"):
        pickle.loads(stored)


def test_row_groups_larger_than_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.data.photos.schema.ROWS_A_GROUP", 3)
    monkeypatch.setattr("wsss_lib.data.photos.rows._KEPT", 1)
    records = load([voc_like(tmp_path / "a.parquet", MASKS), voc_like(tmp_path / "b.parquet", MASKS[:2])])
    assert len(records) == 6
    for i in (5, 0, 3, 4, 2, 1):
        assert torch.equal(records[i]["mask"], torch.from_numpy(MASKS[i % 4]).long())
        assert records[i]["id"] == f"img{i % 4}"


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_counts_the_images_that_are_written(
    progress: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = [{"id": str(i), "image": picture(4, 6, i), "labels": [0]} for i in range(19)]
    made = write(
        Split(("cat",), mask=False, boxes=False, rows=rows), tmp_path / "t.parquet", total=19, progress=progress
    )
    assert made == 19
    bar = capsys.readouterr().err
    assert "19/19" in bar if progress else bar == ""


def test_nothing_is_written_beside_or_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache: what is read only, or lies on a full disk, loads as well."""
    path = voc_like(tmp_path / "t.parquet")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("HF_DATASETS_CACHE", "/nowhere")
    assert load(path)[0]["id"] == "img0"
    assert sorted(tmp_path.rglob("*")) == before


def test_the_written_table_is_the_documented_schema(tmp_path: Path) -> None:
    path = voc_like(tmp_path / "t.parquet")
    features = datasets.load_dataset("parquet", data_files=str(path), split="train").features
    assert list(features) == ["id", "image", "mask", "labels"]
    assert isinstance(features["mask"], datasets.Image)
    assert features["labels"].feature.names == list(VOC)


# real photographs, where they are at hand


@pytest.mark.shared
@pytest.mark.parametrize(("split", "images"), [("train", 437), ("val", 300), ("aug", 2694)])
def test_voc_animals_sizes(split: str, images: int, shared_data: Path) -> None:
    records = load("voc2012", split=split, root=shared_data / "voc_animals")
    assert len(records) == images
    assert records.labels.shape == (images, 20)
    sample = records[images // 2]
    assert max(sample["image"].shape[-2:]) == 320
    assert sample["mask"].shape == sample["image"].shape[-2:]


@pytest.mark.shared
def test_voc_animals_labels_masks_and_borders(shared_data: Path) -> None:
    records = load("voc2012", split="train", root=shared_data / "voc_animals")
    animals = [VOC.index(c) for c in ("cat", "cow", "dog", "horse", "sheep")]
    assert int((records.labels[:, animals].sum(1) == 1).sum()) == 429
    bordered = 0
    for i in range(0, len(records), 11):
        sample = records[i]
        inside = {int(v) - 1 for v in sample["mask"].unique() if v not in (0, 255)}
        assert inside == set(sample["labels"].nonzero().flatten().tolist()), sample["id"]
        assert inside == set(sample["box_labels"].tolist())
        bordered += int((sample["mask"] == 255).any())
    assert bordered > 30, "nearly every official mask has a border"


@pytest.mark.shared
def test_voc_animals_six_classes(shared_data: Path) -> None:
    six = ("cat", "cow", "dog", "horse", "sheep", "person")
    records = load("voc2012", split="val", root=shared_data / "voc_animals", classes=six)
    assert len(records) == 300
    assert set(torch.cat([records[i]["mask"].unique() for i in range(0, 300, 25)]).tolist()) <= {*range(7), 255}


@pytest.mark.shared
def test_coco_small_through_the_same_door(shared_data: Path) -> None:
    records = load(shared_data / "coco_small", split="val")
    assert isinstance(records, Table)
    assert (len(records), records.classes) == (100, COCO)
    assert len(load("coco2014", split="train", root=shared_data / "coco_small")) == 100
    for i in range(0, 100, 12):
        sample, height, width = records[i], *records[i]["image"].shape[-2:]
        assert set(sample["box_labels"].tolist()) == set(sample["labels"].nonzero().flatten().tolist())
        boxes = sample["boxes"]
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= width + 1).all()
        assert (boxes[:, 3] <= height + 1).all()
        inside = {int(v) - 1 for v in sample["mask"].unique() if v not in (0, 255)}
        assert inside <= set(sample["box_labels"].tolist())
