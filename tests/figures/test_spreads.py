"""Dots: what is given is drawn, and said."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from wsss_lib import figures

GROUPS = {"masks": {"label": [0.5, 0.7], "mask": [1.0, 1.0]}, "boxes": {"point": [0.9]}}


def test_each_row_shows_its_mean_its_seeds_and_their_spread() -> None:
    fig, alt = figures.dots(GROUPS, metric="share", ceiling="masks of all", order="cost")
    upper, lower = fig.axes
    band, seeds, mean = (np.asarray(line.get_xdata()).tolist() for line in upper.lines[:3])
    assert seeds == [0.5, 0.7]
    assert mean == pytest.approx([0.6])
    assert band == pytest.approx([0.6 - 0.02**0.5, 0.6 + 0.02**0.5])
    assert [label.get_text() for label in upper.get_yticklabels()] == ["label", "mask"]
    assert upper.get_ylim()[0] > upper.get_ylim()[1]  # the first row on top
    assert np.asarray(lower.lines[-1].get_xdata()).tolist() == [1, 1]
    assert "2 panels" in alt
    assert "from top to bottom by cost" in alt
    assert "masks: label 0.60, mask 1.00. boxes: point 0.90." in alt
    assert "line: masks of all" in lower.get_xlabel()
    assert len(figures.png(fig)) > 1000


def test_without_a_ceiling_there_is_no_line() -> None:
    fig, alt = figures.dots({"masks": {"label": [0.5]}}, metric="mIoU")
    assert len(fig.axes[0].lines) == 3
    assert "line" not in fig.axes[0].get_xlabel()
    assert "1 panel." in alt


@pytest.mark.parametrize("groups", [{}, {"masks": {}}])
def test_a_group_without_rows_is_refused(groups: dict[str, dict[str, list[float]]]) -> None:
    with pytest.raises(ValueError, match="no rows"):
        figures.dots(groups, metric="mIoU")


STEPS = ("map", "mask")
PANELS = {
    "CAM": {"CAM": [[0.4, 0.5], [0.6, 0.5]], "CAM + MARS": [[np.nan, 0.7], [np.nan, 0.9]]},
    "BAS": {"BAS": [[0.5, 0.6], [0.5, 0.6]]},
}


def test_each_panel_shows_its_method_beside_the_means_of_the_others() -> None:
    fig, alt = figures.climbs(PANELS, STEPS, metric="mIoU", top=("masks", [[np.nan, 1.0]]))
    cam, bas, *_, legend = fig.axes
    assert [ax.get_title(loc="left") for ax in (cam, bas)] == ["CAM", "BAS"]
    assert [label.get_text() for label in cam.get_xticklabels()] == list(STEPS)

    def drawn(ax: Axes, marker: str) -> list[list[float]]:
        return [np.asarray(line.get_ydata()).tolist() for line in ax.lines if line.get_marker() == marker]

    assert drawn(cam, "o") == [[0.5, 0.5]]
    assert drawn(bas, "o") == [[0.5, 0.6]]
    (variant,) = drawn(cam, "s")
    assert np.isnan(variant[0])
    assert variant[1] == pytest.approx(0.8)
    spread = [0.5 - 0.02**0.5, 0.5 + 0.02**0.5]
    lines = [np.asarray(line.get_ydata()).tolist() for line in cam.lines]
    assert any(line == pytest.approx(spread) for line in lines)  # the bar of CAM's map
    assert [0.5, 0.6] in lines  # the mean of BAS
    assert all(0.8 not in np.round(np.asarray(line.get_ydata(), dtype=float), 6) for line in bas.lines)
    words = [text.get_text() for text in legend.get_legend().get_texts()]
    assert words == ["as it is (bar: ± 1 s.d.)", "+ MARS (bar: ± 1 s.d.)", "the other methods", "masks"]
    assert "CAM: 0.50, 0.50. CAM + MARS: –, 0.80. BAS: 0.50, 0.60. masks: –, 1.00." in alt
    assert len(figures.png(fig)) > 1000


def test_the_marks_of_two_variants_do_not_hide_one_another() -> None:
    fig, _ = figures.climbs(PANELS, STEPS, metric="mIoU")
    places = [line.get_xdata()[1] for line in fig.axes[0].lines if line.get_marker() in ("o", "s")]
    assert abs(places[0] - places[1]) > 0.2


@pytest.mark.parametrize(
    ("panels", "why"),
    [
        ({}, "panels is empty"),
        ({"CAM": {"CAM": [[0.5, 0.6, 0.7]]}}, "one column a step"),
        ({"CAM": {name: [[0.5, 0.6]] for name in "abcd"}}, "4 variants"),
    ],
)
def test_panels_that_cannot_be_drawn_are_refused(panels: dict[str, dict[str, list[list[float]]]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        figures.climbs(panels, STEPS, metric="mIoU")
