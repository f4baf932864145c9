"""Image files of every kind: the right pixels, or one sentence; in tables and as single photos alike."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_kit import encoded, load_rows, photo, ramp, refusal, value_or_refusal
from PIL import Image, ImageOps

from wsss_lib.data import load
from wsss_lib.data.photos.convert import open_image

CLEAR_RED = np.zeros((8, 8, 4), np.uint8)
CLEAR_RED[..., 0] = 255  # transparent everywhere, red underneath


def palette_with_transparency() -> bytes:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 255, 255, 0, 0])
    return encoded(picture, transparency=1)


def animation() -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


MEANS: dict[str, tuple[Callable[[], bytes], float]] = {
    "grey of 8 bits": (lambda: encoded(ramp(255, np.uint8)), 0.5),
    "grey of 16 bits": (lambda: encoded(ramp(65535, np.uint16)), 0.5),
    "grey TIFF of 16 bits": (lambda: encoded(ramp(65535, np.uint16), "TIFF"), 0.5),
    "float TIFF from 0 to 1": (lambda: encoded(ramp(1, np.float32), "TIFF"), 0.5),
    "black and white": (
        lambda: encoded(Image.fromarray(ramp(255, np.uint8)).point(lambda v: v // 128 * 255, "1")),
        0.5,
    ),
    "transparent RGBA": (lambda: encoded(CLEAR_RED), 1.0),
    "transparent grey": (lambda: encoded(CLEAR_RED[..., [1, 3]]), 1.0),
    "transparent palette": (palette_with_transparency, 1.0),
    "transparent WebP": (lambda: encoded(CLEAR_RED, "WEBP", lossless=True), 1.0),
    "CMYK": (lambda: encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), 1.0),
    "first frame of an animation": (animation, 1.0),
}


@pytest.mark.parametrize("name", MEANS)
def test_an_image_has_the_values_that_its_file_says(tmp_path: Path, name: str) -> None:
    make, mean = MEANS[name]
    in_table = load_rows(tmp_path, [{"image": make(), "label": "leaf"}])[0]["image"]
    assert in_table.dtype == torch.float32
    assert in_table.shape[0] == 3
    assert float(in_table.mean()) == pytest.approx(mean, abs=0.01)
    (tmp_path / "photo").write_bytes(make())
    assert torch.equal(open_image(tmp_path / "photo"), in_table), "a table and a photo have one converter"


UNSURE: dict[str, Callable[[], bytes]] = {
    "12 bits in 16": lambda: encoded(ramp(4095, np.uint16)),
    "12 bits in a TIFF of 16": lambda: encoded(ramp(4095, np.uint16), "TIFF"),
    "14 bits in 16": lambda: encoded(ramp(16383, np.uint16)),
    "0 and 1 in 32 bits": lambda: encoded(ramp(1, np.float32).round().astype(np.int32), "TIFF"),
    "per cent in 32 bits": lambda: encoded(ramp(100, np.int32), "TIFF"),
    "32 bits, small values": lambda: encoded(ramp(1000, np.int32), "TIFF"),
    "32 bits, large values": lambda: encoded(ramp(2**30, np.int32), "TIFF"),
    "float from 0 to 255": lambda: encoded(ramp(255, np.float32), "TIFF"),
    "float from 0 to 4000": lambda: encoded(ramp(4000, np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", UNSURE)
def test_a_scale_that_the_file_does_not_say_is_found_or_refused(tmp_path: Path, name: str) -> None:
    records = load_rows(tmp_path, [{"image": UNSURE[name](), "label": "leaf"}])
    sample = value_or_refusal(lambda: records[0])
    if sample is not None:
        assert 0 <= float(sample["image"].min()) <= float(sample["image"].max()) <= 1
        assert float(sample["image"].mean()) == pytest.approx(0.5, abs=0.03), "scaled by what it holds"


def not_numbers() -> bytes:
    values = ramp(1, np.float32)
    values[3, 5] = np.nan
    return encoded(values, "TIFF")


REFUSED: dict[str, tuple[Callable[[], bytes | None], str]] = {
    "float with NaN": (not_numbers, r"NaN|not a number|not finite"),
    "infinite": (lambda: encoded(ramp(1, np.float32) / np.float32(0.0), "TIFF"), r"NaN|infinite|not finite"),
    "signed": (lambda: encoded(ramp(2000, np.int32) - 1000, "TIFF"), r"-1000|negative|signed"),
    "truncated": (lambda: photo()[:400], r"truncated|damaged|cut|incomplete"),
    "a header alone": (lambda: photo()[:30], r"image|damaged"),
    "empty": (lambda: b"", r"empty|no bytes|0 bytes"),
    "a web page": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", r"image|HTML|web page"),
    "null": (lambda: None, r"missing|no bytes"),
}


@pytest.mark.filterwarnings("ignore:divide by zero|invalid value")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_names_table_row_and_id(tmp_path: Path, name: str) -> None:
    make, cause = REFUSED[name]
    rows = [{"id": "robin", "image": photo(), "label": "leaf"}, {"id": "wren", "image": make(), "label": "leaf"}]
    records = value_or_refusal(lambda: load_rows(tmp_path, rows))
    if records is not None:
        assert records[0]["id"] == "robin", "a bad row does not stop the good one before it"
        refusal(lambda: records[1], cause, r"birds", r"\b1\b", "wren")


NO_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown one": ({"szie": 8}, "szie.*size"),
    "white without end": ({"white": float("inf")}, "white is inf"),
    "white as a word": ({"white": "4095"}, "white is '4095'"),
    "white as a truth": ({"white": True}, "white is True"),
    "half a pixel": ({"size": 2.5}, r"size is 2\.5"),
    "a word for a size": ({"size": "8"}, "size is '8'"),
    "a truth for a size": ({"size": True}, "size is True"),
    "one side of two": ({"size": (8,)}, r"size is \(8,\)"),
    "a list of columns": ({"columns": ["image"]}, "columns is.*dictionary"),
    "one word for classes": ({"classes": "leaf"}, "classes is 'leaf'.*list"),
    "a word for fractions": ({"normalised": "yes"}, "normalised is 'yes'"),
}


@pytest.mark.parametrize("name", NO_OPTIONS)
def test_options_that_are_none_are_refused_before_an_image_is_read(tmp_path: Path, name: str) -> None:
    options, cause = NO_OPTIONS[name]
    refusal(lambda: load_rows(tmp_path, [{"image": photo(), "label": "leaf"}], **options), cause)


def turned(pixels: np.ndarray, orientation: int, extra: dict[int, object] | None = None, form: str = "JPEG") -> bytes:
    """A file whose pixels lie as a camera held on its side stores them."""
    if form == "TIFF":
        return encoded(Image.fromarray(pixels), "TIFF", tiffinfo={0x0112: orientation})
    exif = Image.Exif()
    exif[0x0112] = orientation
    for tag, value in (extra or {}).items():
        exif[tag] = value
    return encoded(Image.fromarray(pixels), "JPEG", quality=95, subsampling=0, exif=exif)


def scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A white object in a corner of black, and its mask."""
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 4, : width // 2] = 1
    return np.repeat(mask[..., None] * 255, 3, axis=2).astype(np.uint8), mask


