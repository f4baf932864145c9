"""One picture for each setting of a dial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from wsss_lib.explore.control import Control, Reading
from wsss_lib.explore.pictures import as_picture, enlarged, webp
from wsss_lib.figures.page import check_alt


def steps(
    pictures: Sequence[Any] | Callable[[Any], Any],
    labels: Sequence[Any],
    title: str,
    *,
    alt: Sequence[str] | Callable[[Any], str],
    numbers: Sequence[Mapping[str, float | None]] | Callable[[Any], Mapping[str, float | None]] | None = None,
    dial: str = "setting",
    start: int = 0,
    paper: str = "start",
) -> Control:
    """A slider over pictures: settings of a dial, components, epochs.

    Args:
        pictures: One for each label: a figure, an image (3, H, W) in [0, 1], or a picture (H, W, 3) uint8. Or the plain
            function that draws the picture of a label, which a live notebook then calls at each movement.
        labels: The settings; a number is written as ``0.5``, a pair as ``0.3 to 0.6``.
        title: What turns.
        alt: One text for each label, or the function that writes it: what a reader who cannot see it should know.
        numbers: Named numbers of each picture, for the read-out; or their function.
        dial: Name of the slider.
        start: Index of the setting that is seen first.
        paper: What stands on paper, and where scripts are off: ``"start"``, that picture alone, or ``"all"``.

    Returns:
        The control: the last line of a cell shows it, and ``.at(label)`` is what it shows there.

    Raises:
        ValueError: Not one picture, text and row of numbers for each label, or a text that describes nothing.
    """
    return Steps(pictures, labels, title, alt=alt, numbers=numbers, dial=dial, start=start, paper=paper)


class Steps(Control):
    """See :func:`steps`."""

    kind = "steps"

    def __init__(
        self,
        pictures: Any,
        labels: Sequence[Any],
        title: str,
        *,
        alt: Any,
        numbers: Any,
        dial: str,
        start: int,
        paper: str,
    ) -> None:
        super().__init__(title, dial, labels, start)
        if paper not in ("start", "all"):
            raise ValueError(f"paper={paper!r} is unknown: use 'start' or 'all'")
        for name, given in (("pictures", pictures), ("alt", alt), ("numbers", numbers)):
            if given is not None and not callable(given) and (isinstance(given, str) or len(given) != len(labels)):
                raise ValueError(f"{name} must hold one entry for each of the {len(labels)} labels, or be a function")
        self.pictures, self.alt, self.numbers, self.paper = pictures, alt, numbers, paper
        for setting in self.settings:
            check_alt(self._of(self.alt, setting))

    def at(self, setting: Any) -> Reading:
        """The picture of one label, with its text and numbers.

        Raises:
            ValueError: No such label.
        """
        if setting not in self.settings:
            raise ValueError(f"{setting!r} is no setting of this control: choose from {self.settings}")
        numbers = {} if self.numbers is None else dict(self._of(self.numbers, setting))
        drawn = enlarged(as_picture(self._of(self.pictures, setting)))
        return Reading(wording(setting), drawn, check_alt(self._of(self.alt, setting)), numbers)

    def _of(self, given: Any, setting: Any) -> Any:
        return given(setting) if callable(given) else given[self.settings.index(setting)]

    def say(self, index: int) -> str:
        return wording(self.settings[index])

    def width(self) -> int:
        return int(self.at(self.settings[self.start]).picture.shape[1])

    def body(self) -> str:
        frames = []
        for index, setting in enumerate(self.settings):
            reading = self.at(setting)
            height, width = reading.picture.shape[:2]
            first = " wx-first" if index == self.start else ""
            caption = " · ".join(filter(None, [f"{self.label} {reading.setting}", reading.words]))
            frames.append(
                f'<div class="wx-frame{first}" data-say="{escape(reading.setting)}" '
                f'data-words="{escape(reading.words)}">'
                f'<img src="{webp(reading.picture)}" width="{width}" height="{height}" alt="{escape(reading.alt)}">'
                f'<p class="wx-caption">{escape(caption)}</p></div>'
            )
        return f'<div class="wx-frames wx-paper-{self.paper}">{"".join(frames)}</div>'


def wording(label: Any) -> str:
    """A setting in words."""
    if isinstance(label, (tuple, list)):
        low, high = label
        return wording(low) if low == high else f"{wording(low)} to {wording(high)}"
    return f"{label:g}" if isinstance(label, float) else str(label)
