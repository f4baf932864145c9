"""Chapter 7's measurements: ESOL's maps beside its controls, an ascent without an end, its settings, the dial."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from wsss_lib.data.records import IGNORE, Records, batches
from wsss_lib.evaluate import MapMeasurement, measure, scores
from wsss_lib.experiments.comparison import full_size
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, fitted, say
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.variants import HeadOnly, StretchedESOL, WatchedESOL, channels_last, sampling
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.esol import ESOL, ESOLConfig, Read
from wsss_lib.methods.learner import Progress

BOOK: ESOLConfig = registry.entry("esol").configured()
"""The book's settings."""
READS: tuple[Read, ...] = ("baseline", "expansion", "shrinkage")
NAMES = {"baseline": "CAM₁", "expansion": "expanded", "shrinkage": "ESOL"}
"""The rows of one network's three maps; CAM₁ is that of the first phase."""
ROOTS = {"CAM₁, square root": 0.5, "CAM₁, fourth root": 0.25}
"""Fuller maps with the same order of pixels: what a number that a mere stretch moves is worth."""
FIXED = 0.3  # a threshold that nobody chose, at which maps are compared as they are
BESIDE = 8
"""Width in pixels of the strips above, below, left and right of the objects; a cell of the grid is 4 wide."""
CONTRAST = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Settings of the dial: how far the critter stands out from the ground."""
FAR = 1000.0
"""Cells that no offset reaches: an expansion with this ``reach`` ends with its share of the updates."""
HASTE = 3.0  # factor on the learning rate of the endless expansion: thirty times the book's, to see its course soon
WATCHED = (0, 5, 15, 30, 60, 120, 240)  # updates of it at which it is measured
AREAS = (0.0, 1.0, 2.0, 8.0)
CLIPS = (1.0, 0.3, 0.2, 0.05)
"""Weights of the area and shares of the clip that are tried on val beside the book's."""
UNCLIPPED = 2.0  # the weight of the area without a clip
FORKS: dict[str, tuple[type[ESOL], dict[str, Any]]] = {
    "clip only": (ESOL, {"shares": (1.0, 0.0, 0.0), "read": "expansion"}),
    "shrink only": (ESOL, {"shares": (0.0, 0.0, 1.0), "clip": 1.0, "area": UNCLIPPED}),
    "head only": (HeadOnly, {"shares": (0.0, 0.0, 1.0)}),
    "no expansion": (ESOL, {"shares": (0.0, 0.0, 1.0)}),
    "no area": (ESOL, {"shares": (0.0, 0.5, 0.5), "area": 0.0}),
}
"""What the parts do alone, and what is left without one: how each goes on from the same classifier."""


def comparison(profile: str) -> dict[str, Any]:
    """Chapter 1's CAM, ESOL's three maps, and what changes them without a training: a stretch, one shift for all."""
    curves: dict[str, list[dict[str, list[float]]]] = {}
    sides: dict[str, list[Row]] = {}

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        yield "CAM", row_of(lab, fitted(lab, channels_last(lab.classifier())))
        esol = trained(lab)
        for name, method in readings(lab, esol).items():
            val, test = counted(lab, method)
            if name in NAMES.values():
                curves.setdefault(name, []).append(over_thresholds(test))
                sides.setdefault(name, []).append(at_sides(lab, method))
            yield name, row_from(val, test)

    rows, prints = by_seed("esol", profile, measured)
    data = {"config": repr(BOOK), "rows": rows, "curves": curves, "sides": {"pixels": BESIDE, "rows": sides}}
    return {"data": data, "fingerprint": prints}


def readings(lab: Workbench, esol: ESOL) -> dict[str, ESOL]:
    """One network's maps: of its three phases; the first one stretched; the last one with one offset for all cells."""
    methods: dict[str, ESOL] = {NAMES[read]: sampling(esol, read) for read in READS}
    for name, power in ROOTS.items():
        methods[name] = sampling(esol, "baseline", StretchedESOL)
        methods[name].power = power  # type: ignore[assignment]
    return methods | {"ESOL, one shift": shifted(lab, esol)}


@torch.no_grad()
def shifted(lab: Workbench, esol: ESOL) -> ESOL:
    """The same network, whose second sampler moves every cell by the mean of Δ₂ over the images that choose."""
    other = copy.deepcopy(esol).eval()
    means = []
    for batch in batches(lab.choose_on, 50):
        x = other.features(batch["images"].to(lab.device))
        means.append(other.shrinkage(other.expanded(x, other.expansion(x))).mean((2, 3)))  # (N, 2)
    other.shrinkage.weight.zero_()
    other.shrinkage.bias.copy_(torch.cat(means).mean(0))  # type: ignore[union-attr]
    return other


