"""One way from an image file to a tensor, whatever its depth, mode, transparency and orientation.

An 8-bit file says what is black and what is white. Deeper files often do not: 12 bits may lie in 16, floats may end at
1 or at 65535. What the file says is used; what it leaves open and its values do not settle is refused. A picture that
is silently too dark would ruin every number that is computed from it.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

ImageSource = bytes | str | os.PathLike[str]
"""An encoded image: the content of a file, or its path."""

_TURNS = {
    1: (False, False, False), 2: (False, True, False), 3: (False, True, True), 4: (False, False, True),
    5: (True, False, False), 6: (True, True, False), 7: (True, True, True), 8: (True, False, True),
}  # fmt: skip
"""For each EXIF orientation what sets the picture upright: swap the axes, then mirror along x, then along y."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT, _WHITE_IS_ZERO, _SIGNED = 258, 262, 339, 0, 2
"""Of TIFF 6.0: three tags and two of their values."""
_HALF_OF_EIGHT, _TWELVE, _FOURTEEN, _SIXTEEN = 127, 4095, 16_383, 65_535
_TURNED = "wsss orientation"
"""Where :func:`decoded` notes the orientation of an image that Pillow has set upright while reading it."""
_SIGNATURES = (
    (0, (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"), "a web page: download the image itself"),
    (0, (b"version https://git-lfs",), "a pointer of Git LFS: fetch the file itself with `git lfs pull`"),
    (0, (b"<?xml", b"<svg"), "an SVG drawing: export it as PNG first"),
    (0, (b"%PDF",), "a PDF document: export its page as PNG first"),
    (4, (b"ftyphei", b"ftyphev", b"ftypmif1"), "a HEIC photo: convert it to JPEG or PNG first"),
    (4, (b"ftypavif", b"ftypavis"), "an AVIF image: convert it to JPEG or PNG first"),
    (4, (b"ftyp",), "a film: save its frames as JPEG or PNG first"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), "a JPEG XL image: convert it to JPEG or PNG first"),
)
"""Files that people take for images and Pillow does not read: where their marks stand, the marks, what to say."""


def open_image(source: ImageSource, *, white: float | None = None) -> Tensor:
    """Decode an image as a person sees it: upright, transparency over white, grey repeated, the first frame of several.

    Args:
        source: The file's content or its path.
        white: The value that is white in a grey image of more than 8 bits, where the file does not say it.

    Returns:
        (3, H, W) float32 in [0, 1].

    Raises:
        ValueError: No image, a damaged one, or one whose range of values is not known.
        FileNotFoundError: There is no such file.
    """
    image, orientation = stored_image(source, white=white)
    return upright(image, orientation)


def stored_image(source: ImageSource, *, white: float | None = None) -> tuple[Tensor, int]:
    """Decode an image with its pixels as stored.

    Args:
        source: As for :func:`open_image`.
        white: As for :func:`open_image`.

    Returns:
        image: (3, H, W) float32 in [0, 1].
        orientation: The EXIF orientation, 1 to 8; 1 is upright.

    Raises:
        ValueError: As for :func:`open_image`.
        FileNotFoundError: As for :func:`open_image`.
    """
    with decoded(source) as (image, content):
        if image.mode[0] in "IF":
            pixels = torch.from_numpy(_grey(image, white)).expand(3, -1, -1).contiguous()  # (H, W) -> (3, H, W)
        else:
            colours = _colours(image)
            _check_depth(image, content, colours)
            pixels = torch.from_numpy(colours).permute(2, 0, 1).float().div_(255)  # (H, W, 3) -> (3, H, W)
        return as_stored(pixels, image), orientation_of(image)


def content(cell: Any) -> bytes:
    """The bytes of an image cell of a table, however it was stored.

    Args:
        cell: ``bytes``, or the mapping ``{"bytes": …, "path": …}`` of a ``datasets`` image column.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The cell is empty, or only names a file.
    """
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, Mapping) and cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    name = cell.get("path") if isinstance(cell, Mapping) else cell
    if name is None:
        raise ValueError("its image is missing: leave the row out")
    raise ValueError(
        f"its image cell holds no bytes (path {name!r:.80}): write the table with the images embedded, "
        "for example with Dataset.to_parquet"
    )


@contextmanager
def decoded(source: ImageSource, what: str = "the image") -> Iterator[tuple[Image.Image, bytes]]:
    """Pillow's image, read to its end, and the file's content; errors of Pillow become sentences.

    Args:
        source: The file's content or its path.
        what: How a message calls content without a path.

    Raises:
        ValueError: No image, or a damaged one.
        FileNotFoundError: There is no such file.
    """
    if isinstance(source, bytes):
        content = source
    else:
        what = str(source)
        if not Path(source).is_file():  # reading a pipe would wait for ever
            raise FileNotFoundError(f"there is no file {what}: check the path")
        content = Path(source).read_bytes()
    if not content:
        raise ValueError(f"{what} is empty: save or download it again")
    try:
        image = Image.open(io.BytesIO(content))
        orientation = orientation_of(image)
        image.load()
        if orientation != 1 and orientation_of(image) == 1:
            image.info[_TURNED] = orientation
    except UnidentifiedImageError as error:
        raise ValueError(f"{what} is {_named(content)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{what} claims to have too many pixels for a photo ({error}): make it smaller") from error
    except Exception as error:  # Pillow raises almost anything in the middle of a damaged file
        raise ValueError(f"{what} is damaged or cannot be read ({error}): save or download it again") from error
    with image:
        yield image, content


