"""What all controls have in common: a plain function from a setting to what is seen, shown as HTML and by a widget."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from PIL import Image

from wsss_lib.explore.pictures import Picture

STORED = "WSSS_STORED_OUTPUTS"
"""Environment variable: set while the book's outputs are made, which hold HTML only (a stored widget is dead)."""


@dataclass(frozen=True)
class Reading:
    """What a control shows at one setting."""

    setting: str
    """The setting in words, e.g. ``"0.30"``."""
    picture: Picture
    """(H, W, 3) uint8."""
    alt: str
    """What a reader who cannot see the picture should know."""
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    """Named numbers; None where one is undefined."""

    @property
    def words(self) -> str:
        """The numbers as the read-out says them."""
        return spoken(self.numbers)


class Control:
    """A picture with a slider. Made by :func:`threshold`, :func:`steps`, :func:`curtain` and :func:`click`.

    Args:
        title: Above the picture, and the name by which a screen reader announces the control.
        label: Of the slider.
        settings: The values that the slider takes, in order.
        start: Index of the setting that stands on paper and before anybody moves the slider.
    """

    kind = ""

    def __init__(self, title: str, label: str, settings: Sequence[Any], start: int) -> None:
        if not 0 <= start < len(settings):
            raise ValueError(f"start is {start}, expected an index of the {len(settings)} settings: 0 is the first")
        self.title, self.label, self.settings, self.start = title, label, list(settings), start

    def at(self, setting: Any) -> Reading:
        """What the control shows at a setting: the plain function behind the slider."""
        raise NotImplementedError

    def body(self) -> str:
        """The HTML between the title and the slider, and what comes after it."""
        raise NotImplementedError

    def width(self) -> int:
        """Pixels that the pictures would like side by side on a screen."""
        return 640

    def attributes(self) -> dict[str, str]:
        """Data of the control for the script, as ``data-`` attributes."""
        return {}

    def html(self) -> str:
        """The control as HTML that needs nothing else: style, starting state, slider, script."""
        data = "".join(f' data-{name}="{escape(value)}"' for name, value in self.attributes().items())
        last = len(self.settings) - 1
        slider = (
            f'<label class="wx-dial"><span>{escape(self.label)}</span><input type="range" min="0" max="{last}" '
            f'step="1" value="{self.start}" autocomplete="off" aria-valuetext="{escape(self.say(self.start))}"></label>'
        )
        return (
            f'<style data-wx="">{asset("explore.css")}</style>'
            f'<div class="wsss-explore" data-kind="{self.kind}" data-start="{self.start}"{data} role="group" '
            f'aria-label="{escape(self.title)}" style="--wx-width:{max(self.width(), 360)}px">'
            f'<p class="wx-title">{escape(self.title)}</p>{self.body()}<div class="wx-controls" hidden>{slider}'
            '<output class="wx-readout" aria-live="polite"></output></div></div>'
            f'<script data-wx="">{asset("explore.js")}</script>'
        )

    def say(self, index: int) -> str:
        """A setting in words, for the slider."""
        return str(self.settings[index])

    def widget(self) -> Any:
        """The same control as ``ipywidgets``, for a live kernel: each movement calls :meth:`at`.

        Returns:
            A box with a slider, an image and a line of text, in that order; only classes that ipywidgets 7.7 has too.
        """
        import ipywidgets

        slider = ipywidgets.SelectionSlider(
            options=[(self.say(i), i) for i in range(len(self.settings))],
            value=self.start,
            description=self.label,
            continuous_update=True,
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="100%", max_width="36em"),
        )
        image = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%", align_self="flex-start"))
        text = ipywidgets.HTML()

        def show(index: int) -> None:
            reading = self.at(self.settings[index])
            image.value = png_bytes(reading.picture)
            text.value = " · ".join(filter(None, [escape(reading.words), escape(reading.alt)]))

        slider.observe(lambda change: show(change["new"]), names="value")
        show(self.start)
        heading = ipywidgets.HTML(f"<b>{escape(self.title)}</b>")
        return ipywidgets.VBox([heading, slider, image, text])

    def __repr__(self) -> str:
        return f"Control: {self.title} ({self.label}, {len(self.settings)} settings)"

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(self, **_: Any) -> Any:
        bundle = {"text/plain": repr(self), "text/html": self.html()}
        if os.environ.get(STORED):
            return bundle
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        return {"application/vnd.jupyter.widget-view+json": view, **bundle}


def spoken(numbers: Mapping[str, float | None]) -> str:
    """Numbers in one line, e.g. ``"IoU 0.43 · recall –"``; a unit, as in ``"width [m]"``, comes after its number."""
    parts = ((*name.rstrip("]").partition(" ["), value) for name, value in numbers.items())
    return " · ".join(
        f"{name} {'–' if value is None else f'{value:.2f}'}" + f" {unit}" * bool(unit) for name, _, unit, value in parts
    )


def png_bytes(picture: Picture) -> bytes:
    """A picture for a widget."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


@cache
def asset(name: str) -> str:
    """The text of a style or script that all controls share."""
    return files("wsss_lib.explore").joinpath("web", name).read_text(encoding="utf-8").strip()
