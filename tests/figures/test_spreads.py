"""Rows of dots: what is given is drawn, and said."""

import numpy as np
import pytest

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