def as_stored(pixels: Tensor, image: Image.Image) -> Tensor:
    """The pixels (..., H, W) of an image from :func:`decoded` as they are stored: Pillow turns those of a TIFF."""
    turned = image.info.get(_TURNED, 1)
    return upright(pixels, {6: 8, 8: 6}.get(turned, turned))


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of the pixels as stored, 1 to 8; 1 where there is none that can be read."""
    if _TURNED in image.info:
        return int(image.info[_TURNED])
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (AttributeError, KeyError, OSError, SyntaxError, TypeError, ValueError, ZeroDivisionError, struct.error):
        return 1  # the tags are damaged, the pixels are not
    return orientation if isinstance(orientation, int) and orientation in _TURNS else 1


def upright(pixels: Tensor, orientation: int) -> Tensor:
    """Turn an image or a mask.

    Args:
        pixels: (..., H, W), as stored.
        orientation: EXIF's, 1 to 8.

    Returns:
        (..., H, W), or (..., W, H) for the orientations 5 to 8.
    """
    if orientation == 1:
        return pixels
    swap, mirror_x, mirror_y = _TURNS[orientation]
    turned = pixels.transpose(-1, -2) if swap else pixels
    return turned.flip([side for side, mirror in ((-1, mirror_x), (-2, mirror_y)) if mirror]).contiguous()


def upright_boxes(boxes: Tensor, orientation: int, height: int, width: int) -> Tensor:
    """Turn boxes with their image.

    Args:
        boxes: (M, 4) xyxy pixels of the image as stored.
        orientation: EXIF's, 1 to 8.
        height: Of the image as stored.
        width: Of the image as stored.

    Returns:
        (M, 4) xyxy pixels of the image upright.
    """
    swap, mirror_x, mirror_y = _TURNS[orientation]
    left, top, right, bottom = boxes.unbind(1)
    if swap:
        left, top, right, bottom = top, left, bottom, right
        height, width = width, height
    if mirror_x:
        left, right = width - right, width - left
    if mirror_y:
        top, bottom = height - bottom, height - top
    return torch.stack([left, top, right, bottom], dim=1)


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    try:
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise ValueError(f"an image of Pillow's mode {image.mode!r} cannot be read: save it as RGB") from error


def _check_depth(image: Image.Image, content: bytes, colours: NDArray[np.uint8]) -> None:
    """Pillow keeps the upper 8 of 16 bits a colour; of 12 bits in 16 that leaves almost nothing.

    Raises:
        ValueError: The image has 16 bits a channel, and is so dark that they may be 12 or 14.
    """
    bits = content[24] if image.format == "PNG" else max(_tag(image, _BITS_PER_SAMPLE, (8,)))
    if bits == 16 and colours.any() and colours.max() <= _FOURTEEN >> 8:
        raise ValueError(
            "the image has 16 bits a channel and uses at most 14 of them, so that its white is not known: "
            "save it with 8 bits a channel"
        )


def _grey(image: Image.Image, white: float | None) -> NDArray[np.float32]:
    """Grey levels of more than 8 bits, (H, W) float32 in [0, 1].

    Raises:
        ValueError: The levels have no meaning as grey, or white is not known.
    """
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the image holds values that are not numbers (NaN or infinity): replace them, then save it")
    low, high = float(values.min()), float(values.max())
    if white is None:
        white = _white(image, values)
    if white is None or low < 0 or high > white:
        raise ValueError(
            f"the image holds values from {low:g} to {high:g}, "
            + ("and its file does not say which is white" if white is None else f"expected 0 to {white:g}")
            + ": say it (white=4095 for 12 bits, 16383 for 14, 65535 for 16), or save the image with 8 bits"
        )
    if _tag(image, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO:
        values = white - values
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        values[values == clear] = white
    return (values / white).astype(np.float32)


def _white(image: Image.Image, values: NDArray[np.float64]) -> float | None:
    """What the file says is white, or what its values leave no doubt of; None where they do."""
    high = float(values.max())
    if high <= 1 and image.mode[0] == "F":
        return 1
    if (values != np.round(values)).any():
        return None
    bits = max(_tag(image, _BITS_PER_SAMPLE, (16 if image.format in ("PNG", "PPM") else 32,)))
    if bits == 12:
        return _TWELVE
    if image.format == "PPM":  # Pillow has stretched the range that the header states
        return _SIXTEEN
    if (
        bits == 32 and _HALF_OF_EIGHT < high <= 255
    ):  # 8-bit levels, as programs write them that only know long integers or floats
        return 255
    signed = _tag(image, _SAMPLE_FORMAT, (1,))[0] == _SIGNED and bits == 16
    return _SIXTEEN if not signed and (high == 0 or _FOURTEEN < high <= _SIXTEEN) else None


def _tag(image: Image.Image, tag: int, otherwise: Any) -> Any:
    """A tag of a TIFF; ``otherwise`` for any other file."""
    return getattr(image, "tag_v2", {}).get(tag, otherwise)


def _named(content: bytes) -> str:
    """What a file is that Pillow cannot open, and what to do."""
    for start, marks, words in _SIGNATURES:
        if content[start:].lstrip().startswith(marks):
            return words
    return "no image that can be read: convert it to JPEG or PNG first"
