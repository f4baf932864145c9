"""Figures: the numbers drawn are the numbers given, nothing is brightened, and every figure speaks."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.contour import ContourSet
from PIL import Image

from wsss_lib import figures

IMAGE = torch.full((3, 16, 24), 0.5)  # wider than high, so that a swapped axis shows
GOOD = "A grey field with one bright spot."


def axes() -> Axes:
    return figures.canvas()[1]


def contour_points(ax: Axes) -> np.ndarray[Any, Any]:
    sets = [c for c in ax.collections if isinstance(c, ContourSet)]
    assert sets, "no contour was drawn"
    return np.concatenate([path.vertices for c in sets for path in c.get_paths()])


# --- Style -----------------------------------------------------------------------------------------------------------


def test_importing_and_drawing_leave_the_readers_settings_alone() -> None:
    code = """
import matplotlib, sys
before = dict(matplotlib.rcParams)
from wsss_lib import figures
figures.png(figures.gallery([[[[0.5]]] * 3])[0])
figures.png(figures.loss_curve({"loss": [1.0, 0.5]})[0])
assert dict(matplotlib.rcParams) == before, "rcParams changed"
assert "IPython" not in sys.modules, "IPython was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_style_holds_inside_the_block_only() -> None:
    before = matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.facecolor"]
    with figures.style():
        assert matplotlib.rcParams["font.size"] == 12
        assert not matplotlib.rcParams["savefig.transparent"]
    assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.facecolor"]) == before


def luminance(colour: str) -> float:
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], channels))  # WCAG 2, relative luminance


def test_text_stands_out_and_lines_differ_without_colour() -> None:
    with figures.style():
        rc = matplotlib.rcParams
        ground = luminance(rc["figure.facecolor"])
        for key in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "axes.titlecolor"):
            assert (ground + 0.05) / (luminance(rc[key]) + 0.05) >= 7, key  # WCAG level AAA
        cycle = list(rc["axes.prop_cycle"])
        assert len({str(entry["linestyle"]) for entry in cycle}) == len(cycle) == 7
        assert len({to_hex(entry["color"]) for entry in cycle}) == 7
        # The smallest text on a phone: a 6.4 in figure on 390 CSS pixels.
        assert min(rc["xtick.labelsize"], rc["legend.fontsize"]) / 72 * 390 / figures.WIDTH >= 9


# --- show ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alt", ["", "   ", "figure", "image.png", "3f2a9c0d1e4b5a6978", "see 0f3e9a1c44b2d7e8 for it", "1 2 3", "loss plot"]
)
def test_a_text_that_describes_nothing_is_refused(alt: str) -> None:
    with pytest.raises(ValueError, match="does not describe"):
        figures.show(figures.canvas()[0], alt)


def test_show_outside_a_notebook_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    with pytest.raises(RuntimeError, match="savefig"):
        figures.show(figures.canvas()[0], GOOD)
    monkeypatch.delitem(sys.modules, "IPython")
    with pytest.raises(RuntimeError, match="savefig"):
        figures.show(figures.canvas()[0], GOOD)


def test_show_puts_the_text_beside_the_picture_and_closes_the_figure() -> None:
    import matplotlib.pyplot as plt

    InteractiveShell.instance()
    try:
        fig = plt.figure(figsize=(2, 1))
        fig.add_subplot().plot([0, 1], [0, 1])
        with capture_output() as captured:
            figures.show(fig, "A rising line.  It ends\n at 0.731.", dpi=50)
        assert not plt.fignum_exists(fig.number)
        (output,) = captured.outputs
        about = output.metadata["image/png"]
        assert about["alt"] == "A rising line. It ends at 0.731."
        assert json.loads(about["shows"])["panels"][0]["parts"][0][0] == "line"
        # The digit that may differ on another machine stays out of what nbval compares.
        assert output.data["text/plain"] == "Figure: A rising line."
        width, height = Image.open(io.BytesIO(output.data["image/png"])).size
        assert 90 <= width <= 120
        assert 40 <= height <= 70
    finally:
        InteractiveShell.clear_instance()


def test_png_is_opaque_and_the_same_each_time() -> None:
    def draw() -> bytes:
        fig, ax = figures.canvas(size=(2, 2))
        figures.overlay(ax, IMAGE, torch.full((4, 6), 0.5), threshold=0.3)
        return figures.png(fig)

    first = draw()
    assert first == draw()
    picture = Image.open(io.BytesIO(first))
    assert picture.mode == "RGB"
    assert picture.getpixel((0, 0)) == (0xFB, 0xFB, 0xF8)
    assert b"Matplotlib" not in first


