"""Tables, lists and folders as people have them, and rows in which something is wrong."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from data_kit import grey, picture
from numpy.typing import NDArray
from PIL import Image, ImageOps

from wsss_lib.data import batches, load, splits

HALF = np.zeros((6, 8), np.uint8)
HALF[:3] = 1


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


ROW = {"id": "one", "image": picture(6, 8), "label": "leaf", "mask": grey(HALF)}


# where the files are


@pytest.mark.parametrize("name", ["a [1]", "b::c", 'it\'s "here"', "münchen 東京", "a*b?"])
def test_folders_of_any_name(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / name / "train.parquet", [ROW])
    assert load(path)[0]["id"] == "one"
    assert load(str(path))[0]["id"] == "one"
    assert len(load(tmp_path / name, split="train")) == 1
    assert len(load(f"{tmp_path / name}/t*.parquet")) == 1


def test_files_that_are_not_meant(tmp_path: Path) -> None:
    """Of a Mac's archive, of a broken copy, of a program that writes folders."""
    written(tmp_path / "train.parquet", [ROW])
    (tmp_path / "._train.parquet").write_bytes(b"\0\5\x16\7")
    (tmp_path / "val.parquet").symlink_to(tmp_path / "gone.parquet")
    (tmp_path / "test.parquet").mkdir()
    written(tmp_path / "aug" / "0000.parquet", [ROW])
    (tmp_path / "aug" / "._0000.parquet").write_bytes(b"\0\5\x16\7")
    assert splits(tmp_path) == ("aug", "train")
    assert len(load(tmp_path, split="train")) == len(load(tmp_path, split="aug")) == 1
    assert len(load(f"{tmp_path}/t*.parquet")) == 1
    with pytest.raises(FileNotFoundError, match="no split 'val'; it holds aug, train"):
        load(tmp_path, split="val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.parquet is empty"),
        (b"<html>log in</html>", r"t\.parquet is damaged or no Parquet table"),
        (b"PAR1 and no more", r"t\.parquet is damaged or no Parquet table"),
        (b"image,label\na.jpg,leaf\n", r"damaged or no Parquet table .* a CSV ends in \.csv"),
    ],
)
def test_files_that_are_no_tables(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "t.parquet")


def test_a_table_cut_in_the_middle(tmp_path: Path) -> None:
    content = written(tmp_path / "t.parquet", [ROW] * 3).read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"t\.parquet is damaged"):
        load(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(content[:4] + b"\xff" * 400 + content[404:])
    with pytest.raises(ValueError, match=r"row 0 of|t\.parquet is damaged"):
        load(tmp_path / "t.parquet")[0]


def test_tables_of_no_rows_and_of_other_columns(tmp_path: Path) -> None:
    one = written(tmp_path / "a.parquet", [ROW])
    two = written(tmp_path / "b.parquet", [{**ROW, "caption": "a leaf"}])
    with pytest.raises(ValueError, match="parts of one table, but only one has the column 'caption'"):
        load([one, two])
    pq.write_table(pq.read_table(one).slice(0, 0), one)
    with pytest.raises(ValueError, match=r"a\.parquet holds no rows"):
        load(one)


def test_columns_that_are_not_certain(tmp_path: Path) -> None:
    plain = {"image": picture(6, 8), "label": "leaf"}
    with pytest.raises(
        ValueError, match=r"the column 'bbox' may hold corners.*boxes_are='xyxy'.*columns={'boxes': None}"
    ):
        load(written(tmp_path / "a.parquet", [{**plain, "bbox": [1.0, 1, 4, 3]}]))
    assert load(tmp_path / "a.parquet", boxes_are="xywh")[0]["boxes"].tolist() == [[1, 1, 5, 4]]
    assert "boxes" not in load(tmp_path / "a.parquet", columns={"boxes": None})[0]
    with pytest.raises(ValueError, match=r"the columns 'labels' and 'label': name one with columns={'labels': …}"):
        load(written(tmp_path / "b.parquet", [{**plain, "labels": ["stem"]}]))
    assert load(tmp_path / "b.parquet", columns={"labels": "label"}).classes == ("leaf",)
    with pytest.raises(ValueError, match="no labels, masks or boxes with classes among image, annotation"):
        load(written(tmp_path / "c.parquet", [{"image": plain["image"], "annotation": grey(HALF)}]))
    named = load(tmp_path / "c.parquet", columns={"mask": "annotation"}, names=("leaf",))
    assert named[0]["labels"].tolist() == [1]
    for option in ({"boxes_are": "yxyx"}, {"drawn_on": "paper"}, {"white": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} is "):
            load(tmp_path / "a.parquet", **option)


# rows in which something is wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "its image is missing: leave the row out"),
        ({"image": b""}, "the image is empty"),
        ({"image": b"<!DOCTYPE html>"}, "the image is a web page"),
        ({"image": picture(6, 8)[:60]}, "the image is damaged"),
        ({"mask": b""}, "the mask is empty"),
        ({"mask": b"<html>"}, "the mask is a web page"),
        ({"mask": grey(HALF)[:50]}, "the mask is damaged"),
        ({"mask": grey(HALF * 255)}, "holds only 0 and 255, and 255 is ignored, but the labels name leaf"),
        ({"mask": grey(HALF[:4])}, "they must have one size"),
    ],
)
def test_a_wrong_row_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    records = load(written(tmp_path / "mine" / "t.parquet", [ROW, {**ROW, "id": "two", **change}]))
    assert records[0]["id"] == "one"
    with pytest.raises(ValueError, match=rf"row 1 of mine/t \(t\.parquet, id two\): .*{message}"):
        records[1]


