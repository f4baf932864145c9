"""Photographs as people have them: any size, any mode, held in any way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""What is taken from a folder; a file that is named itself may have any suffix."""
LONGEST = 3
"""As the network sees it, the longer side is at most so many times the shorter one; a longer strip is squeezed."""
GRID = 32
"""Sides as the network sees them are multiples of this: strides and patches divide them, patches also at half scale."""


def photo_files(paths: Sequence[str | Path]) -> list[Path]:
    """Replace folders by the image files directly inside them, by name.

    Raises:
        FileNotFoundError: Something that is not there, a folder without images, or nothing at all.
    """
    files: list[Path] = []
    for path in (Path(p).expanduser() for p in paths):
        inside = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise FileNotFoundError(f"The folder {path} holds no images ({', '.join(SUFFIXES)}).")
        files += inside
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"There is no photo {file}: give the path of an image, or of a folder of images.")
    if not files:
        raise FileNotFoundError("There are no photos: give at least one path of an image, or of a folder of images.")
    return files


def check_photo(path: str | Path) -> None:
    """Look at a file's header alone.

    Raises:
        ValueError: Not an image.
    """
    with _explained(path), Image.open(path):
        pass


def open_photo(path: str | Path) -> Image.Image:
    """Read a photo as 8-bit RGB, upright.

    The camera's orientation (EXIF) is applied, transparency is laid over white, CMYK and palettes are converted, grey
    is repeated, 16 bits become 8, and of an animation the first frame counts.

    Args:
        path: The file.

    Raises:
        ValueError: Not an image, or a damaged one.
    """
    with _explained(path), Image.open(path) as photo:
        photo.load()
        return _rgb(ImageOps.exif_transpose(photo))


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    """Pillow's errors in a sentence that names the file and the way out."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not an image that can be read: convert it to JPEG or PNG first.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} claims to have too many pixels to be a photo ({error}): make it smaller.") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises in the middle of a file
        raise ValueError(f"{path} is damaged or cannot be read ({error}): save it anew.") from error


def _rgb(photo: Image.Image) -> Image.Image:
    if photo.mode in ("I", "F") or photo.mode.startswith("I;"):
        values = np.asarray(photo, dtype=np.float64)
        # Pillow's own conversion would cut a 16-bit grey at 255.
        top = next((limit for limit in (1.0, 255.0, 65535.0) if values.max() <= limit), values.max())
        photo = Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8))
    if "A" in photo.getbands() or "transparency" in photo.info:
        photo = photo.convert("RGBA")
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo)
    return photo.convert("RGB")


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


def to_tensor(photo: Image.Image, size: tuple[int, int]) -> Tensor:
    """Resize an RGB photo (bicubic, antialiased) to (height, width): (1, 3, height, width) float32 in [0, 1]."""
    resized = photo.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1)[None].float() / 255
