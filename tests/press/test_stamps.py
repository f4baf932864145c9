"""What a stamp says, when it is written, and that outputs which no run made are found."""

import json
from pathlib import Path

import nbformat
import pytest
from notebook_kit import as_text, executed, put

from press import cells, freshness, stamps
from press.chapter import Chapter
from press.run.run import run

ABOUT = {
    "date": "2026-01-02",
    "profile": "book",
    "seconds": 3,
    "memory_mb": 100,
    "machine": "CPU",
    "data": {"d": "1"},
}


@pytest.fixture
def clone(clone: Path):
    """A clone whose one chapter is stamped."""
    path = put(clone, "01_cam", "x = 0.5\nprint(x)", begin=False)
    made = executed(cells.read(path), {"code-0": [nbformat.v4.new_output("stream", text="0.5\n")]})
    cells.write(made, path)
    stamps.stamp(clone, "01_cam", made, ABOUT)
    assert problems(clone) == ""
    return clone


def problems(clone: Path) -> str:
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    return as_text(stamps.stamped(Chapter(path, cells.read(path))))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_stamp_says_when_where_and_from_what(clone):
    record = json.loads((clone / "book" / "stamps.json").read_text())["01_cam"]
    assert (record["date"], record["profile"], record["seconds"], record["memory_mb"]) == ("2026-01-02", "book", 3, 100)
    assert record["machine"] == "CPU"
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert record["data"] == {"d": "1"}


@pytest.mark.parametrize(("old", "new"), [('"0.5\\n"', '"0.6\\n"'), ('"0.5\\n"', "")], ids=["edited", "stripped"])
def test_outputs_that_no_run_made_are_found(clone, old, new):
    edit(clone / "book/chapters/01_cam.ipynb", old, new)
    assert "stores other outputs than its last run made" in problems(clone)


def test_a_chapter_without_a_stamp_is_found(clone):
    (clone / "book" / "stamps.json").unlink()
    assert "has no stamp" in problems(clone)


def test_a_broken_file_says_what_to_do(clone):
    (clone / "book" / "stamps.json").write_text("<<<<<<<")
    with pytest.raises(ValueError, match="either side of the merge"):
        problems(clone)


def test_runs_stamp_confirm_and_refuse(clone):
    """One chapter, executed three times by a real kernel: stored, confirmed after a harmless change, refused."""
    path = clone / "book" / "chapters" / "01_cam.ipynb"

    def outcome(**options) -> str:
        return "".join(job.failure for job in run(clone, tell=lambda line: None, **options))

    assert outcome(store="outputs") == ""
    first = stamps.read(clone)["01_cam"]
    assert first["seconds"] >= 0
    assert first["memory_mb"] > 20
    assert first["machine"].startswith("CPU, one thread (")
    assert len(first["data"]["critters"]) == freshness.DIGITS
    assert problems(clone) == ""

    edit(path, "x = 0.5", "x = 0.52 ")
    assert outcome(store="confirm") == ""
    assert problems(clone) == ""
    assert cells.read(path).cells[-1].outputs[0].text == "0.5\n", "what is stored stays"

    edit(path, "x = 0.52 ", "x = 0.7")
    assert "prints `0.7` where `0.5` is stored" in outcome(store="confirm")
    assert "wsss run 01_cam --in-place" in outcome(store="confirm")