def test_a_row_without_a_mask(tmp_path: Path) -> None:
    records = load(written(tmp_path / "t.parquet", [ROW, {**ROW, "id": "two", "mask": None}]))
    assert "mask" not in records[1]
    assert records[1]["labels"].tolist() == [1]
    assert records[1]["boxes"].shape == (0, 4)
    (batch,) = batches(records, 2)
    assert batch["masks"][1].unique().tolist() == [255], "no pixel of it counts"
    alone = load(
        written(tmp_path / "u.parquet", [{"image": ROW["image"], "mask": m} for m in (grey(HALF), None)]),
        names=["leaf"],
    )
    with pytest.raises(ValueError, match=r"row 1 of .*its mask is missing, and the table has no labels"):
        _ = alone.labels


def test_boxes_that_contradict(tmp_path: Path) -> None:
    row = {"image": picture(6, 8), "labels": ["leaf"], "boxes": [[1.0, 1, 4, 3]], "box_labels": ["stem"]}
    records = load(written(tmp_path / "t.parquet", [row]))
    with pytest.raises(ValueError, match=r"row 0 of .*: a box shows 'stem', which the labels do not name"):
        records[0]
    crowd = {**row, "box_labels": ["leaf"], "is_crowd": [True, False]}
    with pytest.raises(ValueError, match="'is_crowd' has 2 entries for 1 classes"):
        load(written(tmp_path / "u.parquet", [crowd]))[0]
    nothing = load(
        written(tmp_path / "v.parquet", [{**row, "box_labels": ["leaf"]}, {**row, "boxes": None, "box_labels": None}])
    )
    assert nothing[1]["boxes"].shape == (0, 4)


def test_more_classes_than_a_mask_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", [ROW])
    names = ["leaf", *(f"class {i}" for i in range(254))]
    with pytest.raises(ValueError, match="a mask can number 254 classes, but there are 255"):
        load(path, names=names)
    assert len(load(path, names=names[:254])[0]["labels"]) == 254


