"""The page *Your own photographs* says what the command does."""

from __future__ import annotations

import re
from pathlib import Path

import datasets
import pytest
from folder_kit import disc, encoded, folder, picture
from PIL import Image

from wsss_lib.cli import main
from wsss_lib.data import load
from wsss_lib.pipeline import STAGES
from wsss_lib.pipeline.listing import read_listing

PAGE = (Path(__file__).parents[2] / "book" / "own_photographs.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)


def test_the_example_makes_the_folder_of_which_the_output_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = (code for kind, code in BLOCKS if kind == "python" and "critters" in code)
    exec(compile(example, "page", "exec"), {})
    (command,) = (line for line in PAGE.splitlines() if line.startswith("wsss pipeline") and "--names" in line)
    names = command.split("--names ")[1].split(",")
    listing = read_listing(tmp_path / "zoo", names=names)
    (output,) = (text.splitlines() for kind, text in BLOCKS if kind == "text" and text.startswith("labels:"))
    masks = sum(photo.mask is not None for photo in listing.photos)
    counts = ", ".join(f"{name} {sum(name in photo.labels for photo in listing.photos)}" for name in names)
    assert output[0] == f"labels: {len(listing.photos)} photographs, {masks} with a mask; {counts}"
    assert [line.partition(":")[0] for line in output[:-2]] == [stage.name for stage in STAGES]


def test_every_option_of_the_page_is_one_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pipeline", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    named = set(re.findall(r"--[a-z-]+", PAGE)) - {"--checkpoint"}  # of wsss localize
    assert named <= known
    assert {"--names", "--refine", "--drawn-on"} <= named


def test_the_list_that_the_page_shows_is_read_as_it_says(tmp_path: Path) -> None:
    (shown,) = (text for kind, text in BLOCKS if kind == "text" and text.startswith("image,label"))
    rows = [tuple(line.split(",")) for line in shown.splitlines()[1:]]
    listing = read_listing(folder(tmp_path, rows))
    assert [photo.labels for photo in listing.photos] == [("cow",), ("cat", "dog"), ()]


def test_a_table_with_the_columns_of_the_page_is_read_as_it_says(tmp_path: Path) -> None:
    section = PAGE.split("## Photographs for the chapters")[1].split("\n## ")[0]
    named = {name for line in section.splitlines() if line.startswith("| `") for name in line[:25].split("`")[1::2]}
    kind = datasets.ClassLabel(names=["owl", "cat"])  # the order of the masks, not that of the alphabet
    types = {
        "image": datasets.Image(),
        "labels": datasets.Sequence(kind),
        "mask": datasets.Image(),
        "id": datasets.Value("string"),
        "boxes": datasets.Sequence(datasets.Sequence(datasets.Value("float32"))),
        "box_labels": datasets.Sequence(kind),
    }
    assert named == {*types, "label"}
    mask = {"bytes": encoded(Image.fromarray(disc(value=2))), "path": None}
    row = {"image": {"bytes": picture(), "path": None}, "mask": mask, "labels": [1], "id": "barn"}
    row |= {"boxes": [[8, 4, 24, 20]], "box_labels": [1]}
    for split in ("train", "val"):
        table = datasets.Dataset.from_list([row], features=datasets.Features(types))
        table.to_parquet(str(tmp_path / f"{split}.parquet"))
    sample = load(str(tmp_path), split="val")[0]
    assert sample["id"] == "barn"
    assert sample["labels"].tolist() == [0, 1]
    assert sample["mask"].unique().tolist() == [0, 2]
    assert (sample["boxes"].tolist(), sample["box_labels"].tolist()) == ([[8, 4, 24, 20]], [1])
    plain = datasets.Dataset.from_list([{"image": picture(), "label": "cat"}, {"image": picture(), "label": "owl"}])
    plain.to_parquet(str(tmp_path / "plain.parquet"))
    records = load(str(tmp_path / "plain.parquet"))
    assert (records.classes, records[0]["labels"].tolist()) == (("cat", "owl"), [1, 0])