@torch.no_grad()
def at_sides(lab: Workbench, method: ESOL) -> Row:
    """Mean height of the maps on the objects, and in strips of :data:`BESIDE` pixels above, below, left and right."""
    wide = BESIDE
    sees = {"above": (0, 0, 0, wide), "below": (0, 0, wide, 0), "left": (0, wide, 0, 0), "right": (wide, 0, 0, 0)}
    sums = dict.fromkeys(("object", *sees), torch.zeros(2, dtype=torch.float64))
    for batch in batches(lab.report_on, 50):
        heat = full_size(method, batch["images"].to(lab.device), batch["labels"].to(lab.device)).cpu().double()
        inside = ((batch["masks"] > 0) & (batch["masks"] != IGNORE)).double()  # (N, H, W)
        regions = {"object": inside}
        for side, pads in sees.items():
            window = (wide + 1, 1) if side in ("above", "below") else (1, wide + 1)
            regions[side] = F.max_pool2d(F.pad(inside, pads), window, stride=1) - inside
        for name, region in regions.items():
            sums[name] = sums[name] + torch.stack([(heat * region).sum(), region.sum()])
    return {name: float(total / size) for name, (total, size) in sums.items()}


def parts(profile: str) -> dict[str, Any]:
    """The rows of :data:`FORKS`."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        classifier = trained(lab)
        for name, (kind, changes) in FORKS.items():
            yield name, row_of(lab, again(lab, classifier, kind, **changes))

    rows, prints = by_seed("esol_controls", profile, measured)
    return {"data": {"config": repr(BOOK), "rows": rows}, "fingerprint": prints}


_TRAINED: dict[tuple[str, int], ESOL] = {}


def trained(lab: Workbench) -> ESOL:
    """ESOL after its three phases; the studies of one command train it once for each seed."""
    key = lab.profile, lab.seed
    if key not in _TRAINED:
        _TRAINED[key] = fitted(lab, channels_last(lab.build(ESOL, BOOK)))
    return copy.deepcopy(_TRAINED[key])


def forked(lab: Workbench, classifier: ESOL, kind: type[ESOL] = ESOL, **changes: Any) -> Any:
    """A method over a trained classifier, whose samplers look nowhere else yet."""
    method = channels_last(lab.build(kind, replace(BOOK, **changes)))
    held = ("backbone.", "neck.", "head.")
    state = {name: value for name, value in classifier.state_dict().items() if name.startswith(held)}
    method.load_state_dict(state | {"adapted.weight": state["head.weight"]}, strict=False)
    return method


def again(lab: Workbench, classifier: ESOL, kind: type[ESOL] = ESOL, **changes: Any) -> ESOL:
    """The last two phases once more, with other settings, from a trained classifier; none where no share asks for it.

    Each phase has as many updates as in the book's run.
    """
    method: ESOL = forked(lab, classifier, kind, **changes)
    share = sum(held for held, asked in zip(BOOK.shares[1:], method.config.shares[1:], strict=True) if asked)
    return fitted(lab, method, epochs=None, steps=updates(lab, share)) if share else method


def updates(lab: Workbench, share: float) -> int:
    """A share of the updates of a whole run, at least two."""
    config = lab.recipe()
    steps = -(-len(lab.train_on) // config.batch_size) * (config.epochs or 1)
    return max(2, round(steps * share))


def counted(lab: Workbench, method: nn.Module) -> tuple[MapMeasurement, MapMeasurement]:
    """What is counted on the split that chooses and on the one that is reported; boxes are left out."""
    return lab.measure(method, "choose", score_boxes=False), lab.measure(method, score_boxes=False)


def row_of(lab: Workbench, method: nn.Module) -> Row:
    """The honest row of a method."""
    return row_from(*counted(lab, method))


def row_from(val: MapMeasurement, test: MapMeasurement) -> Row:
    """The honest row of two measurements.

    Besides: ``mean_miou``, the mean over all thresholds; ``best_miou``, at the threshold that is best on the reported
    images; ``fixed_recall`` and ``fixed_share``, of the object and of all pixels what lies above :data:`FIXED`.
    """
    curve, sweep = test.miou(), test.foreground
    at = int((sweep.thresholds - FIXED).abs().argmin())
    precision, recall = (float(values[at]) for values in sweep.precision_recall())
    of_object = float(sweep.histogram[:, 1].sum() / sweep.histogram.sum())
    return scores(val, test) | {
        "mean_miou": float(curve.values.mean()),
        "best_miou": float(curve.values.max()),
        "fixed_recall": recall,
        "fixed_share": recall * of_object / precision,
    }


def over_thresholds(test: MapMeasurement) -> dict[str, list[float]]:
    """mIoU, and the object's precision and recall, at every second threshold."""
    precision, recall = test.foreground.precision_recall()
    curves = {"miou": test.miou().values, "precision": precision.nan_to_num(), "recall": recall}
    return {"thresholds": test.miou().thresholds[::2].tolist()} | {k: v[::2].tolist() for k, v in curves.items()}


