"""What a figure shows, in a few hundred bytes: its words, its parts, and the numbers that were drawn.

Two machines draw the same figure of a trained network a little differently: training amplifies the last bit. What must
agree between them is not the pixels but what a reader sees: the same panels with the same words, curves and maps at the
same places up to a tolerance. :func:`content` writes that down beside the picture, for whoever compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

GRID = 8
"""An image is told by the means of 8 × 8 blocks."""
POINTS = 16
"""A line or cloud of points is told by at most so many means of neighbouring points."""


def content(fig: Figure) -> str:
    """What a figure shows, as JSON.

    Returns:
        ``{"texts": […], "panels": [{"texts": […], "limits": […], "parts": [[kind, hex], …]}, …]}``. ``limits`` are the
        ends of both axes (their logarithms on a logarithmic axis). The bytes of a part are numbers from 0 to 1 in
        steps of 1/255: for a line, points and patches x and y in shares of the axes; for an image its block means on
        its colour scale; for a contour the side of the square, in shares of the axes, that has the area within.
    """
    fig.draw_without_rendering()  # places the axes, as saving does
    legends = [text.get_text() for legend in fig.legends for text in legend.get_texts()]
    texts = [text.get_text() for text in fig.texts] + legends
    return json.dumps({"texts": texts, "panels": [_panel(ax) for ax in fig.axes]}, ensure_ascii=False)


def _panel(ax: Axes) -> dict[str, Any]:
    ends = [axis.get_transform().transform(axis.get_view_interval()) for axis in (ax.xaxis, ax.yaxis)]
    parts = [[kind, _packed(values)] for kind, values in _parts(ax)]
    return {"texts": _texts(ax), "limits": [float(f"{end:.4g}") for end in np.concatenate(ends)], "parts": parts}


def _texts(ax: Axes) -> list[str]:
    """Title, labels, the author's ticks (matplotlib's follow the limits), notes and the legend."""
    legend = ax.get_legend()
    ticks: list[Text] = []
    for axis in (ax.xaxis, ax.yaxis):
        ticks += axis.get_ticklabels() if isinstance(axis.get_major_locator(), FixedLocator) else []
    texts = [ax.title, ax.xaxis.label, ax.yaxis.label, *ticks, *ax.texts, *(legend.get_texts() if legend else [])]
    return [text.get_text() for text in texts if text.get_text()]


def _parts(ax: Axes) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each artist as its kind and its numbers, in the order of drawing."""
    for image in ax.images:
        yield "image", _blocks(_plane(image))
    for line in ax.lines:
        yield "line", _thinned(_in_axes(ax, line.get_transform(), np.column_stack(line.get_data())))
    for patch in ax.patches:
        corners = _in_axes(ax, patch.get_transform(), patch.get_path().vertices)
        yield "patch", np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    for group in ax.collections:
        if isinstance(group, ContourSet):
            yield "contour", np.array([_side(ax, group)])
        elif isinstance(group, PathCollection):
            yield "points", _thinned(_in_axes(ax, group.get_offset_transform(), group.get_offsets()))
        elif paths := group.get_paths():
            vertices = np.concatenate([np.asarray(path.vertices) for path in paths])
            yield "area", _thinned(_in_axes(ax, group.get_transform(), vertices))


def _in_axes(ax: Axes, transform: Any, points: Any) -> NDArray[Any]:
    """Points in shares of the axes, whatever they are measured in and however the axes are scaled."""
    return np.asarray((transform - ax.transAxes).transform(np.asarray(points, dtype=float).reshape(-1, 2)))


def _side(ax: Axes, contour: ContourSet) -> float:
    """Side of the square with the area within a contour; the lines around holes run the other way."""
    total = 0.0
    for path in contour.get_paths():
        for polygon in path.to_polygons(closed_only=False):
            x, y = _in_axes(ax, contour.get_transform(), polygon).T
            total += float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    return float(np.sqrt(abs(total)))


def _plane(image: AxesImage) -> NDArray[Any]:
    """An image from 0 to 1: on its colour scale, or the mean of its colours."""
    array: Any = image.get_array()
    if array.ndim == 2:
        return np.ma.filled(np.ma.asarray(image.norm(array)).astype(float), 0)
    grey = array[..., :3].astype(float).mean(axis=2)
    return np.asarray(grey / 255 if array.dtype == np.uint8 else grey)


def _blocks(plane: NDArray[Any]) -> NDArray[Any]:
    """(H, W) as the means of at most 8 × 8 blocks, row by row."""
    rows = np.array_split(plane, min(GRID, plane.shape[0]), axis=0)
    split = [block for row in rows for block in np.array_split(row, min(GRID, plane.shape[1]), axis=1)]
    return np.array([block.mean() for block in split])


def _thinned(points: NDArray[Any]) -> NDArray[Any]:
    """(n, 2) as the means of at most 16 runs of neighbours, all x and then all y."""
    shown = np.clip(points, 0, 1)
    runs = np.array_split(shown, min(POINTS, len(shown))) if len(shown) else []
    return np.array([run.mean(axis=0) for run in runs]).T.ravel()


def _packed(values: NDArray[Any]) -> str:
    """Numbers from 0 to 1 as bytes, in hexadecimal digits; what is no number is 0."""
    return np.round(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8).tobytes().hex()
