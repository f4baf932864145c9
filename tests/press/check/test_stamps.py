"""What a stamp says, and every way in which stored outputs can come to belong to something else."""

import json
from pathlib import Path

import nbformat
import pytest
from notebook_kit import executed, lay, put, told

from press import cells
from press.check import stamps
from press.check.checks import Chapter
from press.check.everything import check
from press.run.run import run

CODE = "from wsss_lib import maps\nprint(maps.double(0.25))"
MAPS = '''"""Maps."""
from wsss_lib.parts import FACTOR, unused


def double(x):
    """Twice."""
    return FACTOR * x  # a comment


def other(x):
    return x
'''
ABOUT = {
    "date": "2026-01-02",
    "profile": "book",
    "seconds": 3.4,
    "memory_mb": 99.6,
    "machine": "CPU",
    "data": {"d": "1"},
}


@pytest.fixture
def clone(clone: Path):
    """A clone whose one chapter is stamped."""
    parts = "FACTOR = 2\n\n\ndef unused():\n    pass\n"
    lay(clone, {"wsss_lib/__init__.py": "", "wsss_lib/maps.py": MAPS, "wsss_lib/parts.py": parts})
    lay(clone, {"results/cam.json": "{}"})
    path = put(clone, "01_cam", CODE + "\nname = 'cam'", begin=False)
    made = executed(cells.read(path), {"code-0": [nbformat.v4.new_output("stream", text="0.5\n")]})
    cells.write(made, path)
    stamps.stamp(clone, "01_cam", made, ABOUT)
    assert problems(clone) == ""
    return clone


def problems(clone: Path) -> str:
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    return told(stamps.stamped(Chapter(path, cells.read(path))))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_stamp_says_when_where_and_from_what(clone):
    record = json.loads((clone / "book" / "stamps.json").read_text())["01_cam"]
    assert (record["date"], record["profile"], record["seconds"], record["memory_mb"]) == ("2026-01-02", "book", 3, 100)
    assert record["machine"] == "CPU"
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert list(record["data"]) == ["d", "results/cam.json"]
    assert list(record["parts"]) == ["cells", "results/cam.json", "wsss_lib.maps", "wsss_lib.parts"]
    assert record["key"] == stamps.key(record["parts"])


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("wsss_lib/maps.py", '"""Twice."""', '"""Two times."""'),
        ("wsss_lib/maps.py", "# a comment", "# another"),
        ("wsss_lib/maps.py", "def double(x)", "def double(x: float)"),
        ("wsss_lib/maps.py", "return x\n", "return -x\n"),
        ("wsss_lib/parts.py", "    pass", "    return 1"),
        ("book/chapters/01_cam.ipynb", "# 01_cam", "# CAM"),
        ("book/chapters/01_cam.ipynb", "(0.25))", "( 0.25))  # why"),
    ],
    ids=["docstring", "comment", "annotation", "unreached", "imported, unused", "prose", "layout"],
)
def test_what_cannot_change_an_output_leaves_the_stamp_valid(clone, file, old, new):
    edit(clone / file, old, new)
    assert problems(clone) == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("wsss_lib/maps.py", "FACTOR * x", "FACTOR + x", "wsss_lib.maps"),
        ("wsss_lib/parts.py", "FACTOR = 2", "FACTOR = 3", "wsss_lib.parts"),
        ("book/chapters/01_cam.ipynb", "(0.25))", "(0.75))", "cells"),
        ("results/cam.json", "{}", "[]", "results/cam.json"),
    ],
)
def test_what_can_is_named_with_the_remedy(clone, file, old, new, named):
    edit(clone / file, old, new)
    told = problems(clone)
    assert f"01_cam: stores outputs of other code ({named} changed): run `wsss run 01_cam --in-place`" in told
    assert "`wsss run 01_cam --confirm`" in told


@pytest.mark.parametrize(("old", "new"), [('"0.5\\n"', '"0.6\\n"'), ('"0.5\\n"', "")], ids=["edited", "stripped"])
def test_outputs_that_no_run_made_are_found(clone, old, new):
    edit(clone / "book/chapters/01_cam.ipynb", old, new)
    assert "stores other outputs than its last run made" in problems(clone)


