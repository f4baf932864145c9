"""The page *What can go wrong with your data* shows the messages as they are printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_kit import encoded, patch, photo, rows_to_parquet
from safetensors.torch import save_file
from test_faults_checkpoints import Small, damage, trained
from test_faults_class_lists import typed_table
from test_faults_images import scene, turned
from test_faults_localize import GOOD

from wsss_lib import backbones
from wsss_lib.data import load
from wsss_lib.data.photos.convert import open_image
from wsss_lib.train import restore

PAGE = Path(__file__).parents[2] / "book" / "data_faults.md"
CORNERS = [4.0, 6.0, 14.0, 20.0]


def table(*rows: dict[str, Any], **options: Any) -> Any:
    """The rows as ``birds/train.parquet``, loaded and read to the end."""
    good = {"id": "robin", "image": photo(), **options.pop("good", {"labels": [0]})}
    rows_to_parquet(Path("birds/train.parquet"), [good, *({"id": "wren", "image": photo(), **row} for row in rows)])
    options.setdefault("names", ["cat", "dog"])
    records = load("birds", split="train", **options)
    return [records.labels, *(records[i] for i in range(len(records)))]


def masked(mask: bytes) -> Any:
    return table({"mask": mask, "labels": [0]}, good={"mask": encoded(patch(1)), "labels": [0]})


def boxed(box: list[float], **options: Any) -> Any:
    return table({"boxes": [box], "labels": [0]}, good={"boxes": [CORNERS], "labels": [0]}, **options)


def one(content: bytes, name: str) -> Any:
    Path(name).write_bytes(content)
    return open_image(Path(name))


def written(name: str, content: bytes | str) -> Any:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return load(name)


def other_classes() -> Any:
    typed_table(Path("birds/train.parquet"), ["cat", "dog"], ["cat"])
    typed_table(Path("birds/val.parquet"), ["cat", "cow"], ["cow"])
    return load("birds", split="val")


def written_table(row: dict[str, Any]) -> Any:
    return load(rows_to_parquet(Path("birds.parquet"), [row]))


def part_missing() -> Any:
    rows_to_parquet(Path("birds/train-00000-of-00002.parquet"), [{"image": photo(), "label": "cat"}])
    return load("birds")


def turned_square() -> Any:
    pixels, mask = scene(32, 32)
    return table({"image": turned(pixels, 6), "mask": encoded(mask), "labels": [0]}, good={"labels": [0]})


def no_numbers() -> Any:
    state = {k: v.clone() for k, v in backbones.backbone("tiny_cnn", weights=None).state_dict().items()}
    next(iter(state.values())).view(-1)[0] = float("nan")
    save_file(state, "tiny_cnn.safetensors")
    return backbones.backbone("tiny_cnn", weights="tiny_cnn.safetensors")


def all_damaged() -> Any:
    trained(Path("runs"))
    for folder in Path("runs/checkpoints").glob("step_*"):
        damage(folder)
    return restore(Small(), "runs")


PROVOKED: dict[str, Callable[[], Any]] = {
    "The file is empty": lambda: written("birds.parquet", b""),
    "The file is a web page": lambda: written("birds.parquet", "<html>404</html>"),
    "The table has no column of images": lambda: written_table({"picture": photo(), "label": "cat"}),
    "A part of a table is missing": part_missing,
    "The image is cut": lambda: table({"image": photo()[:400], "labels": [0]}),
    "The image is missing": lambda: table({"image": None, "labels": [0]}),
    "The image holds NaN": lambda: one(encoded(np.full((8, 8), np.nan, np.float32), "TIFF"), "depth.tif"),
    "The image is HEIC": lambda: one(b"\x00\x00\x00\x18ftypheic" + b"\x00" * 200, "phone.heic"),
    "The photo is cut": lambda: one(GOOD[: len(GOOD) // 2], "cat.jpg"),
    "The mask is painted with 255": lambda: masked(encoded(patch(255))),
    "The mask shows a class that the labels do not name": lambda: masked(encoded(patch(2))),
    "The mask holds a value that is no class": lambda: masked(encoded(patch(3))),
    "The mask is a JPEG": lambda: masked(encoded(patch(1), "JPEG")),
    "The mask has another size": lambda: masked(encoded(patch(1, 16, 32))),
    "The label is missing": lambda: table({"labels": None}),
    "The label is no class": lambda: table({"labels": [2]}),
    "The labels are probabilities": lambda: table({"labels": [0.1, 0.9]}, good={"labels": [1.0, 0.0]}),
    "Numbers have no names": lambda: table({"labels": [1]}, names=None),
    "Labels of 0 and 1 can be read in two ways": lambda: table({"labels": [1, 0]}, good={"labels": [0, 1]}),
    "The boxes are x, y, width, height": lambda: boxed([20.0, 20.0, 10.0, 8.0]),
    "The boxes run from 0 to 1": lambda: boxed([0.1, 0.2, 0.5, 0.9]),
    "The box lies outside": lambda: boxed([4.0, 6.0, 40.0, 20.0]),
    "Two splits have other classes": other_classes,
    "The photo is turned, its mask is not": turned_square,
    "Weights are NaN": no_numbers,
    "No checkpoint is intact": all_damaged,
}
"""What provokes the message under each heading of the page."""


def message(heading: str) -> str:
    try:
        value = PROVOKED[heading]()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{heading!r} fails no longer, and gives {value!r:.200}: take it off the page")


def shown() -> dict[str, str]:
    """The page's messages by heading."""
    text = PAGE.read_text(encoding="utf-8")
    return {h: " ".join(m.split()) for h, m in re.findall(r"^### (.+)\n+```text\n((?:.|\n)+?)\n```$", text, re.M)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("heading", PROVOKED)
def test_the_page_shows_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heading: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown()[heading] == message(heading).replace(f"{tmp_path.resolve()}/", "")


def test_every_heading_of_the_page_is_provoked() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert sorted(headings) == sorted(PROVOKED)
