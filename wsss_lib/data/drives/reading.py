"""Files of drives: texts, tables, clouds of points and pictures; what is no such file is refused by its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wsss_lib.data.photos.convert import open_image
from wsss_lib.files import read_json

REMEDY = "fetch or unpack the data set anew"
_WORDS = ("token", "name", "channel")
"""What the columns of a table are called that hold text."""


def text_of(path: Path) -> str:
    """The content of a text file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no file, or not text in UTF-8.
    """
    _check_file(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as text ({error}): {REMEDY}") from error


def table_of(path: Path, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A table of JSON: a list of rows, by their tokens.

    Args:
        path: The file.
        columns: What each row must have besides its ``token``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such list, a row lacks a column, or two have one token.
    """
    _check_file(path)
    try:
        rows = read_json(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}): {REMEDY}") from error
    needed = {"token", *columns}
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} is no list of rows: {REMEDY}")
    for number, row in enumerate(rows):
        if absent := sorted(needed - row.keys()):
            raise ValueError(f"{path}, row {number}: it has no {', '.join(absent)}: {REMEDY}")
        if other := [name for name in needed if name.endswith(_WORDS) and not isinstance(row[name], str)]:
            raise ValueError(f"{path}, row {number}: its {other[0]} is {row[other[0]]!r:.80}, expected text: {REMEDY}")
    table = {row["token"]: row for row in rows}
    if len(table) < len(rows):
        raise ValueError(f"{path} has {len(rows)} rows and {len(table)} tokens, expected one for each: {REMEDY}")
    return table


def cloud_of(path: Path, columns: int) -> Tensor:
    """A cloud of points, (P, columns) float32.

    Args:
        path: A file of little-endian float32 numbers, so many for each point.
        columns: How many.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds a part of a point, or values that are not numbers.
    """
    _check_file(path)
    size = path.stat().st_size
    if size % (4 * columns):
        raise ValueError(f"{path} has {size} bytes, expected {columns} numbers of 4 bytes for each point: {REMEDY}")
    points = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    if strange := int((~np.isfinite(points)).any(1).sum()):
        raise ValueError(f"{path} has {strange} points that are NaN or infinite: take them out, or {REMEDY}")
    return torch.from_numpy(points.astype(np.float32))


def picture_of(path: Path) -> Tensor:
    """A picture, (3, H, W) float32 in [0, 1]; raises as :func:`wsss_lib.data.photos.convert.open_image` does."""
    return open_image(path)


def size_of_picture(path: Path) -> tuple[int, int]:
    """Height and width in pixels, by the picture's head alone; raises as :func:`picture_of` does."""
    _check_file(path)
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except Exception:  # the reader has a sentence for it
        height, width = picture_of(path).shape[-2:]
    return height, width


def numbers_of(value: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    """Numbers of JSON or of words, as an array of a known shape.

    Args:
        value: Nested lists.
        shape: Of the array.
        where: How a message calls the value.

    Raises:
        ValueError: Another shape, or something that is no finite number.
    """
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(())  # as what follows refuses
    if numbers.shape != shape or not np.isfinite(numbers).all() or (np.abs(numbers) > np.finfo(np.float32).max).any():
        expected = " × ".join(map(str, shape))
        raise ValueError(f"{where} is {value!r:.80}, expected {expected} finite numbers: {REMEDY}")
    return numbers


def check_sides(sides: Sequence[float], where: str) -> None:
    """Refuse a box that has no volume.

    Raises:
        ValueError: One of its sides is not above 0.
    """
    if min(sides) <= 0:
        raise ValueError(
            f"{where} has the sides {', '.join(f'{side:g}' for side in sides)} m, expected above 0: {REMEDY}"
        )


def check_names(names: object, what: str) -> tuple[str, ...]:
    """Names that a caller chose.

    Raises:
        ValueError: A single word, an empty list, no words, or one of them twice.
    """
    listed = () if isinstance(names, str) or not isinstance(names, Sequence) else tuple(names)
    if not listed or not all(isinstance(name, str) for name in listed) or len(set(listed)) < len(listed):
        raise ValueError(f"{what} is {names!r:.80}, expected a list of names, each once: pass ['…', …]")
    return listed


def _check_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is no file, before it is opened: a pipe would wait for a writer.

    Raises:
        FileNotFoundError: There is nothing of this name.
        ValueError: A folder, a pipe or a device.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)}: {REMEDY}")
    if not os.path.isfile(path):
        raise ValueError(f"{os.fspath(path)} is no file: {REMEDY}")
