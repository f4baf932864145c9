"""What makes an executed chapter stale, and what does not; how running and testing share one run."""

import os
from pathlib import Path

import nbformat
import pytest
from notebook_kit import as_text, executed, lay, notebook, put

from press import cells, freshness
from press.chapter import Chapter
from press.check.fresh import fresh
from press.run import validate
from press.run.run import run

MAPS = '''"""Maps."""


def double(x):
    """Twice."""
    return 2 * x  # a comment
'''


@pytest.fixture
def clone(clone: Path):
    return lay(clone, {"wsss_lib/maps.py": MAPS, "wsss_lib/book.mplstyle": "a: 1", "results/cam.json": "{}"})


@pytest.fixture
def chapter():
    return notebook("01_cam", "a = 1", "b = 2")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb.cells[0].update(source="# Another title"),
        lambda nb: nb.cells.append(nbformat.v4.new_markdown_cell("More prose.")),
        lambda nb: nb.cells.append(nbformat.v4.new_code_cell("  ")),
        lambda nb: nb.cells[-1].update(source="b = 2  # a comment"),
        lambda nb: nb.cells[-1].update(outputs=[nbformat.v4.new_output("stream", text="2")], execution_count=7),
    ],
    ids=["title", "prose", "empty cell", "comment", "outputs"],
)
def test_what_cannot_change_an_output_does_not_count(clone, chapter, change):
    before = freshness.made_of(clone, chapter)
    change(chapter)
    assert freshness.made_of(clone, chapter) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb.cells[-1].update(source="b = 3"),
        lambda nb: nb.cells.append(nbformat.v4.new_code_cell("c = 3")),
        lambda nb: nb.cells.insert(3, nb.cells.pop()),
        lambda nb: nb.cells[2].metadata.pop("tags"),
        lambda nb: nb.cells[-1].update(source="b = 2\n%time b"),
    ],
    ids=["edited", "added", "reordered", "untagged", "magic"],
)
def test_code_counts(clone, chapter, change):
    before = freshness.made_of(clone, chapter)
    change(chapter)
    assert set(before.items()) - set(freshness.made_of(clone, chapter).items()) == {("cells", before["cells"])}


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("wsss_lib/maps.py", "2 * x", "x + x", "library"),
        ("wsss_lib/book.mplstyle", "1", "2", "library"),
        ("results/cam.json", "{}", "[]", "results"),
        ("uv.lock", "1", "2", "environment"),
        ("wsss_lib/maps.py", '"""Twice."""', '"""Two times."""', None),
        ("wsss_lib/maps.py", "# a comment", "# another", None),
        ("wsss_lib/maps.py", "double(x)", "double(x: float) -> float", None),
    ],
)
def test_the_files_around_a_chapter_count_as_far_as_they_compute(clone, chapter, file, old, new, part):
    before = freshness.made_of(clone, chapter)
    edit(clone / file, old, new)
    after = freshness.made_of(clone, chapter)
    assert [name for name in before if before[name] != after[name]] == ([part] if part else [])


def test_an_installed_version_counts(clone, chapter, monkeypatch):
    before = freshness.made_of(clone, chapter)["environment"]
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0")
    assert freshness.made_of(clone, chapter)["environment"] != before


@pytest.mark.parametrize("values", [{"seed": 1}, {"seed": "0"}, {"profile": "smoke"}])
def test_parameters_and_their_types_count(clone, chapter, values):
    base = freshness.made_of(clone, chapter, {"profile": "book", "seed": 0})
    assert freshness.made_of(clone, chapter, {"profile": "book", "seed": 0} | values) != base


@pytest.mark.parametrize("name", ["data", "backbone"])
def test_what_a_parameter_names_counts_by_content(clone, chapter, tmp_path, name):
    def now():
        return freshness.made_of(clone, chapter, {name: str(tmp_path / "mine")})["data"]

    absent = now()
    lay(tmp_path, {"mine/photos/a.txt": "one"})
    first = now()
    (tmp_path / "mine/photos/a.txt").write_text("two")
    second = now()
    (tmp_path / "mine/photos/a.txt").rename(tmp_path / "mine/photos/b.txt")
    assert len({absent, first, second, now()}) == 4


