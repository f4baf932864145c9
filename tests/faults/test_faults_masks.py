"""Masks that contradict themselves, their label or their image are refused; colours are read by colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fault_kit import encoded, load_rows, patch, photo, read_all, refusal, value_or_refusal
from PIL import Image

NAMES = ["cat", "dog"]
VOC = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
"""The first colours of PASCAL VOC's palette, and that of its borders."""


def row(mask: bytes | None, labels: list[int] | None = None, **more: object) -> dict:
    return {"id": "wren", "image": photo(), "mask": mask, "labels": [0] if labels is None else labels, **more}


def in_palette(mask: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> bytes:
    picture = Image.fromarray(mask).convert("P")
    picture.putdata(mask.ravel().tolist())
    table = np.zeros((256, 3), np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    picture.putpalette(table.tobytes())
    return encoded(picture)


def in_colour(mask: np.ndarray) -> np.ndarray:
    return np.array([[VOC[int(v)] for v in line] for line in mask], np.uint8)


RIGHT = {
    "grey indices": lambda: encoded(patch(1)),
    "VOC's palette": lambda: in_palette(patch(1), VOC),
    "VOC's colours": lambda: encoded(in_colour(patch(1))),
    "VOC's colours, opaque": lambda: encoded(np.dstack([in_colour(patch(1)), np.full((32, 32), 255, np.uint8)])),
    "16-bit indices": lambda: encoded(patch(1).astype(np.uint16)),
    "one bit": lambda: encoded(Image.fromarray(patch(255)).convert("1")),
    "a palette in another order": lambda: in_palette(
        np.where(patch(1) == 1, 0, 1).astype(np.uint8), {0: VOC[1], 1: VOC[0]}
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_object_is_where_the_file_says(tmp_path: Path, name: str) -> None:
    (sample,) = read_all(load_rows(tmp_path, [row(RIGHT[name]())], names=NAMES))
    assert sample["mask"].dtype == torch.int64
    assert torch.equal(sample["mask"], torch.from_numpy(patch(1)).long())
    assert sample["labels"].tolist() == [1, 0]


def test_borders_are_ignored_and_not_the_object(tmp_path: Path) -> None:
    mask = patch(1)
    mask[5, 4:14] = 255
    (sample,) = read_all(load_rows(tmp_path, [row(encoded(mask))], names=NAMES))
    assert torch.equal(sample["mask"], torch.from_numpy(mask).long())


CONTRADICTIONS = {
    "an object painted 255": (lambda: row(encoded(patch(255))), r"255", r"0.*1"),
    "nothing painted beside a label": (lambda: row(encoded(np.full((32, 32), 255, np.uint8))), r"255"),
    "a class that the label does not name": (lambda: row(encoded(patch(2))), r"dog"),
    "a value that is no class": (lambda: row(encoded(patch(3))), r"\b3\b", r"2 classes"),
    "grey levels of a picture": (lambda: row(encoded(np.arange(1024).reshape(32, 32).astype(np.uint8))), r"classes"),
    "a colour that is not VOC's": (lambda: row(encoded(np.full((32, 32, 3), (10, 200, 30), np.uint8))), r"colour"),
    "colours smeared by JPEG": (lambda: row(encoded(in_colour(patch(1)), "JPEG", quality=60)), r"JPEG|colour"),
    "a JPEG in a TIFF": (lambda: row(encoded(patch(1), "TIFF", compression="jpeg")), r"JPEG"),
    "a JPEG 2000": (lambda: row(encoded(patch(1), "JPEG2000")), r"JPEG"),
    "grey smeared by JPEG": (lambda: row(encoded(patch(1) * 100, "JPEG", quality=30)), r"JPEG|class"),
    "another size": (lambda: row(encoded(patch(1, 16, 32))), r"size|32"),
    "fractions": (lambda: row(encoded(patch(1).astype(np.float32) / 2, "TIFF")), r"mask"),
    "large values": (lambda: row(encoded(patch(1).astype(np.uint16) * 300)), r"300"),
    "a truncated file": (
        lambda: row(encoded(np.random.default_rng(0).integers(0, 2, (32, 32), np.uint8))[:90]),
        r"mask",
    ),
    "an empty file": (lambda: row(b""), r"mask"),
    "a web page": (lambda: row(b"<html>not found</html>"), r"mask"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_mask_that_contradicts_is_refused_with_row_and_id(tmp_path: Path, name: str) -> None:
    make, *patterns = CONTRADICTIONS[name]
    good = {**row(encoded(patch(1))), "id": "robin"}
    records = value_or_refusal(lambda: load_rows(tmp_path, [good, make()], names=NAMES))
    if records is not None:
        assert records[0]["id"] == "robin"
        refusal(lambda: records[1], *patterns, "wren", r"\b1\b")


OTHERS = {
    "segments": {"segments": encoded(patch(1)), "categories": ["cat"], "labels": [1]},
    "classes of boxes": {"mask": encoded(patch(1)), "boxes": [[4.0, 6.0, 14.0, 20.0]], "box_labels": [1]},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_mask_and_whatever_says_the_classes_agree(tmp_path: Path, name: str) -> None:
    records = load_rows(tmp_path, [{"id": "wren", "image": photo(), **OTHERS[name]}], names=NAMES)
    refusal(lambda: records[0], "shows 'cat'", "name dog", "wren")


def test_labels_of_other_rows_do_not_excuse_a_mask(tmp_path: Path) -> None:
    rows = [row(encoded(patch(1)), [0]), row(encoded(patch(2)), [0]), row(encoded(patch(1)), [1])]
    records = load_rows(tmp_path, rows, names=NAMES)
    refusal(lambda: records[1], "dog")
    assert value_or_refusal(lambda: records[0]) is not None


def test_a_null_mask_is_no_mask(tmp_path: Path) -> None:
    records = load_rows(tmp_path, [row(encoded(patch(1))), row(None)], names=NAMES)
    assert records.labels.tolist() == [[1, 0], [1, 0]]
    assert "mask" in records[0]
    sample = records[1]
    assert "mask" not in sample or bool((sample["mask"] == 255).all()), "no mask, or nothing that anybody counts"
    assert sample["labels"].tolist() == [1, 0]