def test_titles_are_not_cut_off() -> None:
    images, maps = torch.full((2, 3, 30, 45), 0.5), torch.rand(2, 30, 45)
    fig, _ = figures.gallery(images, {"CAM": maps, "Eigen-CAM": maps}, threshold=0.5)
    pixels = np.array(Image.open(io.BytesIO(figures.png(fig))))
    ground = np.array([0xFB, 0xFB, 0xF8])
    edges = [pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]]
    assert all((edge == ground).all() for edge in edges)


def test_charts_are_small() -> None:
    fig, _ = figures.loss_curve({"a": np.linspace(1, 0, 500), "b": np.linspace(0.5, 0.1, 500)})
    data = figures.png(fig)
    assert Image.open(io.BytesIO(data)).mode == "P"
    assert len(data) < 40_000


# --- Maps ------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_weak_map_looks_weak(low: float, high: float) -> None:
    drawn = figures.overlay(axes(), None, torch.tensor([[low, high]], dtype=torch.float64))
    shades = drawn.to_rgba(drawn.get_array())[0]
    np.testing.assert_allclose(shades, matplotlib.colormaps["viridis"]([low, high]), atol=0.01)


def test_the_contour_lies_where_the_enlarged_map_crosses_the_threshold() -> None:
    ramp = torch.linspace(0, 1, 6).expand(4, 6)  # (h, w), four times smaller than the image
    ax = axes()
    figures.overlay(ax, IMAGE, ramp, threshold=0.5)
    x, y = contour_points(ax).T
    middle = (y > 2) & (y < 14)
    left = x[middle & (x < 20)]
    # Pixel centres of the small grid lie at 2, 6, …, 22 of 24: the ramp is 0.5 in the middle, at 12.
    np.testing.assert_allclose(left, 12, atol=0.05)
    assert x[middle].max() > 23  # closed along the edge


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_map_nowhere_above_the_threshold_has_no_contour(value: float) -> None:
    ax = axes()
    figures.overlay(ax, IMAGE, torch.full((4, 6), value), threshold=0.3)
    assert not [c for c in ax.collections if isinstance(c, ContourSet)]


def test_a_map_everywhere_above_the_threshold_is_framed() -> None:
    ax = axes()
    figures.overlay(ax, IMAGE, torch.ones(4, 6), threshold=0.3)
    x, y = contour_points(ax).T
    assert x.min() < 1 < 23 < x.max()
    assert y.min() < 1 < 15 < y.max()


def test_pixels_and_boxes_share_their_edges() -> None:
    ax = axes()
    drawn = figures.overlay(ax, IMAGE)
    figures.boxes(ax, torch.tensor([0.0, 0, 24, 16]))
    assert drawn.get_extent() == [0, 24, 16, 0]
    assert ax.get_xlim() == (0, 24)
    assert ax.get_ylim() == (16, 0)
    assert ax.patches[0].get_bbox().bounds == (0, 0, 24, 16)


