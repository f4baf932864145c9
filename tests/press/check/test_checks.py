from pathlib import Path, PurePosixPath, PureWindowsPath

import nbformat
import pytest
from notebook_kit import PARAMETERS, as_text, executed, notebook, put

from press import cells, first_cell
from press.chapter import Chapter
from press.check import checks
from press.check.everything import check, listing
from press.normalise import normalise
from press.project import ProjectError

v4 = nbformat.v4
PICTURE = {"image/png": "aGk="}


@pytest.fixture
def chapter(tmp_path):
    """Make a chapter as it would be stored, with outputs, changed by a function before it is written."""

    def make(*codes, change=None, outputs=(), tags=(), raw=False, **options):
        made = notebook("01_cam", *(codes or ("x = 1",)), **options)
        executed(made, {cells.code_cells(made)[-1].id: outputs})
        if tags:
            made.cells[-1].metadata["tags"] = list(tags)
        if change:
            change(made)
        path = tmp_path / "01_cam.ipynb"
        cells.write(made if raw else normalise(made), path)
        return Chapter(path, cells.read(path))

    return make


def messages(one, chapter) -> str:
    return as_text(one(chapter))


def printed(text):
    return [v4.new_output("stream", text=text)]


def test_a_good_chapter_has_no_problem(chapter):
    good = chapter(outputs=[v4.new_output("display_data", PICTURE, metadata={"image/png": {"alt": "A cat, lit"}})])
    assert [str(p) for one in checks.CHECKS for p in one(good)] == []


def test_an_unnormalised_file_is_found_and_mended(chapter):
    bad = chapter(change=lambda nb: nb.metadata.update(papermill={}), raw=True)
    assert "run `wsss check --fix`" in messages(checks.normalised, bad)
    assert checks.fix(bad)
    assert messages(checks.normalised, Chapter(bad.path, cells.read(bad.path))) == ""
    assert not checks.fix(Chapter(bad.path, cells.read(bad.path)))


def test_a_stored_error_is_found_in_cells_and_widgets(chapter):
    error = v4.new_output("error", ename="KeyError", evalue="x", traceback=[])
    assert "KeyError: x" in messages(checks.executed, chapter(outputs=[error]))
    state = {"a" * 32: {"state": {"outputs": [{"output_type": "error", "ename": "E", "evalue": "y"}]}}}
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    bad = chapter(change=lambda nb: nb.metadata.update(widgets=widgets), raw=True)
    assert "a widget's callback: stores an error (E: y)" in messages(checks.executed, bad)


def test_a_large_file_is_found_with_its_largest_cell(chapter):
    big = [v4.new_output("display_data", {"image/png": "A" * 1_600_000})]
    assert "1.60 MB" in messages(checks.size, chapter("small", "large", outputs=big))
    assert "code-1: large" in messages(checks.size, chapter("small", "large", outputs=big))
    assert messages(checks.size, chapter()) == ""


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (PARAMETERS + "\nextra = 1", "expected exactly profile, seed"),
        (PARAMETERS.replace("seed = 0\n", ""), "expected exactly profile, seed"),
        (PARAMETERS.replace('"book"', '"smoke"'), "expected 'book'"),
        (PARAMETERS.replace("seed = 0", 'seed = "0"'), "expected a whole number for seed"),
        (PARAMETERS.replace('"auto"', "0"), "texts for the rest"),
        (None, "no cell tagged 'parameters'"),
    ],
    ids=["one too many", "one too few", "another profile", "seed as text", "device as number", "no tag"],
)
def test_a_wrong_parameters_cell_is_found(chapter, parameters, reason):
    assert reason in messages(checks.parameters_cell, chapter(parameters=parameters))


def test_a_changed_bootstrap_cell_is_found_and_mended(chapter):
    def shorten(nb):
        nb.cells[1].source = 'from wsss_lib.notebook import begin\n\nbegin(chapter="02_other")'

    bad = chapter(change=shorten)
    assert "is not the bootstrap cell" in messages(checks.bootstrap_cell, bad)
    checks.fix(bad)
    mended = cells.read(bad.path)
    assert [c.source for c in cells.code_cells(mended)] == [first_cell.source("01_cam"), PARAMETERS, "x = 1"]


def test_a_missing_bootstrap_cell_is_put_before_the_parameters(chapter):
    bad = chapter(begin=False)
    checks.fix(bad)
    assert cells.code_cells(cells.read(bad.path))[0].source == first_cell.source("01_cam")
    assert cells.read(bad.path).cells[0].cell_type == "markdown"


@pytest.mark.parametrize(
    "alt",
    [
        None,
        "",
        "figure",
        "two words",
        "plot of the map.png",
        "0123456789abcdef is a hash",
        "<Figure size 640x480 with 1 Axes>",
        "see the file MAP.PNG",
        "TODO: describe what it shows",
        "the the the map",
    ],
)
def test_a_picture_without_a_description_is_found(chapter, alt):
    about = {"image/png": {"alt": alt}} if alt is not None else {}
    bad = chapter(outputs=[v4.new_output("display_data", PICTURE, metadata=about)])
    assert "figures.show(fig, alt=…)" in messages(checks.alt_text, bad)


