"""The silent holes, one row each: a good chapter passes `wsss check`, and the same chapter with one hole does not.

Through the front door, so that a guard that is taken off the list fails here. What only a run can see is in
``test_run`` (misspelt parameters, callbacks), ``test_compare`` and ``test_tolerance`` (numbers, figures),
``test_without_clone`` (chapters that need the clone); what the build sees (dead links, citations) in ``test_book``.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_kit import as_text, executed, lay, notebook

from press import cells, freshness, stamps
from press.check.everything import check
from press.normalise import normalise
from wsss_lib.methods.cam import global_average_pool

v4 = nbformat.v4
NAME = "90_tiny"
ROOT = Path(__file__).resolve().parents[2]
MIRROR = "wsss_lib.methods.cam.global_average_pool"
ABOUT = {"date": "2026-01-02", "profile": "book", "seconds": 1, "memory_mb": 1, "machine": "CPU", "data": {}}
WIDGETS = "application/vnd.jupyter.widget-state+json"


def good() -> cells.Notebook:
    """A chapter with a figure, a sentence, a mirrored definition, a derived one with its assertion, and prose."""
    mirrored = inspect.getsource(global_average_pool)
    made = notebook(
        NAME,
        "from wsss_lib import maps\nfrom wsss_lib.maps import resize\nshow(fig, alt=text)",
        'say(f"The IoU is {iou:.2f} at threshold 0.3.")',
        (mirrored, {"mirror": MIRROR}),
        ("def my_resize(maps, size):\n    return maps", {"derives": "wsss_lib.maps.scores.resize"}),
        "assert my_resize(m, 2) == resize(m, 2)",
        ("print(0.5)", {"tolerance": {"absolute": 0.02}}),
    )
    made.cells.append(v4.new_markdown_cell("(label)=\n## More\n\nSee [the terms](../glossary), {cite:t}`zhou2016cam`."))
    picture = v4.new_output("display_data", {"image/png": "aGk="}, metadata={"image/png": {"alt": "A map, lit left"}})
    said = v4.new_output("display_data", {"text/markdown": "The IoU is 0.46."})
    return executed(made, {"code-0": [picture], "code-1": [said], "code-5": [v4.new_output("stream", text="0.5\n")]})


@pytest.fixture
def book(clone: Path):
    """Write the chapter, changed before it is stamped or after, and tell what `wsss check` says."""
    lay(clone, {"wsss_lib/maps.py": "def resize(x):\n    return x\n", "wsss_lib/__init__.py": ""})
    lay(clone, {"book/references.bib": "@article{zhou2016cam,\n}\n", "book/glossary.md": "# Terms\n\nText.\n"})
    path = clone / "book" / "chapters" / f"{NAME}.ipynb"

    def checked(
        change: Callable[[Any], Any] | None = None,
        *,
        stored: Callable[[Any], Any] | None = None,
        raw: Callable[[str], str] | None = None,
        files: dict[str, str] | None = None,
    ) -> str:
        made = good()
        if change:
            change(made)
        made = normalise(made)
        cells.write(made, path)
        stamps.stamp(clone, NAME, made, ABOUT)
        ran = clone / "_build" / "run" / "book" / path.name
        cells.write(made, ran)
        freshness.write_record(ran, freshness.made_of(clone, made))
        if stored:
            stored(made)
            cells.write(normalise(made), path)
        if raw:
            path.write_text(raw(path.read_text()))
        lay(clone, files or {})
        return as_text(check(clone))

    return checked


def test_the_good_chapter_passes(book):
    assert book() == ""


def cell(made: Any, name: str) -> Any:
    return next(c for c in made.cells if c.get("id") == name)


def output(name: str, **data: str) -> Callable[[Any], None]:
    """Give a cell one more output."""
    mime, text = next(iter(data.items()))
    added = v4.new_output("display_data", {mime.replace("_", "/") if "/" not in mime else mime: text})
    return lambda made: cell(made, name).outputs.append(added)


def alt(text: str | None) -> Callable[[Any], None]:
    about = {"image/png": {"alt": text}} if text is not None else {}
    return lambda made: cell(made, "code-0").outputs[0].update(metadata=about)


def source(name: str, old: str, new: str) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        assert old in cell(made, name).source
        cell(made, name).source = cell(made, name).source.replace(old, new)

    return change


def prose(text: str) -> Callable[[Any], None]:
    return lambda made: made.cells.append(v4.new_markdown_cell(text, id="prose"))


IN_THE_CHAPTER = {
    "a misspelt parameter": (source("parameters", "seed = 0", "sed = 0"), "sets profile, sed, data"),
    "a missing parameter": (source("parameters", "seed = 0\n", ""), "expected exactly profile, seed"),
    "no parameters cell": (lambda nb: cell(nb, "parameters").metadata.pop("tags"), "no cell tagged 'parameters'"),
    "a parameter overruled": (source("code-5", "print", "seed = 3\nprint"), "overwrites the parameter seed"),
    "a callback that nothing calls": (source("code-5", "print", "interact(draw)\nprint"), "which no test calls"),
    "a tolerance that nobody measured": (
        lambda nb: cell(nb, "code-5").metadata.update(tolerance={"absolute": 0.1}), "is the most that was measured"
    ),
    "a tolerance misspelt": (lambda nb: cell(nb, "code-5").metadata.update(tolerance={"a": 1}), "states the tolerance"),
    "alt text missing": (alt(None), "whose alternative text is ''"),
    "alt text like a hash": (alt("picture of 0123456789abcdef0123456789abcdef here"), "whose alternative text is"),
    "alt text like a file": (alt("the file map.png of this chapter"), "whose alternative text is"),
    "a result typed into prose": (prose("The IoU is 0.46."), "types the number 0.46"),
    "a result typed into a sentence": (source("code-1", "{iou:.2f}", "0.46"), "types the number 0.46"),
    "a twin that drifted": (source("code-2", "return ", "return 2 * "), "is no longer the code of wsss_lib"),
    "an undeclared namesake": (lambda nb: cell(nb, "code-2").metadata.pop("mirror"), "which the library has as"),
    "an address that an output needs": (output("code-5", text_html="<script src='//e.org/a.js'></script>"), "e.org"),
    "an address that the text needs": (prose("![A map, lit](https://e.org/a.png)"), "needs https://e.org/a.png"),
    "a time": (output("code-5", text_plain="took 3.2 s"), "prints a time"),
    "a path": (output("code-5", text_plain=f"in {Path.home() / 'x'}"), "a path of this machine"),
    "1.5 MB": (output("code-5", application_json="x" * 1_500_001), "expected at most 1.5 MB"),
    "another bootstrap cell": (source("bootstrap", "-q", "-qq"), "is not the bootstrap cell"),
    "a tag that papermill ignores": (
        lambda nb: cell(nb, "code-5").metadata.update(tags=["raises-exception"]), "papermill stops"
    ),
    "a widget without a twin": (
        output("code-5", **{"application/vnd.jupyter.widget-view+json": "{}"}), "invisible in the page"
    ),
    "a long cell": (source("code-5", "print", "x = 1\n" * 40 + "print"), "has 41 lines"),
    "a namesake by lambda": (source("code-5", "print", "resize = lambda x: x\nprint"), "which the library has as"),
    "an exercise without its check": (
        lambda nb: cell(nb, "code-5").metadata.update(tags=["exercise"]), "tagged exercise, solution and check"
    ),
    "a helper that only the clone has": (source("code-5", "print", "import helpers\nprint"), "imports helpers, which"),
}  # fmt: skip


@pytest.mark.parametrize("hole", IN_THE_CHAPTER)
def test_a_hole_in_a_chapter_is_found(book, hole):
    change, reason = IN_THE_CHAPTER[hole]
    said = book(change)
    assert reason in said
    assert said.startswith(NAME)
    assert said.splitlines()[0].count(": ") >= 2, "the cell, what is wrong, what to do"


UNHEARD = {
    "a cell that is no Python": ("(", "invalid-syntax"),
    "an error dropped": ("try:\n    draw()\nexcept Exception:\n    pass", "BLE001"),
    "any error dropped": ("try:\n    draw()\nexcept:\n    shown = None", "E722"),
    "an error replaced": ("try:\n    draw()\nexcept Exception as error:\n    x = 0", "BLE001"),
    "a failed assertion dropped": ("try:\n    assert x\nexcept AssertionError:\n    pass", "SIM105"),
    "an error expected": ("try:\n    read()\nexcept FileNotFoundError as error:\n    print(error)", ""),
    "an error passed on": ("try:\n    read()\nexcept Exception:\n    raise", ""),
}


@pytest.mark.parametrize("hole", UNHEARD)
def test_the_style_check_hears_what_no_run_would(tmp_path, hole):
    """`make lint` reads chapters too, by the settings of the project."""
    code, rule = UNHEARD[hole]
    cells.write(v4.new_notebook(cells=[v4.new_code_cell(code, id="code")]), tmp_path / "01_cam.ipynb")
    options = ["--no-cache", "--ignore=F821", f"--config={ROOT / 'pyproject.toml'}", "01_cam.ipynb"]
    command = [sys.executable, "-m", "ruff", "check", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, rule in done.stdout) == (int(bool(rule)), True), done.stdout + done.stderr


def test_a_derivation_without_its_assertion_is_found(book):
    assert "no later cell asserts that my_resize equals it" in book(lambda nb: nb.cells.remove(cell(nb, "code-4")))


def test_outputs_of_a_changed_library_are_found(book):
    said = book(files={"wsss_lib/maps.py": "def resize(x):\n    return -x\n"})
    assert "no run of the present code agrees (library changed): run `wsss run 90_tiny --confirm`" in said


def test_outputs_that_no_run_made_are_found(book):
    """Changed by hand, stripped by an editor or a hook, of a cell that nobody has executed."""
    changed = "stores other outputs than its last run made"
    assert changed in book(stored=lambda nb: [c.update(outputs=[]) for c in nb.cells if "outputs" in c])
    assert changed in book(stored=lambda nb: cell(nb, "code-5").update(execution_count=None, outputs=[]))
    assert changed in book(stored=lambda nb: cell(nb, "code-5").outputs[0].update(text="0.6\n"))
    assert changed in book(stored=lambda nb: cell(nb, "code-0").outputs[0].data.update({"image/png": "aGkh"}))


def test_a_cell_added_since_the_last_run_is_found(book):
    added = v4.new_code_cell("x = 1", id="added")
    assert "agrees (cells changed): run `wsss run" in book(stored=lambda nb: nb.cells.append(added))


def test_an_exception_in_a_callback_is_found(book):
    error = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero"}
    state = {"widgets": {WIDGETS: {"state": {"a" * 32: {"state": {"outputs": [error]}}}}}}
    said = book(raw=lambda text: json.dumps(json.loads(text) | {"metadata": state}, indent=1))
    assert "stores an error (ZeroDivisionError: division by zero)" in said


def test_a_file_that_is_not_normalised_is_found(book):
    def editor(text: str) -> str:
        return json.dumps(json.loads(text) | {"metadata": {"vscode": {}}}, indent=1) + "\n"

    assert "is not normalised: run `wsss check --fix`" in book(raw=editor)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("book/welcome.md", "# W\n\nAn IoU of 0.46.\n", "book/welcome.md: types the number 0.46"),
        ("book/assets/a.css", "p { background: url(https://e.org/a.png) }", "needs https://e.org/a.png"),
        ("_build/html/a.html", '<script src="https://e.org/a.js"></script>', "fetches https://e.org/a.js"),
        ("_build/html/_static/a.css", "@import 'https://e.org/a.css'", "fetches https://e.org/a.css"),
        ("_build/html/a.html", '<a href="b.html">x</a>', "links to b.html, which does not exist"),
        ("_build/html/a.html", '<a href="#b">x</a>', "that page has no such place"),
        ("_build/html/a.html", '<img src="_images/0123.png" alt="">', "shows 0123.png with the alternative text ''"),
        ("_build/html/a.html", '<img src="x.png" alt="0123456789abcdef01">', "with the alternative text '0123456789"),
    ],
)
def test_a_hole_in_a_page_is_found(book, clone, file, text, reason):
    (clone / "_build/html/_images").mkdir(parents=True)
    (clone / "_build/html/_images/0123.png").touch()
    (clone / "_build/html/x.png").touch()
    said = book(files={file: text})
    assert reason in said
    assert "\n" not in said
