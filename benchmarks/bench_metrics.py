"""How fast is measuring, beside the benchmark's own loops in NumPy and OpenCV? `make bench` runs this.

Every row measures all competitors on the same maps in the same process, in turn, several rounds; a ratio is the median
over the rounds of (their time / ours), of processor time. Before that, results are compared: they are equal.

    .venv-bench/bin/python benchmarks/bench_metrics.py --rounds 5

writes results/bench_metrics.json and prints the same as a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from contest import compare, measure, record, table
from torch import Tensor

from wsss_lib import maps, metrics

try:
    import cv2
except ImportError:
    sys.exit("OpenCV is not installed, and this script measures against it: run it by `make bench`.")

MANY = 1000  # of maps, by which pixels are counted
IMAGES, CLASSES, DELTAS = 8, 6, (0.3, 0.5, 0.7)
BOXES = (("7 × 7", 7, 224), ("14 × 14", 14, 224), ("12 × 12", 12, 96))


def network_maps(grid: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Maps as networks give them: a bump and noise on a coarse grid, enlarged as the benchmark does.

    Returns:
        Maps (N, side, side) in [0, 1]; masks (N, side, side) int64, a border of 3 pixels ignored; boxes (N, 1, 4).
    """
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, grid), torch.linspace(0, 1, grid), indexing="ij")
    centre = 0.2 + 0.6 * torch.rand(IMAGES, 2, 1, 1, generator=generator)
    width = 0.1 + 0.2 * torch.rand(IMAGES, 1, 1, generator=generator)
    bump = torch.exp(-((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2) / (2 * width**2))
    raw = bump + 0.15 * torch.randn(IMAGES, grid, grid, generator=generator)
    masks = maps.resize(bump, (side, side)).gt(0.4).long()
    masks[:, :3] = 255
    boxes = torch.cat([centre.flip(1) - 2 * width[:, None], centre.flip(1) + 2 * width[:, None]], 1).view(IMAGES, 1, 4)
    return maps.wsolevaluation_map(raw, (side, side)), masks, (boxes * side).clamp(0, side - 1).round()


def benchmark_boxes(scores: np.ndarray, truths: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Hits (δ, T) of MaxBoxAccV2, written as in the benchmark's released code (Choe et al. 2020)."""
    hits = np.zeros((len(DELTAS), len(thresholds)))
    for score, truth in zip(scores, truths, strict=True):
        height, width = score.shape
        image = np.expand_dims((score * 255).astype(np.uint8), 2)
        predicted, counts = [], []
        for threshold in thresholds:
            cut = int(threshold * np.max(image))
            _, binary = cv2.threshold(src=image, thresh=cut, maxval=255, type=cv2.THRESH_BINARY)
            contours = cv2.findContours(image=binary, mode=cv2.RETR_TREE, method=cv2.CHAIN_APPROX_SIMPLE)[-2]
            boxes = [[0, 0, 0, 0]]
            if len(contours):
                corners = [cv2.boundingRect(contour) for contour in contours]
                boxes = [[x, y, min(x + w, width - 1), min(y + h, height - 1)] for x, y, w, h in corners]
            predicted += boxes
            counts.append(len(boxes))
        best = overlaps(np.asarray(predicted, dtype=float), truth).max(1)
        ends = np.cumsum(counts)
        each = [max(best[end - count : end]) for end, count in zip(ends, counts, strict=True)]
        for row, delta in enumerate(DELTAS):
            hits[row] += np.asarray(each) >= delta
    return hits


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (M, G) under the +1 rule."""
    ax0, ay0, ax1, ay1 = (column[:, None] for column in a.T)
    bx0, by0, bx1, by1 = b.T
    both = np.maximum(np.minimum(ax1, bx1) - np.maximum(ax0, bx0) + 1, 0)
    both = both * np.maximum(np.minimum(ay1, by1) - np.maximum(ay0, by0) + 1, 0)
    return both / ((ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1) - both)


def contours_alone(scores: np.ndarray, thresholds: np.ndarray) -> None:
    """What of this nobody who asks OpenCV for each threshold can leave out: thresholds, contours and their boxes."""
    for score in scores:
        image = (score * 255).astype(np.uint8)
        top = int(image.max())
        for threshold in thresholds:
            _, binary = cv2.threshold(image, int(threshold * top), 255, cv2.THRESH_BINARY)
            for contour in cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]:
                cv2.boundingRect(contour)


def box_rows(rounds: int) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    kinds = [(f"a grid of {name}, {side} px", *network_maps(grid, side)) for name, grid, side in BOXES]
    noise = torch.rand(1, 224, 224, generator=torch.Generator().manual_seed(0))
    kinds.append(("noise, 224 px", noise, *network_maps(7, 224)[1:]))
    for name, heats, _, boxes in kinds:
        boxes = boxes[: len(heats)]
        for count in (100, 1000) if name != "noise, 224 px" else (100,):
            grid, scores, truths = metrics.threshold_grid(count).numpy(), heats.numpy(), boxes.numpy()

            def ours(heats: Tensor = heats, boxes: Tensor = boxes, count: int = count) -> Tensor:
                sweep = metrics.BoxSweep(count, DELTAS)
                sweep.update(heats, list(boxes))
                return sweep.hits

            equal = np.array_equal(ours().numpy(), benchmark_boxes(scores, truths, grid))
            contest = {
                "ours": ours,
                "the benchmark's loop": lambda s=scores, b=truths, t=grid: benchmark_boxes(s, b, t),
                "its contours alone": lambda s=scores, t=grid: contours_alone(s, t),
            }
            speed = compare(measure(contest, rounds), "ours", len(heats))
            rows[f"MaxBoxAccV2, {name}, {count} thresholds"] = {"speed": speed, "equal": equal, "images": len(heats)}
            print(f"  {name}, {count} thresholds", flush=True)
    return rows


def benchmark_pxap(scores: np.ndarray, masks: np.ndarray) -> float:
    """PxAP by histograms of each image, written as in the benchmark's released code (Choe et al. 2020)."""
    # In the maps' precision: a value that equals a threshold is above its edge for both.
    edges = np.append(metrics.threshold_grid(1000).numpy(), [1.0, 2.0, 3.0]).astype(scores.dtype)
    true, false = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for score, mask in zip(scores, masks, strict=True):
        true += np.histogram(score[mask == 1], bins=edges)[0]
        false += np.histogram(score[mask == 0], bins=edges)[0]
    positive, negative = np.cumsum(true[::-1]), np.cumsum(false[::-1])
    recall, precision = positive / positive[-1], positive / np.maximum(positive + negative, 1)
    return float((precision[1:] * np.diff(recall)).sum() + precision[0] * recall[0])


def pass_per_threshold(heats: Tensor, masks: Tensor, count: int) -> Tensor:
    """The mIoU of seeds by one pass for each threshold."""
    values = []
    for threshold in metrics.threshold_grid(count).tolist():
        matrix = metrics.confusion(maps.seeds(heats, None, threshold), masks, CLASSES + 1)
        values.append(metrics.mean_iou(matrix))
    return torch.stack(values)


def pixel_rows(rounds: int) -> dict[str, Any]:
    drawn = [network_maps(14, 224, seed)[:2] for seed in range(MANY // IMAGES)]
    heats, masks = (torch.cat(parts) for parts in zip(*drawn, strict=True))

    def pxap() -> float:
        pixels = metrics.PixelAveragePrecision()
        pixels.update(heats, masks)
        return pixels.value()

    scores, truth = heats.numpy(), masks.numpy()
    contest = {"ours": pxap, "the benchmark's histogram": lambda: benchmark_pxap(scores, truth)}
    rows: dict[str, Any] = {
        f"PxAP, {MANY} maps, 224 px": {
            "speed": compare(measure(contest, rounds), "ours", len(heats)),
            "equal": abs(pxap() - benchmark_pxap(scores, truth)) < 1e-12,
            "images": len(heats),
        }
    }
    print("  PxAP", flush=True)
    several = torch.stack([network_maps(14, 224, seed)[0][:4] for seed in range(CLASSES)], dim=1)  # (4, K, h, w)
    target = torch.where(masks[:4] == 255, 255, masks[:4] * (1 + several.argmax(1)))

    def sweep() -> Tensor:
        return metrics.threshold_curve(several, target, split="", fingerprint="", thresholds=60).values

    contest = {"ours": sweep, "a pass for each threshold": lambda: pass_per_threshold(several, target, 60)}
    rows["mIoU curve, 60 thresholds, 6 classes, 224 px"] = {
        "speed": compare(measure(contest, rounds), "ours", len(several)),
        "equal": torch.equal(sweep(), pass_per_threshold(several, target, 60)),
        "images": len(several),
    }
    print("  mIoU curve", flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often each competitor runs (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="print the table, record nothing")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: run at least one")
    print(f"{IMAGES} maps at a time, {options.rounds} rounds, {torch.get_num_threads()} threads")
    rows = box_rows(options.rounds) | pixel_rows(options.rounds)
    print("\n" + table(rows))
    if different := [name for name, row in rows.items() if not row["equal"]]:
        sys.exit(f"the results differ: {', '.join(different)}")
    if not options.dry_run:
        record(
            "bench_metrics",
            {"rows": rows, "rounds": options.rounds, "peers": {"opencv": cv2.__version__}},
            command="make bench",
            fingerprint="bumps and noise, drawn from the seed",
            note="Ratios are medians over rounds that alternate the competitors on the same maps; results are equal.",
        )


if __name__ == "__main__":
    main()
