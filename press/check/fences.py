"""What of a piece of MyST is read as text: code blocks taken out, the bodies of directives left in."""

from __future__ import annotations

import re

FENCE = re.compile(r"\s*(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:-]+)\})?([^`]*)$")
CODE = {"code", "code-block", "code-cell", "math", "bibliography", "toctree", "literalinclude", "mermaid", "raw"}
"""Directives whose bodies nobody reads as prose."""


def unfenced(text: str) -> str:
    """The text without code blocks, line for line; a directive opens with ``:::`` whatever it opened with.

    So no fence is left that could be taken for code between backticks.
    """
    lines: list[str] = []
    open_: list[tuple[str, bool]] = []  # each fence that is open, and whether what is in it is code
    for line in text.split("\n"):
        found = FENCE.match(line)
        inside = bool(open_) and open_[-1][1]
        if found and open_ and not found[2] and not found[3].strip() and found[1].startswith(open_[-1][0]):
            open_.pop()
            lines.append("")
        elif found and not inside:
            silent = found[2] in CODE or (not found[2] and found[1][0] != ":")
            open_.append((found[1], silent))
            lines.append("" if silent else f":::{{{found[2] or 'note'}}}{found[3]}")
        else:
            lines.append("" if inside else line)
    return "\n".join(lines)
