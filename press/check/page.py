"""What a page shows of its code: the method, early, in lines that fit, and little else.

A cell that builds the method has the metadata ``mirror`` or ``derives``, or ``"role": "method"``; one that tries
something has ``"role": "experiment"``, and so has the stub of an exercise. What is neither is machinery: it is folded
(tag ``hide-input``), or it counts against the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from press import cells
from press.chapter import Chapter, Problem

WIDTH, LINES, EARLY, MACHINERY = 76, 220, 40, 0.15
"""Columns that a page of 1280 px shows; visible lines of code; those before the method's first; share of machinery."""

FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
ROLES = ("method", "experiment")
FREE = ("00_", "12_", "9")
"""Chapters that build no method: their code may be what they like, in lines that fit."""


def width(chapter: Chapter) -> Iterator[Problem]:
    """No visible line of code is wider than the page."""
    for cell in _visible(chapter):
        wide = [line for line in cell.source.splitlines() if len(line) > WIDTH]
        if wide:
            yield chapter.problem(cell, f"has a line of {len(wide[0])} columns, a page shows {WIDTH}: break it")


def proportion(chapter: Chapter) -> Iterator[Problem]:
    """A chapter shows its method early, in few lines, and next to no machinery."""
    sizes = [(_role(cell), _lines(cell)) for cell in _visible(chapter)]
    total = sum(lines for _, lines in sizes)
    if total > LINES:
        yield chapter.problem(None, f"shows {total} lines of code, at most {LINES} are read: fold or shorten some")
    if chapter.name.startswith(FREE) or total < EARLY:  # a page this short hides nothing
        return
    before = 0
    for role, lines in sizes:
        if role == "method":
            break
        before += lines
    if before >= EARLY:
        yield chapter.problem(
            None, f"shows {before} lines before the first of its method, expected fewer than {EARLY}: fold some"
        )
    machinery = sum(lines for role, lines in sizes if role is None)
    if machinery > MACHINERY * total:
        message = f"shows {machinery} of {total} lines that are neither method nor experiment"
        yield chapter.problem(None, f"{message}, at most {MACHINERY:.0%} may be: fold them, or give them their role")


def roles(chapter: Chapter) -> Iterator[Problem]:
    """A cell's role is one that exists."""
    for cell in chapter.code:
        if cell.metadata.get("role", "method") not in ROLES:
            yield chapter.problem(cell, f"has the role {cell.metadata['role']!r}: choose {' or '.join(ROLES)}")


def _visible(chapter: Chapter) -> list[Any]:
    return [cell for cell in chapter.code if not FOLDED & set(cells.tags(cell))]


def _role(cell: Any) -> str | None:
    if {"mirror", "derives"} & set(cell.metadata):
        return "method"
    return "experiment" if "exercise" in cells.tags(cell) else cell.metadata.get("role")


def _lines(cell: Any) -> int:
    """Lines that a reader reads: the empty ones do not count."""
    return sum(1 for line in cell.source.splitlines() if line.strip())


CHECKS = (width, proportion, roles)
