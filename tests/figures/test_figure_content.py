"""What a figure shows, written down: what a reader sees moves it, what nobody sees does not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from wsss_lib import figures

IMAGES = torch.linspace(0, 1, 3 * 40 * 60).reshape(1, 3, 40, 60)


def shown(fig: Any) -> Any:
    return json.loads(figures.content(fig))


def part(content: Any, kind: str, panel: int = 0, place: int = 0) -> np.ndarray[Any, Any]:
    parts = [hexes for name, hexes in content["panels"][panel]["parts"] if name == kind]
    return np.frombuffer(bytes.fromhex(parts[place]), np.uint8) / 255


def square(side: int) -> torch.Tensor:
    """A map that is 1 on a square in the upper left corner: (1, 40, 60)."""
    heat = torch.zeros(1, 40, 60)
    heat[:, :side, :side] = 1
    return heat


def test_a_line_is_told_in_shares_of_its_axes_whatever_their_units() -> None:
    for scale in (1, 1000):
        fig, ax = figures.canvas()
        ax.plot(np.arange(5), scale * np.array([0, 1, 2, 3, 4]))
        ax.set(xlim=(0, 4), ylim=(0, 4 * scale))
        x, y = part(shown(fig), "line").reshape(2, 5)
        assert np.allclose(x, [0, 0.25, 0.5, 0.75, 1], atol=0.003)
        assert np.allclose(x, y)


def test_a_logarithmic_axis_is_told_as_it_is_seen() -> None:
    fig, ax = figures.canvas()
    ax.plot([1, 2, 3], [1, 10, 100])
    ax.set(yscale="log", ylim=(1, 100))
    assert shown(fig)["panels"][0]["limits"][2:] == [0, 2]
    assert np.allclose(part(shown(fig), "line")[3:], [0, 0.5, 1], atol=0.003)


def test_a_long_line_is_told_by_means_so_that_its_noise_does_not_count() -> None:
    noise = torch.randn(2, 1600, generator=torch.Generator().manual_seed(0)) / 10
    curves = []
    for each in noise:
        fig, ax = figures.canvas()
        ax.plot(0.5 + each.numpy())
        ax.set(ylim=(0, 1))
        curves.append(part(shown(fig), "line")[16:])
    assert np.abs(curves[0] - curves[1]).max() < 0.06


def test_a_map_is_told_on_its_scale_and_a_contour_by_the_area_within() -> None:
    fig, _ = figures.gallery(IMAGES, square(20), threshold=0.5)
    blocks = part(shown(fig), "image", place=1).reshape(8, 8)
    assert np.allclose(blocks[:4, :2], 1)
    assert np.allclose(blocks[5:, 3:], 0)
    side = part(shown(fig), "contour")[0]
    assert abs(side - (20 * 20 / (40 * 60)) ** 0.5) < 0.02
    larger = part(shown(figures.gallery(IMAGES, square(30), threshold=0.5)[0]), "contour")[0]
    assert larger > side + 0.1


def test_a_hole_counts_against_the_area_within_a_contour() -> None:
    heat = square(30)
    heat[:, 10:20, 10:20] = 0
    side = part(shown(figures.gallery(IMAGES, heat, threshold=0.5)[0]), "contour")[0]
    assert abs(side - ((900 - 100) / (40 * 60)) ** 0.5) < 0.02


def test_words_are_told_those_of_the_author_and_no_tick_that_matplotlib_places() -> None:
    fig, alt = figures.dial_curves([0, 1], {"CAM": [0.2, 0.4], "BAS": [0.3, 0.5]}, ticks=["few", "many"])
    assert "CAM" in alt
    assert shown(fig)["texts"] == ["CAM", "BAS"]
    assert set(shown(fig)["panels"][0]["texts"]) == {"dial", "IoU", "few", "many"}
    fig, ax = figures.canvas()
    ax.plot([0, 1])
    ax.annotate("here", (0.5, 0.5))
    assert shown(fig)["panels"][0]["texts"] == ["here"]


def test_bars_and_points_and_bands_are_told() -> None:
    fig, axes = figures.canvas(1, 3)
    axes[0].bar([0, 1], [1, 2])
    axes[1].scatter([0, 1, 2], [0, 1, 0])
    axes[2].fill_between([0, 1], [0, 0], [1, 1])
    kinds = [[kind for kind, _ in panel["parts"]] for panel in shown(fig)["panels"]]
    assert kinds == [["patch", "patch"], ["points"], ["area"]]
    heights = [part(shown(fig), "patch", place=i)[3] for i in range(2)]
    assert abs(heights[1] / heights[0] - 2) < 0.02


def test_it_is_small_and_the_same_each_time() -> None:
    maps = {name: torch.rand(4, 6, 8) for name in ("CAM", "SEAM", "BAS")}
    images, masks = torch.rand(4, 3, 48, 64), torch.ones(4, 48, 64, dtype=torch.int64)
    masks[:, :10] = 0
    fig, _ = figures.gallery(images, maps, masks, threshold=0.5)
    assert len(figures.content(fig)) < 6000
    figures.png(fig)
    assert figures.content(fig) == figures.content(fig)
