"""A folder and its CSV as people have them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from folder_kit import disc, encoded, folder, picture, said, write
from PIL import Image

from wsss_lib.data.photos.catalogue import VOC
from wsss_lib.data.photos.masks import encode
from wsss_lib.pipeline.listing import read_listing


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_csv_as_spreadsheets_write_it(tmp_path: Path, mark: str, end: str) -> None:
    for name in ("a.png", "b.png", "with, comma.png"):
        write(tmp_path / name, picture())
    lines = ["Image,Label", "a.png,cat", '"with, comma.png",dog', "", 'b.png,"cat|dog"']
    text = end.join(lines) if mark == "," else end.join(line.replace(",", mark, 1) for line in lines)
    text = text.replace(f'with{mark} comma.png"', 'with, comma.png"' + mark) if mark != "," else text
    text = text.replace(mark * 2, mark).replace(f'"{mark},dog', f'"{mark}dog')
    write(tmp_path / "labels.csv", b"\xef\xbb\xbf" + text.encode())
    listing = read_listing(tmp_path)
    assert said(listing) == [("a.png", "cat"), ("with, comma.png", "dog"), ("b.png", "cat", "dog")]
    assert listing.classes == ("cat", "dog")
    assert not listing.failures


def test_photographs_are_found_as_people_write_their_names(tmp_path: Path) -> None:
    umlaut = unicodedata.normalize("NFD", "Kühe.JPG")
    for name in ("images/one.jpg", f"images/{umlaut}", "images/<b>three & more.png", "deep/er/four.webp"):
        write(tmp_path / name, picture())
    rows = ["image,label", "one,cat", "kühe.jpg,cow", "<b>three & more.png,cat", "deep\\er\\four.webp,cow"]
    write(tmp_path / "labels.csv", "\n".join(rows))
    listing = read_listing(tmp_path)
    assert [Path(photo.id).name for photo in listing.photos] == [
        "one.jpg", umlaut, "<b>three & more.png", "four.webp"
    ]  # fmt: skip


def test_rows_and_photographs_that_do_not_agree(tmp_path: Path) -> None:
    root = folder(tmp_path / "zoo", [("a.png", "cat"), ("b.png", ""), ("c.png", "dog"), ("a.png", "dog"), ("", "cat")])
    write(root / "extra.png", picture())
    write(root / "sub/c.jpg", picture())
    write(root / "sub2/c.jpg", picture())
    text = (root / "labels.csv").read_text() + "gone.png,cat\nc.jpg,cat\n"
    write(root / "labels.csv", text)
    listing = read_listing(root)
    assert said(listing) == [("a.png", "cat", "dog"), ("c.png", "dog")]
    sentences = "\n".join(listing.failures)
    assert "b.png has no label: write [] for" in sentences
    assert "a row names no photograph" in sentences
    assert "there is no photograph gone.png in" in sentences
    assert "c.jpg may be sub/c.jpg or sub2/c.jpg: write" in sentences
    assert listing.notes[0] == "1 row of labels.csv name a photograph again: labels are joined"
    assert listing.notes[1].startswith("4 photographs have no row and no part in this: b.png, extra.png, sub/c.jpg, …")


def test_columns_of_0_and_1(tmp_path: Path) -> None:
    root = folder(tmp_path, [("a.png", "1", "0"), ("b.png", "1", "1"), ("c.png", "0", "0")], ("file", "cat", "dog"))
    assert said(read_listing(root)) == [("a.png", "cat"), ("b.png", "cat", "dog"), ("c.png",)]
    flags = [("a.png", "TRUE", "False"), ("b.png", "1.0", "true"), ("c.png", "0", "0.0")]
    again = read_listing(folder(tmp_path / "spreadsheet", flags, ("file", "cat", "dog")))
    assert said(again) == [("a.png", "cat"), ("b.png", "cat", "dog"), ("c.png",)]
    root = folder(tmp_path / "other", [("a.png", "yes")], ("file", "cat"))
    with pytest.raises(ValueError, match="there is no column label, and the column cat holds 'yes'"):
        read_listing(root)


def test_masks_in_a_column_or_in_a_folder(tmp_path: Path) -> None:
    root = folder(tmp_path, [("images/a.jpg", "cat"), ("images/b.jpg", "dog"), ("images/c.jpg", "dog")])
    write(root / "masks/a.png", encode(disc(value=8)))
    write(root / "masks/b_mask.png", encode(disc(value=12)))
    listing = read_listing(root)
    assert [photo.mask and photo.mask.name for photo in listing.photos] == ["a.png", "b_mask.png", None]
    assert listing.classes == VOC, "masks beside names of VOC's classes count as VOC does"
    assert not listing.notes, "masks are no photographs without a row"
    named = folder(
        tmp_path / "column", [("a.png", "cat", "drawn.png"), ("b.png", "dog", "")], ("image", "label", "mask")
    )
    write(named / "drawn.png", encoded(Image.fromarray(disc())))
    listing = read_listing(named, names=("cat", "dog"))
    assert [photo.mask and photo.mask.name for photo in listing.photos] == ["drawn.png", None]
    assert listing.classes == ("cat", "dog")


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        write(tmp_path / name, picture())
    write(tmp_path / "masks/dog/1.png", encode(disc(value=2)))
    listing = read_listing(tmp_path, names=("cat", "dog"))
    assert said(listing) == [("cat/1.png", "cat"), ("cat/2.png", "cat"), ("dog/1.png", "dog")]
    assert [photo.mask is not None for photo in listing.photos] == [False, False, True]


@pytest.mark.parametrize("masks", ["ground_truth", "GroundTruth", "Label_Maps"])
def test_a_folder_of_masks_is_no_class(tmp_path: Path, masks: str) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        write(tmp_path / name, picture())
    write(tmp_path / masks / "dog/2.png", encode(disc(value=2)))
    listing = read_listing(tmp_path)
    assert said(listing) == [("cat/1.png", "cat"), ("dog/2.png", "dog")]
    assert [photo.mask is not None for photo in listing.photos] == [False, True]


def test_results_inside_the_folder_are_no_photographs(tmp_path: Path) -> None:
    root = folder(tmp_path / "list", [("a.png", "cat"), ("b.png", "dog")])
    for name in ("cat/a.png", "dog/b.png"):
        write(tmp_path / "classes" / name, picture())
    for place in (root, tmp_path / "classes"):
        write(place / "out/masks/overlays/a.jpg", picture())
        write(place / "out/pipeline.json", "{}")
        write(place / ".hidden.png", picture())
        listing = read_listing(place)
        assert (listing.classes, listing.notes) == (("cat", "dog"), [])
        assert not any(photo.mask for photo in listing.photos)
    write(root / "old/a.jpg", picture())
    assert "1 photograph has no row" in read_listing(root).notes[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "says no labels: add a CSV with the columns image and label, or sort"),
        ({"a.png": picture()}, "says no labels"),
        ({"images/a.png": picture(), "masks/a.png": picture()}, "says no labels"),
        ({"a.csv": "image,label\n", "b.csv": "image,label\n"}, r"holds a\.csv, b\.csv: name the one that"),
        ({"a.csv": "a.png,cat\nb.png,dog\n"}, r"has no column image among a\.png, cat: its first line names"),
        ({"a.csv": "image\na.png\n"}, "has no column label: add one"),
        ({"a.csv": "image,label,class\na.png,x,y\n"}, "has the columns label and class: leave one, called label"),
        ({"a.csv": "image,label\na.png,cat,dog\n"}, "line 2: 3 cells under 2 column names"),
        ({"a.csv": ""}, "holds no rows"),
        ({"a.csv": "image,label\na.png,Kühe\n".encode("cp1252")}, "no CSV that can be read .* save it as UTF-8"),
        ({"a.csv": "image,label\na.png,Kühe\n".encode("utf-16")}, "no CSV that can be read"),
    ],
)  # fmt: skip
def test_a_folder_that_says_no_labels(tmp_path: Path, files: dict[str, bytes | str], message: str) -> None:
    root = tmp_path / "zoo"
    root.mkdir()
    for name, content in files.items():
        write(root / name, content)
    with pytest.raises(ValueError, match=message):
        read_listing(root)


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_listing(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"a\.png is no CSV"):
        read_listing(write(tmp_path / "a.png", picture()))


def test_more_classes_than_a_mask_numbers(tmp_path: Path) -> None:
    root = folder(tmp_path, [("a.png", "cat"), ("b.png", "dog")])
    with pytest.raises(ValueError, match="has 255 classes, and a mask numbers 254"):
        read_listing(root, names=("cat", "dog", *(f"class {number}" for number in range(253))))
