"""How data flow through a method, and where no gradient flows back: a drawing with a stop sign at each stop-gradient.

The drawing is SVG in HTML. It has no colours of its own for lines and text, so it reads on a light and on a dark page,
and it is at most 440 units wide, so that its text is readable on a phone.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Kind = Literal["data", "layer", "loss"]
Point = tuple[float, float]

WIDTH = 440.0
"""Width of a drawing in its own units; a phone shows 360 of its pixels."""
ROW, GAP, LINE, HALF_SIGN = 46.0, 34.0, 17.0, 10.0
"""Heights of a box with one line, of the space between two rows, of a line of text; half the height of a stop sign."""
MARGIN = 22.0
"""Space on the left and the right, in which arrows pass by a row."""


@dataclass(frozen=True)
class Box:
    """A thing in the drawing.

    Attributes:
        name: By which arrows name it; also its text, where ``text`` is empty.
        text: What stands in it; ``\\n`` breaks the line, and a soft hyphen before it breaks a word.
        kind: ``"data"`` (thin frame): a tensor. ``"layer"`` (grey ground): something with parameters.
            ``"loss"`` (thick frame): a scalar that is minimised.
    """

    name: str
    text: str = ""
    kind: Kind = "data"

    @property
    def lines(self) -> list[str]:
        """The lines of text, a hyphen where a word is broken."""
        return (self.text or self.name).replace("\xad", "-").split("\n")

    @property
    def words(self) -> str:
        """The text in one line, broken words joined."""
        return (self.text or self.name).replace("\xad\n", "").replace("\n", " ")


@dataclass(frozen=True)
class Arrow:
    """A way that data take.

    Attributes:
        start, end: Names of boxes.
        stop: Why no gradient flows back here, as a sentence; empty where it flows. Two arrows with the same reason bear
            the same number.
        turned: Whether the gradient changes its sign here.
    """

    start: str
    end: str
    stop: str = ""
    turned: bool = False


class Flow:
    """A drawing of a data flow, made by :func:`flow`; a notebook shows it as HTML.

    Attributes:
        alt: What a reader who cannot see the drawing should know: each arrow, and each stop with its reason.
    """

    def __init__(self, rows: Sequence[Sequence[Box | None]], arrows: Sequence[Arrow], title: str) -> None:
        self.rows = [[box for box in row if box is not None] for row in rows]
        self.arrows, self.title = arrows, title
        self._places = _lay_out(rows)
        self.alt = _describe(self.rows, arrows, title)

    def svg(self) -> str:
        """The drawing alone."""
        height = max(bottom for _, _, _, bottom in self._places.values()) + 4
        tip = f"tip-{zlib.crc32(self.alt.encode()):08x}"  # of its own: a page may hold several drawings
        reasons = _reasons(self.arrows)
        lines, signs = [], []
        for arrow in self.arrows:
            points = self._route(arrow)
            path = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            lines.append(f'<path d="M{path}" fill="none" stroke="currentColor" marker-end="url(#{tip})"/>')
            if arrow.stop:
                signs.append(_sign(_middle(points), reasons.index(arrow.stop) + 1))
            elif arrow.turned:
                signs.append(_turn(_middle(points)))
        boxes = "".join(_drawn(box, self._places[box.name]) for row in self.rows for box in row)
        head = (
            f'<defs><marker id="{tip}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
            f'aria-label="{escape(self.alt)}" style="max-width: {WIDTH * 1.25:g}px; width: 100%; height: auto; '
            f'font: 13px sans-serif">{head}{"".join(lines)}{boxes}{"".join(signs)}</svg>'
        )

    def _repr_html_(self) -> str:
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in _reasons(self.arrows))
        caption = f'<figcaption style="text-align: left; color: inherit">{escape(self.title)}'
        caption += (
            f' Stop signs: no gradient flows back.<ol style="margin: 0.3em 0; text-align: left">{reasons}</ol>'
            if reasons
            else ""
        )
        return f'<figure class="flow" style="margin: 0">{self.svg()}{caption}</figcaption></figure>'

    def __repr__(self) -> str:
        return f"Data flow: {self.title}"

    def _route(self, arrow: Arrow) -> list[Point]:
        """From the lower edge of one box to the upper edge of the other; round the boxes that lie between."""
        start_box, end_box = self._places[arrow.start], self._places[arrow.end]
        level = {box.name: number for number, row in enumerate(self.rows) for box in row}
        if level[arrow.start] == level[arrow.end]:
            right = start_box[0] < end_box[0]
            y = (start_box[1] + start_box[3]) / 2
            return [(start_box[2] if right else start_box[0], y), (end_box[0] if right else end_box[2], y)]
        start = (self._port(arrow, self.arrows, start_box, outgoing=True), start_box[3])
        end = (self._port(arrow, self.arrows, end_box, outgoing=False), end_box[1])
        rows = self.rows[level[arrow.start] + 1 : level[arrow.end]]
        between = [self._places[box.name] for row in rows for box in row]
        blocking = [place for place in between if _crosses(start, end, place)]
        if not blocking:
            return [start, end]
        upper, lower = min(place[1] for place in blocking), max(place[3] for place in blocking)
        sides = {edge for group in (blocking, between) for edge in (_leftmost(group) - 10, _rightmost(group) + 10)}
        lanes = sorted(
            {max(6.0, min(WIDTH - 6.0, x)) for x in sides}, key=lambda x: (abs(2 * x - start[0] - end[0]), x)
        )
        routes = [[start, (x, upper - GAP / 3), (x, lower + GAP / 3), end] for x in lanes]

        def crossed(route: Sequence[Point]) -> int:
            return sum(_crosses(a, b, place) for a, b in itertools.pairwise(route) for place in between)

        return min(routes, key=crossed)  # the first of the best: the least detour

    def _port(
        self, arrow: Arrow, arrows: Sequence[Arrow], place: tuple[float, float, float, float], *, outgoing: bool
    ) -> float:
        """Where on a box's edge an arrow leaves or arrives: spread evenly, in the order of the other ends."""

        def centre(name: str) -> float:
            return self._places[name][0] + self._places[name][2]

        if outgoing:
            rivals = sorted((a for a in arrows if a.start == arrow.start), key=lambda a: centre(a.end))
        else:
            rivals = sorted((a for a in arrows if a.end == arrow.end), key=lambda a: centre(a.start))
        share = (rivals.index(arrow) + 1) / (len(rivals) + 1)
        return place[0] + share * (place[2] - place[0])


