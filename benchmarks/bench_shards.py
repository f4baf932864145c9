"""How fast is `wsss maps` by one process and by two, and does its memory stay the same? `make bench`, or by itself:

    .venv-bench/bin/python benchmarks/bench_shards.py --shards 16 --rows 1000
    .venv-bench/bin/python benchmarks/bench_shards.py --million      a million small images by one process: ten minutes

Shards are links to one file of drawn critters; the network is the shipped tiny CNN, so that what is not the network
(reading, decoding, cutting, encoding, writing) weighs as much as it can. Each run is a command of its own, started as a
user starts it; seconds are those of the clock from its first shard to its last, so that starting Python does not count.
Of a million images the network is a stand-in of few channels, and the images have 32 pixels: what is asked is whether
memory stays the same, and whether each shard is written once. Writes results/bench_shards.json, or
results/bench_shards_million.json, and prints each row.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import datasets
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from wsss_lib.backbones import backbone
from wsss_lib.data import load
from wsss_lib.experiments import results
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig, fit

SIDE, SMALL = 96, 32
"""Pixels of an image's sides; of each of a million."""
MILLION = ((4, 4000), (250, 4000))
"""Shards, and rows in each, of the two runs that are compared."""


def checkpoint(folder: Path, side: int) -> Path:
    """A CAM after one update: over the shipped network, or over a stand-in for small images."""
    records = load("critters", split="train", count=16, size=side)
    net = backbone("tiny_cnn", weights="shipped") if side == SIDE else backbone("tiny_cnn", widths=(4, 6, 8, 10))
    method = registry.build("cam", net, len(records.classes))
    config = TrainConfig(epochs=None, steps=1, batch_size=16, optimiser="adamw", lr=1e-4, device="cpu")
    fit(method, records, config, out_dir=folder, progress="none")
    return folder


def write_shards(folder: Path, shards: int, rows: int, side: int) -> None:
    """One shard of critters, and links to it under other names."""
    records = load("critters", split="test", count=min(rows, 400), size=side)
    images = []
    for sample in (records[i] for i in range(len(records))):
        buffer = io.BytesIO()
        Image.fromarray((sample["image"] * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    schema = datasets.Features({"image": datasets.Image()}).arrow_schema
    table = pa.table({"image": [images[i % len(images)] for i in range(rows)]}, schema=schema)
    first = folder / "train-00000.parquet"
    pq.write_table(table, first, row_group_size=100)
    for number in range(1, shards):
        os.link(first, folder / f"train-{number:05d}.parquet")


def run(data: Path, trained: Path, out: Path, processes: int, shards: int, rows: int) -> dict[str, float]:
    """One command from its first shard to its last: images a second, and the largest memory of a process in MiB.

    Raises:
        SystemExit: It failed, or has not written each shard exactly once.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "wsss_lib.cli", "maps", str(data)]
    command += ["--checkpoint", str(trained), "--out", str(out), "--device", "cpu", "--batch-size", "50"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    largest = [0]

    def watch() -> None:
        while process.poll() is None:
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                largest[0] = max(largest[0], *(member.memory_info().rss for member in family))
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ends: list[float] = []
    written: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(" images\n"):
            ends.append(time.perf_counter())
            written.append(line.partition(":")[0])
    watcher.join()
    expected = [file.name for file in sorted(data.iterdir())]
    if process.returncode or sorted(written) != expected or [file.name for file in sorted(out.iterdir())] != expected:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode} after {len(ends)} shards of {shards}")
    # The first shard of each process pays for its start.
    counted = shards - processes
    return {"images_a_second": counted * rows / (ends[-1] - ends[processes - 1]), "mib": largest[0] / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rows", type=int, default=1000, help="in a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="small images, a stand-in, one process, one round")
    options = parser.parse_args()
    if options.million:
        record_million()
        return
    rows: list[dict[str, float]] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="wsss-shards-") as name:
        folder = Path(name)
        trained = checkpoint(folder / "run", SIDE)
        for shards in (options.shards // 4, options.shards):
            data = folder / f"data-{shards}"
            data.mkdir()
            write_shards(data, shards, options.rows, SIDE)
            for processes in (1, 2):
                for turn in range(options.rounds if shards == options.shards else 1):
                    out = folder / f"out-{shards}-{processes}-{turn}"
                    measured = run(data, trained, out, processes, shards, options.rows)
                    rows.append({"images": shards * options.rows, "processes": processes} | measured)
                    print(rows[-1], flush=True)
    results.record(
        "bench_shards",
        {"rows": rows},
        command=f"python benchmarks/bench_shards.py --shards {options.shards} --rows {options.rows}",
        fingerprint="critters, test, links to one shard",
        device="CPU, two cores, one thread a process",
        seeds=[0],
        wall_seconds=time.perf_counter() - start,
        note="clock from the first shard to the last",
    )


def record_million() -> None:
    """A million images beside some thousands: memory, and each shard written once."""
    rows: list[dict[str, float]] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="wsss-shards-") as name:
        folder = Path(name)
        trained = checkpoint(folder / "run", SMALL)
        for shards, each in MILLION:
            data, out = folder / f"data-{shards}", folder / f"out-{shards}"
            data.mkdir()
            write_shards(data, shards, each, SMALL)
            measured = run(data, trained, out, 1, shards, each)
            rows.append({"images": shards * each, "processes": 1, "shards_written_once": shards} | measured)
            print(rows[-1], flush=True)
    results.record(
        "bench_shards_million",
        {"rows": rows},
        command="python benchmarks/bench_shards.py --million",
        fingerprint=f"critters, test, {SMALL} pixels, links to one shard",
        device="CPU, one core, one thread",
        seeds=[0],
        wall_seconds=time.perf_counter() - start,
        note="clock from the first shard to the last; a stand-in of at most 10 channels",
    )


if __name__ == "__main__":
    main()