def test_pictures_in_html_are_checked_too(chapter):
    for bad in ('<IMG src="a.svg">', "<img alt=map src=a.svg>", '<img src="a"><img alt="A dog, lit" src="b">'):
        html = v4.new_output("display_data", {"text/html": bad})
        assert messages(checks.alt_text, chapter(outputs=[html])).count("<img> whose alt is") == 1
    html = v4.new_output("display_data", {"text/html": "<img src=a alt='A dog, lit'>"})
    assert messages(checks.alt_text, chapter(outputs=[html])) == ""


def test_a_tag_that_tools_read_differently_is_found(chapter):
    assert "papermill stops" in messages(checks.tags_known, chapter(tags=["raises-exception"]))
    assert messages(checks.tags_known, chapter(tags=["nbval-skip"])) == ""


@pytest.mark.parametrize(
    "folder", ["home", "root", "Users", "tmp", "mnt", "opt", "usr", "var", "private", "scratch", "nfs", "Volumes"]
)
def test_a_path_of_this_machine_is_found(chapter, folder):
    path = PurePosixPath("/", folder, "x.png")
    for text in (f"saved {path}", f"({path})", f"{path}:1"):
        assert "a path of this machine" in messages(checks.places_and_times, chapter(outputs=printed(text)))


@pytest.mark.parametrize(
    "path",
    [
        Path.home() / "x",
        PureWindowsPath("C:/", "x"),
        PurePosixPath("C:/x"),
        Path("~", "x"),
        Path("python3/dist-packages/a.py:1"),
    ],
)
def test_a_home_a_drive_and_a_package_are_paths_too(chapter, path):
    assert "a path of this machine" in messages(checks.places_and_times, chapter(outputs=printed(f"in {path}")))


@pytest.mark.parametrize(
    "text",
    [
        "took 3.2 s",
        "12 ms",
        "0.5 seconds",
        "3.1 it/s",
        "at 12:30:59",
        "2026-11-21",
        " 50%|###",
        "2026-11-21T10:00",
        "took 3.2s",
        "3 min",
        "2m 3s",
        "21 Nov 2026",
        "Nov 21, 2026",
        "21.11.2026",
        "00:12<00:30",
    ],
)
def test_a_time_is_found_unless_nbval_ignores_the_cell(chapter, text):
    assert "differs at each run" in messages(checks.places_and_times, chapter(outputs=printed(text)))
    ignored = chapter(outputs=printed(text), tags=["nbval-ignore-output"])
    assert messages(checks.places_and_times, ignored) == ""


def test_a_path_and_a_time_are_found_in_html_too(chapter):
    def verdict(html: str) -> str:
        return messages(checks.places_and_times, chapter(outputs=[v4.new_output("display_data", {"text/html": html})]))

    home = PurePosixPath("/", "home", "x")
    assert "a path of this machine" in verdict(f"<td>{home}</td>")
    assert "a path of this machine" in verdict(f"<a href='{home.as_uri()}'>x</a>")
    assert "differs at each run" in verdict("<td>12</td><td>2026-11-21</td>")
    embedded = "data:image/png;base64," + f"AAA{PurePosixPath('/', 'tmp')}/" * 40
    assert (
        verdict(f"<style>p {{ transition: 0.2s }}</style><script>wait(20 * ms)</script><img alt='A' src='{embedded}'>")
        == ""
    )


def test_a_printed_traceback_is_found(chapter):
    text = "Traceback (most recent call last):\n  …\nZeroDivisionError: division by zero"
    assert "the run went on" in messages(checks.executed, chapter(outputs=printed(text)))


@pytest.mark.parametrize("text", ["3 seeds", "1e-3", "book/chapters/01_cam.ipynb", "5 species", "50%", "a/home/b"])
def test_what_only_looks_like_one_is_not(chapter, text):
    assert messages(checks.places_and_times, chapter(outputs=printed(text))) == ""


def test_a_widget_without_an_html_twin_is_found(chapter):
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "IntSlider()"}
    assert "invisible in the page" in messages(checks.controls, chapter(outputs=[v4.new_output("display_data", view)]))
    both = v4.new_output("display_data", view | {"text/html": "<p>"})
    assert messages(checks.controls, chapter(outputs=[both])) == ""


def test_a_long_cell_is_found(chapter):
    assert "has 41 lines" in messages(checks.cell_length, chapter("\n".join(["x = 1"] * 41)))
    assert messages(checks.cell_length, chapter("\n".join(["x = 1"] * 40))) == ""


def test_checks_are_chosen_by_name(clone):
    put(clone, "01_cam", "x = 1\n" * 41)
    assert [p.message for p in check(clone, ["cam"], only=["cell_length"])] == [
        "has 41 lines, expected at most 40: split it"
    ]
    assert len({name for name, _ in listing()}) == len(listing())
    assert all(summary for _, summary in listing())
    with pytest.raises(ProjectError, match="there is no check 'oops'"):
        check(clone, only=["oops"])


def test_fix_works_through_check(clone):
    path = put(clone, "01_cam", "x", begin=False)
    check(clone, ["cam"], fix=True, only=["bootstrap_cell"])
    assert cells.code_cells(cells.read(path))[0].source == first_cell.source("01_cam")
