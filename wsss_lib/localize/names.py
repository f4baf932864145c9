"""How results are called, planned before the first photo is worked on, and how they are known again."""

from __future__ import annotations

import re
import struct
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from wsss_lib.files import read_json, sha256_of, sha256_of_text

STEM, SLUG = 100, 60
"""Bytes of a photo's and of a class's name that the names of results keep; file systems allow 255 in all."""
MARK = b"Software\0wsss localize"
"""Keyword and text that every picture of a result carries inside, as PNG's ``tEXt``."""


def printable(name: object) -> str:
    """A name that any console and any JSON can hold: what cannot be printed is escaped, as in ``'\\n'``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def plan_stems(files: Sequence[Path], method: str, folder: Path | None) -> list[str]:
    """What the names of each photo's results begin with: ``NAME-METHOD``, the second ``cat`` ``cat-2-METHOD``.

    So no result overwrites that of another photo of the same name, of another method, or of an earlier run on another
    photo. The same photo has its own results again.

    Args:
        files: The photos.
        method: Of any spelling.
        folder: Where the results go; it need not exist. None: only the photos of this run are kept apart.
    """
    taken: set[str] = set()
    stems = []
    for file in files:
        name = shortened(printable(file.stem))
        number = 1
        while True:
            stem = (name if number == 1 else f"{name}-{number}") + f"-{slug(method.replace('+', 'p'))}"
            key = unicodedata.normalize("NFC", stem).casefold()  # some file systems do not tell Cat from cat
            if key not in taken and (folder is None or not _of_another(folder / f"{stem}.json", file)):
                break
            number += 1
        taken.add(key)
        stems.append(stem)
    return stems


def class_slugs(names: Sequence[str], numbers: Sequence[int | None]) -> list[str]:
    """Class names as parts of file names; where two would be the same, both get their number.

    Args:
        names: Of a photo's maps.
        numbers: The classes' numbers; None for a map of no class.
    """
    slugs = [slug(name) for name in names]
    return [
        stub if slugs.count(stub) == 1 or number is None else f"{stub}-{number}"
        for stub, number in zip(slugs, numbers, strict=True)
    ]


def slug(name: str) -> str:
    """A name in lower case with ``_`` for whatever is neither a letter nor a digit, at most :data:`SLUG` bytes."""
    return _cut(re.sub(r"\W+", "_", name.lower()).strip("_"), SLUG) or "unnamed"


def marked(png: bytes) -> bytes:
    """The same PNG with a note inside that it is a result, see :func:`is_result`."""
    chunk = struct.pack(">I", len(MARK)) + b"tEXt" + MARK + struct.pack(">I", zlib.crc32(b"tEXt" + MARK))
    return png[:33] + chunk + png[33:]  # behind the signature (8 bytes) and the header (25)


def is_result(file: Path) -> bool:
    """Whether a file is a picture that ``wsss localize`` has made, wherever it lies and however it is called now."""
    if file.suffix.lower() != ".png" or not file.is_file():
        return False
    keyword, text = MARK.decode().split("\0")
    try:
        with Image.open(file) as picture:
            return picture.info.get(keyword) == text
    except Exception:  # not a picture: whoever opens it says so
        return False


def _of_another(report: Path, photo: Path) -> bool:
    """Whether a report exists and is not, or not certainly, one on this photo."""
    if not report.exists():
        return False
    try:
        content = read_json(report)
    except (OSError, ValueError):
        return True
    return not isinstance(content, dict) or content.get("sha256") != sha256_of(photo)


def shortened(stem: str) -> str:
    """A stem of at most :data:`STEM` bytes; a longer one ends in a part of its digest, which keeps it apart."""
    if len(stem.encode()) <= STEM:
        return stem
    return f"{_cut(stem, STEM - 9)}~{sha256_of_text(stem)[:8]}"


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
