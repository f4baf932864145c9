"""Small folders of pictures, of which some are odd."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsss_lib.pipeline.listing import Listing

NAMES = ("a.png", "b.png", "c.png", "d.png")


def picture(shade: int = 90, height: int = 24, width: int = 32) -> bytes:
    """A disc of some shade on noise, as PNG."""
    pixels = np.random.default_rng(shade).integers(0, 80, (height, width, 3), np.uint8)
    pixels[disc(height, width) > 0] = (shade, 255 - shade, 200)
    return encoded(Image.fromarray(pixels))


def disc(height: int = 24, width: int = 32, value: int = 1) -> np.ndarray:
    """(height, width) uint8: ``value`` in a disc around the centre."""
    rows, columns = np.ogrid[:height, :width]
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 3) ** 2
    return (inside * value).astype(np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def folder(root: Path, rows: Sequence[Sequence[str]], head: Sequence[str] = ("image", "label")) -> Path:
    """A folder with the pictures that the first cells name, and a CSV of the rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([head, *rows])
    for number, row in enumerate(rows):
        if not (root / row[0]).exists():
            write(root / row[0], picture(40 + 37 * number % 200))
    write(root / "labels.csv", text.getvalue())
    return root


def said(listing: Listing) -> list[tuple[str, ...]]:
    """Name and labels of each photograph."""
    return [(photo.id, *photo.labels) for photo in listing.photos]
