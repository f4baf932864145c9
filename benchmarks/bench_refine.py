"""How fast and how exact is refinement, beside pydensecrf, AffinityNet's squaring and scikit-image? `make bench`.

Rows are measured as in bench_cams.py. Photographs are scikit-image's own. Where a table of photographs with masks is
given, both dense CRFs also refine coarse masks of it, and are scored:

    .venv-bench/bin/python benchmarks/bench_refine.py --rounds 7 --masks voc/val.parquet

writes results/bench_refine.json and prints the same as a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import Contest, compare, measure, record, table
from skimage import data as photographs
from skimage.segmentation import random_walker
from torch import Tensor
from torch.nn import functional as F

from wsss_lib import metrics
from wsss_lib.data import load
from wsss_lib.memory import peak_mib
from wsss_lib.refine import (
    CRFSettings,
    dense_crf,
    feature_affinities,
    pair_offsets,
    random_walk,
    scores_of_masks,
    table_bytes,
)

try:
    from pydensecrf import densecrf
except ImportError as error:
    sys.exit(f"{error.name} is not installed, and this script measures against it: run it by `make bench`.")

SIDE = 320
LABELS = 7
SETTINGS = {"psa": CRFSettings(), "DeepLab": CRFSettings.deeplab()}
STEPS, POWER, RADIUS = 64, 8.0, 5.0
GRIDS = {"40 × 40": 40, "80 × 80": 80}
PLAINNESS = 130
"""scikit-image's β, as it comes."""


def photos() -> Tensor:
    """Three photographs of 240 × 320, (N, 3, H, W) in [0, 1], in steps of 1/255."""
    planes = [torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (
        photographs.chelsea(), photographs.coffee(), photographs.astronaut()[100:484]
    )]  # fmt: skip
    return torch.cat([F.interpolate(p, (240, SIDE), mode="area").round() / 255 for p in planes])


def smooth_scores(n: int, h: int, w: int, labels: int = LABELS) -> Tensor:
    """Probabilities (N, L, H, W) that vary over some 40 pixels, drawn from seed 0."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(n, labels, max(2, h // 40), max(2, w // 40), generator=generator)
    return (2 * F.interpolate(coarse, (h, w), mode="bicubic")).softmax(dim=1)


def theirs(scores: Tensor, image: Tensor, settings: CRFSettings) -> Tensor:
    """pydensecrf's beliefs (L, H, W) of one image (3, H, W)."""
    labels, height, width = scores.shape
    field = densecrf.DenseCRF2D(width, height, labels)
    unary = -scores.clamp(min=1e-5).log().flatten(1)
    field.setUnaryEnergy(np.ascontiguousarray(unary.numpy()))
    field.addPairwiseGaussian(sxy=settings.near, compat=settings.near_weight)
    colours = np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    field.addPairwiseBilateral(sxy=settings.reach, srgb=settings.colour, rgbim=colours, compat=settings.colour_weight)
    return torch.from_numpy(np.array(field.inference(settings.iterations))).view(labels, height, width)


@torch.no_grad()
def crf_rows(rounds: int) -> dict[str, Any]:
    """Ten iterations over seven labels, photo by photo and all at once."""
    images = photos()
    scores = smooth_scores(*images.shape[:1], *images.shape[2:])
    rows: dict[str, Any] = {}
    for name, settings in SETTINGS.items():
        ours = dense_crf(scores, images, settings)
        peer = torch.stack([theirs(s, i, settings) for s, i in zip(scores, images, strict=True)])
        contest: Contest = {
            "ours": lambda x=settings: [dense_crf(scores[i : i + 1], images[i : i + 1], x) for i in range(len(images))],
            "ours, as one batch": lambda x=settings: dense_crf(scores, images, x),
            "pydensecrf": lambda x=settings: [theirs(s, i, x) for s, i in zip(scores, images, strict=True)],
        }
        rows[name] = {
            "speed": compare(measure(contest, rounds), "ours", len(images)),
            "largest_difference": float((ours - peer).abs().max()),
            "other_labels": float((ours.argmax(1) != peer.argmax(1)).double().mean()),
            "changed_labels": float((scores.argmax(1) != peer.argmax(1)).double().mean()),
        }
        print(f"  dense CRF, {name}", flush=True)
    return rows


