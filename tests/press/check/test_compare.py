"""Numbers as numbers and figures as pictures: the parts, then nbval itself on a chapter whose figure changed."""

import base64
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from notebook_kit import executed, notebook, put
from PIL import Image

from press import cells
from press.check import compare, stamps
from press.check.checks import Chapter
from press.check.compare import Tolerance
from press.run import validate

v4 = nbformat.v4
SANITIZE = Path(__file__).resolve().parents[2] / "sanitize.cfg"


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def chart(bend: float = 0.0, noise: float = 0.0, size: tuple[int, int] = (360, 640)) -> np.ndarray:
    """A white picture with a dark curve of two pixels, which can be bent."""
    height, width = size
    pixels = np.full((height, width, 3), 255.0)
    x = np.arange(width)
    y = (height * (0.5 + 0.3 * np.sin(x / 90) + bend * x / width)).astype(int).clip(0, height - 3)
    for thick in range(3):
        pixels[y + thick, x] = (30, 60, 160)
    return (pixels + noise * np.random.default_rng(0).normal(size=pixels.shape)).clip(0, 255)


def shown(data: bytes | str, mime: str = "image/png") -> list[nbformat.NotebookNode]:
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return [v4.new_output("display_data", {mime: text, "text/plain": "Figure: a curve"})]


def test_the_same_figure_is_the_same_although_its_bytes_differ():
    assert compare.unlike(png(chart()), png(chart())) == 0
    assert compare.unlike(png(chart(noise=4)), png(chart())) == 0
    assert compare.unlike(png(chart(size=(362, 643))), png(chart())) < Tolerance().figure


@pytest.mark.parametrize(
    "other", [chart(bend=0.1), chart()[:, ::-1], 255 - chart(), np.full((360, 640, 3), 255.0)],
    ids=["bent", "mirrored", "inverted", "empty"],
)  # fmt: skip
def test_another_figure_is_another(other):
    assert compare.unlike(png(other), png(chart())) > Tolerance().figure


def test_other_proportions_are_another_figure():
    assert compare.unlike(png(chart(size=(360, 900))), png(chart())) == 1


def test_figures_agree_within_what_a_cell_states():
    bent, straight = shown(png(chart(bend=0.1))), shown(png(chart()))
    assert "shows another picture 1 than is stored" in compare.pictured(bent, straight, Tolerance())
    assert compare.pictured(bent, straight, Tolerance(figure=0.2)) == ""
    assert "shows 2 pictures where 1 are stored" in compare.pictured(bent * 2, straight, Tolerance(figure=0.2))


def test_pictures_and_data_inside_html_are_compared():
    def inside(data: bytes) -> list[nbformat.NotebookNode]:
        return shown(f'<img alt="x" src="data:image/png;base64,{base64.b64encode(data).decode()}">', "text/html")

    assert compare.pictured(inside(png(chart())), inside(png(chart())), Tolerance()) == ""
    assert "another picture" in compare.pictured(inside(png(chart(bend=0.1))), inside(png(chart())), Tolerance())
    webp = [io.BytesIO() for _ in range(3)]
    for buffer, pixels, quality in zip(webp, (chart(), chart(), chart(bend=0.1)), (80, 60, 80), strict=True):
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="WEBP", quality=quality)
    same, coarser, other = (buffer.getvalue() for buffer in webp)
    assert compare.pictured(inside(coarser), inside(same), Tolerance()) == ""
    assert "another picture" in compare.pictured(inside(other), inside(same), Tolerance())
    data = bytes(range(200))
    assert compare.pictured(inside(data), inside(bytes(b + (b < 9) for b in data)), Tolerance()) == ""
    assert "another picture" in compare.pictured(inside(data), inside(data[::-1]), Tolerance())
    assert "another picture" in compare.pictured(inside(data), inside(data[:-3]), Tolerance())


def test_a_long_word_that_is_no_base64_is_compared_as_it_stands():
    word = shown("x" * 121, "text/html")
    assert compare.pictured(word, word, Tolerance()) == ""
    assert "another picture" in compare.pictured(word, shown("x" * 122, "text/html"), Tolerance())


def pair(new: str, old: str, **metadata):
    made = [notebook("01_cam", ("x", metadata)) for _ in range(2)]
    for each, text in zip(made, (new, old), strict=True):
        each.cells[-1].outputs = [v4.new_output("stream", text=text)] if text else []
    return compare.differences(*made)


def test_numbers_move_within_the_stated_tolerance_and_not_beyond():
    assert pair("IoU 0.46", "IoU 0.48") == []
    assert "prints `IoU 0.46` where `IoU 0.56` is stored" in pair("IoU 0.46", "IoU 0.56")[0]
    assert pair("IoU 0.46", "IoU 0.56", tolerance={"absolute": 0.11}) == []
    assert len(pair("IoU 0.46", "IoU 0.46001", tolerance={"absolute": 0, "relative": 0})) == 1
    assert len(pair("12 images", "13 images", tolerance={"absolute": 0.9})) == 1


def test_a_cell_that_puts_out_nothing_or_something_else_is_found():
    assert "puts out nothing where stream is stored" in pair("", "IoU 0.46")[0]
    assert "puts out stream where nothing is stored" in pair("IoU 0.46", "")[0]
    assert pair("", "IoU 0.46", tags=["nbval-ignore-output"]) == []


@pytest.mark.parametrize("stated", [{"absolut": 0.1}, {"absolute": "0.1"}, {"figure": 2}, 0.1, {"absolute": True}])
def test_a_tolerance_that_means_nothing_is_found(tmp_path, stated):
    made = Chapter(tmp_path / "01_cam.ipynb", notebook("01_cam", ("x", {"tolerance": stated})))
    assert "cell 4 (code-0: x): states the tolerance" in "".join(map(str, compare.tolerances(made)))


def test_a_tolerance_beside_a_tag_that_ignores_it_is_found(tmp_path):
    metadata = {"tolerance": {"absolute": 0.1}, "tags": ["nbval-ignore-output"]}
    made = Chapter(tmp_path / "01_cam.ipynb", notebook("01_cam", ("x", metadata)))
    assert "take one of them out" in "".join(map(str, compare.tolerances(made)))


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
    return validate.main(clone, jobs=1, sanitize=SANITIZE)


def test_nbval_refuses_another_figure(clone, capfd):
    assert validated(clone, png(chart(bend=0.1)), png(chart())) == 1
    assert "shows another picture 1 than is stored" in capfd.readouterr().out
    assert not (clone / stamps.AGREED).exists(), "what failed is not noted as agreeing"


def test_nbval_takes_what_a_cell_states_and_notes_that_the_chapter_agrees(clone):
    stated = {"absolute": 0.2, "figure": 0.2}
    assert validated(clone, png(chart(bend=0.1)), png(chart()), "0.60\n", tolerance=stated) == 0
    assert "01_cam" in (clone / stamps.AGREED).read_text()


def test_a_chapter_that_was_never_executed_is_not_noted_although_nbval_passes_it(clone):
    put(clone, "01_cam", "print(0.46)", begin=False)
    assert validate.main(clone, jobs=1, sanitize=SANITIZE) == 0
    assert not (clone / stamps.AGREED).exists()
