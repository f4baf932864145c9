"""Numbers as numbers: the parts, then nbval's run of a chapter whose figure changed."""

import base64
from pathlib import Path

import nbformat
import pytest
from figure_kit import chart, png
from notebook_kit import executed, notebook, put

from press import cells
from press.chapter import Chapter
from press.check import compare, fresh
from press.run import validate

v4 = nbformat.v4


def pair(new: str, old: str, **metadata):
    made = [notebook("01_cam", ("x", metadata)) for _ in range(2)]
    for each, text in zip(made, (new, old), strict=True):
        each.cells[-1].outputs = [v4.new_output("stream", text=text)] if text else []
    return compare.differences(*made)


def test_numbers_move_within_the_stated_tolerance_and_not_beyond():
    assert pair("IoU 0.46", "IoU 0.48") == []
    assert "prints `IoU 0.46` where `IoU 0.56` is stored" in pair("IoU 0.46", "IoU 0.56")[0]
    assert pair("IoU 0.46", "IoU 0.56", tolerance={"absolute": 0.11}) == []
    assert len(pair("IoU 0.46", "IoU 0.48", tolerance={"absolute": 0})) == 1
    assert pair("loss 4.60", "loss 4.69", tolerance={"absolute": 0}) == [], "within 2 % of a large number"
    assert len(pair("12 images", "13 images", tolerance={"absolute": 0.9})) == 1


def test_a_long_line_is_shown_from_where_it_begins_to_differ():
    line = "word " * 40
    assert "word fenn` where" in pair(f"{line}fenn", f"{line}taur")[0]


def test_a_spread_says_how_much_of_its_tolerance_a_cell_uses():
    cell = notebook("01_cam", ("x", {"tolerance": {"absolute": 0.1}})).cells[-1]
    outputs = [
        [v4.new_output("stream", text=text)]
        for text in ("IoU 0.40, loss 1.05, sum 9.08", "IoU 0.43, loss 1.00, sum 9.00", "none")
    ]
    spread = compare.spread(outputs[0], outputs[1], cell)
    assert spread.decimal == pytest.approx(0.05), "2 % of 9 is more than twice what the sum moved"
    assert spread.used == pytest.approx(0.5)
    assert spread.why == ""
    assert compare.spread(outputs[1], outputs[1], cell)[:3] == (0, 0, 0)
    assert compare.spread(outputs[2], outputs[1], cell).used == float("inf")


def test_the_style_and_script_that_all_controls_share_are_not_compared():
    page = '<style data-wx="">p{{margin:{0}}}</style><p>IoU {1}</p><script data-wx="">let a = {0};</script>'
    cell = notebook("01_cam", ("x", {})).cells[-1]
    old, later, other = (
        [v4.new_output("display_data", {"text/html": page.format(*values)})]
        for values in ((1, "A"), (2, "A"), (1, "B"))
    )
    assert compare.spread(later, old, cell).used == 0
    assert "prints" in compare.spread(other, old, cell).why
    own = [v4.new_output("display_data", {"text/html": f"<script>let a = {n};</script>"}) for n in (1, 2)]
    assert compare.spread(own[:1], own[1:], cell).why, "a script that is no control's is compared"


def test_a_cell_that_puts_out_nothing_or_something_else_is_found():
    assert "puts out nothing where stream is stored" in pair("", "IoU 0.46")[0]
    assert "puts out stream where nothing is stored" in pair("IoU 0.46", "")[0]
    assert pair("", "IoU 0.46", tags=["nbval-ignore-output"]) == []


DRAW = """\
from IPython.display import display
picture = "{}"
display({{"image/png": picture, "text/plain": "Figure"}}, raw=True)
print(0.46)"""


def validated(clone: Path, drawn: bytes, stored: bytes, printed: str = "0.46\n", **metadata) -> int:
    """nbval on a chapter that draws one picture and stores another, and prints a number."""
    code = DRAW.format(base64.b64encode(drawn).decode())
    path = put(clone, "01_cam", (code, metadata), begin=False)
    data = {"image/png": base64.b64encode(stored).decode(), "text/plain": "Figure"}
    outputs = [v4.new_output("display_data", data), v4.new_output("stream", text=printed)]
    cells.write(executed(cells.read(path), {"code-0": outputs}), path)
    return validate.main(clone, jobs=1)


def agrees(clone: Path) -> bool:
    path = clone / "book" / "chapters" / "01_cam.ipynb"
    return not list(fresh.fresh(Chapter(path, cells.read(path))))


def test_another_figure_is_refused(clone, capfd):
    assert validated(clone, png(chart(bend=0.1)), png(chart())) == 1
    assert "shows another picture 1 than is stored" in capfd.readouterr().out
    assert not agrees(clone), "what failed does not agree"


def test_what_a_cell_states_is_taken_and_the_chapter_agrees(clone):
    stated = {"absolute": 0.2, "figure": 0.3}
    assert validated(clone, png(chart(bend=0.1)), png(chart()), "0.60\n", tolerance=stated) == 0
    assert agrees(clone)


def test_a_chapter_that_was_never_executed_does_not_agree_although_nbval_alone_passes_it(clone):
    put(clone, "01_cam", "print(0.46)", begin=False)
    assert validate.main(clone, jobs=1) == 1
    assert not agrees(clone)