def test_a_run_on_local_data_is_repeated_when_the_data_change(clone, tmp_path):
    """As typed: an absolute path, whose file is replaced under its old name, size and time."""
    table = tmp_path / "table.txt"
    put(clone, "01_cam", "print(open(data).read())", begin=False)

    def printed(text: str) -> str:
        table.write_text(text)
        os.utime(table, (1, 1))
        (job,) = run(clone, given={"data": str(table)}, tell=lambda line: None)
        assert not job.failure
        return cells.code_cells(cells.read(job.target))[-1].outputs[0].text

    assert printed("one") == "one\n"
    assert printed("two") == "two\n"


def test_a_damaged_record_is_no_record(tmp_path):
    target = tmp_path / "01_cam.ipynb"
    assert freshness.read_record(target) == {}
    target.write_text("{}")
    for text in ("", "[]", "{", "null"):
        (tmp_path / "01_cam.json").write_text(text)
        assert freshness.read_record(target) == {}
    freshness.write_record(target, {"cells": "1"})
    assert freshness.read_record(target) == {"parts": {"cells": "1"}, "about": {}}


def problems(clone: Path) -> str:
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    return as_text(fresh(Chapter(path, cells.read(path))))


def stored(clone: Path, code: str, text: str) -> None:
    path = put(clone, "01_cam", code, begin=False)
    output = [nbformat.v4.new_output("stream", text=text)]
    cells.write(executed(cells.read(path), {"code-0": output}), path)


def test_testing_and_running_share_one_execution(clone, tmp_path):
    count = f"from pathlib import Path\np = Path({str(tmp_path / 'count')!r})\nn = p.exists() and int(p.read_text())\n"
    stored(clone, count + "p.write_text(str(n + 1))\nprint(0.5)", "0.5\n")

    def executions() -> int:
        return int((tmp_path / "count").read_text())

    assert "(none was made here)" in problems(clone)
    assert validate.main(clone, jobs=1) == 0
    assert executions() == 1
    assert problems(clone) == ""
    (job,) = run(clone, tell=lambda line: None)
    assert (job.cached, job.failure, executions()) == (True, "", 1), "the test's run is the book's"
    assert cells.code_cells(cells.read(job.target))[-1].outputs[0].text == "0.5\n"
    assert validate.main(clone, jobs=1) == 0
    assert executions() == 1, "and the book's is the test's"

    edit(clone / "wsss_lib/maps.py", "2 * x", "x + x")
    assert "no run of the present code agrees (library changed): run `wsss run 01_cam --confirm`" in problems(clone)
    assert not run(clone, tell=lambda line: None)[0].failure
    assert executions() == 2
    assert problems(clone) == ""


def test_a_run_that_differs_is_the_books_but_no_agreement(clone, capfd):
    stored(clone, "print(0.5)", "0.7\n")
    (job,) = run(clone, tell=lambda line: None)
    assert not job.failure
    assert "(the last one differs\n  cell 3 (code-0: print(0.5)) prints `0.5` where `0.7` is stored)" in problems(clone)
    assert validate.main(clone, jobs=1) == 1, "it is executed again, and what differs is said"
    assert "prints `0.5` where `0.7` is stored" in capfd.readouterr().out


def test_an_exercise_is_tried_on_wrong_answers_in_every_run_of_the_book(clone):
    check = (
        "assert f() == 1, 'f() is another number: count again'",
        {"tags": ["check"], "wrong": ["def f(): return 1"]},
    )
    made = notebook(
        "01_cam", ("def f(): ...", {"tags": ["exercise"]}), ("def f():\n    return 1", {"tags": ["solution"]}), check,
        begin=False,
    )  # fmt: skip
    made.cells.insert(-3, nbformat.v4.new_markdown_cell("**Exercise 1.** Count.", id="task"))
    cells.write(made, clone / "book" / "chapters" / "01_cam.ipynb")
    (job,) = run(clone, tell=lambda line: None)
    assert "TrialError: the check accepts a wrong answer" in job.failure
    made.cells[-1].metadata["wrong"] = ["def f(): return 2"]
    cells.write(made, clone / "book" / "chapters" / "01_cam.ipynb")
    (job,) = run(clone, tell=lambda line: None)
    assert not job.failure
    assert [cell.id for cell in cells.read(job.target).cells] == [cell.id for cell in made.cells]