def test_grey_levels_of_sixteen_bits(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    path = written(tmp_path / "t.parquet", [{"image": grey(ramp), "label": "leaf"}])
    assert load(path)[0]["image"].mean() == pytest.approx(0.5, abs=1e-3)
    path = written(tmp_path / "u.parquet", [{"image": grey(ramp // 16), "label": "leaf"}])
    with pytest.raises(ValueError, match=r"row 0 of .*from 0 to 4095, and its file does not say which is white"):
        load(path)[0]
    assert load(path, white=4095)[0]["image"].mean() == pytest.approx(0.5, abs=1e-3)
    path = written(tmp_path / "v.parquet", [{"image": grey((ramp > 32767).astype(np.uint16)), "label": "leaf"}])
    assert load(path, white=1)[0]["image"].unique().tolist() == [0, 1], "two levels are enough"


# orientation


def lying(pixels: NDArray[Any], orientation: int) -> bytes:
    """An upright picture as a camera stores it that was held in another way."""
    back = {2: 0, 3: 1, 4: 2, 5: 5, 6: 4, 7: 6, 8: 3}  # Pillow: what undoes each orientation
    upright = Image.fromarray(pixels)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    assert set(back) == set(range(2, 9))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    upright.transpose(turn).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(6, 8), (8, 8)])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_annotations_turn_with_their_image(orientation: int, size: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[1:3, 4:7] = 255
    truth = np.ascontiguousarray(pixels[..., 0]) // 255
    box = [[4.0, 1, 7, 3]]
    content = lying(pixels, orientation)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(np.array(ImageOps.exif_transpose(image)), pixels), "the test's picture is right"
    stored = np.array(Image.open(io.BytesIO(lying(truth, orientation))))
    ys, xs = np.nonzero(stored)
    stored_box = [[float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]]
    row = {"image": content, "label": "leaf"}
    drawn = {
        "stored": written(tmp_path / "s.parquet", [{**row, "mask": grey(stored), "boxes": stored_box}]),
        "upright": written(tmp_path / "u.parquet", [{**row, "mask": grey(truth), "boxes": box}]),
    }
    for drawn_on, path in drawn.items():
        sizes_tell = orientation >= 5 and size == (6, 8)
        if not sizes_tell:
            with pytest.raises(ValueError, match=rf"EXIF orientation {orientation}, and it is not certain .*drawn_on="):
                load(path)[0]
        sample = load(path)[0] if sizes_tell else load(path, drawn_on=drawn_on)[0]
        assert torch.equal(sample["image"][0] > 0.5, torch.from_numpy(truth > 0))
        assert torch.equal(sample["mask"], torch.from_numpy(truth).long())
        assert sample["boxes"].tolist() == box
    both = load(written(tmp_path / "b.parquet", [{**row, "mask": lying(truth, orientation)}]))[0]
    assert torch.equal(both["mask"], torch.from_numpy(truth).long()), "a mask with the same tag turns by it"
    alone = load(written(tmp_path / "a.parquet", [row]))[0]
    assert torch.equal(alone["image"][0] > 0.5, torch.from_numpy(truth > 0))


# lists of images, and folders of classes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        place = tmp_path / "shots" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(picture(6, 8, ord(name[0])))
    (tmp_path / "shots" / "mask.png").write_bytes(grey(HALF))
    return tmp_path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_csv_of_paths(mark: str, photos: Path) -> None:
    lines = ["image,label,mask", "shots/a.png,leaf,shots/mask.png", "", "shots/b.png,stem,"]
    path = photos / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).replace(",", mark).encode())
    records = load(path)
    assert (records.classes, records.labels.tolist()) == (("leaf", "stem"), [[1, 0], [0, 1]])
    assert torch.equal(records[0]["mask"], torch.from_numpy(HALF).long())
    assert "mask" not in records[1]
    before = records.fingerprint
    (photos / "shots" / "b.png").write_bytes(picture(6, 8, 99))
    assert load(path).fingerprint != before, "the pictures are the content"


def test_numbers_and_lists_in_a_csv(photos: Path) -> None:
    path = photos / "train.csv"
    path.write_text('image,labels,boxes\nshots/a.png,1,"[[1, 1, 4, 3]]"\nshots/b.png,0,"[0, 0, 2, 2]"\n')
    records = load(photos, split="train", names=("leaf", "stem"))
    assert records.labels.tolist() == [[0, 1], [1, 0]]
    assert (records[0]["boxes"].tolist(), records[0]["box_labels"].tolist()) == ([[1, 1, 4, 3]], [1])
    assert splits(photos) == ("train",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no rows"),
        (b"image,label\n", "holds one line: the first says the names"),
        (b"image,label\na.png,leaf,more\n", "line 2: 3 cells under 2 column names"),
        (b"image,image\na.png,leaf\n", "two columns of one name"),
        (b"a.png,leaf\nb.png,stem\n", r"no column of images among a\.png, leaf: name it"),
        (b"\xff\xfe\0\0", "no CSV that can be read"),
        (b"image,label\nshots/gone.png,leaf\n", r"row 0 of .*there is no file .*gone\.png"),
        (b"image,label\nshots,leaf\n", "there is no file .*shots"),
    ],
)
def test_a_csv_that_is_wrong(text: bytes, message: str, photos: Path) -> None:
    (photos / "list.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        load(photos / "list.csv")[0]


def test_a_folder_for_each_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split, name, number in (("train", "leaf", 1), ("train", "stem", 2), ("val", "stem", 3)):
        place = tmp_path / split / name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(picture(6, 8, number))
    (tmp_path / "train" / "leaf" / "._1.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "train" / "leaf" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "train" / "leaf" / "deep.png").mkdir()
    (tmp_path / "train" / "leaf" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "train" / "notes").mkdir()
    with caplog.at_level(logging.WARNING):
        records = load(tmp_path)
    assert "1 files in" in caplog.text
    assert "phone.heic; convert them to JPEG or PNG" in caplog.text
    empty = [line for line in caplog.messages if line.endswith("holds no image that can be read, and is no class")]
    assert empty == [f"notes in {tmp_path / 'train'} holds no image that can be read, and is no class"]
    assert (records.name, records.split, records.classes) == (tmp_path.name, "train", ("leaf", "stem"))
    assert [records[i]["id"] for i in range(len(records))] == ["leaf/1.png", "stem/2.png"]
    assert records.labels.tolist() == [[1, 0], [0, 1]]
    assert load(tmp_path, split="val").labels.tolist() == [[0, 1]], "the classes of all splits"
    assert splits(tmp_path) == ("train", "val")
    with pytest.raises(FileNotFoundError, match="no split 'test'; it holds train, val"):
        load(tmp_path, split="test")
    flat = load(tmp_path / "train")
    assert (flat.classes, len(flat)) == (("leaf", "stem"), 2)
    with pytest.raises(FileNotFoundError, match="has no split 'val'"):
        load(tmp_path / "train", split="val")


@pytest.mark.parametrize("more", [False, True])
def test_a_warning_names_the_first_few(more: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of thousands of files nobody wants all names; three, or of folders five, show what is meant."""
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "1.png").write_bytes(picture(6, 8))
    for i in range(3 + more):
        (tmp_path / f"stray{i}.png").write_bytes(picture(6, 8))
        (tmp_path / "leaf" / f"phone{i}.heic").write_bytes(b"?")
    for i in range(5 + more):
        (tmp_path / f"empty{i}").mkdir()
    with caplog.at_level(logging.WARNING):
        load(tmp_path)
    end = ", …" if more else ""
    stray, empty, phone = caplog.messages
    assert stray.endswith(end or ".png")
    assert stray.count("stray") == 3
    assert "stray0.png, stray1.png, stray2.png" in stray
    assert empty.startswith(f"empty0, empty1, empty2, empty3, empty4 in {tmp_path} holds")
    assert f"left out: phone0.heic, phone1.heic, phone2.heic{end}; convert" in phone
    assert stray.startswith(f"{3 + more} images")
    assert phone.startswith(f"{3 + more} files")


def test_images_without_classes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").write_bytes(picture(6, 8))
    for folder in (tmp_path, tmp_path / "train"):
        with pytest.raises(FileNotFoundError, match="images need a folder named as their class, or a CSV"):
            load(folder)


def test_workers_read_lists_too(photos: Path) -> None:
    import pickle

    (photos / "list.csv").write_text("image,label\nshots/a.png,leaf\n")
    records = pickle.loads(pickle.dumps(load(photos / "list.csv")))
    assert records[0]["labels"].tolist() == [1]
