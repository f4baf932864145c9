"""No result is typed into prose: it is said by the cell that computed it, or read from ``results/``.

A typed number is true on the day it is typed. What counts as one: decimals and percentages, in the text of a Markdown
cell or page, and in the sentences of a chapter's code: what a cell says, a figure's ``alt`` and title, a caption.
Code, equations and links do not count; nor does a paragraph that cites a paper, whose numbers these are, nor a
setting after the word that makes it one ("threshold 0.3"). What else must stand there is listed in the cell's
metadata, with its reason::

    "typed": {"0.25": "the default of the dial, in the heading of its section"}
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from press import cells
from press.chapter import Chapter, Problem

NUMBER = re.compile(r"(?<![\w.,§])[-+−]?(?:\d+(?:[.,·]\d+)?\s?%|\d+[.·]\d+(?![\w.]*\w)|(?:0,|\.)\d+(?![\w.]*\w))")
SETTING = re.compile(
    r"(?:thresholds?|constants?|scales?|seeds?|dials?|gates?|strength|factor|rate|momentum|Python|torch|NumPy|version"
    r"|CC BY|box acc\.|(?:at|from) IoU|\(IoU|above|below|at least|at most|[=≥≤<>])"
    r"(?:\s(?:is|of|at|and|or|to|from|[\d.,]+))*\W*$"
)
CITED = re.compile(r"\{cite|\bpapers?\b|\bet al\.|^\s*\*\*Exercise")
FENCED = re.compile(r"^(`{3,}+|~{3,}+)[ \t]*(?:\{([\w-]+)\})?[^\n]*\n(.*?)^\1[ \t]*$", re.M | re.S)
CODE = ("code", "code-block", "code-cell", "math", "mermaid", "raw", "toctree", "bibliography", "")
"""Directives whose bodies nobody reads as prose; a fence without one holds code."""
SILENT = re.compile(
    r"\$\$[^$]*\$\$|\$[^$\n]*\$|``[^`]*``|(?:\{[\w:]+\})?`[^`\n]*`|\]\([^)\n]*\)|<[^<>\n]*>|https?://\S+"
)
LONGEST = 20_000
"""Characters of one paragraph that are read: no author writes more."""


def typed_results(chapter: Chapter) -> Iterator[Problem]:
    """No number of a result is typed into the text, into a sentence of the code, or into an alternative text."""
    for cell in chapter.notebook.cells:
        allowed = cell.metadata.get("typed", {})
        if not _reasoned(allowed):
            message = f"lists {str(allowed)!r} as typed numbers, expected each number with its reason"
            yield chapter.problem(cell, f'{message}: write "typed": {{"0.25": "why"}}')
            continue
        texts = [cell.source] if cell.cell_type == "markdown" else sentences(cell.source)
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
    """Decimals and percentages of a text, without a paper's own and without settings."""
    for paragraph in re.split(r"\n[ \t]*\n|\n(?=[ \t]*[-*|])", _unfenced(text)):
        if CITED.search(paragraph):
            continue
        bare = SILENT.sub(" x ", paragraph[:LONGEST])
        for match in NUMBER.finditer(bare):
            if not SETTING.search(" ".join(bare[max(0, match.start() - 60) : match.start()].split()) + " "):
                yield " ".join(match.group().split())


def _unfenced(text: str) -> str:
    """The text without blocks of code; the bodies of other directives stay."""
    return FENCED.sub(lambda block: "" if (block[2] or "") in CODE else block[3], text)


def sentences(source: str) -> list[str]:
    """Texts of a cell's code that hold words: all but docstrings, and the messages of assertions and errors.

    A computed part of a text stands as a letter.
    """
    passed: set[int] = set()
    texts = []
    for node in ast.walk(cells.parse(source)):  # breadth first: a whole text before its parts
        if isinstance(node, (ast.Assert, ast.Raise)) or (isinstance(node, ast.Expr) and _text(node.value)):
            passed |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.expr) and id(node) not in passed and (text := _text(node)):
            passed |= {id(inner) for inner in ast.walk(node)}
            texts += [text] if re.search(r"[^\W\d_]{2,}", text) else []
    return texts


def _text(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return value.value if isinstance(value.value, str) else ""
    if isinstance(value, ast.JoinedStr):
        return "".join(_part(part) for part in value.values)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _text(value.left) + _text(value.right)
    return ""


def _part(value: ast.expr) -> str:
    """A piece of an f-string: a number in braces is as typed as one without; what is computed is a letter."""
    if isinstance(value, ast.FormattedValue):
        inner = value.value
        return str(inner.value) if isinstance(inner, ast.Constant) and isinstance(inner.value, (int, float)) else "x"
    return _text(value)


def _reasoned(stated: Any) -> bool:
    return isinstance(stated, dict) and all(isinstance(why, str) and len(why.split()) >= 2 for why in stated.values())


CHECKS = (typed_results,)
