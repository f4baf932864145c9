"""``wsss maps``: masks of a whole data set, shard by shard, on one machine or many."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from wsss_lib.cli.common import FAILED, OK, command, given_path, positive, warnings_in_a_line

SAID = 10
"""Failures that are printed; the column ``error`` of the results names all."""


def add(commands: Any) -> None:
    """Register the command."""
    parser = command(
        commands,
        "maps",
        "masks of a whole data set in Parquet shards, by one process or many",
        """\
DATA is a folder of Parquet files (shards) with a column of encoded images, one such file, a pattern in quotation marks,
or a data set of the Hub as owner/name. It is streamed: memory stays the same, however many images there are. Each shard
becomes one Parquet file of the same name in OUT with the columns id, mask (palette PNG), labels, scores and error.

examples:
  wsss maps shards --checkpoint runs/cam --out masks
  wsss maps shards --checkpoint runs/cam --labels labels --out masks      classes that are known to be in an image
  accelerate launch --num_processes 8 -m wsss_lib.cli maps shards --checkpoint runs/cam --out masks
  torchrun --nproc-per-node 8 -m wsss_lib.cli maps shards --checkpoint runs/cam --out masks
Stopped, or called again, it does the shards that are not done, whichever process had them. An image that cannot be read
gets no mask; the column error says why. A shard that cannot be read is named when the others are done.
exit codes: 0 all was done; 1 an image got no mask, or the work failed; 2 the command was not understood.
""",
    )
    parser.add_argument("data", metavar="DATA", help="folder of Parquet files, a file, or owner/name on the Hub")
    parser.add_argument(
        "--checkpoint", type=given_path, required=True, metavar="FOLDER", help="out_dir of a trained run"
    )
    parser.add_argument("--out", type=given_path, default=Path("maps"), help="folder of the results (default: maps)")
    parser.add_argument("--method", metavar="NAME", help="that explains the checkpoint's (default: the checkpoint's)")
    parser.add_argument("--split", help="of the Hub's data set; in a folder: what names begin with")
    parser.add_argument("--image", default="image", metavar="COLUMN", help="of the images (default: image)")
    parser.add_argument("--labels", metavar="COLUMN", help="of the known classes (default: what the classifier finds)")
    parser.add_argument("--threshold", type=float, default=0.2, help="share of the map's maximum (default: 0.2)")
    parser.add_argument("--multi-scale", action="store_true", help="four scales, mirrored: 15 times slower")
    parser.add_argument("--batch-size", type=positive, default=16, help="images at once (default: 16)")
    parser.add_argument("--device", help="cpu, cuda or mps (default: a GPU if there is one)")
    parser.set_defaults(action=_maps)


def _maps(options: argparse.Namespace) -> int:
    from wsss_lib.localize.extraction import extract_maps

    with warnings_in_a_line():
        done = extract_maps(
            options.data,
            options.out,
            checkpoint=options.checkpoint,
            method=options.method,
            split=options.split,
            image=options.image,
            labels=options.labels,
            threshold=options.threshold,
            multi_scale=options.multi_scale,
            batch_size=options.batch_size,
            device=options.device,
            say=lambda line: print(line, flush=True),
        )
    print(
        f"{len(done.written)} of {done.shards} shards written here, {done.rows} images; "
        f"{done.done_before} had been done before"
    )
    for sentence in done.failures[:SAID]:
        print(f"wsss: {sentence}", file=sys.stderr)
    if len(done.failures) > SAID:
        print(f"wsss: {len(done.failures) - SAID} more are named in the column error", file=sys.stderr)
    return FAILED if done.failures else OK