@torch.no_grad()
def exactness() -> dict[str, Any]:
    """The lattice beside all pairs of pixels, on photos of 48 × 64."""
    images = F.interpolate(photos(), (48, 64), mode="area")
    scores = smooth_scores(len(images), 48, 64)
    rows = {}
    for name, settings in SETTINGS.items():
        small = settings.resized(64 / SIDE)
        exact, lattice = (dense_crf(scores, images, small, how) for how in ("exact", "lattice"))
        rows[name] = {
            "mean_difference": float((exact - lattice).abs().mean()),
            "other_labels": float((exact.argmax(1) != lattice.argmax(1)).double().mean()),
            "changed_labels": float((exact.argmax(1) != scores.argmax(1)).double().mean()),
        }
    return rows


@torch.no_grad()
def scored(path: str, most: int) -> dict[str, Any]:
    """mIoU of masks at stride 32, and of what each dense CRF makes of them."""
    records = load(path, size=SIDE)
    records = records.subset(range(min(most, len(records))))
    number = len(records.classes) + 1
    confusions = {name: metrics.ConfusionMatrix(number) for name in ("coarse", "ours", "pydensecrf")}
    other = pixels = 0
    for index in range(len(records)):
        image, truth = records[index]["image"][None], records[index]["mask"][None]
        known = torch.where(truth == 255, 0, truth)[:, None].float()
        coarse = F.interpolate(known[:, :, 16::32, 16::32], truth.shape[1:])[:, 0].long()
        scores = scores_of_masks(coarse, number)
        used = scores.amax((0, 2, 3)).nonzero()[:, 0]
        settings = CRFSettings.irn()
        ours = dense_crf(scores, image, settings).argmax(1)
        peer = used[theirs(scores[0, used], image[0], settings).argmax(0)][None]
        for name, masks in (("coarse", coarse), ("ours", ours), ("pydensecrf", peer)):
            confusions[name].update(masks, truth)
        other, pixels = other + int((ours != peer).sum()), pixels + ours.numel()
    miou = {name: float(metrics.mean_iou(c.matrix)) for name, c in confusions.items()}
    return {"miou": miou, "other_labels": other / pixels, "images": len(records)}


def walk_inputs(side: int) -> tuple[Tensor, Tensor]:
    """Scores (1, 3, s, s) and colours (1, 3, s, s), divided by the difference that matters."""
    image = F.interpolate(photos()[:1], (side, side), mode="area")
    return smooth_scores(1, side, side, 3), image / 0.1


def by_squaring(scores: Tensor, features: Tensor, squarings: int = STEPS.bit_length() - 1) -> Tensor:
    """The walk as AffinityNet computes it: all pairs in one matrix, squared until its power is that of all steps."""
    n, k, h, w = scores.shape
    offsets = pair_offsets(RADIUS)
    planes = feature_affinities(features, offsets)[0] ** POWER
    matrix = torch.eye(h * w)
    pixels = torch.arange(h * w).view(h, w)
    for plane, (dy, dx) in zip(planes, offsets, strict=True):
        inside = plane > 0
        start = pixels[inside]
        matrix[start, start + dy * w + dx] = matrix[start + dy * w + dx, start] = plane[inside]
    matrix /= matrix.sum(dim=0, keepdim=True)
    for _ in range(squarings):
        matrix = matrix @ matrix
    return (scores.flatten(2) @ matrix).view(n, k, h, w)