@pytest.mark.parametrize(
    ("image", "heat", "match"),
    [
        (IMAGE * 4 - 3, None, "before normalisation"),
        (torch.full((3, 4, 4), float("nan")), None, "nan"),
        (torch.zeros(4, 16, 24), None, r"expected \(3, H, W\)"),
        (IMAGE, torch.full((4, 6), 1.5), "normalise it first"),
        (IMAGE, torch.full((4, 6), -0.1), "normalise it first"),
        (IMAGE, torch.zeros(2, 4, 6), "one class of one image"),
        (None, None, "nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_honestly_is_refused(image: Any, heat: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        figures.overlay(axes(), image, heat)


def test_a_signed_map_with_its_own_scale() -> None:
    drawn = figures.overlay(axes(), None, torch.tensor([[-2.0, 2.0]]), scale=(-2, 2), cmap="RdBu_r")
    assert (drawn.norm.vmin, drawn.norm.vmax) == (-2, 2)


def test_a_tensor_that_needs_gradients_and_half_precision_is_drawn() -> None:
    heat = torch.rand(4, 6, requires_grad=True)
    figures.overlay(axes(), IMAGE.bfloat16(), heat)
    assert heat.requires_grad


def test_outline_follows_the_mask_and_dots_the_ignored_border() -> None:
    mask = torch.zeros(16, 24, dtype=torch.int64)
    mask[4:8, 6:18] = 3
    ax = axes()
    figures.mask_outline(ax, mask)
    x, y = contour_points(ax).T
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [6, 18, 4, 8], atol=0.01)
    mask[0] = 255
    both = axes()
    figures.mask_outline(both, mask)
    styles = [c.get_linestyle()[0][1] for c in both.collections if isinstance(c, ContourSet)]
    assert styles[0] is None  # solid: the truth
    assert styles[1] is not None  # dotted: ignored


def test_truth_is_solid_and_prediction_dashed() -> None:
    mask = torch.zeros(16, 24, dtype=torch.int64)
    mask[4:8, 6:18] = 1
    for predicted in (False, True):
        ax = axes()
        figures.boxes(ax, [[1, 1, 5, 5]], predicted=predicted)
        figures.mask_outline(ax, mask, predicted=predicted)
        outline = next(c for c in ax.collections if isinstance(c, ContourSet))
        assert (ax.patches[0].get_linestyle() != "solid") == predicted
        assert (outline.get_linestyle()[0][1] is not None) == predicted


def test_boxes_are_counted_and_checked() -> None:
    ax = axes()
    figures.boxes(ax, torch.zeros(0, 4))
    assert not ax.patches
    with pytest.raises(ValueError, match=r"\(M, 4\)"):
        figures.boxes(ax, torch.zeros(2, 5))
    with pytest.raises(ValueError, match="one label per box"):
        figures.boxes(ax, torch.zeros(2, 4), labels=["cat"])


def test_colourbar_spans_the_maps_scale_and_marks_the_threshold() -> None:
    fig, ax = figures.canvas()
    bar = figures.colourbar(fig, ax, figures.overlay(ax, None, torch.rand(4, 6)), label="CAM", threshold=0.25)
    assert (bar.vmin, bar.vmax) == (0, 1)
    assert bar.ax.lines[0].get_xdata() == [0.25, 0.25]
    assert "0.25" in bar.ax.get_xlabel()


# --- Galleries -------------------------------------------------------------------------------------------------------


def half_maps() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = torch.full((3, 3, 16, 24), 0.5)
    maps = torch.zeros(3, 16, 24)
    maps[:, :, :12] = 0.9  # the left half
    masks = torch.zeros(3, 16, 24, dtype=torch.int64)
    masks[:, :8] = 1  # the upper half: IoU of the two halves is (1/4) / (3/4)
    return images, maps, masks


def test_gallery_tells_coverage_and_overlap() -> None:
    images, maps, masks = half_maps()
    masks[1] = 0
    masks[2, :, 6:] = 255  # of what remains, the truth is the upper half and the prediction all
    fig, alt = figures.gallery(images, maps, masks, titles=["fox", "owl", "hare"], threshold=0.5, columns=2)
    assert "Fox: 50% of the image above the threshold, IoU 0.33." in alt
    assert "Owl: 50% of the image above the threshold, IoU 0.00." in alt
    assert "Hare: 50% of the image above the threshold, IoU 0.50." in alt
    assert alt.startswith("Gallery of 3 images, each under its map, with the true outlines.")
    panels = fig.axes[:4]
    assert [bool(ax.images) for ax in panels] == [True, True, True, False]
    assert not panels[3].axison
    assert fig.get_size_inches()[0] <= 7.5
    figures.check_alt(alt)


def test_gallery_of_several_methods_has_a_column_each() -> None:
    images, maps, masks = half_maps()
    fig, alt = figures.gallery(images, {"CAM": maps, "Grad-CAM": maps * 0}, masks, threshold=0.5)
    assert "Image 1, CAM: 50%" in alt
    assert "Image 3, Grad-CAM: 0%" in alt
    assert [ax.get_title(loc="left") for ax in fig.axes[:3]] == ["image", "CAM", "Grad-CAM"]
    assert [len(ax.images) for ax in fig.axes[:9]] == [1, 2, 2] * 3


def test_gallery_without_maps_has_no_scale() -> None:
    images, _, masks = half_maps()
    fig, alt = figures.gallery(images, masks=masks)
    assert len(fig.axes) == 3
    figures.check_alt(alt)


def test_gallery_of_many_names_eight_and_counts_the_rest() -> None:
    images, maps, _ = half_maps()
    _, alt = figures.gallery(images.repeat(4, 1, 1, 1), maps.repeat(4, 1, 1), threshold=0.5)
    assert alt.count("above the threshold") == 8
    assert alt.endswith("And 4 more.")


@pytest.mark.parametrize(
    "extra", [{"maps": torch.zeros(2, 4, 4)}, {"titles": ["a"]}, {"maps": {"CAM": torch.zeros(1, 4, 4)}}]
)
def test_gallery_refuses_unequal_counts(extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="same number"):
        figures.gallery(half_maps()[0], **extra)


# --- Charts ----------------------------------------------------------------------------------------------------------


def test_threshold_curve_draws_mean_and_spread_and_tells_the_peak() -> None:
    thresholds = np.array([0.0, 0.25, 0.5, 0.75])
    seeds = torch.tensor([[0.1, 0.5, 0.4, 0.0], [0.1, 0.7, 0.6, 0.0]])  # mean 0.1, 0.6, 0.5, 0; sd 0.1414 at the peak
    fig, alt = figures.threshold_curve(
        [seeds, [0.2, 0.2, 0.3, 0.1]], ["CAM", "SEAM"], thresholds=thresholds, chosen=[0.5, 0.25]
    )
    ax = fig.axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.1, 0.6, 0.5, 0.0], atol=1e-6)
    edges = [line.get_ydata()[1] for line in ax.lines[1:3]]
    np.testing.assert_allclose(edges, [0.6 - 0.02**0.5, 0.6 + 0.02**0.5], atol=1e-6)
    assert "CAM: at most 0.60, at threshold 0.25; 0.50 at the chosen 0.50." in alt
    assert "SEAM: at most 0.30, at threshold 0.50; 0.20 at the chosen 0.25." in alt
    stars = [line for line in ax.lines if line.get_marker() == "*"]
    assert [(s.get_xdata()[0], round(float(s.get_ydata()[0]), 6)) for s in stars] == [(0.5, 0.5), (0.25, 0.2)]


