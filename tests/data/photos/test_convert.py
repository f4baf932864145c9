"""An image file becomes the picture that a person sees, or a sentence."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from wsss_lib.data.photos.convert import open_image, orientation_of, stored_image, upright, upright_boxes


def encoded(values: Any, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(buffer, form, **options)
    return buffer.getvalue()


RAMP = np.linspace(0, 1, 256)[None].repeat(3, 0)


def png(depth: int, colour: int, rows: list[bytes], width: int) -> bytes:
    """A PNG made by hand: Pillow writes no 16 bits a colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ((RAMP * 255).astype(np.uint8), "PNG"),
        ((RAMP * 65535).astype(np.uint16), "PNG"),
        ((RAMP * 65535).astype(np.uint16), "TIFF"),
        ((RAMP * 65535).astype(np.int32), "TIFF"),
        ((RAMP * 255).astype(np.int32), "TIFF"),
        (RAMP.astype(np.float32), "TIFF"),
        ((RAMP * 255).round().astype(np.float32), "TIFF"),
    ],
)
def test_a_ramp_is_a_ramp_in_every_depth(values: Any, form: str) -> None:
    image = open_image(encoded(values, form))
    assert (image.shape, image.dtype) == ((3, 3, 256), torch.float32)
    assert image.mean() == pytest.approx(0.5, abs=0.003)
    assert torch.allclose(image[1, 1], torch.from_numpy(RAMP[0]).float(), atol=0.004)


def test_a_tiff_whose_zero_is_white() -> None:
    black_on_white = encoded(np.array([[0, 65535]], np.uint16), "TIFF", tiffinfo={262: 0})
    assert open_image(black_on_white)[0].tolist() == [[1, 0]]


def test_a_pgm_says_its_white() -> None:
    assert open_image(b"P5 2 1 4095 " + struct.pack(">2H", 0, 4095))[0].tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("values", "form", "message"),
    [
        (np.array([[0, 4095]], np.uint16), "PNG", "from 0 to 4095, and its file does not say which is white"),
        (np.array([[0, 255]], np.uint16), "TIFF", "does not say which is white"),
        (np.array([[-1000, 3000]], np.int32), "TIFF", "from -1000 to 3000"),
        (np.array([[0, 70_000]], np.int32), "TIFF", "from 0 to 70000"),
        (np.array([[0, 3.7]], np.float32), "TIFF", "from 0 to 3.7"),
        (np.array([[-0.5, 1]], np.float32), "TIFF", "from -0.5 to 1, expected 0 to 1"),
        (np.array([[0, np.nan]], np.float32), "TIFF", r"not numbers \(NaN or infinity\)"),
        (np.array([[0, np.inf]], np.float32), "TIFF", r"not numbers \(NaN or infinity\)"),
    ],
)
def test_what_leaves_white_open_is_refused(values: Any, form: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_image(encoded(values, form))


def test_white_is_what_the_caller_says() -> None:
    twelve = encoded(np.array([[0, 1024, 4095]], np.uint16))
    assert open_image(twelve, white=4095)[2, 0].tolist() == pytest.approx([0, 0.25, 1], abs=1e-3)
    with pytest.raises(ValueError, match="from 0 to 4095, expected 0 to 1023"):
        open_image(twelve, white=1023)
    assert open_image(encoded(np.zeros((2, 2), np.uint16))).max() == 0, "black is black in every depth"


def test_sixteen_bits_a_colour() -> None:
    full = png(16, 2, [struct.pack(">3H", 65535, 32896, 0)], 1)
    assert open_image(full)[:, 0, 0].tolist() == pytest.approx([1, 0.5, 0], abs=0.003)
    with pytest.raises(ValueError, match="at most 14 of them"):
        open_image(png(16, 2, [struct.pack(">3H", 4095, 2048, 0)], 1))


def test_the_level_that_a_grey_image_calls_transparent_is_white() -> None:
    levels = np.array([[0, 300, 20_000, 65_535]], np.uint16)
    seen = open_image(encoded(levels, transparency=300))
    assert seen[0, 0].tolist() == pytest.approx([0, 1, 20_000 / 65_535, 1])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (60, 60, 60, 0))
    image.putpixel((1, 0), (60, 60, 60, 255))
    opened = open_image(encoded(image.convert(mode)))
    assert opened[:, 0, 0].tolist() == [1, 1, 1]
    assert opened[:, 0, 1].tolist() == pytest.approx([60 / 255] * 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr"])
def test_opaque_modes_as_pillow_converts_them(mode: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)).convert(mode)
    stored = encoded(image, "TIFF")
    with Image.open(io.BytesIO(stored)) as again:
        expected = torch.from_numpy(np.array(again.convert("RGB"))).permute(2, 0, 1) / 255
    assert torch.equal(open_image(stored), expected)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
