"""Do two outputs of a cell say the same? Texts word by word, numbers as numbers, figures by what they show.

The same machine and thread count give the same bits; another processor rounds otherwise, training amplifies it, and a
printed accuracy moves in its second or third decimal. So decimals may differ by a tolerance, which a cell states in its
metadata where the default does not fit::

    "tolerance": {"absolute": 0.1, "figure": 0.02}

The default is twice what most numbers of two decimals move on other machines, and a cell that states more must be one
that moved there by half of it (:mod:`press.check.tolerances`, with what :mod:`press.run.machines` measured).

A percentage is a share that was rounded: 46 % is 0.46. Whole numbers, words and the order of everything are compared
exactly. The style and script of controls are not compared: pages take them from the library. ``make test``, ``wsss
check`` and ``wsss run --confirm`` all ask :func:`differences`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any, NamedTuple

from press import cells
from press.check import figures
from press.check.checks import EMBEDDED

IGNORED = ("nbval-ignore-output", "nbval-skip")
TEXTS = ("text/plain", "text/markdown", "text/html", "text/latex")
SHARED = re.compile(r'<(style|script) data-wx="">.*?</\1>', re.S)
"""Style and script that every control brings along: a page has those of the library instead, as they are now."""
DECIMAL = re.compile(r"(?<![\w.])[-+−]?(?:\d+\.\d*(?:[eE][-+]?\d+)?(?!\.?[\w])(?:\s?%)?|\d+\s?%)")
"""A decimal, or a percentage with or without decimals: a share that was rounded."""

RELATIVE = 0.02
"""Decimals agree within this share of the stored one, whatever a cell states: it is what large numbers need."""


@dataclass(frozen=True)
class Tolerance:
    """How far two outputs of a cell may be apart.

    Args:
        absolute: Decimals agree within this, or within :data:`RELATIVE`.
        figure: Numbers in figures agree within this share of their axis or colour scale. 0: figures of data, which
            agree to the pixel.
    """

    absolute: float = 0.03
    figure: float = 0.0


def tolerance(cell: Any) -> Tolerance:
    """What the cell's metadata states, else the default.

    Raises:
        ValueError: ``tolerance`` holds something else than the two shares.
    """
    stated = cell.metadata.get("tolerance", {})
    known = {f.name for f in fields(Tolerance)}
    right = isinstance(stated, Mapping) and set(stated) <= known
    if not right or not all(type(v) in (int, float) and 0 <= v < 1 for v in stated.values()):
        expected = ", ".join(f'"{k}": {v}' for k, v in asdict(Tolerance()).items())
        raise ValueError(
            f"states the tolerance {stated!r}, expected numbers from 0 to 1 as in {{{expected}}}: correct it"
        )
    return Tolerance(**stated)


class Spread(NamedTuple):
    """How far two outputs of a cell are apart."""

    decimal: float
    """The largest difference of a printed decimal, but for those that :data:`RELATIVE` covers twice."""
    figure: float
    """The largest difference of a number in a figure, as a share of its axis; of a pixel where data are shown."""
    used: float
    """The largest of these as a share of what the cell allows: at most 1 where they agree."""
    why: str
    """In words, where they do not agree."""


def agree(text: str, stored: str, within: Tolerance | None = None) -> bool:
    """Whether two texts are equal but for white space and decimals within the tolerance."""
    return _apart(text, stored, within or Tolerance())[1] <= 1


def spread(mine: Sequence[Any], stored: Sequence[Any], cell: Any) -> Spread:
    """How far the outputs of a cell are from the stored ones.

    Args:
        mine: Newly computed.
        stored: Of the chapter.
        cell: Whose metadata may state a tolerance.
    """
    within = tolerance(cell)
    if [_kind(o) for o in mine] != [_kind(o) for o in stored]:
        return Spread(inf, inf, inf, f"puts out {_kinds(mine)} where {_kinds(stored)} is stored")
    decimal, used, why = 0.0, 0.0, ""
    for computed, kept in zip(mine, stored, strict=True):
        for name in ("text", *TEXTS):
            new, old = (_words(o, name) for o in (computed, kept))
            apart, share = _apart(new, old, within)
            decimal, used = max(decimal, apart), max(used, share)
            why = why or (f"prints {_first_difference(new, old, within)}" if share > 1 else "")
    drawn = figures.spread(mine, stored, within.figure, lambda new, old: agree(new, old, within))
    return Spread(decimal, drawn.apart, max(used, drawn.used), why or drawn.why)


def differences(executed: cells.Notebook, stored: cells.Notebook) -> list[str]:
    """Where a normalised run does not agree with what is stored, a line a cell."""
    pairs = zip(cells.code_cells(executed), cells.code_cells(stored), strict=True)
    return [
        f"{cells.label(stored, theirs)} {why}"
        for mine, theirs in pairs
        if not set(IGNORED) & set(cells.tags(theirs)) and (why := spread(mine.outputs, theirs.outputs, theirs).why)
    ]


def _words(output: Any, name: str) -> str:
    """A text of an output, without what all controls share and with a mark in the place of each picture."""
    return EMBEDDED.sub("BASE64", SHARED.sub("", "".join(output.get("data", output).get(name, ""))))


def _first_difference(new: str, old: str, within: Tolerance) -> str:
    lines = zip(new.splitlines(), old.splitlines(), strict=False)
    pair = next(((a, b) for a, b in lines if not agree(a, b, within)), (new[-60:], old[-60:]))
    # A long line is shown from a little before the place where it begins to differ.
    same = next((at for at, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), 0)
    start = max(0, same - 40)
    return f"`{pair[0][start:].strip()[:80]}` where `{pair[1][start:].strip()[:80]}` is stored"


def _kind(output: Any) -> tuple[str, ...]:
    return (output.output_type, *sorted(output.get("data", {})))


def _kinds(outputs: Sequence[Any]) -> str:
    return ", ".join("/".join(_kind(o)[:1]) for o in outputs) or "nothing"


def _apart(text: str, stored: str, within: Tolerance) -> tuple[float, float]:
    """The largest difference of a decimal, as it is and as a share of what is allowed; infinite where words differ."""
    if _masked(text) != _masked(stored):
        return inf, inf
    apart, used = 0.0, 0.0
    for a, b in zip(_numbers(text), _numbers(stored), strict=True):
        difference, covered = abs(a - b), RELATIVE * abs(b)
        apart = max(apart, difference if 2 * difference > covered else 0.0)
        allowed = max(within.absolute, covered)
        used = max(used, 0.0 if a == b else difference / allowed if allowed else inf)
    return round(apart, 9), round(used, 9)  # 0.52 - 0.49 is a little more than 0.03


def _masked(text: str) -> str:
    return " ".join(DECIMAL.sub(lambda match: "#%" if match[0].endswith("%") else "#", text).split())


def _numbers(text: str) -> list[float]:
    """Decimals as they stand, percentages as shares."""
    texts = [match.replace("−", "-") for match in DECIMAL.findall(text)]
    return [float(text.rstrip("% \xa0\n")) / (100 if text.endswith("%") else 1) for text in texts]
