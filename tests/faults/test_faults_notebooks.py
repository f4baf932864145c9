"""``press.cells.read`` is the gate for notebooks: a notebook or one sentence, soon."""

from __future__ import annotations

import codecs
import json
import os
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from fault_kit import check_refusal, refusal

from press import cells

GOOD = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_markdown_cell("# A")])
TEXT = nbformat.writes(GOOD, version=4)


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(TEXT), **fields})


def cell(**fields: Any) -> str:
    first = {"cell_type": "code", "id": "a", "source": "", "metadata": {}, "outputs": [], "execution_count": None}
    return changed(cells=[{k: v for k, v in {**first, **fields}.items() if v is not ...}])


REFUSED: dict[str, str | bytes] = {
    "empty": "",
    "spaces": "  \n",
    "a list": "[]",
    "null": "null",
    "a number": "3",
    "a number of thousands of digits": '{"nbformat":' + "9" * 5000 + "}",
    "a string": '"x"',
    "no fields": "{}",
    "cut": TEXT[: len(TEXT) // 2],
    "no JSON": "<html>404</html>",
    "NaN where a list is": changed(cells=float("nan")),
    "no cells": json.dumps({k: v for k, v in json.loads(TEXT).items() if k != "cells"}),
    "cells is null": changed(cells=None),
    "cells is a mapping": changed(cells={}),
    "a cell is null": changed(cells=[None]),
    "a cell is a list": changed(cells=[[]]),
    "a cell without a type": cell(cell_type=...),
    "a cell of an unknown type": cell(cell_type="video"),
    "a cell without a source": cell(source=...),
    "a source that is a number": cell(source=3),
    "a source of numbers": cell(source=[1, 2]),
    "metadata that is null": cell(metadata=None),
    "tags that are a number": cell(metadata={"tags": 3}),
    "outputs that are null": cell(outputs=None),
    "an output that is null": cell(outputs=[None]),
    "an output without a type": cell(outputs=[{}]),
    "nbformat 5": changed(nbformat=5),
    "nbformat is a word": changed(nbformat="four"),
    "nbformat is null": changed(nbformat=None),
    "Latin-1": TEXT.replace("# A", "# Bär").encode("latin-1"),
    "UTF-16": TEXT.encode("utf-16"),
    "zeros": b"\x00" * 300,
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_notebook_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content = REFUSED[name]
    path = tmp_path / "01_birds.ipynb"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    refusal(lambda: cells.read(path), "01_birds.ipynb")


def test_a_notebook_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for start in (b"", codecs.BOM_UTF8):
        (tmp_path / "a.ipynb").write_bytes(start + TEXT.encode())
        try:
            assert len(cells.read(tmp_path / "a.ipynb").cells) == 2
        except ValueError as error:
            assert start
            check_refusal(error, "a.ipynb")


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ipynb")
    refusal(lambda: cells.read(tmp_path / "pipe.ipynb"), "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    refusal(lambda: cells.read(tmp_path / "folder.ipynb"), "folder.ipynb")
    refusal(lambda: cells.read(tmp_path / "absent.ipynb"), "absent.ipynb")
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "absent.ipynb")
    refusal(lambda: cells.read(tmp_path / "link.ipynb"), "link.ipynb")


def test_a_file_of_many_gigabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "large.ipynb").open("wb") as file:
        file.truncate(2**33)  # sparse: it takes no room
    began = time.process_time()
    refusal(lambda: cells.read(tmp_path / "large.ipynb"), "large.ipynb")
    assert time.process_time() - began < 2


LONG = [
    "<" * 200_000,
    "`" * 200_000,
    "$" * 200_000,
    "[" * 200_000,
    "/" * 200_000,
    "9" * 200_000,
    "a" * 400_000,
    "\x1b[" * 100_000,
    "0." * 100_000,
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: repr(text[:2]))
def test_an_output_of_many_equal_letters_is_normalised_soon(text: str) -> None:
    from press.check import checks
    from press.normalise import normalise

    made = nbformat.reads(TEXT, as_version=4)
    made.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    began = time.process_time()
    normalise(made)
    assert [pattern.search(text) for pattern in (checks.PLACE, checks.SITE, checks.TIME)] == [None] * 3
    assert time.process_time() - began < 3


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ipynb"
    cells.write(GOOD, path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "replace", full)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"a\.ipynb"):
        cells.write(GOOD, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]
