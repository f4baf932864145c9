"""Chapter 6's measurements: what expansion buys and spills, SSC beside CAM and DRS, its parts, what breaks it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from wsss_lib import metrics
from wsss_lib.data.records import IGNORE, batches
from wsss_lib.evaluate import measure, scores
from wsss_lib.experiments import recipes
from wsss_lib.experiments.comparison import full_size
from wsss_lib.experiments.studies.common import Row, Study, by_seed, fitted
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.ssc import SSCConfig
from wsss_lib.refine import superpixel_mean

ENTRY = registry.entry("ssc")
BOOK: SSCConfig = ENTRY.configured()
"""The book's settings."""
STEP = 5
"""Of the curves over the threshold every so many-th point is kept: 0, 0.05, …"""
EDGES = (4.0, 8.0, 16.0)
"""Distances from the object, in pixels, by which what is kept too much is counted; a cell of the grid is 4 wide."""
FIXED = 0.3
"""One threshold for all maps, beside the one that each map has of its own."""

MEASURED_ON = 200
"""Images that choose the threshold, and as many that are reported."""
CONTRAST = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Settings of the dial: how much a critter stands out from its ground. The last is the world's, as in training."""

Changes = dict[str, Any] | None
"""Settings that differ from the book's; None: the classifier of chapter 1."""
OFF: dict[str, Any] = {"reconstruction": 0.0, "alignment": 0.0}
ROWS: dict[str, Changes] = {"CAM": None, "CAM + DRS": OFF, "SSC": {}}
PARTS: dict[str, Changes] = {
    "DRS + reconstruction": {"alignment": 0.0},
    "DRS + alignment": {"reconstruction": 0.0},
    "DRS + alignment, nothing kept": {"reconstruction": 0.0, "reliable": 1.0},
}
"""One constraint, the other, and the other without the selection of what is reliable."""
COLLAPSE: dict[str, Changes] = {
    "no warm-up": {"reconstruction": 0.0, "warm_up": 0.0},
    "warm-up of a fifth": {"reconstruction": 0.0, "warm_up": 0.2},
}
"""The alignment before there is a map to align; each differs in one setting from DRS + alignment."""


def limited(lab: Workbench) -> Workbench:
    """The same lab, with as many images as chapter 6 takes."""
    lab.limit("train", most=recipes.SSC_IMAGES)
    for split in ("choose", "report"):
        lab.limit(split, most=MEASURED_ON)
    return lab


def network(lab: Workbench, changes: Changes) -> nn.Module:
    """A network of the lab, trained by its recipe."""
    method = lab.classifier() if changes is None else lab.build("ssc", ENTRY.configured(**changes))
    return fitted(lab, channels_last(method))


def measured(lab: Workbench, method: nn.Module) -> Row:
    """The honest row without boxes; precision, recall and mIoU over the threshold; the shape of the maps."""
    val, test = (lab.measure(method, which, score_boxes=False) for which in ("choose", "report"))
    row = scores(val, test)
    precision, recall = test.foreground.precision_recall()
    row["curves"] = {
        "precision": precision[::STEP].nan_to_num().tolist(),
        "recall": recall[::STEP].tolist(),
        "miou": test.miou().values[::STEP].tolist(),
    }
    row["best_miou"] = float(test.miou().values.max())
    row |= shaped(lab, method, row["thresholds"]["miou"])
    return row


@torch.no_grad()
def shaped(lab: Workbench, method: nn.Module, threshold: float) -> Row:
    """The shape of maps at full size.

    Returns:
        ``spill`` and ``spill_fixed``: false positives up to 4, 8, 16 pixels from the object and beyond, each over the
        number of object pixels, of maps cut at ``threshold`` and at :data:`FIXED`. ``evenness``: its mean over images.
    """
    levels = {"spill": threshold, "spill_fixed": FIXED}
    counts = {name: torch.zeros(len(EDGES) + 1, dtype=torch.int64) for name in levels}
    size, even = 0, []
    for batch in batches(lab.with_fields(lab.report_on, ("superpixels",)), 50):
        heat = full_size(method, batch["images"].to(lab.device), batch["labels"].to(lab.device))
        masks = batch["masks"].to(lab.device)
        for name, level in levels.items():
            counts[name] += metrics.false_positives_by_distance(heat > level, masks, EDGES)
        size += int(((masks > 0) & (masks != IGNORE)).sum())
        even += evenness(heat, batch["superpixels"].to(lab.device)).tolist()
    return {name: (count / size).tolist() for name, count in counts.items()} | {"evenness": statistics.fmean(even)}


def evenness(heat: Tensor, superpixels: Tensor) -> Tensor:
    """The share of the variance of maps (N, H, W) that lies between superpixels: (N,) in [0, 1]; a flat map has 1."""
    between = superpixel_mean(heat[:, None].double(), superpixels)[:, 0].var((1, 2), correction=0)
    overall = heat.double().var((1, 2), correction=0)
    return torch.where(overall > 0, between / overall, torch.ones_like(overall))  # (N,)


def turned(lab: Workbench, method: nn.Module, threshold: float) -> list[dict[str, float]]:
    """mIoU, precision and recall over the dial, with the threshold of the world that the network was trained in."""
    rows = []
    for contrast in CONTRAST:
        records = lab.split("test", contrast=contrast).subset(range(len(lab.report_on)))
        test = measure(method, records, score_boxes=False, device=lab.device)
        at = round(threshold * 100)
        precision, recall = test.foreground.precision_recall()
        values = float(test.miou().values[at]), float(precision[at]), float(recall[at])
        rows.append(dict(zip(("miou", "object_precision", "object_recall"), values, strict=True)))
    return rows


def _study(what: str, profile: str, kinds: dict[str, Changes], *, dial: bool = False) -> dict[str, Any]:
    """The rows of networks by name; with ``dial``, over the dial as well."""

    def rows_of(lab: Workbench) -> Iterator[tuple[str, Row]]:
        limited(lab)
        for name, changes in kinds.items():
            method = network(lab, changes)
            row = measured(lab, method)
            yield name, row | {"dial": turned(lab, method, row["thresholds"]["miou"])} if dial else row

    return gathered(*by_seed(what, profile, rows_of), dial=dial)


def gathered(rows: dict[str, list[Row]], prints: dict[str, str], *, dial: bool = False) -> dict[str, Any]:
    """What a study records of its rows, one a seed."""
    data: dict[str, Any] = {"edges": EDGES, "step": STEP, "images": recipes.SSC_IMAGES, "config": repr(BOOK)}
    if dial:
        turns = {name: [row.pop("dial") for row in each] for name, each in rows.items()}
        each = {name: [list(runs) for runs in zip(*seeds, strict=True)] for name, seeds in turns.items()}
        data["contrast"] = {"settings": CONTRAST, "rows": each}
    return {"data": data | {"rows": rows}, "fingerprint": prints}


def comparison(profile: str) -> dict[str, Any]:
    """CAM, the same with DRS, and SSC; and what is left of them on critters that look like their ground."""
    return _study("ssc", profile, ROWS, dial=True)


def parts(profile: str) -> dict[str, Any]:
    """The constraints one by one."""
    return _study("ssc_parts", profile, PARTS)


def collapse(profile: str) -> dict[str, Any]:
    """The alignment with less warm-up, or none."""
    return _study("ssc_collapse", profile, COLLAPSE)


STUDIES: dict[str, Study] = {"ssc": comparison, "ssc_parts": parts, "ssc_collapse": collapse}
