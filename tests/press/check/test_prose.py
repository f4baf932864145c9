import nbformat
import pytest
from notebook_kit import as_text, notebook

from press import cells
from press.chapter import Chapter
from press.check import prose


def typed(text: str) -> list[str]:
    return list(prose.numbers(text))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The mean IoU is 0.46 here.", "0.46"),
        ("It covers 46 % of the body.", "46 %"),
        ("It covers 46.3% of the body.", "46.3%"),
        ("A gain of **0.03** and", "0.03"),
        ("| CAM | 0.41 |", "0.41"),
        ("The IoU 0.46 is low.", "0.46"),
        (":::{note}\nThe IoU reaches 0.77.\n:::", "0.77"),
        ("The IoU is .46 or 0·46.", ".46"),
        ("The IoU is 0,46.", "0,46"),
        (":::{margin}\nIt has 0.46.\n:::", "0.46"),
        ("```{tip}\nText.\n```\n\nIt has 0.46.\n\n```{tip}\nMore.\n```", "0.46"),
        ("```{list-table}\n* - CAM\n  - 0.46\n```", "0.46"),
    ],
)
def test_a_result_is_found(text, number):
    assert number in typed(text)
    assert len(typed(text)) == 1 + text.count(" or ")


@pytest.mark.parametrize(
    "text",
    [
        "Cut at threshold 0.3, as everywhere.",
        "at thresholds 0.3, 0.5 and 0.7",
        "box accuracy at IoU 0.5",
        "{cite:t}`zhou2016cam` report 43.00 with average pooling.",
        "The paper cuts at 20 % of the maximum.",
        "with $t = 0.25$ and `t=0.25` and ``0.25``",
        "$$\nx = 0.25\n$$",
        "```python\nx = 0.25\n```",
        "Python 3.11 and CC BY 4.0",
        "see [here](https://example.org/1.25) and https://example.org/2.5",
        "**Exercise 2.** Find two that differ by more than 0.2.",
        "three scenes, 16 × 16 pixels, chapter 12, in 2016",
        "2. a numbered list",
        "mean ± standard deviation",
        "A box counts as right at an IoU above 0.5.",
        "An animal three quarters as wide as the image; the first of three steps.",
        "learned five times as fast, in 2 of the chapters, with 1,000 images",
        "**Exercise 2.** We ask for two images. Find two that differ by more than 0.2.",
        "```{code-block} python\nx = 0.25\n```",
    ],
)
def test_what_is_no_result_is_not(text):
    assert typed(text) == []


@pytest.mark.parametrize(
    ("code", "numbers"),
    [
        ('say("The IoU is 0.46")', ["0.46"]),
        ('say(f"The IoU is {iou:.2f}, CAM has 0.41")', ["0.41"]),
        ('say(f"The IoU is {iou:.2f} at threshold 0.3")', []),
        ('say(f"{iou:.2f} %")', []),
        ('figures.show(fig, alt=f"It reaches {a:.2f}" + " and 0.9")', ["0.9"]),
        ("x = 0.46", []),
        ('text = "An IoU of 0.46"\ntext += f" and {b:.2f}"\nsay(text)', ["0.46"]),
        ('figures.table(rows, caption=f"CAM reaches 0.46, mine {x:.2f}")', ["0.46"]),
        ('ax.set_title("IoU 0.46")', ["0.46"]),
        ('print("CAM has 0.46")', ["0.46"]),
        ('say("CAM has 0.46, mine {}".format(x))', ["0.46"]),
        ('say(f"CAM has {0.46}")', ["0.46"]),
        ('def f():\n    "Cut where 0.46 lies."\n    return x["0.46"]', []),
        ('assert x > 0.4, "an IoU of 0.46 is enough"', []),
        ('raise ValueError("an IoU of 0.46 is enough")', []),
    ],
)
def test_what_a_cell_says_is_read_without_its_computed_parts(code, numbers):
    assert [n for text in prose.sentences(code) for n in prose.numbers(text)] == numbers


def problems(tmp_path, source: str, **metadata) -> str:
    made = notebook("01_cam")
    made.cells.append(nbformat.v4.new_markdown_cell(source, id="prose", metadata=metadata))
    return as_text(prose.typed_results(Chapter(tmp_path / "01_cam.ipynb", made)))


def test_the_message_names_cell_number_and_remedy(tmp_path):
    said = problems(tmp_path, "The IoU is 0.46.")
    assert "01_cam, cell 4 (prose: The IoU is 0.46.): types the number 0.46" in said
    assert "say it from the cell that computes it" in said


def test_a_number_that_must_stand_there_is_listed_with_its_reason(tmp_path):
    assert problems(tmp_path, "The IoU is 0.46.", typed={"0.46": "the dial's default"}) == ""
    assert "expected each number with its reason" in problems(tmp_path, "The IoU is 0.46.", typed=["0.46"])
    assert "expected each number with its reason" in problems(tmp_path, "The IoU is 0.46.", typed={"0.46": ""})


def test_a_typed_cell_keeps_its_list_when_normalised():
    from press.normalise import normalise

    made = notebook("01_cam", ("x = 1", {"typed": {"0.2": "a reason"}, "tolerance": {"absolute": 0.1}}))
    kept = cells.code_cells(normalise(made))[-1].metadata
    assert kept == {"typed": {"0.2": "a reason"}, "tolerance": {"absolute": 0.1}}


def test_pages_are_read_too(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "welcome.md").write_text("# Welcome\n\nCAM has an IoU of 0.46.\n")
    assert [str(p)[:45] for p in prose.typed_pages(tmp_path)] == ["book/welcome.md: types the number 0.46 into t"]
