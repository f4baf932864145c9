"""Folders, names and kinds of files that are not what they seem; caches that cannot be used."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fault_kit import photo, read_all, refusal, rows_to_parquet

from wsss_lib.data import load, splits
from wsss_lib.data.photos.fetch import read_lock

ROWS = [{"id": "one", "image": photo(seed=0), "label": "robin"}, {"id": "two", "image": photo(seed=1), "label": "wren"}]


def good(path: Path) -> Path:
    return rows_to_parquet(path, ROWS)


ODD_NAMES = [
    "[ab].parquet",
    "a::b.parquet",
    "it's.parquet",
    'a "b".parquet',
    "ein Bär.parquet",
    "鳥.parquet",
    "a#b?.parquet",
    "{x}.parquet",
    "a,b.parquet",
    "%20.parquet",
    "a*b.parquet",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    good(tmp_path / "it's [1]" / name)
    assert [sample["id"] for sample in read_all(load(tmp_path / "it's [1]" / name))] == ["one", "two"]


def test_hidden_files_are_no_parts(tmp_path: Path) -> None:
    good(tmp_path / "birds" / "train" / "0000.parquet")
    for name in ("._0000.parquet", ".0001.parquet"):
        (tmp_path / "birds" / "train" / name).write_bytes(b"\x00\x05\x16\x07 not a table")
    assert len(load(tmp_path / "birds")) == 2


def test_a_folder_that_is_named_like_a_file(tmp_path: Path) -> None:
    good(tmp_path / "birds.parquet" / "train.parquet")
    assert len(load(tmp_path / "birds.parquet")) == 2
    (tmp_path / "data" / "train.parquet").mkdir(parents=True)
    refusal(lambda: load(tmp_path / "data"), "train|Parquet")


NO_ROWS = {"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}
POINTER = "version https://git-lfs.github.com/spec/v1\n"


def table(columns: dict[str, Any]) -> Callable[[Path], object]:
    return lambda path: pq.write_table(pa.table(columns), path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty|Parquet"),
    "cut": (lambda path: path.write_bytes(good(path).read_bytes()[:-40]), "Parquet|damaged|cut"),
    "damaged": (lambda path: path.write_bytes(b"PAR1" + b"\x00" * 500 + b"PAR1"), "Parquet|damaged"),
    "a web page": (lambda path: path.write_text("<html>404</html>"), "Parquet"),
    "a pointer of Git LFS": (lambda path: path.write_text(POINTER), "Parquet|LFS"),
    "no rows": (table(NO_ROWS), "no rows|empty|0 rows"),
    "no columns": (table({}), "column|empty|no rows"),
    "no images": (table({"label": ["a"]}), "image"),
    "no labels": (table({"image": [photo()]}), "label"),
    "two columns of one name": (
        lambda path: pq.write_table(pa.Table.from_arrays([pa.array([photo()])] * 2, names=["image", "image"]), path),
        "two columns.*image",
    ),
    "images of text": (table({"image": [[1, 2]], "label": ["a"]}), "image"),
    "a dangling link": (lambda path: path.symlink_to(path.with_name("gone")), "no file|link|gone"),
    "no file": (lambda path: None, "no file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_table_is_refused_with_the_files_name(tmp_path: Path, name: str) -> None:
    make, cause = BROKEN[name]
    path = tmp_path / "birds.parquet"
    make(path)
    refusal(lambda: read_all(load(path)), "birds", cause)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "birds.parquet")
    refusal(lambda: load(tmp_path / "birds.parquet"), "birds.parquet")


def test_parts_of_other_columns_are_refused(tmp_path: Path) -> None:
    good(tmp_path / "a.parquet")
    rows_to_parquet(tmp_path / "b.parquet", [{"picture": photo(), "kind": "wren"}])
    refusal(lambda: load([tmp_path / "a.parquet", tmp_path / "b.parquet"]), "b.parquet", "column|picture|kind")


def test_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    good(tmp_path / "train-00000-of-00003.parquet")
    refusal(lambda: load(tmp_path), "00000-of-00003|3 parts", "missing|add")


def listed(folder: Path, rows: list[tuple[str, str]], head: tuple[str, str] = ("image", "label")) -> Path:
    with (folder / "birds.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return folder / "birds.csv"


def test_a_csv_of_image_paths_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for i, name in enumerate(("one.png", "the second, small.png")):
        (tmp_path / "pictures" / name).write_bytes(photo(seed=i))
    path = listed(tmp_path, [("pictures/one.png", "robin"), ("pictures/the second, small.png", "wren")])
    records = load(path)
    assert records.classes == ("robin", "wren")
    assert records.labels.tolist() == [[1, 0], [0, 1]]
    assert torch.equal(records[1]["image"], load(rows_to_parquet(tmp_path / "t.parquet", ROWS))[1]["image"])


CELLS = {
    "spelt in two ways": ("Cat\nx.png,cat", "spelt alike"),
    "with a space that nobody sees": ("cat\nx.png,cat\u00a0x\nx.png,cat x", "spelt alike"),
    "several, with semicolons": ("cat;dog\nx.png,owl", r'\["cat", "dog"\]'),
    "several, with bars": ("cat|dog\nx.png,owl", r'\["cat", "dog"\]'),
    "several, with commas": ('"cat,dog"\nx.png,dog', r'\["cat", "dog"\]'),
    "a list as Python writes it": ("\"['cat', 'dog']\"\nx.png,dog", "no list"),
    "a list without an end": ("[" * 100_000, "no list"),
    "a number missing": ("0\nx.png,", "names="),
}


@pytest.mark.parametrize("name", CELLS)
def test_labels_of_a_csv_that_are_not_one_class_each(tmp_path: Path, name: str) -> None:
    cells, cause = CELLS[name]
    (tmp_path / "x.png").write_bytes(photo())
    (tmp_path / "birds.csv").write_text(f"image,label\nx.png,{cells}\n", encoding="utf-8")
    refusal(lambda: load(tmp_path / "birds.csv"), "birds.csv", cause)


def test_words_with_a_comma_may_be_names(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(photo())
    path = listed(tmp_path, [("x.png", "tench, Tinca tinca"), ("x.png", "owl")])
    assert load(path).classes == ("owl", "tench, Tinca tinca")
    path = listed(tmp_path, [("x.png", "Cat"), ("x.png", "cat")])
    assert load(path, names=["Cat", "cat"]).labels.tolist() == [[1, 0], [0, 1]], "whoever names them means two"


def test_a_missing_number_is_missing_and_the_others_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(photo())
    records = load(listed(tmp_path, [("x.png", "1"), ("x.png", "")]), names=["robin", "wren"])
    assert records[0]["labels"].tolist() == [0, 1]
    refusal(lambda: records[1], "label is missing")


def test_a_csv_that_names_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(photo())
    path = listed(tmp_path, [("one.png", "robin"), ("gone.png", "wren")])
    refusal(lambda: read_all(load(path)), "gone.png", "birds.csv")


@pytest.mark.parametrize("text", ["", "image,label\n", "a,b\n1,2\n", "\x00\x01\x02", "image;label\nx.png;cat\n"])
def test_a_csv_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "birds.csv").write_text(text)
    refusal(lambda: read_all(load(tmp_path / "birds.csv")), "birds.csv")


def test_a_folder_of_folders_of_images(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("robin", "wren"):
            (tmp_path / "zoo" / split / name).mkdir(parents=True)
            (tmp_path / "zoo" / split / name / "b.png").write_bytes(photo())
            (tmp_path / "zoo" / split / name / "._b.png").write_bytes(b"\x00\x05")
    for split in ("train", "val"):
        records = load(tmp_path / "zoo", split=split)
        assert records.classes == ("robin", "wren")
        assert records.labels.tolist() == [[1, 0], [0, 1]]
        assert records[0]["image"].shape == (3, 32, 32)


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photo())
    return folder


FOLDERS: dict[str, tuple[tuple[str, ...], str]] = {
    "splits in capitals": (("Train/robin/a.png", "Val/robin/a.png"), "Train, Val.*split="),
    "images beside their masks": (("images/a.png", "masks/a.png"), "images, masks.*mask"),
    "VOC as it is published": (("JPEGImages/a.png", "SegmentationClass/a.png"), "JPEGImages.*mask"),
    "images of no class": (("a.png", "b.png"), "folder named as their class"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_that_are_no_classes(tmp_path: Path, name: str) -> None:
    names, cause = FOLDERS[name]
    refusal(lambda: load(images(tmp_path / "zoo", *names)), "zoo", cause)


def test_what_is_left_out_of_a_folder_of_classes_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    zoo = images(tmp_path / "zoo", "robin/a.png", "stray.png", "__MACOSX/robin/a.png")
    (zoo / "wren").mkdir()
    (zoo / "wren" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    records = load(zoo)
    assert (records.classes, records.labels.tolist()) == (("robin",), [[1]])
    assert "1 images lie in" in caplog.text
    assert "stray.png" in caplog.text
    assert "wren in" in caplog.text
    assert "MACOSX" not in caplog.text


def test_parts_are_in_the_order_of_their_numbers_and_none_is_left_out(tmp_path: Path) -> None:
    words = [chr(ord("a") + i) for i in range(11)]
    for i, word in enumerate(words):
        rows_to_parquet(tmp_path / f"train-{i}.parquet", [{"image": photo(), "label": word}])
    assert load(tmp_path).labels.argmax(1).tolist() == list(range(11))
    (tmp_path / "train-3.parquet").unlink()
    refusal(lambda: load(tmp_path), "10 files", "add the missing ones")
    good(tmp_path / "val.parquet")
    good(tmp_path / "val-0.parquet")
    refusal(lambda: load(tmp_path, split="val"), r"val-0\.parquet, val\.parquet", "one of the two")


def test_one_file_is_not_read_twice(tmp_path: Path) -> None:
    path = good(tmp_path / "birds.parquet")
    (tmp_path / "link.parquet").symlink_to(path)
    refusal(lambda: load([path, tmp_path / "link.parquet"]), "named twice")


@pytest.mark.parametrize("name", ["birds.zip", "birds.json", "birds.txt", "birds"])
def test_files_of_other_kinds_say_what_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 something")
    refusal(lambda: read_all(load(tmp_path / name)), "birds", "Parquet")


def test_a_word_that_is_nearly_a_data_set() -> None:
    refusal(lambda: load("voc2013"), "voc2012")


NO_PATHS: dict[str, tuple[Callable[[], Any], str]] = {
    "an empty name": (lambda: load(""), "empty"),
    "an empty name among others": (lambda: load(["a.parquet", ""]), "empty"),
    "no names": (lambda: load([]), "empty"),
    "an empty name of splits": (lambda: splits(""), "empty"),
    "an empty root": (lambda: load("voc2012", root=""), "root is empty"),
    "nothing": (lambda: load(None), "NoneType"),
    "a number": (lambda: splits(3), "int"),
    "bytes": (lambda: load(b"birds.parquet"), "bytes"),
    "a table in memory": (lambda: load(pa.table({"label": ["a"]})), "Table.*Parquet file"),
    "a long word": (lambda: load("x" * 5000), "xxx"),
    "a name with a zero byte": (lambda: load("a\0b.parquet"), "zero byte"),
    "a long path": (lambda: load("x" * 5000 + ".parquet"), "too long"),
    "the folder above": (lambda: load(".", split=".."), r"split is '\.\.'"),
    "an empty split": (lambda: load("critters", split=""), "split is ''"),
    "a split of a number": (lambda: load("voc2012", split=0), "split is 0"),
}


@pytest.mark.parametrize("name", NO_PATHS)
def test_what_names_no_data_is_never_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "robin").mkdir()
    (tmp_path / "robin" / "one.png").write_bytes(photo())
    monkeypatch.chdir(tmp_path)
    assert len(load(".")) == 1
    action, cause = NO_PATHS[name]
    refusal(action, cause)


LOCKS = [
    "",
    "{",
    "[]",
    "null",
    '{"tables": []}',
    '{"tables": {"train": 3}}',
    '{"downloads": 1, "tables": null}',
    "\x00",
    "[" * 100_000,
    "9" * 5000,
    '{"tables": {"train": null}, "downloads": {"u": 3, "v": {"sha256": []}, "w": "another digest"}}',
]


@pytest.mark.parametrize("text", LOCKS)
def test_a_foreign_or_damaged_note_is_ignored(tmp_path: Path, text: str) -> None:
    path = good(tmp_path / "train.parquet")
    (tmp_path / "lock.json").write_text(text)
    assert len(read_all(load(path))) == 2
    assert len(read_all(load(tmp_path))) == 2
    assert set(read_lock(tmp_path)["downloads"]) == set(), "no address is held to what is no digest"
    assert "train" not in read_lock(tmp_path)["tables"]


def test_a_note_that_is_a_pipe_or_a_folder_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock.json")
    assert read_lock(tmp_path) == {"tables": {}, "downloads": {}}
    (tmp_path / "a" / "lock.json").mkdir(parents=True)
    assert read_lock(tmp_path / "a") == {"tables": {}, "downloads": {}}


def unusable_file(folder: Path) -> Path:
    (folder / "cache").write_text("a file")
    return folder / "cache"


def below_a_file(folder: Path) -> Path:
    return unusable_file(folder) / "deeper"


def not_writable(folder: Path) -> Path:
    return Path("/proc/self/wsss")


CACHES = [unusable_file, below_a_file, not_writable]


@pytest.mark.parametrize("make", CACHES)
@pytest.mark.filterwarnings("ignore")
def test_a_cache_that_cannot_be_used_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    where = str(make(tmp_path))
    for name in ("WSSS_CACHE", "WSSS_DATA", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, where)
    assert len(load("critters", split="val", count=2)) == 2
    assert len(read_all(load(good(tmp_path / "t.parquet")))) == 2


@pytest.mark.filterwarnings("ignore")
def test_no_home_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("WSSS_CACHE", "WSSS_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert len(load("critters", split="val", count=2)) == 2
    assert len(read_all(load(good(tmp_path / "t.parquet")))) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "another file": lambda content: b"<html></html>",
    "a flipped bit": lambda content: content[:-200] + bytes([content[-200] ^ 255]) + content[-199:],
    "flipped in the pixels": lambda content: content[:3000] + bytes([content[3000] ^ 255]) + content[3001:],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_cache_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("WSSS_CACHE", str(tmp_path / "cache"))
    expected = load("critters", split="val", count=3)
    (file,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    file.write_bytes(DAMAGES[name](file.read_bytes()))
    again = load("critters", split="val", count=3)
    for i in range(3):
        assert torch.equal(again[i]["image"], expected[i]["image"])
        assert torch.equal(again[i]["mask"], expected[i]["mask"])
    assert not list((tmp_path / "cache").rglob("*.tmp"))