def flow(rows: Sequence[Sequence[Box | str | None]], arrows: Sequence[Arrow], *, title: str) -> Flow:
    """Draw a data flow from top to bottom.

    Args:
        rows: The boxes, a row a list, at most four a row; a text stands for a :class:`Box` of that name, and None for
            a place that stays empty, so that arrows can pass there.
        arrows: From box to box: within a row, or to a lower row.
        title: What is drawn, as a sentence.

    Returns:
        The drawing, as the last line of a cell. Its text for readers who cannot see it is made from the arrows.

    Raises:
        ValueError: Two boxes of one name, an arrow to a box that is absent or above, or more than four boxes in a row.
    """
    boxes = [[Box(box) if isinstance(box, str) else box for box in row] for row in rows]
    names = [box.name for row in boxes for box in row if box]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two boxes are called {twice[0]!r}, expected a name for each: rename one, and give it a text")
    if any(not 1 <= len(row) <= 4 for row in boxes):
        raise ValueError(f"rows have {[len(row) for row in boxes]} boxes, expected one to four: begin another row")
    level = {box.name: number for number, row in enumerate(boxes) for box in row if box}
    for arrow in arrows:
        for name in (arrow.start, arrow.end):
            if name not in level:
                raise ValueError(f"an arrow names {name!r}, expected one of {', '.join(names)}: correct it")
        if level[arrow.end] < level[arrow.start]:
            raise ValueError(
                f"the arrow from {arrow.start!r} to {arrow.end!r} goes up: put {arrow.end!r} into a lower row"
            )
    return Flow(boxes, arrows, title)


def _lay_out(rows: Sequence[Sequence[Box | None]]) -> dict[str, tuple[float, float, float, float]]:
    """Left, upper, right, lower edge of each box."""
    places: dict[str, tuple[float, float, float, float]] = {}
    y = 4.0
    for row in rows:
        height = ROW + LINE * (max((len(box.lines) for box in row if box), default=1) - 1) - 12
        slot = (WIDTH - 2 * MARGIN) / len(row)
        for number, box in enumerate(row):
            if box is None:
                continue
            wide = min(slot - 14, max(64.0, 7.6 * max(map(len, box.lines)) + 22))
            centre = MARGIN + slot * (number + 0.5)
            places[box.name] = (centre - wide / 2, y, centre + wide / 2, y + height)
        y += height + GAP
    return places


