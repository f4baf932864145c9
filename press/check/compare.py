"""Do two outputs of a cell say the same? Texts word by word, numbers as numbers, figures as pictures.

The same machine and thread count give the same bits; another processor rounds otherwise, training amplifies it, and a
printed accuracy moves in its second or third decimal. So decimals may differ by a tolerance, which a cell states in its
metadata where the default does not fit::

    "tolerance": {"absolute": 0.1, "relative": 0.05, "figure": 0.05}

Whole numbers, words and the order of everything are compared exactly. nbval compares through
:mod:`press.run.validate`, ``wsss run --confirm`` through :func:`differences`.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from press import cells
from press.check.checks import EMBEDDED, Chapter, Problem

IGNORED = ("nbval-ignore-output", "nbval-skip")
TEXTS = ("text/plain", "text/markdown", "text/html", "text/latex")
DECIMAL = re.compile(r"(?<![\w.])[-+−]?\d+\.\d*(?:[eE][-+]?\d+)?(?!\.?[\w])")
GRID = 64
CHANGE = 0.1


@dataclass(frozen=True)
class Tolerance:
    """How far two outputs of a cell may be apart.

    Args:
        absolute: Decimals agree within this, or
        relative: within this share of the stored one.
        figure: Share of a figure that may look different: of the 64 × 64 mean colours of its parts, those that differ
            by more than a tenth of the range from black to white.
    """

    absolute: float = 0.03
    relative: float = 0.05
    figure: float = 0.02


def tolerance(cell: Any) -> Tolerance:
    """What the cell's metadata states, else the default.

    Raises:
        ValueError: ``tolerance`` holds something else than the three shares.
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


def agree(text: str, stored: str, within: Tolerance | None = None) -> bool:
    """Whether two texts are equal but for white space and decimals within the tolerance."""
    within = within or Tolerance()
    if _masked(text) != _masked(stored):
        return False
    pairs = zip(_numbers(text), _numbers(stored), strict=True)
    return all(abs(a - b) <= max(within.absolute, within.relative * abs(b)) for a, b in pairs)


def unlike(picture: bytes, stored: bytes) -> float:
    """Share of a figure that looks different, from 0 to 1; 1 where the proportions differ by more than a tenth.

    Args:
        picture: A PNG or JPEG.
        stored: Another.
    """
    import numpy as np
    from PIL import Image

    if picture == stored:
        return 0.0
    both = [Image.open(io.BytesIO(data)).convert("RGB") for data in (picture, stored)]
    shapes = [image.width / image.height for image in both]
    if max(shapes) > 1.1 * min(shapes):
        return 1.0
    mine, theirs = (np.asarray(i.resize((GRID, GRID), Image.Resampling.BOX), float) / 255 for i in both)
    return float((np.abs(mine - theirs).max(axis=2) > CHANGE).mean())


def figures(outputs: Sequence[Any]) -> list[tuple[str, bytes]]:
    """The pictures of a cell's outputs in order, with their type; those inside HTML as well."""
    found = []
    for output in outputs:
        for mime, data in sorted(output.get("data", {}).items()):
            if mime in ("image/png", "image/jpeg", "image/webp"):
                found.append((mime, base64.b64decode(data)))
            elif mime == "text/html":
                found += [("base64", _decoded(match)) for match in EMBEDDED.findall("".join(data))]
    return found


def pictured(mine: Sequence[Any], stored: Sequence[Any], within: Tolerance) -> str:
    """Why the figures of two lists of outputs are not the same; empty where they are."""
    here, there = figures(mine), figures(stored)
    if [mime for mime, _ in here] != [mime for mime, _ in there]:
        return f"shows {len(here)} pictures where {len(there)} are stored"
    for place, ((mime, picture), (_, kept)) in enumerate(zip(here, there, strict=True), 1):
        share = unlike(picture, kept) if mime != "base64" or _is_picture(picture) else _apart(picture, kept)
        if share > within.figure:
            return f"shows another picture {place} than is stored: {share:.1%} of it differ, {within.figure:.1%} may"
    return ""


def differences(executed: cells.Notebook, stored: cells.Notebook) -> list[str]:
    """Where a normalised run does not agree with what is stored, a line a cell."""
    pairs = zip(cells.code_cells(executed), cells.code_cells(stored), strict=True)
    return [
        f"{cells.label(stored, theirs)} {why}"
        for mine, theirs in pairs
        if not set(IGNORED) & set(cells.tags(theirs)) and (why := _difference(mine.outputs, theirs.outputs, theirs))
    ]


def tolerances(chapter: Chapter) -> Iterator[Problem]:
    """A tolerance that a cell states is one that the comparison understands and applies."""
    for cell in chapter.code:
        try:
            tolerance(cell)
        except ValueError as error:
            yield chapter.problem(cell, str(error))
        if "tolerance" in cell.metadata and set(IGNORED) & set(cells.tags(cell)):
            yield chapter.problem(cell, "states a tolerance, but its tag has the output ignored: take one of them out")


def _difference(mine: Sequence[Any], stored: Sequence[Any], cell: Any) -> str:
    within = tolerance(cell)
    if [_kind(o) for o in mine] != [_kind(o) for o in stored]:
        return f"puts out {_kinds(mine)} where {_kinds(stored)} is stored"
    for here, there in zip(mine, stored, strict=True):
        for name in ("text", *TEXTS):
            new, old = (("".join(o.get("data", o).get(name, ""))) for o in (here, there))
            if not agree(EMBEDDED.sub("BASE64", new), EMBEDDED.sub("BASE64", old), within):
                return f"prints {_around(new, old, within)}"
    return pictured(mine, stored, within)


def _around(new: str, old: str, within: Tolerance) -> str:
    lines = zip(new.splitlines(), old.splitlines(), strict=False)
    pair = next(((a, b) for a, b in lines if not agree(a, b, within)), (new[-60:], old[-60:]))
    return f"`{pair[0].strip()[:80]}` where `{pair[1].strip()[:80]}` is stored"


def _kind(output: Any) -> tuple[str, ...]:
    return (output.output_type, *sorted(output.get("data", {})))


def _kinds(outputs: Sequence[Any]) -> str:
    return ", ".join("/".join(_kind(o)[:1]) for o in outputs) or "nothing"


def _masked(text: str) -> str:
    return " ".join(DECIMAL.sub("#", text).split())


def _numbers(text: str) -> list[float]:
    return [float(match.replace("−", "-")) for match in DECIMAL.findall(text)]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # a long word that is no base64: compared as it stands
        return text.encode()


def _is_picture(data: bytes) -> bool:
    return data.startswith((b"\x89PNG", b"\xff\xd8")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def _apart(mine: bytes, stored: bytes) -> float:
    """Mean difference of two blocks of bytes, as a share of the range; 1 where their lengths differ."""
    if len(mine) != len(stored):
        return 1.0
    return sum(abs(a - b) for a, b in zip(mine, stored, strict=True)) / (255 * max(1, len(mine)))


CHECKS = (tolerances,)
