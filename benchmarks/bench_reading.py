"""How much of a training step is reading its batch? `make bench` runs this.

Reading is all that the training loop waits for before it can compute: records, random transforms, superpixels, and
their stacking into a batch. It is timed in turns with an update on that batch, several rounds, by the processor's time.
What is kept after the first look, as superpixels are, is counted apart.

    python benchmarks/bench_reading.py --rounds 5

writes results/bench_reading.json and prints the same as a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_updates import CNN, VIT, Case, Update, build, drawn_batch, network, title_of
from contest import measure, record
from PIL import Image
from skimage import data as photographs

from wsss_lib.backbones import StagedBackbone
from wsss_lib.data import load
from wsss_lib.data.records import Records
from wsss_lib.data.transforms import Compose, RandomFlip, Resize
from wsss_lib.experiments import Workbench
from wsss_lib.memory import keep_freed
from wsss_lib.methods.cam import CAM
from wsss_lib.train.features import FeatureRecords, draw_view
from wsss_lib.train.order import Reader

PHOTOS = Case(224, 8, {}, stride=16)


def reading_row(update: Update, reader: Reader, rounds: int) -> dict[str, float]:
    """Reading a batch beside the update that it is for, and the batch's very first reading."""
    indices = list(range(len(update.batch["labels"])))
    start = time.process_time()
    reader[0, indices]
    first = time.process_time() - start
    seconds = measure({"reading": lambda: reader[0, indices], "update": update}, rounds)
    shares = [read / (read + work) for read, work in zip(*seconds.values(), strict=True)]
    read, work = (1000 * statistics.median(times) / len(indices) for times in seconds.values())
    return {
        "share": statistics.median(shares),
        "most": max(shares),
        "reading_ms_an_image": read,
        "first_reading_ms_an_image": 1000 * first / len(indices),
        "update_ms_an_image": work,
    }


def drawn_readings(rounds: int) -> dict[str, Any]:
    """Of each method on its world, with its chapter's small network."""
    rows: dict[str, Any] = {}
    for kind, names in {"tiny_cnn": CNN, "tiny_vit": VIT}.items():
        lab = Workbench("smoke", backbone=kind, device="cpu")
        case = Case(96, min(32, len(lab.train_on)), {})
        for name in names:
            method = build(name, kind, case)
            records = lab.with_fields(lab.train_on, () if name == "mars" else method.needs)
            update = Update(method, drawn_batch(case))
            rows[f"{title_of(name)}, critters"] = reading_row(update, Reader(records, lab.transform(), 0), rounds)
    return rows


def photograph_readings(rounds: int) -> dict[str, Any]:
    """Of CAM, whose update is the shortest: from JPEG files, and behind a trunk whose features are kept on disk."""
    side, indices = PHOTOS.side, list(range(PHOTOS.batch))
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        records = photographs_in(Path(folder) / "photographs", PHOTOS.batch)
        look = Compose([Resize((side, side)), RandomFlip()])
        behind = network("resnet18", PHOTOS)
        assert isinstance(behind, StagedBackbone)
        behind.freeze(behind.deepest_grid[0])
        kept = FeatureRecords(records, behind, size=(side, side), folder=Path(folder) / "features")
        for name, net, reader in (
            ("JPEG files", network("resnet18", PHOTOS), Reader(records, look, 0)),
            ("features of a frozen trunk", behind, Reader(kept, draw_view, 0)),
        ):
            update = Update(CAM(net, len(records.classes)), reader[0, indices])
            rows[f"CAM, {name}"] = reading_row(update, reader, rounds)
    return rows


def photographs_in(folder: Path, number: int) -> Records:
    """Parts of scikit-image's photographs as JPEG files in a folder for each class, of the size that VOC's have."""
    sources = {"cat": photographs.chelsea(), "cup": photographs.coffee()}
    for index in range(number):
        name = list(sources)[index % len(sources)]
        image = Image.fromarray(np.roll(sources[name], 7 * index, axis=1)).resize((500, 375))
        (folder / name).mkdir(parents=True, exist_ok=True)
        image.save(folder / name / f"{index}.jpg", quality=90)
    return load(folder)


def as_markdown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each method and source."""
    lines = ["| reading | share of the step | ms an image | at first |", "|:--|--:|--:|--:|"]
    for name, row in rows.items():
        times = f"{row['reading_ms_an_image']:.2g} | {row['first_reading_ms_an_image']:.2g}"
        lines.append(f"| {name} | {row['share']:.1%} | {times} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="print the table, record nothing")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: run at least one")
    keep_freed()  # as chapters and commands do before they train
    print(f"{options.rounds} rounds, {torch.get_num_threads()} threads")
    rows = drawn_readings(options.rounds) | photograph_readings(options.rounds)
    print("\n" + as_markdown(rows))
    if not options.dry_run:
        record(
            "bench_reading",
            {"reading": rows, "rounds": options.rounds},
            command=f"python benchmarks/bench_reading.py --rounds {options.rounds}",
            fingerprint="critters of profile smoke, and parts of scikit-image's photographs",
            note="Reading and updates in turns; shares are medians over rounds, of processor time.",
        )


if __name__ == "__main__":
    main()
