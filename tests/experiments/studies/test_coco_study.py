"""COCO's studies: what VOC taught is cut where VOC says; classes are those with images enough."""

from __future__ import annotations

import io
import os
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from wsss_lib.data import load
from wsss_lib.data.photos.catalogue import COCO
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.experiments import results, workbench
from wsss_lib.experiments.studies import coco

SPECIES = ("fenn", "lopi")


def segments(mask: np.ndarray) -> bytes:
    """A mask as a picture of numbered segments, as COCO's panoptic files have it."""
    numbered = np.searchsorted(np.unique(mask), mask).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(numbered).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Critters in the guise of VOC's photographs, and in that of COCO's."""
    for file, count in (("train", 6), ("val", 4), ("aug", 8)):
        drawn = Critters(World(size=32, species=SPECIES), file, count).to_datasets()
        path = tmp_path / "voc_animals" / f"{file}.parquet"
        path.parent.mkdir(exist_ok=True)
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(path))
    for split, count in (("train", 8), ("val", 6)):
        records = Critters(World(size=32, species=SPECIES, critters=(1, 2)), f"other {split}", count)
        rows = []
        for number in range(count):
            sample = records[number]
            buffer = io.BytesIO()
            pixels = (sample["image"] * 255).byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(buffer, "PNG")
            mask = sample["mask"].numpy()
            names = [SPECIES[value - 1] for value in np.unique(mask) if value]
            row = {"id": number, "image": buffer.getvalue(), "segments": segments(mask), "categories": names}
            rows.append(row | {"is_thing": [True] * len(names), "is_crowd": [False] * len(names)})
        (tmp_path / "coco_small").mkdir(exist_ok=True)
        datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / f"coco_small/{split}.parquet"))
    monkeypatch.setenv("WSSS_DATA", str(tmp_path))
    monkeypatch.setenv("WSSS_CACHE", str(tmp_path / "cache"))
    for module in (coco, workbench):
        monkeypatch.setattr(module, "PHOTO_CLASSES", SPECIES)
    small = {"BACKBONE": "tiny_cnn", "TRUNK": "stage2", "STRIDE": 4, "SIDE": 32, "LONGER": 32}
    for name, value in {**small, "IN_TRAIN": 2, "IN_VAL": 2, "SEEDS": (0, 1)}.items():
        monkeypatch.setattr(coco, name, value)
    return tmp_path


def test_what_voc_taught_is_cut_where_voc_says(photographs: Path) -> None:
    measured = coco.transfer("smoke")["data"]
    voc, other = (measured["cam"][f"learnt on VOC, {name}"] for name in ("VOC", "COCO"))
    assert len(voc) == len(other) == 2
    for here, away in zip(voc, other, strict=True):
        assert here["thresholds"]["miou"] == away["thresholds"]["miou"]
        assert (here["choose"], away["choose"]) == ("voc_animals/train", "voc_animals/train")
        assert (here["split"], away["split"]) == ("voc_animals/val", "coco_small/train and val")
        assert (here["images"], away["images"]) == (4, 12), "of fourteen images twelve, in this profile"
        assert away["miou"] <= away["best_miou"] <= 1
        assert "mean_ap" in away


def test_what_coco_teaches_is_read_on_other_images(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = coco.taught("smoke")["data"]
    rows = measured["cam"]["learnt on COCO, COCO"]
    assert [(row["choose"], row["split"]) for row in rows] == [("coco_small/train", "coco_small/val")] * 2
    assert rows[0]["miou"] != rows[1]["miou"], "a seed draws the head"
    assert set(measured["images"]) == set(SPECIES)
    assert measured["of several classes"] > 0
    train = load(photographs / "coco_small", split="train")
    rarest = int(train.labels.sum(0).min())
    monkeypatch.setattr(coco, "IN_TRAIN", rarest + 1)
    assert len(coco.learnable(photographs / "coco_small")) == 1


@pytest.mark.shared
def test_the_real_ones_come_through_the_same_door() -> None:
    shared = Path(os.environ.get("WSSS_SHARED", Path(__file__).parents[4] / "shared"))
    folder = shared / "data" / "coco_small"
    if not folder.is_dir():
        pytest.skip("the real photographs are not on this machine: set WSSS_SHARED to their folder")
    records = load(folder, split="val")
    assert records.classes == COCO
    several = [number for number in range(len(records)) if records.labels[number].sum() > 2][:5]
    for number in several:
        sample = records[number]
        shown = {int(value) - 1 for value in sample["mask"].unique() if value not in (0, 255)}
        assert shown <= set(records.labels[number].nonzero().flatten().tolist())
        assert len(shown) > 1


def test_the_recorded_threshold_of_voc_is_right_for_coco() -> None:
    document = results.read("coco")
    assert document["provenance"]["seeds"] == [0, 1, 2]
    voc, other = (document["data"]["cam"][f"learnt on VOC, {name}"] for name in ("VOC", "COCO"))
    for here, away in zip(voc, other, strict=True):
        assert away["best_miou"] - away["miou"] < 0.01, "COCO's own threshold gains next to nothing"
        assert abs(here["miou"] - away["miou"]) < 0.03, "as good on COCO as on VOC"
        assert here["mean_ap"] > 0.9, "the classifier has learnt"
        assert away["mean_ap"] < here["mean_ap"]
    counts = document["data"]["images"]
    assert counts["person"] > 0.9 * document["data"]["together"]
    assert sum(0 < count < 4 for count in counts.values()) == 3


def test_the_recorded_classes_of_coco_are_few_images_each_and_are_learnt_badly() -> None:
    document = results.read("coco_taught")
    assert document["provenance"]["seeds"] == [0, 1, 2]
    counts = document["data"]["images"]
    assert counts.pop("person")[0] > 40
    assert all(coco.IN_TRAIN <= train <= 10 and val >= coco.IN_VAL for train, val in counts.values())
    transferred = results.read("coco")["data"]["cam"]["learnt on VOC, COCO"]
    for away, row in zip(transferred, document["data"]["cam"]["learnt on COCO, COCO"], strict=True):
        assert row["miou"] < away["miou"] / 2
        assert row["mean_ap"] < away["mean_ap"]
