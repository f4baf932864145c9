"""Figures of data agree to the pixel, those of a trained network by what they show."""

import numpy as np
import pytest
import torch
from figure_kit import chart, inside, png, shown

from press.check import compare
from press.check.figures import spread
from wsss_lib import figures

REPORT = "shows another picture 1 than is stored"


def why(mine, stored, within=0.0):
    return spread(mine, stored, within, compare.agree).why


def drawn(values, title="IoU 0.46", kind="plot", limit=1.0):
    """A chart as `show` puts it out."""
    fig, ax = figures.canvas()
    getattr(ax, kind)(np.arange(len(values)), values)
    ax.set(ylim=(0, limit), title=title)
    return shown(figures.png(fig), shows=figures.content(fig))


def mapped(heat, threshold=0.5):
    fig, _ = figures.gallery(torch.full((1, 3, 40, 60), 0.5), heat[None], threshold=threshold)
    return shown(figures.png(fig), shows=figures.content(fig))


def test_a_figure_of_data_agrees_to_the_pixel_but_for_rounding():
    nearly = chart()
    nearly[0] -= 2
    assert why(shown(png(nearly)), shown(png(chart()))) == ""
    nearly[0, 0] -= 1
    assert f"{REPORT}: its pixels differ" in why(shown(png(nearly)), shown(png(chart())))


def test_a_figure_of_data_that_changes_little_is_refused_although_a_learned_one_might():
    curve, moved = drawn([0.2, 0.5, 0.6]), drawn([0.2, 0.51, 0.6])
    assert REPORT in why(moved, curve)
    assert why(moved, curve, within=0.02) == ""


@pytest.mark.parametrize(
    ("values", "title", "kind"),
    [
        ([0.2, 0.6, 0.6], "IoU 0.46", "plot"),
        ([0.2, 0.5, 0.6], "IoU 0.66", "plot"),
        ([0.2, 0.5, 0.6], "mIoU 0.46", "plot"),
        ([0.2, 0.5, 0.6], "IoU 0.46", "bar"),
        ([0.2, 0.5, 0.6, 0.6], "IoU 0.46", "plot"),
    ],
    ids=["number", "number in words", "words", "kind", "count"],
)
def test_a_learned_figure_differs_by_its_numbers_words_and_parts(values, title, kind):
    curve = drawn([0.2, 0.5, 0.6])
    assert REPORT in why(drawn(values, title, kind), curve, within=0.05)


def test_a_learned_figure_moves_a_little_in_numbers_and_words():
    curve = drawn([0.2, 0.5, 0.6])
    assert why(drawn([0.22, 0.48, 0.6], title="IoU 0.45"), curve, within=0.05) == ""
    assert "6.3% of its axis apart, 5.0% may be" in why(drawn([0.2, 0.565, 0.6]), curve, within=0.05)


def test_other_limits_of_an_axis_are_another_figure():
    assert REPORT in why(drawn([0.2, 0.5, 0.6], limit=1.2), drawn([0.2, 0.5, 0.6]), within=0.1)


def test_a_map_and_its_contour_may_move_by_a_little():
    heat = torch.linspace(0, 1, 60).expand(40, 60)
    assert why(mapped(heat**1.05), mapped(heat), within=0.05) == ""
    assert REPORT in why(mapped(heat.flip(1)), mapped(heat), within=0.05)
    assert REPORT in why(mapped(heat, threshold=0.7), mapped(heat), within=0.05)
    assert "made of other parts" in why(mapped(0.4 * heat), mapped(heat), within=0.9), "no contour is another figure"


def test_a_learned_figure_that_does_not_say_what_it_shows_is_found():
    plain = shown(png(chart()))
    assert "run `wsss run NAME --in-place`" in why(drawn([0.2, 0.5, 0.6]), plain, within=0.5)


def test_another_number_of_figures_is_found():
    curve = drawn([0.2, 0.5, 0.6])
    assert "shows 2 pictures where 1 are stored" in why(curve * 2, curve, within=0.9)


def test_pictures_and_data_of_a_control_agree_by_blocks_where_its_cell_states_a_tolerance():
    same, bent = inside(png(chart(noise=4))), inside(png(chart(bend=0.1)))
    stored = inside(png(chart()))
    assert why(stored, stored) == ""
    assert REPORT in why(same, stored)
    assert why(same, stored, within=0.05) == ""
    assert REPORT in why(bent, stored, within=0.05)
    webp = [inside(png(chart(), "WEBP", quality=quality)) for quality in (80, 60)]
    assert why(*webp, within=0.05) == ""
    data = bytes(range(200))
    assert why(inside(bytes(b + (b < 9) for b in data)), inside(data), within=0.05) == ""
    assert REPORT in why(inside(data[::-1]), inside(data), within=0.05)
    assert REPORT in why(inside(data[:-3]), inside(data), within=0.05)


def test_a_long_word_that_is_no_base64_is_compared_as_it_stands():
    word = shown("x" * 121, "text/html")
    assert why(word, word) == ""
    assert REPORT in why(word, shown("x" * 122, "text/html"))