def _leftmost(places: Sequence[tuple[float, float, float, float]]) -> float:
    return min(place[0] for place in places)


def _rightmost(places: Sequence[tuple[float, float, float, float]]) -> float:
    return max(place[2] for place in places)


def _crosses(start: Point, end: Point, place: tuple[float, float, float, float]) -> bool:
    """Whether a straight arrow would run through a box."""
    left, upper, right, lower = place
    for y in (upper, (upper + lower) / 2, lower):
        if start[1] < y < end[1]:
            x = start[0] + (y - start[1]) / (end[1] - start[1]) * (end[0] - start[0])
            if left - 4 < x < right + 4:
                return True
    return False


def _drawn(box: Box, place: tuple[float, float, float, float]) -> str:
    left, upper, right, lower = place
    ground = ' fill="currentColor" fill-opacity="0.12"' if box.kind == "layer" else ' fill="none"'
    frame = 2.4 if box.kind == "loss" else 1
    corner = 4 if box.kind == "layer" else (lower - upper) / 2
    first = (upper + lower) / 2 + 4.5 - LINE * (len(box.lines) - 1) / 2  # base line
    text = "".join(
        f'<text x="{(left + right) / 2:.1f}" y="{first + LINE * n:.1f}" '
        f'text-anchor="middle" fill="currentColor">{escape(line)}</text>'
        for n, line in enumerate(box.lines)
    )
    return (
        f'<rect x="{left:.1f}" y="{upper:.1f}" width="{right - left:.1f}" height="{lower - upper:.1f}" '
        f'rx="{corner:g}" stroke="currentColor" stroke-width="{frame:g}"{ground}/>{text}'
    )


def _sign(at: Point, number: int) -> str:
    """An octagon with the number of its reason: red on the page, and told from its ground without colour."""
    corners = [math.pi / 8 + k * math.pi / 4 for k in range(8)]
    points = " ".join(f"{at[0] + HALF_SIGN * math.cos(a):.1f},{at[1] + HALF_SIGN * math.sin(a):.1f}" for a in corners)
    return (
        f'<polygon points="{points}" fill="#B3261E" stroke="#FFFFFF" stroke-width="1.5"/><text x="{at[0]:.1f}" '
        f'y="{at[1] + 4:.1f}" text-anchor="middle" fill="#FFFFFF" font-size="11" font-weight="bold">{number}</text>'
    )


def _turn(at: Point) -> str:
    """A disc with an arrow that turns back: the gradient leaves with the other sign."""
    x, y = at
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{HALF_SIGN:g}" fill="#1F4E8C" stroke="#FFFFFF" stroke-width="1.5"/>'
        f'<path d="M{x - 4.5:.1f} {y + 3:.1f} A5.4 5.4 0 1 1 {x + 2:.1f} {y + 5:.1f}" fill="none" stroke="#FFFFFF" '
        f'stroke-width="1.8"/><path d="M{x + 3.6:.1f} {y + 1:.1f} L{x + 4.4:.1f} {y + 6:.1f} L{x - 0.6:.1f} '
        f'{y + 6.6:.1f} z" fill="#FFFFFF"/>'
    )


def _middle(points: Sequence[Point]) -> Point:
    """The point halfway along a broken line."""
    lengths = [math.dist(a, b) for a, b in itertools.pairwise(points)]
    left = sum(lengths) / 2
    for (a, b), length in zip(itertools.pairwise(points), lengths, strict=True):
        if left <= length:
            share = left / length if length else 0.0
            return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
        left -= length
    return points[-1]


def _reasons(arrows: Sequence[Arrow]) -> list[str]:
    """The reasons of the stop signs, each once, in the order of their numbers."""
    return list(dict.fromkeys(arrow.stop for arrow in arrows if arrow.stop))


def _describe(rows: Sequence[Sequence[Box]], arrows: Sequence[Arrow], title: str) -> str:
    text = {box.name: box.words for row in rows for box in row}
    ways = "; ".join(f"{text[a.start]} to {text[a.end]}" for a in arrows)
    stops = " ".join(
        f"Stop-gradient {_reasons(arrows).index(a.stop) + 1} between {text[a.start]} and {text[a.end]}: {a.stop}"
        for a in arrows
        if a.stop
    )
    turns = " ".join(f"The gradient is turned between {text[a.start]} and {text[a.end]}." for a in arrows if a.turned)
    return f"{title} Arrows: {ways}. {stops} {turns}".strip()
