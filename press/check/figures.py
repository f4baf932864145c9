"""Do two figures show the same? A figure of data to the pixel, one of a trained network by what it shows.

Which it is, the cell says: a tolerance for its figures in the metadata means that a trained network has part in them.
``wsss_lib.figures.show`` stores beside a picture its words, parts and numbers (:func:`wsss_lib.figures.content`); words
and parts must be the same, numbers may move by a share of their axis. The pictures and data of a control stand for
themselves and are compared by the means of blocks.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from press.check.checks import EMBEDDED

LEVELS = 2
"""Grey levels by which a pixel of a figure of data may differ: rounding, and no more."""
GRID = 8
"""A control's pictures are compared by the means of 8 × 8 blocks."""
PICTURES = ("image/png", "image/jpeg", "image/webp")


@dataclass(frozen=True)
class Figure:
    """A picture of a cell's output, or data inside its HTML.

    Args:
        data: The file or the bytes.
        shows: What it shows, as :func:`wsss_lib.figures.content` says; empty for data inside HTML.
    """

    data: bytes
    shows: str = ""


class Spread(NamedTuple):
    """How far figures are apart: the largest difference, as a share of what is allowed, and in words where too far."""

    apart: float
    used: float
    why: str


def figures(outputs: Sequence[Any]) -> Iterator[Figure]:
    """The pictures of a cell's outputs in order, and whatever long data their HTML holds."""
    for output in outputs:
        for mime, data in sorted(output.get("data", {}).items()):
            about = output.get("metadata", {}).get(mime, {})
            if mime in PICTURES:
                yield Figure(base64.b64decode(data), about.get("shows", ""))
            elif mime == "text/html":
                yield from (Figure(_decoded(match)) for match in EMBEDDED.findall("".join(data)))


def pixels_apart(mine: Figure, stored: Figure) -> float:
    """The largest difference of a pixel, or of a byte of data, from 0 to 1; infinite where the sizes differ."""
    if mine.data == stored.data:
        return 0.0
    both = [_pixels(figure.data) for figure in (mine, stored)]
    return float(np.abs(both[0] - both[1]).max()) if both[0].shape == both[1].shape else inf


def content_apart(mine: Figure, stored: Figure, agree: Callable[[str, str], bool]) -> tuple[float, str]:
    """How far what two figures show is apart.

    Args:
        mine: Newly computed.
        stored: Of the chapter.
        agree: Whether two texts say the same.

    Returns:
        The largest difference of a number, as a share of its axis or scale (of black to white for a picture), and
        what else differs in words: empty where only numbers do.
    """
    if mine.data == stored.data:
        return 0.0, ""
    if bool(mine.shows) != bool(stored.shows):
        return inf, "it says what it shows in one of both: run `wsss run NAME --in-place`"
    if stored.shows:
        return _content(json.loads(mine.shows), json.loads(stored.shows), agree)
    both = [_pixels(figure.data) for figure in (mine, stored)]
    if both[0].shape != both[1].shape:
        return inf, "it has another size"
    return float(np.abs(_blocks(both[0]) - _blocks(both[1])).max()), ""


def spread(mine: Sequence[Any], stored: Sequence[Any], within: float, agree: Callable[[str, str], bool]) -> Spread:
    """How far the figures of two lists of outputs are apart.

    Args:
        mine: Newly computed outputs.
        stored: Those of the chapter.
        within: How far numbers in them may be apart, as a share of their axis; 0 compares to the pixel.
        agree: Whether two texts say the same.
    """
    computed, kept = list(figures(mine)), list(figures(stored))
    if len(computed) != len(kept):
        return Spread(inf, inf, f"shows {len(computed)} pictures where {len(kept)} are stored")
    most = Spread(0.0, 0.0, "")
    for place, (new, old) in enumerate(zip(computed, kept, strict=True), 1):
        apart, why = content_apart(new, old, agree) if within else (pixels_apart(new, old), "")
        used = apart / (within or LEVELS / 255)
        if not why and used > 1:
            remedy = "its pixels differ, and its cell states no tolerance for figures"
            why = f"a number is {apart:.1%} of its axis apart, {within:.1%} may be" if within else remedy
        why = most.why or (f"shows another picture {place} than is stored: {why}" if why else "")
        most = Spread(max(most.apart, apart), max(most.used, used), why)
    return most


def _content(mine: Any, stored: Any, agree: Callable[[str, str], bool]) -> tuple[float, str]:
    words = [_words(content) for content in (mine, stored)]
    if len(words[0]) != len(words[1]):
        return inf, f"it has {len(words[0])} texts where {len(words[1])} are stored"
    for new, old in zip(*words, strict=True):
        if not agree(new, old):
            return inf, f"it says `{new}` where `{old}` is stored"
    kinds = [[[kind for kind, _ in panel["parts"]] for panel in content["panels"]] for content in (mine, stored)]
    if kinds[0] != kinds[1]:
        return inf, "it is made of other parts"
    return max(chain([0.0], *(_panel(*pair) for pair in zip(mine["panels"], stored["panels"], strict=True)))), ""


def _words(content: Any) -> list[str]:
    return [*content["texts"], *chain.from_iterable(panel["texts"] for panel in content["panels"])]


def _panel(mine: Any, stored: Any) -> Iterator[float]:
    x0, x1, y0, y1 = stored["limits"]
    for new, old, span in zip(mine["limits"], stored["limits"], (x1 - x0, x1 - x0, y1 - y0, y1 - y0), strict=True):
        yield abs(new - old) / abs(span or 1.0)
    for (_, new), (_, old) in zip(mine["parts"], stored["parts"], strict=True):
        values = [np.frombuffer(bytes.fromhex(text), np.uint8) / 255 for text in (new, old)]
        same = len(values[0]) == len(values[1])
        yield float(np.abs(values[0] - values[1]).max(initial=0.0)) if same else inf


def _pixels(data: bytes) -> NDArray[Any]:
    """A picture as (H, W, 3) from 0 to 1; data that are no picture as (n,)."""
    if data.startswith((b"\x89PNG", b"\xff\xd8")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float) / 255
    return np.frombuffer(data, np.uint8) / 255


def _blocks(values: NDArray[Any]) -> NDArray[Any]:
    """Means of 8 × 8 blocks of a picture, or of 64 runs of data."""
    if values.ndim == 1:
        return np.array([run.mean() for run in np.array_split(values, min(GRID**2, len(values)))])
    rows = np.array_split(values, GRID)
    return np.array([b.mean(axis=(0, 1)) for row in rows for b in np.array_split(row, GRID, axis=1)])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # a long word that is no base64: compared as it stands
        return text.encode()
