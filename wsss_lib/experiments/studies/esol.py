"""Chapter 7's measurements: ESOL's maps beside its controls, an ascent without an end, its settings, the dial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from wsss_lib.data.records import Records
from wsss_lib.evaluate import MapMeasurement, measure, scores
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, fitted, say
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.variants import HeadOnly, WatchedESOL, channels_last, sampling
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.esol import ESOL, ESOLConfig, Read
from wsss_lib.methods.learner import Progress

ENTRY = registry.entry("esol")
BOOK: ESOLConfig = ENTRY.configured()
"""The book's settings."""
READS: tuple[Read, ...] = ("baseline", "expansion", "shrinkage")
NAMES = {"baseline": "CAM of the first phase", "expansion": "+ expansion", "shrinkage": "ESOL"}
"""The rows of one network's three maps."""
CONTRAST = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Settings of the dial: how far the critter stands out from the ground."""
FAR = 1000.0
"""Cells that no offset reaches: an expansion with this ``reach`` ends with its share of the updates."""
WATCHED = (0, 10, 20, 40, 80, 120)
"""Updates of the endless expansion at which it is measured."""
AREAS = (0.0, 1.0, 2.0, 4.0, 8.0)
CLIPS = (1.0, 0.3, 0.2, 0.1, 0.05)
"""Weights of the area and shares of the clip, tried on val."""


UNCLIPPED = 2.0
"""The weight of the area without a clip; the book's ruins such a map."""
FORKS: dict[str, tuple[type[ESOL], dict[str, Any]]] = {
    "clip only": (ESOL, {"shares": (1.0, 0.0, 0.0), "read": "expansion"}),
    "shrink only": (ESOL, {"shares": (0.0, 0.0, 1.0), "clip": 1.0, "area": UNCLIPPED}),
    "head only": (HeadOnly, {"shares": (0.0, 0.0, 1.0)}),
    "no expansion": (ESOL, {"shares": (0.0, 0.0, 1.0)}),
    "no area": (ESOL, {"shares": (0.0, 0.5, 0.5), "area": 0.0}),
}
"""What the parts do alone, and what is left without one: how each goes on from the same classifier."""


def comparison(profile: str) -> dict[str, Any]:
    """ESOL's three maps, and chapter 1's CAM."""
    curves: dict[str, list[dict[str, list[float]]]] = {}

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        cam = fitted(lab, channels_last(lab.classifier()))
        yield "CAM", row_of(lab, cam)
        esol = trained(lab)
        for read in READS:
            val, test = counted(lab, sampling(esol, read))
            curves.setdefault(NAMES[read], []).append(over_thresholds(test))
            yield NAMES[read], row_from(val, test)

    rows, prints = by_seed("esol", profile, measured)
    data = {"config": repr(BOOK), "rows": rows, "curves": curves}
    return {"data": data, "fingerprint": prints}


def parts(profile: str) -> dict[str, Any]:
    """The rows of :data:`FORKS`."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        classifier = trained(lab)
        for name, (kind, changes) in FORKS.items():
            yield name, row_of(lab, again(lab, classifier, kind, **changes))

    rows, prints = by_seed("esol_controls", profile, measured)
    return {"data": {"config": repr(BOOK), "rows": rows}, "fingerprint": prints}


def trained(lab: Workbench, **changes: Any) -> ESOL:
    """ESOL after its three phases; ``changes`` are settings."""
    return fitted(lab, channels_last(lab.build(ESOL, replace(BOOK, **changes))))


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
    """The honest row of two measurements, and ``mean_miou``, the mean over all thresholds."""
    return scores(val, test) | {"mean_miou": float(test.miou().values.mean())}


def over_thresholds(test: MapMeasurement) -> dict[str, list[float]]:
    """mIoU, and the object's precision and recall, at every second threshold."""
    precision, recall = test.foreground.precision_recall()
    curves = {"miou": test.miou().values, "precision": precision.nan_to_num(), "recall": recall}
    return {"thresholds": test.miou().thresholds[::2].tolist()} | {k: v[::2].tolist() for k, v in curves.items()}