def overlap(sample: dict) -> float:
    """IoU of what is white and what the mask says."""
    white, mask = sample["image"][0] > 0.5, sample["mask"] == 1
    return float((white & mask).sum() / (white | mask).sum())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn_on", ["stored", "upright"])
@pytest.mark.parametrize("shape", [(32, 48), (40, 40)])
@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_a_camera_s_orientation_never_parts_image_and_mask(
    tmp_path: Path, orientation: int, drawn_on: str, shape: tuple[int, int], form: str
) -> None:
    stored, mask = scene(*shape)
    file = turned(stored, orientation, form=form)
    if drawn_on == "upright":
        with Image.open(io.BytesIO(turned(np.repeat(mask[..., None], 3, 2) * 255, orientation))) as image:
            mask = (np.asarray(ImageOps.exif_transpose(image).convert("L")) > 127).astype(np.uint8)
    rows = [{"image": file, "mask": encoded(mask), "label": "leaf"}]
    assert overlap(load_rows(tmp_path / "said", rows, drawn_on=drawn_on)[0]) > 0.95, "whoever says it is believed"
    one_file = load_rows(tmp_path / "birds", rows)
    for records in (one_file, load(tmp_path / "birds", split="birds")):
        sample = value_or_refusal(lambda records=records: records[0])
        assert sample is None or overlap(sample) > 0.95


def test_an_upright_photo_in_a_table_without_masks(tmp_path: Path) -> None:
    stored, _ = scene(32, 48)
    sample = load_rows(tmp_path, [{"image": turned(stored, 6), "label": "leaf"}])[0]
    assert sample["image"].shape == (3, 48, 32), "turned as the camera says"
    assert float(sample["image"][0, :20, -7:].mean()) > 0.9, "the corner went to the upper right"


def test_malformed_exif_does_not_cost_the_photo(tmp_path: Path) -> None:
    stored, _ = scene(32, 48)
    file = broken_exif(stored)
    (tmp_path / "phone.jpg").write_bytes(file)
    assert open_image(tmp_path / "phone.jpg").shape == (3, 48, 32)


def broken_exif(pixels: np.ndarray) -> bytes:
    """Orientation 6 beside a resolution of -1/0, which cannot be written again."""
    from struct import pack

    head = b"MM\x00*\x00\x00\x00\x08"
    entries = pack(">HHHIHH", 2, 0x0112, 3, 1, 6, 0) + pack(">HHII", 0x011A, 10, 1, 38)
    tiff = head + entries + pack(">I", 0) + pack(">ii", -1, 0)
    return encoded(Image.fromarray(pixels), "JPEG", quality=95, exif=b"Exif\x00\x00" + tiff)