def collapse(profile: str) -> dict[str, Any]:
    """The expansion without an end: the expanded map and its classifier after so many updates."""
    runs: list[list[Row]] = []
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        lab.limit("report", most=200)
        lab.limit("choose", most=200)
        endless = {"shares": (0.0, 1.0, 0.0), "reach": FAR, "expand_lr": HASTE, "read": "expansion"}
        runs.append(ascent(lab, forked(lab, trained(lab), WatchedESOL, **endless)))
        say("esol_collapse", seed, {f"update {row['update']}": [row] for row in runs[-1]})
        prints[f"test-{seed}"] = lab.report_on.fingerprint
    by_update = [list(rows) for rows in zip(*runs, strict=True)]
    data = {"updates": {"settings": [rows[0]["update"] for rows in by_update], "rows": {"expanded": by_update}}}
    note = f"the expansion's learning rate times {HASTE:g}, not {BOOK.expand_lr:g}; no stop; a threshold for each point"
    return {"data": data | {"config": repr(BOOK)}, "fingerprint": prints, "note": note}


def ascent(lab: Workbench, method: WatchedESOL) -> list[Row]:
    """The rows of the expanded map after :data:`WATCHED` updates, each with ``update`` and ``reach``."""
    rows: list[Row] = [row_of(lab, method) | {"update": 0, "reach": 0.0}]

    def watch(progress: Progress) -> None:
        if (update := progress.step + 1) in WATCHED:
            rows.append(row_of(lab, method) | {"update": update, "reach": float(method.moved)})

    method.watch = watch
    lab.fit(method, epochs=None, steps=max(WATCHED) if lab.profile != "smoke" else WATCHED[1])
    return rows


def settings(profile: str) -> dict[str, Any]:
    """Two settings on val: the clip β and the area's weight λ; and what an update of each phase costs."""
    tried: list[dict[str, Any]] = [{}, *({"clip": clip} for clip in CLIPS), *({"area": area} for area in AREAS)]
    rows: dict[str, list[Row]] = {}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        few = lab.limit("choose", most=200)
        classifier = trained(lab)
        for changes in tried:
            config = replace(BOOK, **changes)
            name = f"β = {config.clip:g}, λ = {config.area:g}"
            row = on_val(lab, again(lab, classifier, **changes, shares=(0.0, 0.5, 0.5)))
            rows.setdefault(name, []).append(row)
            say("esol_settings", seed, {name: [row]})
        prints[f"val-{seed}"] = few.fingerprint
    note = "best mIoU over thresholds, and its mean, on 200 images of val; costs over an update of chapter 1's CAM"
    return {"data": {"rows": rows, "cost": costs(lab), "config": repr(BOOK)}, "fingerprint": prints, "note": note}


def on_val(lab: Workbench, method: ESOL) -> dict[str, float]:
    """Best mIoU over thresholds, its mean, and PxAP, on the images that choose."""
    val = lab.measure(method, "choose", score_boxes=False)
    curve = val.miou().values
    return {"miou": float(curve.max()), "mean_miou": float(curve.mean()), "pxap": val.pixels.value()}


def costs(lab: Workbench, rounds: int = 7) -> dict[str, dict[str, float]]:
    """A training step of each phase over one of chapter 1's CAM: time, what autograd keeps, operations."""
    batch = lab.examples(32)
    methods: dict[str, nn.Module] = {"CAM": lab.classifier()}
    for phase in ("classify", "expand", "shrink"):
        methods[phase] = lab.build(ESOL, BOOK)
        methods[phase].phase = phase  # type: ignore[assignment]
    numbers = step_costs(methods, batch, rounds, flops=True)
    return {name: {key: each[key] / numbers["CAM"][key] for key in each} for name, each in numbers.items()}


def dial(profile: str) -> dict[str, Any]:
    """The three maps over the contrast; networks and thresholds are those of the default world."""
    rows: dict[str, list[list[Row]]] = {name: [[] for _ in CONTRAST] for name in NAMES.values()}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        esol = trained(lab)
        for read in READS:
            method = sampling(esol, read)
            val = lab.measure(method, "choose", score_boxes=False)
            for setting, held in zip(CONTRAST, rows[NAMES[read]], strict=True):
                test = measure(method, turned(lab, setting), score_boxes=False, device=lab.device)
                held.append(scores(val, test))
        for setting in CONTRAST:
            prints[f"contrast-{setting}-{seed}"] = turned(lab, setting).fingerprint
        say("esol_dial", seed, {name: [held[-1] for held in settings_] for name, settings_ in rows.items()})
    data = {"contrast": {"settings": list(CONTRAST), "rows": rows}, "config": repr(BOOK)}
    return {"data": data, "fingerprint": prints}


def turned(lab: Workbench, contrast: float) -> Records:
    """Some of the reported images with another contrast."""
    records: Records = lab.split("test", contrast=contrast)
    return records.subset(range(len(records))[:200])


STUDIES: dict[str, Study] = {
    "esol": comparison,
    "esol_controls": parts,
    "esol_collapse": collapse,
    "esol_settings": settings,
    "esol_dial": dial,
}
