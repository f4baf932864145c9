"""Pieces of HTML, found in one pass: no page, however broken, takes longer than its length."""

from __future__ import annotations

import re
from collections.abc import Iterator


def tags(html: str, names: str) -> Iterator[str]:
    """Opening tags as they stand, from ``<`` to the next ``>``.

    Args:
        html: Any text.
        names: Tag names, joined by ``|``.
    """
    start = re.compile(rf"<(?:{names})\b", re.I)
    place = 0
    while (opening := start.search(html, place)) and (end := html.find(">", opening.end())) >= 0:
        yield html[opening.start() : end + 1]
        place = end + 1


def split(html: str, names: str) -> tuple[str, list[str]]:
    """The text without elements of these names, and the insides of these elements; one left open goes to the end."""
    outside, inside, place, name = [], [], 0, ""
    for mark in re.finditer(rf"<(/?)({names})\b", html, re.I):
        if not name and not mark[1]:
            outside.append(html[place : mark.start()])
            name, place = mark[2].lower(), mark.end()
        elif mark[1] and mark[2].lower() == name:
            inside.append(html[place : mark.start()].partition(">")[2])
            name, place = "", mark.end()
    (inside if name else outside).append(html[place:])
    return "".join(outside), inside


def attribute(tag: str, name: str) -> str | None:
    """The value of a tag's attribute; None where it has none."""
    match = re.search(rf"\s{name}\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", tag, re.I)
    return next((text for text in match.groups() if text), "") if match else None