def test_curves_differ_by_dashes_and_markers() -> None:
    fig, _ = figures.dial_curves([0, 1], {name: [0.1, 0.2] for name in "abcdefg"})
    lines = fig.axes[0].lines
    assert len({(line.get_linestyle(), str(line._unscaled_dash_pattern)) for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7
    assert [text.get_text() for text in fig.legends[0].get_texts()] == list("abcdefg")


def test_dial_curves_tell_both_ends() -> None:
    curves = {"CAM": (np.array([0.31, 0.4, 0.52]), np.array([0.01, 0.02, 0.03])), "Eigen-CAM": [0.5, 0.45, 0.44]}
    fig, alt = figures.dial_curves([0, 0.5, 1], curves, dial="evidence", metric="IoU", ticks=["none", "some", "full"])
    assert alt == (
        "Curves of IoU over evidence for CAM and Eigen-CAM. CAM: 0.31 at none, 0.52 at full. "
        "Eigen-CAM: 0.50 at none, 0.44 at full."
    )
    band = fig.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(0.55)
    assert fig.axes[0].get_xlabel() == "evidence\n(band: ± 1 s.d.)"  # of how many seeds, a pair does not tell
    fig, _ = figures.dial_curves([0, 0.5, 1], {"CAM": np.zeros((2, 3))}, dial="evidence")
    assert fig.axes[0].get_xlabel() == "evidence\n(band: ± 1 s.d. over 2 seeds)"


def test_a_logarithmic_axis_shows_the_running_means_whole() -> None:
    fig, _ = figures.loss_curve({"area": [1.0, 0.1, 0.02]}, log=True)
    assert fig.axes[0].get_ylim()[0] == pytest.approx(0.01)
    fig, _ = figures.loss_curve({"area": [1.0, 0.1, 0.02, 0.0]}, log=True)
    assert fig.axes[0].get_ylim()[0] == 0
    assert fig.axes[0].get_ylabel() == "loss (below 0.01: linear)"


def test_the_linear_part_of_a_logarithmic_axis_does_not_hang_on_the_smallest_loss() -> None:
    labels = [
        figures.loss_curve({"area": [1.2, 0.1, least, 0.0]}, log=True)[0].axes[0].get_ylabel() for least in (1e-2, 1e-6)
    ]
    assert labels == ["loss (below 0.01: linear)"] * 2
    fig, _ = figures.loss_curve({"area": [0.0, 0.0]}, log=True)
    assert fig.axes[0].get_ylim()[0] == 0


def test_loss_curve_reads_a_mapping_and_a_history() -> None:
    from wsss_lib.train.history import History

    fig, alt = figures.loss_curve({"classification": [0.7, 0.4, 0.25]})
    assert fig.axes[0].lines[0].get_xdata().tolist() == [1, 2, 3]
    assert fig.axes[0].get_xlabel() == "update"  # no thin lines to explain
    assert "classification 0.70 to 0.25" in alt
    history = History(steps_per_epoch=2)
    for step in range(40):
        history.add(loss=3.0 - step / 20, terms={"cls": 2.0 - step / 20, "area": 1.0}, lr=0.1)
    fig, alt = figures.loss_curve(history)
    assert [line.get_label() for line in fig.axes[0].lines[:3]] == ["sum", "cls", "area"]
    # A running mean over two updates: 39 values at 1.5, 2.5, …, the first (3 + 2.95) / 2.
    np.testing.assert_allclose(fig.axes[0].lines[0].get_xdata()[[0, -1]], [1.5, 39.5])
    assert fig.axes[0].lines[0].get_ydata()[0] == pytest.approx(2.975)
    np.testing.assert_allclose(fig.axes[0].lines[3].get_ydata(), history.loss)
    assert fig.axes[0].get_xlabel() == "update\n(thin: each update; thick: mean of 2)"
    assert "area 1.00 to 1.00" in alt
    with pytest.raises(ValueError, match="no update"):
        figures.loss_curve({"classification": []})


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures.threshold_curve([[0.1, 0.2]], ["a", "b"], thresholds=[0, 1]),
        lambda: figures.threshold_curve([[0.1, 0.2]], ["a"], thresholds=[0, 1], chosen=[0.1, 0.2]),
        lambda: figures.threshold_curve([[0.1, 0.2, 0.3]], ["a"], thresholds=[0, 1]),
        lambda: figures.dial_curves([0, 1], {"a": np.zeros((2, 2, 2))}),
        lambda: figures.dial_curves([0, 1], {"a": ([0.1, 0.2], [0.1])}),
    ],
)
def test_charts_refuse_lengths_that_do_not_agree(call: Any) -> None:
    with pytest.raises(ValueError, match=r"one label|chosen thresholds|one each|has shape"):
        call()


