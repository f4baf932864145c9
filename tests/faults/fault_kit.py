"""What the tests of faults share: odd files made by code, and what counts as a clear refusal."""

from __future__ import annotations

import dis
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from wsss_lib.data import Records, load

CLEAR = (ValueError, TypeError, IndexError, OSError, RuntimeError, FloatingPointError)
"""What a refusal may be; a KeyError, an AttributeError or an AssertionError is an accident."""
LONGEST = 700
"""Letters of a message that a person still reads to its end."""


def refusal(action: Callable[[], Any], *patterns: str) -> str:
    """The message with which an action is refused.

    A refusal is clear where the library itself raised it, in one line that matches all ``patterns`` and has a colon or
    a semicolon: what is wrong stands before it, what to do behind it.
    """
    try:
        value = action()
    except Exception as error:
        return check_refusal(error, *patterns)
    raise AssertionError(f"accepted, and gave {_brief(value)}; a refusal with {patterns} was expected")


def check_refusal(error: BaseException, *patterns: str) -> str:
    """As :func:`refusal`, of an error that was caught."""
    message = str(error)
    assert isinstance(error, CLEAR), f"an accident, no refusal: {error!r}"
    assert _raised_here(error), f"worded by another package: {error!r}"
    assert message, repr(error)
    assert "\n" not in message.strip(), f"more than one line: {message}"
    assert len(message) <= LONGEST, f"{len(message)} letters: {message}"
    assert ":" in message or ";" in message, f"no remedy: {message}"
    for pattern in patterns:
        assert re.search(pattern, message, re.IGNORECASE), f"nothing of {pattern!r} in: {message}"
    return message


def value_or_refusal(action: Callable[[], Any]) -> Any:
    """What an action gives, or None where it is refused clearly; anything else fails."""
    try:
        return action()
    except Exception as error:
        check_refusal(error)
        return None


def _raised_here(error: BaseException) -> bool:
    """Whether a ``raise`` of the project raised it, and not a function in C that a line of the project has called."""
    place = error.__traceback__
    assert place is not None
    while place.tb_next is not None:
        place = place.tb_next
    room = str(place.tb_frame.f_globals.get("__name__", "")).split(".")[0]
    raises = dis.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] == "RAISE_VARARGS"
    return room in ("wsss_lib", "press") and raises


def _brief(value: Any) -> str:
    return repr(value)[:300]


def encoded(image: Image.Image | NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    """An image as a file's bytes."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def ramp(top: float, kind: Any, height: int = 8, width: int = 64) -> NDArray[Any]:
    """A grey ramp from 0 to ``top``: its mean is one half of it, and both ends are there."""
    return np.tile(np.linspace(0, top, width), (height, 1)).astype(kind)


def photo(height: int = 32, width: int = 32, seed: int = 0) -> bytes:
    """Noise as a PNG."""
    return encoded(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def patch(value: int = 1, height: int = 32, width: int = 32, box: Sequence[int] = (4, 6, 14, 20)) -> NDArray[np.uint8]:
    """A mask with ``value`` in a box (left, top, right, bottom)."""
    mask = np.zeros((height, width), np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = value
    return mask


def rows_to_parquet(path: Path, rows: Sequence[Mapping[str, Any]], **types: pa.DataType) -> Path:
    """A table of one row each; a column's type is pyarrow's guess unless given."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows], type=types.get(name)) for name in names}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def load_rows(folder: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Records:
    """Records of rows, through a table on disk."""
    types = options.pop("types", {})
    return load(rows_to_parquet(folder / "birds.parquet", rows, **types), **options)


def read_all(records: Records) -> list[Any]:
    """Every sample and all labels: what is lazy is done."""
    labels = records.labels
    assert labels.shape == (len(records), len(records.classes))
    return [records[i] for i in range(len(records))]
