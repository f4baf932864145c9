"""A click moved in the plane, and the box that was made of it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from html import escape
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from wsss_lib import metrics
from wsss_lib.explore.control import Control, Reading, png_bytes, spoken
from wsss_lib.explore.pictures import Picture, webp
from wsss_lib.figures.page import check_alt, style, to_numpy
from wsss_lib.figures.scenes import bird_eye, outline

INCHES, DPI = 4.2, 100
FRAME = (0.15, 0.13, 0.82, 0.84)
"""Left, bottom, width and height of the drawing within its picture, as shares."""

SIDES = ("left", "top", "width", "height")

KEY = (
    "Solid: the true box. Dashed: the box that was made. The inner line of each points to its front. Cross: the click, "
    "said by how far it is from the true centre along x and y. Small plus signs: the places of a click that were "
    "computed. Grey dots: returns."
)


def click(
    points: Any, truth: Any, xs: Sequence[float], ys: Sequence[float], boxes: Any, title: str, *, alt: str,
    half: float = 4.5, usual: float = 0.0,
) -> Control:  # fmt: skip
    """A click that a reader drags over a grid of places, and the box of the place where it is.

    Nothing is computed on the page: it holds a box for each place of the grid, and the click goes to the nearest one.

    Args:
        points: Returns (P, 2 or more) of the scene, in metres.
        truth: The true box (7,); its centre is in the middle of the drawing.
        xs: Places along x, metres from that centre, rising; x points to the right.
        ys: Places along y, rising; y points up.
        boxes: (len(ys), len(xs), 7): what was made of a click at each place.
        title: Above the drawing.
        alt: What a reader who cannot see the scene should know of it.
        half: Metres from the middle of the drawing to its sides.
        usual: Where clicks were in training: this share of the true box, along each side, is tinted.

    Returns:
        The control: the last line of a cell shows it, and ``.at((0.5, -1.0))`` is what it shows there.

    Raises:
        ValueError: Not one box for each place, places that do not rise or lie outside the drawing, a box that is not
            finite, or a text that describes nothing.
    """
    return Click(points, truth, xs, ys, boxes, title, alt=alt, half=half, usual=usual)


class Click(Control):
    """See :func:`click`."""

    kind = "click"

    def __init__(
        self, points: Any, truth: Any, xs: Sequence[float], ys: Sequence[float], boxes: Any, title: str, *, alt: str,
        half: float, usual: float,
    ) -> None:  # fmt: skip
        self.xs, self.ys = ([float(v) for v in values] for values in (xs, ys))
        places = [(x, y) for y, x in product(self.ys, self.xs)]
        for name, values in (("xs", self.xs), ("ys", self.ys)):
            if not values or values != sorted(set(values)) or max(map(abs, values)) >= half:
                raise ValueError(f"{name} is {values}, expected rising numbers between {-half:g} and {half:g}")
        self.points, self.truth, self.boxes = (torch.as_tensor(to_numpy(v)).double() for v in (points, truth, boxes))
        shape = (len(self.ys), len(self.xs), 7)
        if tuple(self.boxes.shape) != shape or not self.boxes.isfinite().all():
            raise ValueError(f"boxes has shape {tuple(self.boxes.shape)}, expected finite numbers of shape {shape}")
        super().__init__(title, "click", places, min(range(len(places)), key=lambda k: np.hypot(*places[k])))
        self.alt, self.half, self.usual = check_alt(alt), float(half), float(usual)

    def at(self, setting: tuple[float, float]) -> Reading:
        """The scene with the click at a place of the grid and the box that was made of it.

        Raises:
            ValueError: No such place.
        """
        if tuple(setting) not in self.settings:
            raise ValueError(f"{setting!r} is no place of this control: choose x from {self.xs} and y from {self.ys}")
        index = self.settings.index(tuple(setting))
        return Reading(self.say(index), self._drawn(index), self._sentence(index), self._numbers(index))

    def say(self, index: int) -> str:
        x, y = self.settings[index]
        moved = [f"{axis} {value:+g} m" for axis, value in (("x", x), ("y", y)) if value]
        return ", ".join(moved) or "at the centre"

    def width(self) -> int:
        return round(INCHES * DPI)

    def attributes(self) -> dict[str, str]:
        """What the script draws: metres from the left and from the top of the drawing, with two decimals."""
        every = range(len(self.settings))
        shares = (FRAME[0], 1 - FRAME[1] - FRAME[3], *FRAME[2:])
        sides = [f"{name}:{100 * share:g}%" for name, share in zip(SIDES, shares, strict=True)]
        shown = {
            "side": 2 * self.half,
            "frame": "position:absolute;" + ";".join(sides),
            "xs": [self.half + x for x in self.xs],
            "ys": [self.half - y for y in self.ys],
            "outlines": [[round(value, 2) + 0.0 for value in self._outline(k).flatten().tolist()] for k in every],
            "say": [self.say(k) for k in every],
            "words": [spoken(self._numbers(k)) for k in every],
        }
        return {"click": json.dumps(shown, ensure_ascii=False)}

    def body(self) -> str:
        still, ground = self._drawn(self.start), self._drawn(None)
        size = f'width="{still.shape[1]}" height="{still.shape[0]}"'
        said = f"{self.label} {self.say(self.start)} · {spoken(self._numbers(self.start))}"
        return (
            f'<div class="wx-live" hidden><div class="wx-layer"><img src="{webp(ground)}" {size} '
            f'alt="{escape(self.alt)}"></div>'
            '<p class="wx-key">Drag the cross, click or tap another place, or use the arrow keys.</p></div>'
            f'<div class="wx-still"><img src="{webp(still)}" {size} alt="{escape(self._sentence(self.start))}">'
            f'<p class="wx-caption">{escape(said)}</p></div>'
            f'<p class="wx-key">{KEY}{" Tinted: where clicks of training lie." if self.usual else ""}</p>'
        )

    def widget(self) -> Any:
        """As ``ipywidgets``: a slider for each direction, an image and a line of text, under the title."""
        import ipywidgets

        at_first = self.settings[self.start]
        sliders = [
            ipywidgets.SelectionSlider(
                options=[(f"{value:+g} m" if value else "0 m", value) for value in values],
                value=first,
                description=f"{self.label}, {name}",
                style={"description_width": "initial"},
                layout=ipywidgets.Layout(width="100%", max_width="36em"),
            )
            for name, values, first in zip("xy", (self.xs, self.ys), at_first, strict=True)
        ]
        image = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%", align_self="flex-start"))
        text = ipywidgets.HTML()

        def show(_: Any = None) -> None:
            reading = self.at((sliders[0].value, sliders[1].value))
            image.value = png_bytes(reading.picture)
            text.value = f"{escape(reading.words)} · {escape(reading.alt)}"

        for slider in sliders:
            slider.observe(show, names="value")
        show()
        return ipywidgets.VBox([ipywidgets.HTML(f"<b>{escape(self.title)}</b>"), *sliders, image, text])

    def _box(self, index: int) -> Tensor:
        return self.boxes.reshape(-1, 7)[index]

    def _numbers(self, index: int) -> dict[str, float | None]:
        """IoU with the true box on the ground, and how far the centre is from the true one."""
        box = self._box(index)
        apart = float((box[:2] - self.truth[:2]).norm())
        return {"IoU": float(metrics.ground_iou(box, self.truth)), "centre off by [m]": apart}

    def _sentence(self, index: int) -> str:
        return f"{self.alt} Click {self.say(index)}; {spoken(self._numbers(index))}."

    def _outline(self, index: int) -> Any:
        """(7, 2): the border and the line to the front, from the left and the top of the drawing."""
        x, y = outline(self._box(index).tolist())
        middle = self.truth[:2].tolist()
        return np.stack([x - middle[0] + self.half, self.half - (y - middle[1])], -1)

    def _drawn(self, index: int | None) -> Picture:
        """The scene; with a click and its box, or ready for the script to draw them."""
        middle = self.truth[:2]
        place = None if index is None else (middle + torch.tensor(self.settings[index]))[None]
        with style():
            fig = Figure(figsize=(INCHES, INCHES), dpi=DPI)
            fig.set_layout_engine("none")
            ax = fig.add_axes(FRAME)
            if self.usual:
                near = self.truth.clone()
                near[3:5] *= self.usual
                ax.fill(*(side[:5] for side in outline(near.tolist())), color="#0B6E4F", alpha=0.18, linewidth=0)
            grid = np.array(self.settings) + middle.numpy()
            ax.plot(grid[:, 0], grid[:, 1], "+", color="#0B6E4F", alpha=0.6, markersize=4, markeredgewidth=0.8)
        bird_eye(
            ax, self.points, truth=self.truth[None], boxes=None if index is None else self._box(index)[None],
            clicks=place, half=self.half, centre=(float(middle[0]), float(middle[1])),
        )  # fmt: skip
        ax.set(position=FRAME)
        buffer = io.BytesIO()
        with style():
            fig.savefig(buffer, format="png", dpi=DPI)
        return np.asarray(Image.open(buffer).convert("RGB"))
