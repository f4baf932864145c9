"""No result is typed into prose: it is said by the cell that computed it, or read from ``results/``.

A typed number is true on the day it is typed. What counts as one: decimals (0.46, .46, 0,46), percentages, "52 of 96",
"two thirds", "± 2", "3 times", in the text of a Markdown cell or page, and in every sentence of a chapter's code: what
a cell says, a figure's ``alt`` and title, a table's caption. Code, equations and links do not count. A paper's number
may be typed beside its citation, as long as the sentence does not speak of ours; so may a setting after the word that
makes it one ("threshold 0.3"), and what an exercise asks for in its task. What else must stand there is listed in the
cell's metadata, with its reason::

    "typed": {"0.25": "the default of the dial, in the heading of its section"}
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from press import cells
from press.check.checks import Chapter, Problem
from press.check.fences import unfenced

_FEW = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|twenty|fifty|a hundred|\d+)"
NUMBER = re.compile(
    r"(?<![\w.,§-])[-+−]?\d+(?:[.,·]\d+)?\s?(?:%|per\s?cent\b|percentage points?\b|points\b)"  # 46 %, 46.3%, 5 points
    r"|(?<![\w.,§])[-+−]?\d+[.·]\d+(?![\w.]*\w)"  # 0.46, 43.00, 0·46
    r"|(?<![\w.,§])[-+−]?(?:0,|\.)\d+(?![\w.]*\w)"  # 0,46 and .46
    r"|±\s?\d+"
    r"|(?<![\w.,])\d+(?:[- ]?fold|\s?times)\b"  # 20 times, 3-fold
    r"|(?<![\w.,])\d+\s?[x×](?=\s(?:as|more|less|\w+er)\b)"  # 3 × faster
    r"|(?<![\w.,])\d+\s(?:out\s)?of\s(?:the\s)?\d+\b"  # 52 of 96
    rf"|\b{_FEW}\stimes(?=\s(?:more|less|\w+er)\b)|\bby\sa\sfactor\sof\s{_FEW}\b"
    r"|\b(?:two|three|four|five|nine)[- ](?:thirds|quarters|fifths|tenths)(?=\sof\b)"  # two thirds of
)
SETTING = re.compile(
    r"(?:thresholds?|constants?|scales?|seeds?|dials?|gates?|strength|factor|rate|momentum|Python|torch|NumPy|version"
    r"|CC BY|(?:at|from) IoU|box acc\.|\(IoU|above|below|of at least|of at most|[=≥≤<>])"
    r"(?:\s+(?:is|of|at|and|or|to|from|[\d.,]+))*\W*$"
)
RESULT = re.compile(
    r"(?<!at )(?<!from )\b(?:m?IoU|PxAP|AP|accuracy|correlation|precision|recall)\*{0,2}"
    r"\s(?:is|was|are|were|reaches|reached|lies|stays|=|≈)\s(?:(?:now|just|only|well|about|still|above|below|at)\s)?\W*$"
)
"""What stands before a number that is a result, whatever else would make it a setting."""
VERBS = re.compile(
    r"(\b(?:is|are|was|were|has|have|reach(?:es)?|g[ai]ves?|gets?)\s+)[$`]([-+−]?\d*\.\d+)(?:\s?\\?%)?[$`]"
)
CITED = re.compile(r"\{cite|\bpapers?\b|\bet al\.")
OURS = re.compile(r"\b(?:our|ours|we|here|this chapter|this book)\b", re.I)
SENTENCE = re.compile(r"(?<=[.!?:])[*)\]]*\s+(?=[*\[(]*[A-Z])")
SILENT = re.compile(
    r"^\s*:::\{[\w-]*\}"
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
        found = [number for text in texts for number in numbers(text)]
        if cell.cell_type == "code" and not any(map(CITED.search, texts)):
            found += tabled(cell.source)
        for number in (number for number in found if number not in allowed):
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
        others = CITED.search(paragraph) or paragraph.lstrip().startswith("**Exercise")
        for sentence in SENTENCE.split(paragraph) if others else [paragraph]:
            if others and not OURS.search(sentence):
                continue
            for match in NUMBER.finditer(sentence):
                before = " ".join(sentence[: match.start()].split()) + " "
                if RESULT.search(before) or not SETTING.search(before):
                    yield " ".join(match.group().split())


def spoken(source: str) -> Iterator[str]:
    """Sentences in a cell's code, wherever they go: all but docstrings, and the messages of assertions and errors.

    A computed part stands as a letter. Of what the cell says and of a figure's ``alt``, single numbers count too.
    """
    tree = cells.parse(source)
    if tree is None:
        return
    seen: set[int] = set()
    for node in ast.walk(tree):  # breadth first: a whole text before its parts
        if isinstance(node, (ast.Assert, ast.Raise)) or (isinstance(node, ast.Expr) and _text(node.value)):
            seen |= {id(inner) for inner in ast.walk(node)}
        if isinstance(node, ast.Call) and id(node) not in seen:
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            said = [*node.args] if name in SPEAKERS else []
            said += [keyword.value for keyword in node.keywords if keyword.arg == "alt"]
            for value in filter(_text, said):
                seen |= {id(inner) for inner in ast.walk(value)}
                yield _text(value)
        elif isinstance(node, ast.expr) and id(node) not in seen and (text := _text(node)):
            seen |= {id(inner) for inner in ast.walk(node)}
            if re.search(r"[^\W\d_]{2,}", text):
                yield text


def tabled(source: str) -> Iterator[str]:
    """Decimals that are typed into the rows of a table where it is made."""
    tree = cells.parse(source)
    for call in ast.walk(tree) if tree else ():
        if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "table":
            rows = [row for given in call.args for row in ast.walk(given) if isinstance(row, ast.Dict)]
            values = [value for row in rows for value in row.values if isinstance(value, ast.Constant)]
            yield from (str(v.value) for v in values if re.fullmatch(r"[-+−]?\d*\.\d+\s?%?", str(v.value)))


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


def _allowed(cell: Any) -> Any:
    stated = cell.metadata.get("typed", {})
    right = isinstance(stated, dict) and all(isinstance(why, str) and len(why.split()) >= 2 for why in stated.values())
    return dict(stated) if right else str(stated)


def _blanked(text: str) -> str:
    """The text with code, formulas and links taken out; citations stay recognisable."""
    cited = re.sub(r"\{cite(?::\w+)?\}`[^`]*`", " {cite ", unfenced(text))
    return SILENT.sub(" ", VERBS.sub(r"\1\2", cited))


CHECKS = (typed_results,)
