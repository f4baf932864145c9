"""How long does CAM take on photographs, the first time, and again from what was kept?

    python benchmarks/photographs.py DATA

DATA is a folder with ``train.parquet``, ``val.parquet`` and, to learn from, ``aug-*.parquet``. A classifier over
EfficientNet-Lite0 is trained on all images, its thresholds are chosen on all of ``train``, and its maps are measured on
all of ``val``, boxes included, at one scale, by three runs of their own: with an empty cache; with the frozen trunk's
features in the cache, and a training from the start; and once more with that training's checkpoint, as the same command
finds it when it is typed again. Seconds are those of the clock, so nothing else should run. Writes
results/bench_photographs.json, and prints it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contest import record

from wsss_lib.experiments import Workbench

BACKBONE, SIDE = "tf_efficientnet_lite0", 256

TURNS = {"first": "1", "again": "2", "kept": "2"}
"""What a run finds: nothing, features, or features and the trained network; and the folder of its checkpoints."""


def seconds_of(data: str, out_dir: str) -> None:
    """Train and measure once, and print how long it took, and what came out."""
    start, worked = time.perf_counter(), time.process_time()
    lab = Workbench(
        profile="book", data=data, backbone=BACKBONE, seed=0, out_dir=out_dir, fine_tune=True, trunk=True, side=SIDE
    )
    cam = lab.classifier()
    lab.fit(cam)
    trained = time.perf_counter() - start
    row: dict[str, Any] = lab.scores(cam.eval())
    images = len(lab.train_on), len(lab.choose_on), len(lab.report_on)
    print(json.dumps({
        "seconds": time.perf_counter() - start, "training": trained, "processor_seconds": time.process_time() - worked,
        "images": images, "miou": row["miou"], "mean_ap": row["mean_ap"], "pxap": row["pxap"],
        "fingerprint": f"{lab.train_on.fingerprint}, {lab.choose_on.fingerprint}, {lab.report_on.fingerprint}",
    }))  # fmt: skip


def all_turns(data: str) -> dict[str, Any]:
    """What :func:`seconds_of` prints, for each of :data:`TURNS`."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="wsss-photographs-") as name:
        for turn, folder in TURNS.items():
            environment = os.environ | {"WSSS_CACHE": str(Path(name) / "cache")}
            command = [sys.executable, __file__, data, "--once", str(Path(name) / folder)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            rows[turn] = json.loads(done.stdout.splitlines()[-1])
            print(turn, rows[turn], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--once", metavar="OUT_DIR", help="only one run, with the cache and checkpoints that are there")
    options = parser.parse_args()
    if options.once:
        seconds_of(options.data, options.once)
        return
    rows = all_turns(options.data)
    fingerprint = {row.pop("fingerprint") for row in rows.values()}.pop()
    record(
        "bench_photographs",
        {"rows": rows, "backbone": BACKBONE, "side": SIDE},
        command="python benchmarks/photographs.py <folder>",
        fingerprint=fingerprint,
        note="clock, two cores, nothing else running; trained and measured at one scale",
    )


if __name__ == "__main__":
    main()