NOISE_PNG, NOISE_JPEG = encoded(NOISE), encoded(NOISE, "JPEG")


def oriented(orientation: Any, height: int = 3, width: int = 5) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return encoded(values, "PNG", exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_against_pillow(orientation: int) -> None:
    content = oriented(orientation)
    with Image.open(io.BytesIO(content)) as image:
        expected = torch.from_numpy(np.array(ImageOps.exif_transpose(image))).permute(2, 0, 1) / 255
    assert torch.equal(open_image(content), expected)
    stored, noted = stored_image(content)
    assert (noted, stored.shape) == (orientation, (3, 3, 5))
    mask = torch.zeros(3, 5)
    mask[1:3, 0:2] = 1  # the box 0, 1, 2, 3
    left, top, right, bottom = upright_boxes(torch.tensor([[0.0, 1, 2, 3]]), orientation, 3, 5)[0].int().tolist()
    turned = upright(mask, orientation)
    assert turned[top:bottom, left:right].sum() == turned.sum() == 4


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none(orientation: Any) -> None:
    assert stored_image(oriented(orientation))[1] == 1


def test_a_tiff_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.arange(15, dtype=np.uint8).reshape(3, 5)
    image = open_image(encoded(lying, "TIFF", exif=exif))
    assert torch.equal((image[0] * 255).round().to(torch.uint8), torch.from_numpy(np.rot90(lying, -1).copy()))


def test_a_malformed_tag_beside_the_orientation() -> None:
    """A resolution of -1/0 stops Pillow where it writes tags; pixels need none written."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 5, 1, 38)
    body = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + b"\0\0\0\0" + struct.pack("<iI", -1, 0)
    jpeg = encoded(np.zeros((3, 5, 3), np.uint8), "JPEG", exif=body)
    assert open_image(jpeg).shape == (3, 5, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_tags_that_cannot_be_read() -> None:
    image = Image.new("RGB", (2, 2))
    image.info["exif"] = b"Exif\0\0II*\0\xff\xff\xff\x7f"
    assert orientation_of(image) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the image is empty"),
        (b"<!DOCTYPE html><p>log in", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photo"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a film"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL image"),
        (b"<svg xmlns=''/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"some words", "no image that can be read"),
        (NOISE_PNG[:90], "damaged or cannot be read"),
        (NOISE_JPEG[:900], "damaged or cannot be read"),
    ],
)
def test_files_that_are_no_images(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_image(content)
    path = tmp_path / "photo [1].jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"photo \[1\]\.jpg is "):
        open_image(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "link.jpg", "folder.jpg", "gone.jpg"):
        with pytest.raises(FileNotFoundError, match=f"there is no file .*{name}"):
            open_image(tmp_path / name)


def test_paths_and_contents_alike(tmp_path: Path) -> None:
    content = encoded(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    path = tmp_path / "a::b 'c' [d].png"
    path.write_bytes(content)
    assert torch.equal(open_image(path), open_image(content))
    assert torch.equal(open_image(str(path)), open_image(content))