# --- Tables ----------------------------------------------------------------------------------------------------------


def test_table_in_markdown_and_html() -> None:
    rows = [
        {"method": "CAM", "mIoU": (0.4567, 0.0123), "seeds": 3},
        {"method": "a|b<c", "mIoU": torch.tensor(0.5), "seeds": np.int64(1)},
        {"method": "none", "mIoU": None, "seeds": 0},
    ]
    table = figures.table(rows, caption="Seeds & scores")
    assert str(table).splitlines() == [
        "Seeds & scores",
        "",
        "| method | mIoU | seeds |",
        "| :-- | --: | --: |",
        "| CAM | 0.46 ± 0.01 | 3 |",
        r"| a\|b&lt;c | 0.50 | 1 |",
        "| none | – | 0 |",
    ]
    assert repr(table) == table._repr_markdown_() == str(table)
    html = re.sub(r' (style|class)="[^"]*"', "", table._repr_html_())
    assert "<caption>Seeds &amp; scores</caption>" in html
    assert '<thead><tr><th scope="col">method</th><th scope="col">mIoU</th><th scope="col">seeds</th></tr>' in html
    assert '<th scope="row">a|b&lt;c</th><td>0.50</td><td>1</td>' in html
    assert html.count("<tr>") == 4


def test_table_refuses_nothing_and_odd_rows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        figures.table([])
    with pytest.raises(ValueError, match="row 1"):
        figures.table([{"a": 1}, {"b": 1}])


# --- The house rule --------------------------------------------------------------------------------------------------


def test_no_helper_uses_a_colour_map_that_bends_the_scale() -> None:
    folder = Path(figures.__file__).parent
    words = {
        node.value
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not {word for word in words if re.fullmatch(r"jet|rainbow|hsv|hot|gist_\w+|nipy_spectral", word)}
