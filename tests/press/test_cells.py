"""The gate for notebooks: what is none is refused in one sentence, and nothing that passes stops a check."""

import copy
import json
import os
import time
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notebook_kit import executed, notebook

from press import cells
from press.chapter import Chapter
from press.check.everything import OF_A_CHAPTER
from press.normalise import normalise

v4 = nbformat.v4


def whole() -> dict:
    """A chapter with every kind of cell, output and metadata, as JSON."""
    made = notebook("01_cam", ("def f(): ...", {"tags": ["exercise"], "mirror": "wsss_lib.maps.masks.resize"}), "x")
    made.cells.append(v4.new_markdown_cell("![A map, lit left](a.png) and {cite:t}`zhou2016cam`", id="text"))
    made.cells[-2].metadata |= {"tags": ["check"], "wrong": ["def f(): return 1"], "tolerance": {"absolute": 0.1}}
    picture = v4.new_output("display_data", {"image/png": "aGk="}, metadata={"image/png": {"alt": "A map, lit left"}})
    error = v4.new_output("error", ename="E", evalue="x", traceback=["x"])
    outputs = [picture, v4.new_output("stream", text="0.5\n"), v4.new_output("execute_result", {"text/html": "<p>"})]
    return json.loads(cells.dumps(executed(made, {"code-0": outputs, "code-1": [error]})))


def places(node: object, at: tuple = ()) -> list[tuple]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at] * bool(at) + [place for key, value in children for place in places(value, (*at, key))]


WHOLE = whole()
ODD = (None, 5, -1, True, "x", "\ud800", [], {}, [None], {"a": 1}, "…REMOVED")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(places(WHOLE)), odd=st.sampled_from(ODD))
def test_a_damaged_notebook_is_refused_in_a_sentence_or_checked(tmp_path, place, odd):
    damaged = copy.deepcopy(WHOLE)
    node = damaged
    for key in place[:-1]:
        node = node[key]
    if odd == "…REMOVED":
        del node[place[-1]]
    else:
        node[place[-1]] = odd
    (tmp_path / "book" / "chapters").mkdir(parents=True, exist_ok=True)
    path = tmp_path / "book" / "chapters" / "01_cam.ipynb"
    path.write_text(json.dumps(damaged))
    try:
        read = cells.read(path)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.startswith("01_cam.ipynb is not a notebook (")
        assert "\n" not in refusal
        return
    for check in OF_A_CHAPTER:
        assert all(str(problem) for problem in check(Chapter(path, read)))
    assert cells.dumps(normalise(read))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "holds a list"),
        (b"null", "holds a NoneType"),
        (b"[" * 100_000, "not JSON"),
        (json.dumps(WHOLE).encode("utf-16"), "not UTF-8"),
        (json.dumps(WHOLE, ensure_ascii=False).replace("x", "é").encode("latin-1"), "not UTF-8"),
        (json.dumps(WHOLE | {"nbformat": 5}).encode(), "format is 5, expected 4"),
        (json.dumps(WHOLE | {"nbformat": 3}).encode(), "format is 3, expected 4"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "no list of objects"),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path, content, reason):
    path = tmp_path / "01_cam.ipynb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        cells.read(path)
    assert "\n" not in str(error.value)


def test_what_is_no_file_or_too_large_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe.ipynb"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, tmp_path / "absent.ipynb"):
        with pytest.raises(ValueError, match=r"it is no file|no such file"):
            cells.read(path)
    path = tmp_path / "01_cam.ipynb"
    path.write_text(json.dumps(WHOLE))
    monkeypatch.setattr(cells, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="clear its outputs"):
        cells.read(path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "01_cam.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(WHOLE).encode())
    assert len(cells.read(path).cells) == len(WHOLE["cells"])


def test_a_full_disk_leaves_no_part_of_a_notebook(tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk is full"):
        cells.write(v4.new_notebook(), tmp_path / "01_cam.ipynb")
    assert list(tmp_path.iterdir()) == []


LENGTH = 100_000
PIECES = ["<", "<img ", "<script ", "<style>", "<svg ", "![", "[", "`", "$", "{cite", "0.", "url(", "```\n", "/", "A",
          "<img alt=", "\n\n", "- ", "**", "&", "\r", "Jan "]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_no_text_takes_a_check_longer_than_its_length(tmp_path, piece):
    text = (piece * LENGTH)[:LENGTH]
    made = notebook("01_cam", "x = 1")
    data = {"text/html": text, "text/plain": text, "text/markdown": text}
    executed(made, {"code-0": [v4.new_output("display_data", data), v4.new_output("stream", text=text)]})
    made.cells.append(v4.new_markdown_cell(text, id="text"))
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    chapter = Chapter(tmp_path / "book" / "chapters" / "01_cam.ipynb", made)
    cells.write(made, chapter.path)
    slow = {}
    for check in OF_A_CHAPTER:
        started = time.process_time()
        list(map(str, check(chapter)))
        if (seconds := time.process_time() - started) > 3:
            slow[check.__name__] = seconds
    assert not slow


def test_chapters_are_read_as_they_are_written():
    path = Path(__file__).resolve().parents[2] / "book" / "chapters" / "90_troubleshooting.ipynb"
    assert cells.dumps(cells.read(path)) == path.read_text()