def test_other_versions_are_found(clone, monkeypatch):
    there = stamps.versions()
    monkeypatch.setattr(stamps, "versions", lambda: there | {"torch": "0", "python": "3.99"})
    assert "other versions (torch changed): run `wsss run 01_cam --confirm`" in problems(clone)


def test_a_chapter_without_a_stamp_is_found(clone):
    (clone / "book" / "stamps.json").unlink()
    assert "has no stamp" in problems(clone)


def test_a_note_of_agreement_renews_a_stale_stamp_until_the_next_change(clone):
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    edit(clone / "wsss_lib/parts.py", "FACTOR = 2", "FACTOR = 1 + 1")
    assert problems(clone)
    stamps.agreed(clone, "01_cam", cells.read(path), stamps.made_of(clone, cells.read(path)))
    assert problems(clone) == ""
    edit(clone / "wsss_lib/parts.py", "FACTOR = 1 + 1", "FACTOR = 7")
    assert problems(clone)


@pytest.mark.parametrize("base", ["", "||||||| parent of 1a2b3c\n"], ids=["merge", "diff3"])
def test_two_authors_stamps_in_conflict_are_both_kept(clone, base):
    stamp = json.loads((clone / "book" / "stamps.json").read_text())["01_cam"]
    path = clone / "book" / "stamps.json"
    mine, theirs = ({"01_cam": stamp, name: {"date": name}} for name in ("03_bas", "04_sat"))
    sides = [json.dumps(side, indent=1, sort_keys=True).splitlines(keepends=True) for side in (mine, theirs)]
    same = next(i for i, pair in enumerate(zip(*sides, strict=True)) if len(set(pair)) > 1)
    blocks = ["".join(side[same:-2]) for side in sides]
    end = "".join(sides[0][-2:])
    conflict = f"<<<<<<< HEAD\n{blocks[0]}{base}=======\n{blocks[1]}>>>>>>> mine\n"
    path.write_text("".join(sides[0][:same]) + conflict + end)
    check(clone, fix=True, only=["tolerances"])
    assert json.loads(path.read_text()) == mine | theirs


def test_a_library_that_is_edited_while_a_chapter_runs_leaves_the_stamp_stale(clone):
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    before = stamps.made_of(clone, cells.read(path))
    edit(clone / "wsss_lib/parts.py", "FACTOR = 2", "FACTOR = 3")
    stamps.stamp(clone, "01_cam", cells.read(path), ABOUT, before)
    assert "wsss_lib.parts changed" in problems(clone)


def test_a_broken_file_says_what_to_do(clone):
    (clone / "book" / "stamps.json").write_text("<<<<<<<")
    with pytest.raises(ValueError, match="solve the merge"):
        problems(clone)


def test_runs_stamp_confirm_and_refuse(clone):
    """One chapter, executed three times by a real kernel: stored, confirmed after a harmless change, refused."""
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    made = cells.read(path)
    made.cells[-1].source = "x = 0.5\nprint(x)"
    cells.write(made, path)

    def outcome(**options) -> str:
        return "".join(job.failure for job in run(clone, tell=lambda line: None, **options))

    assert outcome(store="outputs") == ""
    first = stamps.read(clone)["01_cam"]
    assert first["seconds"] >= 0
    assert first["memory_mb"] > 20
    assert first["machine"].startswith("CPU, one thread (")
    assert len(first["data"]["critters"]) == stamps.DIGITS
    assert problems(clone) == ""
    assert first["parts"] == stamps.made_of(clone, cells.read(path))

    edit(path, "x = 0.5", "x = 0.52 ")
    assert "cells changed" in problems(clone)
    assert outcome(store="confirm") == ""
    assert problems(clone) == ""
    assert cells.read(path).cells[-1].outputs[0].text == "0.5\n", "what is stored stays"

    edit(path, "x = 0.52 ", "x = 0.7")
    assert "prints `0.7` where `0.5` is stored" in outcome(store="confirm")
    assert "wsss run 01_cam --in-place" in outcome(store="confirm")
    assert "cells changed" in problems(clone), "no stamp for what does not agree"