def ours_walking(scores: Tensor, features: Tensor) -> Tensor:
    offsets = pair_offsets(RADIUS)
    return random_walk(scores, feature_affinities(features, offsets), offsets, steps=STEPS, power=POWER)


def scikit_images(scores: Tensor, features: Tensor) -> Any:
    """Its random walker from the surest tenth of each label: another walk, which ends where seeds are met."""
    best, label = scores[0].max(dim=0)
    seeds = torch.where(best >= best.quantile(0.9), label + 1, 0).numpy()
    image = features[0].permute(1, 2, 0).numpy()
    return random_walker(image, seeds, beta=PLAINNESS, channel_axis=-1, return_full_prob=True)


@torch.no_grad()
def walk_rows(rounds: int) -> dict[str, Any]:
    """Sixty-four steps of three scores within a radius of five."""
    rows: dict[str, Any] = {}
    for name, side in GRIDS.items():
        inputs = walk_inputs(side)
        contest: Contest = {
            "ours": lambda x=inputs: ours_walking(*x),
            "scikit-image": lambda x=inputs: scikit_images(*x),
        }
        row: dict[str, Any] = {}
        if side <= 40:  # squaring takes time by the sixth power of the side
            contest["squaring"] = lambda x=inputs: by_squaring(*x)
            row["largest_difference"] = float((ours_walking(*inputs) - by_squaring(*inputs)).abs().max())
        rows[name] = row | {
            "speed": compare(measure(contest, rounds), "ours", 1),
            "mib": {which: peak_of(which, side) for which in ("ours", "squaring", "scikit-image")},
            "mib_said_before": table_bytes(side, side, pair_offsets(RADIUS)) / 2**20,
        }
        print(f"  random walk, {name}", flush=True)
    return rows


def peak_of(which: str, side: int) -> float:
    """By how many MiB a process of its own grows when it walks once."""
    command = [sys.executable, __file__, "--walk", which, "--side", str(side)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def grown(which: str, side: int) -> float:
    ours_walking(*walk_inputs(8))  # what a first call loads is not counted
    inputs = walk_inputs(side)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak so far is what is held now
    before = peak_mib()
    if which == "squaring":
        by_squaring(*inputs, squarings=1)  # later ones need no more
    else:
        {"ours": ours_walking, "scikit-image": scikit_images}[which](*inputs)
    return peak_mib() - before


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="how often each competitor runs (default: 7)")
    parser.add_argument("--masks", help="a Parquet file of photographs with masks, to score on")
    parser.add_argument("--most", type=int, default=100, help="how many of them (default: 100)")
    parser.add_argument("--dry-run", action="store_true", help="print the table, record nothing")
    parser.add_argument("--walk", choices=("ours", "squaring", "scikit-image"), help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.walk:
        print(grown(options.walk, options.side))
        return
    print(f"{options.rounds} rounds, {torch.get_num_threads()} threads")
    data = {
        "crf": crf_rows(options.rounds),
        "exactness": exactness(),
        "walk": walk_rows(options.rounds),
        "rounds": options.rounds,
        "peers": {name: metadata.version(name) for name in ("pydensecrf2", "scikit-image")},
    }
    if options.masks:
        data["scored"] = scored(options.masks, options.most)
    rows = {f"dense CRF, {k}": v for k, v in data["crf"].items()} | {f"walk, {k}": v for k, v in data["walk"].items()}
    print("\n" + table(rows))
    if not options.dry_run:
        record(
            "bench_refine",
            data,
            command=f"python benchmarks/bench_refine.py --rounds {options.rounds}"
            + (f" --masks {Path(options.masks).name} --most {options.most}" if options.masks else ""),
            fingerprint="scikit-image's photographs, and scores drawn from the seed",
            note="Ratios are medians over rounds that alternate the competitors on the same input."
            + (f" Scored: masks of {Path(options.masks).parent.name}, at every 32nd pixel." if options.masks else ""),
        )


if __name__ == "__main__":
    main()
