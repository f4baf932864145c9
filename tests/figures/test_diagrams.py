"""A drawing of a data flow: every arrow is in the picture and in the text, and no arrow runs through a box."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from wsss_lib.figures import Arrow, Box, flow
from wsss_lib.figures.diagrams import WIDTH, _crosses

ROWS = [["image"], [Box("net", "the network\nand its head", "layer")], ["map", "score"], [Box("loss", kind="loss")]]
ARROWS = [
    Arrow("image", "net"),
    Arrow("net", "map"),
    Arrow("net", "score"),
    Arrow("map", "loss", stop="The map is a <target>."),
    Arrow("score", "loss"),
    Arrow("image", "loss"),
]


def drawn(rows=ROWS, arrows=ARROWS):
    return flow(rows, arrows, title="An example.")


def test_every_box_arrow_and_stop_is_drawn():
    svg = ElementTree.fromstring(drawn().svg())
    space = "{http://www.w3.org/2000/svg}"
    assert len(svg.findall(f"{space}rect")) == 5
    assert len(svg.findall(f"{space}path")) == len(ARROWS)
    assert len(svg.findall(f"{space}polygon")) == 1
    texts = [text.text for text in svg.iter(f"{space}text")]
    assert {"the network", "and its head", "1"} <= set(texts)


def test_the_text_names_each_arrow_and_the_reason_of_each_stop():
    alt = drawn().alt
    assert alt.startswith("An example. Arrows: image to the network and its head; ")
    assert alt.count(" to ") == len(ARROWS)
    assert alt.endswith("Stop-gradient 1 between map and loss: The map is a <target>.")


def test_a_broken_word_is_whole_in_the_text():
    drawing = flow([[Box("L", "recon\xad\nstruction\nloss", "loss")], ["end"]], [Arrow("L", "end")], title="One loss.")
    assert drawing.alt == "One loss. Arrows: reconstruction loss to end."
    assert [">recon-<" in drawing.svg(), ">struction<" in drawing.svg()] == [True, True]


def test_what_is_written_in_the_page_is_escaped():
    html = drawn()._repr_html_()
    assert "<target>" not in html
    assert html.count("&lt;target&gt;") == 2  # the list and the alternative text


def test_no_arrow_runs_through_a_box_and_none_leaves_the_drawing():
    drawing = drawn()
    for arrow in ARROWS:
        points = drawing._route(arrow)
        for a, b in pairwise(points):
            others = [place for name, place in drawing._places.items() if name not in (arrow.start, arrow.end)]
            assert not any(_crosses(a, b, place) for place in others), arrow
        assert all(0 <= x <= WIDTH for x, _ in points)


def test_a_place_of_a_row_can_stay_empty():
    def centre(row):
        left, _, right, _ = drawn([["top"], row], [Arrow("top", "right")])._places["right"]
        return (left + right) / 2

    assert centre([None, "right"]) == centre(["left", "right"]) != centre(["right"])


def test_two_drawings_on_a_page_have_tips_of_their_own():
    tips = [re.search(r'marker id="([^"]+)"', d.svg())[1] for d in (drawn(), drawn(arrows=ARROWS[:3]))]
    assert tips[0] != tips[1]
    assert drawn().svg() == drawn().svg()  # a stored output does not change from run to run


@pytest.mark.parametrize(
    ("rows", "arrows", "message"),
    [
        ([["a"], ["a"]], [], "two boxes are called 'a'"),
        ([["a"], ["b"]], [Arrow("a", "c")], "names 'c', expected one of a, b"),
        ([["a"], ["b"]], [Arrow("b", "a")], "goes up"),
        ([list("abcde")], [], "one to four"),
        ([[]], [], "one to four"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, arrows, message):
    with pytest.raises(ValueError, match=message):
        flow(rows, arrows, title="Wrong.")


def test_one_reason_has_one_number_and_a_turn_has_its_sign() -> None:
    rows = [["x"], ["a", "b"], ["y"]]
    arrows = [Arrow("x", "a", stop="It is held."), Arrow("x", "b", stop="It is held."), Arrow("a", "y", turned=True)]
    drawing = flow(rows, arrows, title="Two ways.")
    page = drawing._repr_html_()
    assert page.count("<polygon") == 2
    assert page.count("<li>") == 1
    assert page.count("<circle") == 1
    assert drawing.alt.count("Stop-gradient 1 ") == 2
    assert drawing.alt.endswith("The gradient is turned between a and y.")
    plain = flow(rows, [Arrow(a.start, a.end) for a in arrows], title="Two ways.")
    assert "<circle" not in plain.svg()
    assert "turned" not in plain.alt