def collapse(profile: str) -> dict[str, Any]:
    """The expansion without an end: the expanded map and its classifier after so many updates. (What the shrinkage does
    without the area is a row of :data:`FORKS`.)"""
    rows: list[dict[str, Row]] = []
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        lab.limit("report", most=150)
        lab.limit("choose", most=150)
        watched = forked(lab, trained(lab), WatchedESOL, shares=(0.0, 1.0, 0.0), reach=FAR, read="expansion")
        rows.append(ascent(lab, watched))
        say("esol_collapse, updates", seed, {at: [row] for at, row in rows[-1].items()})
        prints[f"test-{seed}"] = lab.report_on.fingerprint
    return {"data": {"watched": WATCHED, "ascent": rows, "config": repr(BOOK)}, "fingerprint": prints}


def ascent(lab: Workbench, method: WatchedESOL) -> dict[str, Row]:
    """The rows of the expanded map after :data:`WATCHED` updates."""
    rows: dict[str, Row] = {"0": row_of(lab, method) | {"reach": 0.0}}

    def watch(progress: Progress) -> None:
        if progress.step + 1 in WATCHED:
            rows[str(progress.step + 1)] = row_of(lab, method) | {"reach": float(method.moved)}

    method.watch = watch
    lab.fit(method, epochs=None, steps=max(WATCHED) if lab.profile != "smoke" else 10)
    return rows


def settings(profile: str) -> dict[str, Any]:
    """Two settings on val, one seed: the clip and the area's weight; and what a step of each phase costs."""
    lab = Workbench(profile, seed=SEEDS[0])
    few = lab.limit("choose", most=200)
    classifier = trained(lab, shares=(1.0, 0.0, 0.0))
    tried: dict[str, list[dict[str, float]]] = {"clips": [], "areas": []}
    for clip in CLIPS:
        tried["clips"].append(on_val(lab, again(lab, classifier, clip=clip, shares=(0.0, 0.5, 0.5))))
    for area in AREAS:
        tried["areas"].append(on_val(lab, again(lab, classifier, area=area, shares=(0.0, 0.5, 0.5))))
    for name, rows in tried.items():
        for row in rows:
            say("esol_settings", lab.seed, {name: [row]})
    data = {"tried": {"clips": CLIPS, "areas": AREAS}, "numbers": tried, "cost": costs(lab), "config": repr(BOOK)}
    note = (
        "best mIoU over thresholds, and its mean, on 200 images of val, one seed; times over a step of the first phase"
    )
    return {"data": data, "fingerprint": {"val-0": few.fingerprint}, "note": note}


def on_val(lab: Workbench, method: ESOL) -> dict[str, float]:
    """Best mIoU over thresholds, its mean, and PxAP, on the images that choose."""
    val = lab.measure(method, "choose", score_boxes=False)
    curve = val.miou().values
    return {"miou": float(curve.max()), "mean_miou": float(curve.mean()), "pxap": val.pixels.value()}


def costs(lab: Workbench, rounds: int = 5) -> dict[str, dict[str, float]]:
    """A training step of each phase over one of chapter 1's CAM: time, and what autograd keeps."""
    batch = lab.examples(32)
    methods: dict[str, nn.Module] = {"CAM": lab.classifier()}
    for phase in ("classify", "expand", "shrink"):
        methods[phase] = lab.build(ESOL, BOOK)
        methods[phase].phase = phase  # type: ignore[assignment]
    numbers = step_costs(methods, batch, rounds)
    return {name: {key: numbers[name][key] / numbers["CAM"][key] for key in ("time", "memory")} for name in methods}


def dial(profile: str) -> dict[str, Any]:
    """The three maps while the critter is painted more like the ground: networks of the default world, their thresholds
    kept."""
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
