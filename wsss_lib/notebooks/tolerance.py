"""A tolerance for nbval, which compares texts: decimals that are close count as equal.

The same machine and thread count give the same bits; another processor's vector units round otherwise, training
amplifies it, and a printed accuracy moves in its second or third decimal. Whole numbers, words and the order of
everything are still compared exactly. Loaded by :mod:`wsss_lib.notebooks.validate` as a pytest plugin.
"""

from __future__ import annotations

import copy
import re
from typing import Any

ABSOLUTE, RELATIVE = 0.03, 0.05
"""Two decimals agree within 0.03, or within 5 % of the stored one."""

DECIMAL = re.compile(r"(?<![\w.])[-+−]?\d+\.\d*(?:[eE][-+]?\d+)?(?!\.?[\w])")


def agree(text: str, stored: str) -> bool:
    """Whether two texts are equal but for white space and decimals within the tolerance."""
    if _masked(text) != _masked(stored):
        return False
    pairs = zip(_numbers(text), _numbers(stored), strict=True)
    return all(abs(a - b) <= max(ABSOLUTE, RELATIVE * abs(b)) for a, b in pairs)


def pytest_configure(config: Any) -> None:
    """Wrap nbval's comparison: a computed text that agrees with the stored one is compared as the stored one."""
    from nbval.plugin import IPyNbCell

    exact = IPyNbCell.compare_outputs
    if getattr(exact, "tolerant", False):
        return

    def compare_outputs(cell: Any, test: Any, ref: Any, skip_compare: Any = None) -> Any:
        return exact(cell, _snapped(cell, test, ref), ref, skip_compare)

    compare_outputs.tolerant = True  # type: ignore[attr-defined]
    IPyNbCell.compare_outputs = compare_outputs


def _snapped(cell: Any, test: Any, ref: Any) -> Any:
    if len(test) != len(ref):
        return test
    result = copy.deepcopy(test)
    for mine, theirs in zip(result, ref, strict=True):
        if mine.get("output_type") != theirs.get("output_type"):
            continue
        here, there = (mine.get("data", mine), theirs.get("data", theirs))
        for name in ("text", "text/plain", "text/markdown", "text/html", "text/latex"):
            texts = (here.get(name), there.get(name))
            if all(isinstance(text, str) for text in texts) and agree(*map(cell.sanitize, texts)):
                here[name] = there[name]
    return result


def _masked(text: str) -> str:
    return " ".join(DECIMAL.sub("#", text).split())


def _numbers(text: str) -> list[float]:
    return [float(match.replace("−", "-")) for match in DECIMAL.findall(text)]
