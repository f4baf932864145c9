"""Lists of photographs as spreadsheets, scripts and accidents write them, for ``load`` and for ``wsss pipeline``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_kit import photo, refusal

from wsss_lib.data import load
from wsss_lib.pipeline.listing import Listing, read_listing

TWO = "image,label\na.png,cat\nb.png,dog\n"


def zoo(folder: Path, content: str | bytes, name: str = "zoo.csv") -> Path:
    """A folder with two photographs and the list."""
    folder.mkdir(exist_ok=True)
    for each in ("a.png", "b.png"):
        (folder / each).write_bytes(photo(12, 12, ord(each[0])))
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def labels(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {photo.id: photo.labels for photo in listing.photos}


RIGHT: dict[str, str | bytes] = {
    "plain": TWO,
    "a mark of byte order": b"\xef\xbb\xbf" + TWO.encode(),
    "Windows' ends of lines": TWO.replace("\n", "\r\n"),
    "old ends of lines": TWO.replace("\n", "\r"),
    "semicolons": TWO.replace(",", ";"),
    "tabs": TWO.replace(",", "\t"),
    "quotation marks": 'image,label\n"a.png","cat"\n"b.png","dog"\n',
    "no last end of line": TWO.rstrip(),
    "empty lines": TWO.replace("\n", "\n\n"),
    "rows of nothing": TWO + ",\n , \n",
    "spaces around": "image , label\n a.png , cat \n b.png , dog \n",
    "each row twice": TWO + TWO.partition("\n")[2],
    "capitals": "Image,Label\nA.PNG,cat\nB.png,dog\n",
    "without suffixes": TWO.replace(".png", ""),
    "a folder before": TWO.replace("a.png", "./a.png"),
    "backslashes": TWO.replace("a.png", ".\\a.png"),
    "another column": "image,label,note\na.png,cat,<img src=x onerror=alert(1)>\nb.png,dog,=1+1\n",
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_list_is_read_as_it_is_meant(tmp_path: Path, name: str) -> None:
    listing = read_listing(zoo(tmp_path / "zoo", RIGHT[name]))
    assert labels(listing) == {"a.png": ("cat",), "b.png": ("dog",)}
    assert (listing.classes, listing.failures) == (("cat", "dog"), [])


WRONG: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "zoo.csv"),
    "spaces": (" \n \n", "zoo.csv"),
    "a head alone": ("image,label\n", "one line"),
    "Latin-1": ("image,label\nBär.png,cat\n".encode("latin-1"), "UTF-8"),
    "UTF-16": (TWO.encode("utf-16"), "UTF-8"),
    "zeros": (b"\0" * 300, "zoo.csv"),
    "a spreadsheet": (b"PK\x03\x04\x14\0\x06\0" + b"\xfa" * 60, "zoo.csv"),
    "a quotation mark that stays open": ('image,label\n"a.png,cat\nb.png,dog\n', "zoo.csv"),
    "a cell more": (TWO + "a.png,cat,dog\n", "line 4: 3 cells"),
    "a cell less": (TWO + "a.png\n", "line 4: 1 cells"),
    "two columns of one name": ("image,image\na.png,b.png\n", "two columns"),
    "two columns of images": ("image,file,label\na.png,b.png,cat\n", "image and file"),
    "no column of images": ("picture,label\na.png,cat\n", "no column image"),
    "no column of labels": ("image\na.png\n", "no column label"),
    "columns of 0, 1 and 2": ("image,cat,dog\na.png,0,2\n", "dog holds '2'|dog holds 2"),
    "no class in any row": ("image,label\na.png,\nb.png,\n", "no class in any row"),
    "empty lists alone": ("image,label\na.png,[]\nb.png,[]\n", "no class in any row"),
    "two marks": ("image,label\na.png,cat;dog\nb.png,cat|dog\n", "both ; and |"),
    "two spellings": ("image,label\na.png,Cat\nb.png,cat\n", "spelt alike"),
    "numbers among words": ("image,label\na.png,cat\nb.png,3\n", "by numbers"),
    "a list without an end": ("image,label\na.png,[cat\nb.png,dog\n", "no list"),
    "lists without an end": ("image,label\na.png," + "[" * 100_000 + "\nb.png,dog\n", "no list"),
    "more classes than a mask has values": (
        "image,label\n" + "".join(f"a.png,class{i}\n" for i in range(300)),
        "300 classes",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    content, cause = WRONG[name]
    refusal(lambda: read_listing(zoo(tmp_path / "zoo", content)), "zoo|column", cause)


ROWS: dict[str, tuple[str, str]] = {
    "a photograph that is not there": ("gone.png,cat", "no photograph gone.png"),
    "no photograph": (",cat", "names no photograph"),
    "no label": ("a.png,", "has no label"),
    "a folder": (".,cat", "no photograph"),
    "above the folder": ("../../../../etc/passwd.png,cat", "no photograph"),
    "a name with a zero byte": ("a\0.png,cat", r"no photograph a\\x00"),
    "a very long name": ("x" * 5000 + ".png,cat", "no photograph xxx"),
    "an address": ("https://example.org/a.png,cat", "no photograph https"),
    "HTML": ("<img src=x onerror=alert(1)>,cat", "no photograph <img"),
    "signs that are not printed": ("a\x1b[31m.png,cat", r"no photograph a\\x1b"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_cannot_be_used_costs_itself(tmp_path: Path, name: str) -> None:
    import re

    row, cause = ROWS[name]
    listing = read_listing(zoo(tmp_path / "zoo", "image,label\nb.png,dog\n" + row + "\n"))
    assert labels(listing) == {"b.png": ("dog",)}
    (sentence,) = listing.failures
    assert re.search(cause, sentence), sentence
    assert sentence.isprintable()


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe under a list's name": (lambda folder: os.mkfifo(folder / "zoo.csv"), "says no labels"),
    "a folder under a list's name": (lambda folder: (folder / "zoo.csv").mkdir(), "says no labels"),
    "a dangling link": (lambda folder: (folder / "zoo.csv").symlink_to(folder / "gone"), "says no labels"),
    "a hidden list": (lambda folder: (folder / ".zoo.csv").write_text(TWO), "says no labels"),
    "two lists": (lambda folder: [(folder / f"{i}.csv").write_text(TWO) for i in "ab"], "a.csv, b.csv"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_folder_whose_list_is_none_is_refused(tmp_path: Path, name: str) -> None:
    make, cause = PLACES[name]
    folder = zoo(tmp_path / "zoo", TWO)
    (folder / "zoo.csv").unlink()
    make(folder)
    refusal(lambda: read_listing(folder), cause)


NAMES: list[tuple[Any, str]] = [(("cow",), "'cat', which --names does not have"), (("cat",), "'dog', which --names")]


@pytest.mark.parametrize(("names", "cause"), NAMES)
def test_names_that_are_not_those_of_the_list(tmp_path: Path, names: Any, cause: str) -> None:
    refusal(lambda: read_listing(zoo(tmp_path / "zoo", TWO), names=names), cause)


LOADED = [
    *("Latin-1", "UTF-16", "a quotation mark that stays open", "a cell more", "a cell less", "two spellings"),
    *("two columns of one name", "lists without an end", "empty", "zeros", "a head alone"),
]


@pytest.mark.parametrize("name", LOADED)
def test_load_refuses_the_same_lists(tmp_path: Path, name: str) -> None:
    folder = zoo(tmp_path / "zoo", WRONG[name][0])

    def read() -> Any:
        records = load(folder / "zoo.csv")
        return [records[i] for i in range(len(records))]

    refusal(read, "zoo.csv")
