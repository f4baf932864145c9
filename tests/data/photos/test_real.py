"""Photographs in Parquet give the same records as the drawn world, whatever their columns are called."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from data_kit import grey, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from wsss_lib.data import batches, load
from wsss_lib.data.photos.masks import (
    boxes_from_mask,
    encode,
    from_colours,
    from_segments,
    image_tensor,
    mask_array,
    palette,
    present,
)
from wsss_lib.data.photos.names import COCO, VOC
from wsss_lib.data.photos.real import Table
from wsss_lib.data.photos.tables import Row, Rows, write

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
    assert write(Rows(VOC, mask=True, boxes=False, rows=rows), path) == len(masks)
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

    monkeypatch.setattr("wsss_lib.data.photos.real.image_tensor", decode)
    monkeypatch.setattr("wsss_lib.data.photos.columns.mask_array", decode)
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
    records = load(path)
    assert records.classes == ("ani", "auklet")
    assert "mask" not in records[0]
    assert (records[0]["boxes"].tolist(), records[0]["box_labels"].tolist()) == ([[1, 2, 7, 9]], [1])
    assert records.labels.tolist() == [[0, 1], [1, 0]]
    only = load(path, classes=("ani",))
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
        ({"labels": [[0, 1]], "boxes": [[[0.0, 0, 1, 1]]]}, "the boxes have no classes"),
        ({"box_labels": [[0, 1]], "boxes": [[[0.0, 0, 1, 1]]]}, "1 boxes have 2 classes"),
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
    with pytest.raises(ValueError, match="is no table of voc2012: its classes are owl"):
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


def test_the_progress_bars_of_datasets_come_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(voc_like(tmp_path / "t.parquet"))
    assert not datasets.are_progress_bars_disabled()
    assert "Generating" not in capfd.readouterr().err


def test_a_table_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    """datasets keeps what it has read; a new table under the old name must not be answered from there."""
    path = voc_like(tmp_path / "t.parquet")
    assert len(load(path)) == 4
    assert len(load(voc_like(path, MASKS[:2]))) == 2


def test_a_table_is_picklable_for_workers(tmp_path: Path) -> None:
    import pickle

    records = load(voc_like(tmp_path / "t.parquet"), classes=("cat",))
    again = pickle.loads(pickle.dumps(records))
    assert torch.equal(again[0]["mask"], records[0]["mask"])


# masks


def test_the_palette_is_vocs() -> None:
    """Colours as printed in VOC's development kit."""
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 12: (64, 0, 128), 15: (192, 128, 128), 20: (0, 64, 128),
                255: (224, 224, 192)}  # fmt: skip
    assert {k: tuple(palette()[k].tolist()) for k in expected} == expected
    assert len(np.unique(palette(), axis=0)) == 256


INDICES = arrays(
    np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 1, 2, 7, 20, 255])
)


@given(INDICES)
@settings(max_examples=60, deadline=None)
def test_masks_survive_every_encoding(mask: NDArray[np.uint8]) -> None:
    assert np.array_equal(mask_array(encode(mask)), mask)
    assert np.array_equal(mask_array(grey(mask)), mask)
    assert np.array_equal(from_colours(palette()[mask]), mask)


@given(INDICES)
@settings(max_examples=60, deadline=None)
def test_boxes_and_classes_of_a_mask_against_the_obvious(mask: NDArray[np.uint8]) -> None:
    expected: dict[int, list[int]] = {}
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            value = int(mask[y, x])
            if value in (0, 255):
                continue
            box = expected.setdefault(value - 1, [x, y, x + 1, y + 1])
            expected[value - 1] = [min(box[0], x), min(box[1], y), max(box[2], x + 1), max(box[3], y + 1)]
    boxes, classes = boxes_from_mask(torch.from_numpy(mask).long())
    assert classes.tolist() == sorted(expected) == present(mask)
    assert boxes.tolist() == [expected[k] for k in sorted(expected)]


def test_segments_with_too_few_descriptions() -> None:
    segments = np.array([[0, 1, 2]], np.uint8)
    assert from_segments(segments, [9, 255]).tolist() == [[0, 9, 255]]
    with pytest.raises(ValueError, match="a segment 2, but only 1"):
        from_segments(segments, [9])


def test_sixteen_bit_masks(tmp_path: Path) -> None:
    def stored(values: list[list[int]]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.array(values, np.uint16)).save(buffer, "PNG")
        return buffer.getvalue()

    assert mask_array(stored([[0, 3, 255]])).tolist() == [[0, 3, 255]]
    with pytest.raises(ValueError, match="from 0 to 300"):
        mask_array(stored([[0, 300]]))


def test_grey_photographs_have_three_channels() -> None:
    assert torch.equal(image_tensor(grey(np.full((2, 3), 51, np.uint8))), torch.full((3, 2, 3), 0.2))


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
