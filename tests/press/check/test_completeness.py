import pytest
from notebook_kit import as_text, notebook

from press.chapter import Chapter
from press.check import completeness


def problems(tmp_path, check, *codes: str) -> str:
    made = notebook("01_cam", *codes)
    return as_text(p for p in check(Chapter(tmp_path / "01_cam.ipynb", made)) if "bootstrap" not in p.where)


@pytest.mark.parametrize(
    "code",
    ["seed = 1", "for seed in (0, 1): pass", "if x:\n    data = 'b'", "a, device = 1, 'cpu'", "import x as data"],
)
def test_a_parameter_that_is_overwritten_is_found(tmp_path, code):
    said = problems(tmp_path, completeness.parameters_kept, code)
    assert "overwrites the parameter" in said
    assert "wsss run -p" in said


@pytest.mark.parametrize(
    "code",
    [
        "device = pick_device(device)",
        "def f(seed):\n    data = seed",
        "x = [seed for seed in y]",
        "lab.seed = 1",
        "s = seed",
    ],
)
def test_a_parameter_that_is_used_is_not(tmp_path, code):
    assert problems(tmp_path, completeness.parameters_kept, code) == ""


@pytest.mark.parametrize(
    "code",
    [
        "interact(draw, x=(0, 3))",
        "ipywidgets.interact(lambda x: x, x=(0, 3))",
        "button.on_click(draw)",
        "slider.observe(handler=draw, names='value')",
        "@interact(x=(0, 3))\ndef draw(x):\n    pass",
    ],
)
def test_a_callback_that_nobody_calls_is_found(tmp_path, code):
    said = problems(tmp_path, completeness.callbacks_called, code)
    assert said.count("which no test calls: take a control of wsss_lib.explore") == 1
    assert problems(tmp_path, completeness.callbacks_called, "explore.dial('x', pictures, [1])") == ""


@pytest.mark.parametrize("code", ["figures.table(rows)\nsay('x')", "if rows:\n    lab.curtain('a', 'b')"])
def test_a_table_that_is_made_and_not_shown_is_found(tmp_path, code):
    assert "make it the last line of a cell" in problems(tmp_path, completeness.results_shown, code)


@pytest.mark.parametrize("code", ["say('x')\nfigures.table(rows)", "kept = figures.table(rows)\nsay('x')", "table"])
def test_a_table_that_is_shown_or_kept_is_not(tmp_path, code):
    assert problems(tmp_path, completeness.results_shown, code) == ""


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import helpers", "imports helpers"),
        ("from tests.press import notebook_kit", "imports tests"),
        ("def f():\n    import papermill.execute", "imports papermill"),
    ],
)
def test_what_only_the_clone_has_is_found(tmp_path, code, what):
    said = problems(tmp_path, completeness.stands_alone, code)
    assert "cell 4 (code-0" in said
    assert what in said


@pytest.mark.parametrize(
    "code",
    [
        "import torch, json",
        "from skimage.data import chelsea",
        "from wsss_lib import maps",
        "import PIL.Image",
        "%pip -q",
        "a != b",
    ],
)
def test_what_every_reader_has_is_not(tmp_path, code):
    assert problems(tmp_path, completeness.stands_alone, code) == ""
