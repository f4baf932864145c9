"""Photographs as people have them: where they lie, whether they can be read, at which size a network sees them."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wsss_lib.data.photos.convert import open_image
from wsss_lib.localize.names import is_result, printable

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".avif", ".jp2", ".j2k", ".heic", ".heif", ".jxl"),  # which Pillow reads on some machines, or not at all
)
"""What is taken from a folder, readable here or not; a file that is named itself may have any suffix."""
LONGEST = 3
"""As the network sees it, the longer side is at most so many times the shorter one; a longer strip is squeezed."""
GRID = 32
"""Sides as the network sees them are multiples of this: strides and patches divide them, patches also at half scale."""


@dataclass(frozen=True)
class Failure:
    """A photo that could not be done, or a folder that could not be read or written.

    Attributes:
        file: Its path.
        sentence: What is wrong with it and what to do; it names the path.
    """

    file: Path
    sentence: str


@dataclass
class PhotoFiles:
    """The photos that a person named, one by one or by their folder.

    Attributes:
        files: Regular files, each once, those of a folder by name.
        failures: What was named, or looks like a photo in a folder, and is none.
        skipped: A sentence for what a folder holds besides photos of the person.
    """

    files: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def photo_files(paths: Sequence[str | Path]) -> PhotoFiles:
    """Replace folders by the image files directly inside them.

    Hidden files and earlier results are passed over, and so are folders that are named like photos.
    """
    photos = PhotoFiles()
    for name in paths:
        if not os.fspath(name):
            sentence = "The name of a photo is empty: give the path of an image, or of a folder of images."
            photos.failures.append(Failure(Path(), sentence))
            continue
        path = Path(os.path.expanduser(name))
        try:
            inside = _inside(path, photos) if path.is_dir() else [path]
            for file in inside:
                _take(file, photos)
        except OSError as error:  # a name that is too long, a folder that may not be read
            photos.failures.append(
                Failure(path, f"{printable(path)} cannot be looked at ({error.strerror}): check its name and rights.")
            )
    photos.files = list({os.path.abspath(file): file for file in photos.files}.values())
    return photos


def _inside(folder: Path, photos: PhotoFiles) -> list[Path]:
    """What in a folder is to be taken for a photo."""
    named = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    taken: list[Path] = []
    results = 0
    for file in named:
        if file.name.startswith("."):
            photos.skipped.append(f"{printable(file)} was skipped: a hidden file; name it itself to have it localised.")
        elif file.is_dir():
            photos.skipped.append(f"{printable(file)} was skipped: a folder; name it itself to look inside.")
        elif is_result(file):
            results += 1
        else:
            taken.append(file)
    if results:
        what = "a picture that an earlier run has made" if results == 1 else "pictures that earlier runs have made"
        photos.skipped.append(f"{results} of {printable(folder)} skipped: {what}.")
    if not named:
        sentence = f"The folder {printable(folder)} holds no images ({', '.join(SUFFIXES)}): name another."
        photos.failures.append(Failure(folder, sentence))
    return taken


def _take(file: Path, photos: PhotoFiles) -> None:
    """Add a file to the photos, or say why it is none."""
    name = printable(file)
    if file.is_file():
        photos.files.append(file)
        return
    if file.is_symlink():
        sentence = f"{name} is a link to {printable(os.readlink(file))}, which is not there: mend or remove the link."
    elif file.exists():
        kind = "a pipe" if stat.S_ISFIFO(file.stat().st_mode) else "a device or a socket"
        sentence = f"{name} is {kind} and no file: save the photo as a file first."
    else:
        sentence = f"There is no photo {name}: give the path of an image, or of a folder of images."
    photos.failures.append(Failure(file, sentence))


def check_photo(path: Path) -> None:
    """Look at a file's header alone.

    Raises:
        ValueError: Not an image.
    """
    try:
        with _quiet(), Image.open(path):
            pass
    except Exception:  # the reader has a sentence for it
        open_photo(path)


def open_photo(path: str | Path) -> Image.Image:
    """Read a photo as 8-bit RGB, upright, as :func:`wsss_lib.data.photos.convert.open_image` sees it.

    Args:
        path: The file.

    Raises:
        ValueError: Not an image, or a damaged one; the sentence names the file.
    """
    try:
        with _quiet():
            pixels = open_image(Path(path).read_bytes())  # (3, H, W)
    except MemoryError as error:
        raise ValueError(f"{printable(path)} does not fit into this machine's memory: make it smaller") from error
    except OSError as error:
        raise ValueError(f"{printable(path)} cannot be opened ({error.strerror}): see that you may read it") from error
    except ValueError as error:
        raise ValueError(f"{printable(path)}: {printable(error)}") from error
    return Image.fromarray(pixels.mul_(255).round_().byte().permute(1, 2, 0).numpy())  # (H, W, 3)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings: tags that are cut off do no harm, and what is too large for it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def seen_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) in pixels at which a network sees a photo: multiples of 32, near the photo's aspect ratio.

    Args:
        height: The photo's.
        width: The photo's.
        short_side: What its shorter side becomes, up to rounding.
    """
    scale = short_side / min(height, width)
    sides = (min(side * scale, LONGEST * short_side) for side in (height, width))
    h, w = (max(GRID, round(side / GRID) * GRID) for side in sides)
    return h, w


def size_within(height: int, width: int, longest: int) -> tuple[int, int]:
    """(height, width) in pixels of a photo that is made smaller where its longer side has more than ``longest``."""
    shrink = min(1.0, longest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def to_tensor(photo: Image.Image, size: tuple[int, int]) -> Tensor:
    """Resize an RGB photo (bicubic, antialiased) to (height, width): (1, 3, height, width) float32 in [0, 1]."""
    resized = photo.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1)[None].float() / 255
