"""Scenes of points, seen from above and by the camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsss_lib.figures.page import Array, canvas, style, to_numpy

TRUTH, MADE, CLICK = "#1A1A1A", "#C04000", "#0B6E4F"


def bird_eye(
    ax: Axes,
    points: Array,
    *,
    truth: Array | None = None,
    boxes: Array | None = None,
    clicks: Array | None = None,
    half: float = 25.6,
    centre: tuple[float, float] = (0.0, 0.0),
    title: str = "",
) -> None:
    """Draw a scene from above: x to the right, y up, the sensor a triangle at (0, 0).

    Args:
        ax: Where to draw.
        points: (P, 2 or more) in metres, grey dots.
        truth: Boxes (M, 7), solid; a line runs from the middle to the front.
        boxes: Boxes (M, 7) that were made, dashed.
        clicks: (M, 2 or more), crosses.
        half: Metres from the middle of the drawing to its sides.
        centre: What lies in the middle, in metres.
        title: Above.
    """
    with style():
        at = to_numpy(points)
        near = 8 if half > 10 else 20
        ax.scatter(at[:, 0], at[:, 1], s=near * 0.5, c="#8A8A8A", linewidths=0)
        ax.plot(0, 0, "^", color="#1A1A1A", markersize=7)
        for given, line, colour in ((truth, "-", TRUTH), (boxes, "--", MADE)):
            for box in to_numpy(given) if given is not None else ():
                ax.plot(*outline(box), line, color=colour, linewidth=1.6)
        if clicks is not None:
            at = to_numpy(clicks)
            ax.plot(at[:, 0], at[:, 1], "x", color=CLICK, markersize=6, markeredgewidth=1.8)
        ax.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half), aspect="equal")
        ax.set_title(title)
        ax.set(xlabel="x, metres", ylabel="y, metres")


def street(
    points: Array,
    panorama: Array,
    *,
    truth: Array | None = None,
    boxes: Array | None = None,
    clicks: Array | None = None,
    half: float = 25.6,
) -> tuple[Figure, str]:
    """A scene from above, and the camera's panorama under it; the arguments are those of :func:`bird_eye`.

    Returns:
        The figure, and a text that counts what is drawn.
    """
    fig, axes = canvas(2, 1, size=(6.4, 7.2))
    bird_eye(axes[0], points, truth=truth, boxes=boxes, clicks=clicks, half=half)
    show_panorama(axes[1], panorama)
    with style():
        axes[0].set_position((0.12, 0.30, 0.80, 0.66))
        axes[1].set_position((0.02, 0.06, 0.96, 0.14))
    counts = {"true boxes, solid": truth, "boxes that were made, dashed": boxes, "clicks, crosses": clicks}
    said = [f"{len(to_numpy(values))} {name}" for name, values in counts.items() if values is not None]
    return fig, (
        f"A street from above with {len(to_numpy(points))} returns around the sensor"
        f"{': ' if said else ''}{'; '.join(said)}. Under it the camera's panorama of the same street."
    )


def show_panorama(ax: Axes, panorama: Array, *, title: str = "") -> None:
    """Draw a panorama (3, H, W) in [0, 1]: behind, left, ahead, right, behind."""
    picture = np.moveaxis(to_numpy(panorama), 0, -1)
    with style():
        ax.imshow(picture, interpolation="nearest", aspect="auto")
        width = picture.shape[1]
        ax.set_xticks(
            [0, width / 4, width / 2, 3 * width / 4, width - 1], ["behind", "left", "ahead", "right", "behind"]
        )
        ax.set_yticks([])
        ax.grid(False)
        ax.set_title(title)


def outline(box: Any) -> tuple[Any, Any]:
    """x and y, (7,) each, of a box's border, closed, and of a line from its front to its middle."""
    x, y, _, length, width, _, yaw = box
    shape = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1], [1, 0], [0, 0]]) / 2 * [length, width]
    cos, sin = np.cos(yaw), np.sin(yaw)
    return x + cos * shape[:, 0] - sin * shape[:, 1], y + sin * shape[:, 0] + cos * shape[:, 1]
