"""No result is typed into prose: it is said by the cell that computed it, or read from ``results/``.

A typed number is true on the day it is typed. What counts as one: decimals, percentages, "± 0.01", "3 times", in the
text of a Markdown cell or page, in what a cell ``say``s, and in a figure's ``alt``. Code, formulas and links do not
count. A paper's number may be typed beside its citation, a setting after the word that makes it one ("threshold
0.3"), and what an exercise asks for in its task. What else must stand there is listed in the cell's metadata, with its
reason::

    "typed": {"0.25": "the default of the dial, in the heading of its section"}
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsss_lib.notebooks import cells
from wsss_lib.notebooks.guards.checks import Chapter, Problem

NUMBER = re.compile(
    r"(?<![\w.,§-])[-+−]?\d+(?:\.\d+)?\s?%"  # 46 %, 46.3%
    r"|(?<![\w.,§])[-+−]?\d+\.\d+(?![\w.]*\w)"  # 0.46, 43.00
    r"|±\s?\d+"
    r"|(?<![\w.,])\d+(?:[- ]?fold|\s?times)\b"  # 20 times, 3-fold
)
SETTING = re.compile(
    r"(?:thresholds?|constants?|scales?|seeds?|dials?|strength|factor|rate|momentum|Python|torch|NumPy|version|CC BY"
    r"|(?:at|from) IoU|above|below|of at least|of at most|[=≥≤<>])(?:\s+(?:is|of|at|and|or|to|from|[\d.,]+))*\W*$"
)
CITED = re.compile(r"\{cite|\bpapers?\b|\bet al\.")
SILENT = re.compile(
    r"^(?:```+|:::+)\{(?!note|tip|warning|admonition|dropdown|figure|exercise|important).*?^(?:```+|:::+)\s*$|```.*?```"
    r"|\$\$.*?\$\$|\$[^$\n]*(?:\n[^$\n]+)?\$|``[^`]*``|`[^`]*`|\{[\w:]+\}`[^`]*`|\]\([^)]*\)|<[^>]*>|https?://\S+",
    re.S | re.M,
)
SPEAKERS = {"say", "Markdown", "HTML"}


def typed_results(chapter: Chapter) -> Iterator[Problem]:
    """No number of a result is typed into the text, into `say`, or into a figure's alternative text."""
    for cell in chapter.notebook.cells:
        allowed = _allowed(cell)
        if not isinstance(allowed, dict):
            message = f"lists {allowed!r} as typed numbers, expected each number with its reason"
            yield chapter.problem(cell, f'{message}: write "typed": {{"0.25": "why"}}')
            continue
        texts = [cell.source] if cell.cell_type == "markdown" else list(spoken(cell.source))
        for number in (number for text in texts for number in numbers(text) if number not in allowed):
            remedy = 'say it from the cell that computes it, or read it from results/; else list it under "typed"'
            yield chapter.problem(cell, f"types the number {number} into the text: {remedy}")


def typed_pages(root: Path) -> Iterator[Problem]:
    """No number of a result is typed into a page of the book."""
    for path in sorted((root / "book").glob("*.md")):
        for number in numbers(path.read_text(encoding="utf-8")):
            remedy = "move it to a chapter's `say`, or generate the page from results/"
            yield Problem(path.relative_to(root).as_posix(), f"types the number {number} into the text: {remedy}")


def numbers(text: str) -> Iterator[str]:
    """The numbers of a text that look like results, without a paper's own and without settings."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.)\s)", _blanked(text)):
        if CITED.search(paragraph) or paragraph.lstrip().startswith("**Exercise"):
            continue
        for match in NUMBER.finditer(paragraph):
            if not SETTING.search(paragraph[: match.start()].replace("\n", " ")):
                yield match.group().strip()


def spoken(source: str) -> Iterator[str]:
    """Texts that a cell shows as they stand: the constant parts of what it says and of its figures' descriptions."""
    tree = cells.parse(source)
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        shown = list(node.args) if name in SPEAKERS else []
        shown += [keyword.value for keyword in node.keywords if keyword.arg == "alt"]
        for value in shown:
            yield _constant(value)


def _constant(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return value.value if isinstance(value.value, str) else ""
    if isinstance(value, ast.JoinedStr):  # a computed part stands as a letter, so that its neighbours stay apart
        return "".join(_constant(part) or "x" for part in value.values)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _constant(value.left) + _constant(value.right)
    return ""


def _allowed(cell: Any) -> Any:
    stated = cell.metadata.get("typed", {})
    right = isinstance(stated, dict) and all(isinstance(why, str) and len(why.split()) >= 2 for why in stated.values())
    return dict(stated) if right else str(stated)


def _blanked(text: str) -> str:
    """The text with code, formulas and links taken out; citations stay recognisable."""
    cited = re.sub(r"\{cite(?::\w+)?\}`[^`]*`", " {cite ", text)
    return SILENT.sub(" ", cited)


CHECKS = (typed_results,)
