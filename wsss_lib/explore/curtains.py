"""One picture drawn aside over another, like a curtain: before and after, a method against CAM."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from wsss_lib.explore.control import Control, Reading
from wsss_lib.explore.pictures import Picture, as_picture, enlarged, webp
from wsss_lib.figures.page import check_alt


def drawn_aside(before: Picture, after: Picture, share: float) -> Picture:
    """``before`` to the left of the curtain's edge, ``after`` to the right: the plain function behind the slider.

    Args:
        before: (H, W, 3) uint8.
        after: (H, W, 3) uint8.
        share: In [0, 1], how much of the width shows ``before``.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: Different sizes, or a share outside [0, 1].
    """
    if before.shape != after.shape:
        raise ValueError(f"before is {before.shape}, after {after.shape}: draw both in one size")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, expected a number in [0, 1]: 0 shows the second picture alone")
    edge = round(share * before.shape[1])
    return np.concatenate([before[:, :edge], after[:, edge:]], axis=1)


def curtain(
    before: Any,
    after: Any,
    labels: tuple[str, str] = ("before", "after"),
    *,
    alt: str | tuple[str, str],
    title: str | None = None,
    titles: Sequence[str] = (),
    start: float = 0.5,
) -> Control:
    """Two pictures of one place, the first drawn aside over the second by a slider.

    :func:`picture` draws maps for it: ``curtain(picture(image, cam, truth=mask), picture(image, bas, truth=mask), …)``.

    Args:
        before: A picture: a figure, an image (3, H, W) in [0, 1], or (H, W, 3) uint8. Or a list of such, which lie side
            by side under one slider.
        after: The same, of the same sizes.
        labels: Names of the two.
        alt: What a reader who cannot see them should know: one text for both, or one for each.
        title: Above the pictures; ``"before against after"`` by default, in the labels' words.
        titles: One above each place, such as the size of the image; none by default.
        start: In [0, 1] in steps of 0.05: where the curtain hangs at first. On paper both pictures stand side by side.

    Returns:
        The control: the last line of a cell shows it, and ``.at(0.3)`` is what it shows with 30 % of the width before.

    Raises:
        ValueError: Pictures of different sizes or numbers, another number of titles, or a text that describes nothing.
    """
    return Curtain(before, after, labels, alt=alt, title=title, titles=titles, start=start)


class Curtain(Control):
    """See :func:`curtain`."""

    kind = "curtain"

    def __init__(
        self,
        before: Any,
        after: Any,
        labels: tuple[str, str],
        *,
        alt: Any,
        title: str | None,
        titles: Sequence[str],
        start: float,
    ) -> None:
        settings = [round(k / 20, 2) for k in range(21)]
        index = min(range(21), key=lambda k: abs(settings[k] - start))
        super().__init__(title or f"{labels[0]} against {labels[1]}", "curtain", settings, index)
        self.labels = tuple(labels)
        self.before, self.after = (_pictures(side) for side in (before, after))
        shapes = [[one.shape for one in side] for side in (self.before, self.after)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"before has shapes {shapes[0]}, after {shapes[1]}: give as many pictures, of equal sizes")
        if titles and len(titles) != len(self.before):
            raise ValueError(f"{len(titles)} titles for {len(self.before)} pictures: give one each, or none")
        self.titles = tuple(titles)
        self.alt = check_alt(alt if isinstance(alt, str) else " ".join(alt))
        sentence = f"{self.labels[1]} for the same image, described with {self.labels[0]}"
        self.alts = (self.alt, sentence) if isinstance(alt, str) else (check_alt(alt[0]), check_alt(alt[1]))

    def at(self, setting: float) -> Reading:
        """The pictures with a share of their width, from the left, showing the first of the two."""
        panels = [drawn_aside(*pair, setting) for pair in zip(self.before, self.after, strict=True)]
        height = max(panel.shape[0] for panel in panels)
        level = [np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0)), constant_values=255) for p in panels]
        return Reading(self._wording(setting), np.concatenate(level, axis=1), self.alt)

    def say(self, index: int) -> str:
        return self._wording(self.settings[index])

    def _wording(self, share: float) -> str:
        first, second = self.labels
        if share in (0, 1):
            return f"only {second if share == 0 else first}"
        return f"{round(100 * share)} % {first}, {round(100 - 100 * share)} % {second}"

    def attributes(self) -> dict[str, str]:
        return {"say": "|".join(self.say(i).replace("|", "¦") for i in range(len(self.settings)))}

    def width(self) -> int:
        return min(sum(int(panel.shape[1]) for panel in self.before), 640)

    def body(self) -> str:
        panels = []
        for number, pair in enumerate(zip(self.before, self.after, strict=True), 1):
            sides = []
            for name, drawn, text, place in zip(self.labels, pair, self.alts, ("before", "after"), strict=True):
                height, width = drawn.shape[:2]
                picture = f"Picture {number}" + (f", {self.titles[number - 1]}" if self.titles else "")
                alt = text if len(self.before) == 1 else f"{picture}. {text}"
                sides.append(
                    f'<div class="wx-side wx-{place}"><img src="{webp(drawn)}" width="{width}" height="{height}" '
                    f'alt="{escape(alt)}"><p class="wx-tag">{escape(name)}</p></div>'
                )
            panel = f'<div class="wx-panel">{"".join(sides)}<span class="wx-edge" hidden></span></div>'
            if self.titles:
                panel = f'<div><p class="wx-caption">{escape(self.titles[number - 1])}</p>{panel}</div>'
            panels.append(panel)
        return f'<div class="wx-panels">{"".join(panels)}</div>'


def _pictures(side: Any) -> list[Picture]:
    many = side if isinstance(side, Sequence) else [side]
    return [enlarged(as_picture(one)) for one in many]
