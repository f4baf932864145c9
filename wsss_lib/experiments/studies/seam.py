"""Chapter 5's measurements: SEAM beside the same CAM, its ablation, its loss's weight, the dial of scale, its price."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib import metrics
from wsss_lib.data.records import Batch, Records, to_device
from wsss_lib.evaluate import MapMeasurement, measure, scores
from wsss_lib.experiments.recipes import SEAM_EPOCHS
from wsss_lib.experiments.studies.common import SEEDS, Study, fitted, say
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.variants import TWO_VIEWS, channels_last, reading
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.seam import SEAM, SEAMConfig
from wsss_lib.modes import evaluating

BOOK: SEAMConfig = registry.entry("seam").configured()
"""The book's settings."""
SCALES = (0.3, 0.5, 0.75, 1.5, 2.0)
"""At which the equivariance error is measured."""
WEIGHTS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Of the equivariance loss, tried on val."""
RATES = (0.03, 0.3, 1.0, 5.0)
"""Of the module over the backbone's, tried on val; the recipe's new layers have 5."""
EXTENTS = ((0.3, 0.4), (0.45, 0.55), (0.6, 0.7), (0.75, 0.85), (0.9, 1.0))
"""Extents of the critters at which methods trained at the default ones are tested."""
VIEWS: dict[str, dict[str, Any]] = {
    "0.5": {"scales": (0.5,)},
    "1": {"scales": (1.0,)},
    "1.5": {"scales": (1.5,)},
    "all": {"scales": (0.5, 1.0, 1.5)},
}
"""Sizes of the image at which maps are read: the columns of the paper's second table."""


def seam(profile: str) -> dict[str, Any]:
    """The ablation, three seeds; the equivariance error over scales; single scales; the dial."""
    return merged([one_seed(profile, seed) for seed in SEEDS])


def one_seed(profile: str, seed: int) -> dict[str, Any]:
    """What :func:`seam` measures of one seed: by kind of measurement, then by name of the method."""
    lab = Workbench(profile, seed=seed)
    sizes = [lab.split("test", scale=extent).subset(range(min(150, len(lab.report_on)))) for extent in EXTENTS]
    numbers: dict[str, dict[str, Any]] = {"rows": {}, "equivariance": {}, "views": {}, "dial": {}}
    for name, method in ablation(lab).items():
        val, test = lab.measure(method, "choose"), lab.measure(method)
        numbers["rows"][name] = scores(val, test)
        numbers["equivariance"][name] = equivariance(lab, method)
        if name in ("CAM", "SEAM"):
            numbers["views"][name] = single_scales(lab, method)
            numbers["dial"][name] = turned(val, [measure(method, size) for size in sizes])
    say("seam", seed, {name: [row] for name, row in numbers["rows"].items()})
    return numbers | {"steps": steps(lab), "fingerprint": lab.report_on.fingerprint}


def merged(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """One record of all seeds: of each measurement of each method a list, one entry a seed."""
    data: dict[str, Any] = {
        kind: {name: [seed[kind][name] for seed in seeds] for name in seeds[0][kind]}
        for kind in ("rows", "equivariance", "views", "dial")
    }
    data |= {"scales": SCALES, "extents": EXTENTS, "config": repr(BOOK), "steps": seeds[0]["steps"]}
    return {
        "data": data,
        "fingerprint": {f"test-{n}": seed["fingerprint"] for n, seed in zip(SEEDS, seeds, strict=False)},
    }


def ablation(lab: Workbench) -> dict[str, nn.Module]:
    """The paper's rows in its order, after the same classifier trained on both sizes without SEAM's losses.

    The cross regularisation gives the class maps no gradient: the row "+ ER" is read from the network of "+ PCM".
    """
    mined = replace(BOOK, count="present")
    two, pcm, full, hard = (lab.build(SEAM, c) for c in (TWO_VIEWS, replace(BOOK, hard=1.0), BOOK, mined))
    cam = lab.classifier()
    for method in (cam, two, pcm, full, hard):
        fitted(lab, channels_last(method), epochs=passes(lab))
    return {
        "CAM": cam,
        "CAM, two sizes": two,
        "CAM, two sizes, untrained module": reading(two, "pcm"),
        "+ ER": reading(pcm, "cam"),
        "+ PCM": pcm,
        "SEAM": full,
        "SEAM, mined among the present": hard,
    }


def passes(lab: Workbench) -> int:
    """Through the training images, for every method; one where nothing is claimed."""
    return lab.size.epochs or SEAM_EPOCHS


@torch.no_grad()
def equivariance(
    lab: Workbench, method: nn.Module, images: int = 40, records: Records | None = None
) -> dict[str, list[float]]:
    """E(s) over :data:`SCALES`, absolute and relative, on the first images of some records: the reported ones."""
    measured_on = records or lab.report_on
    batch = to_device(measured_on.batch(range(len(measured_on))[:images]), lab.device)
    labels = batch["labels"]
    errors: dict[str, list[float]] = {"absolute": [], "relative": []}
    with evaluating(method):
        before: Tensor = method.raw_maps(batch["images"])  # type: ignore[operator]
        for scale in SCALES:
            view = F.interpolate(batch["images"], scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)
            parts = view.split(10)  # the module's affinities grow with the fourth power of the scale
            after = torch.cat([method.raw_maps(part) for part in parts])  # type: ignore[operator]
            for name, values in errors.items():
                error = metrics.equivariance_error(before, after, view.shape[2:], labels, relative=name == "relative")
                values.append(float(error.mean()))
    return errors


def examples(lab: Workbench, count: int) -> Batch:
    """The first images of the reported split, at most so many."""
    return lab.examples(min(count, len(lab.report_on)))


def single_scales(lab: Workbench, method: nn.Module, images: int = 60) -> dict[str, float]:
    """Seeds' mIoU with maps read at one size of the image, and at all of them."""
    choose, report_on = (part.subset(range(min(images, len(part)))) for part in (lab.choose_on, lab.report_on))
    numbers = {}
    for name, options in VIEWS.items():
        row = scores(*(measure(method, part, batch_size=10, **options) for part in (choose, report_on)))
        numbers[name] = row["miou"]
    return numbers


def turned(val: MapMeasurement, tests: list[MapMeasurement]) -> dict[str, list[float]]:
    """mIoU at each setting of the dial: at the one threshold of the default world, and at the setting's own best."""
    picked = metrics.choose_threshold(val.miou())
    curves = [test.miou() for test in tests]
    kept = [metrics.report(curve, picked).value for curve in curves]
    return {"kept threshold": kept, "best threshold": [float(curve.values.max()) for curve in curves]}


def seam_settings(profile: str) -> dict[str, Any]:
    """Two settings on val, one seed: the equivariance loss's weight, the module's rate; and what a step costs."""
    lab = Workbench(profile, seed=SEEDS[0])
    scans: dict[str, list[SEAMConfig]] = {
        "weights": [replace(TWO_VIEWS, equivariance=weight) for weight in WEIGHTS],
        "rates": [replace(BOOK, module_lr=rate) for rate in RATES],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in scans}
    for name, settings in scans.items():
        for config in settings:
            method = fitted(lab, channels_last(lab.build(SEAM, config)), epochs=passes(lab))
            found[name].append(on_val(lab, method))
            print(f"seam_settings, {name}:", {k: round(v, 3) for k, v in found[name][-1].items()}, flush=True)
    data = {
        "tried": {"weights": WEIGHTS, "rates": RATES},
        "found": found,
        "cost": costs(lab),
        "config": repr(BOOK),
    }
    note = "best mIoU over thresholds and E(0.5), both on val, one seed; times relative to a training step of CAM"
    return {"data": data, "fingerprint": {"val-0": lab.choose_on.fingerprint}, "note": note}


def on_val(lab: Workbench, method: SEAM) -> dict[str, float]:
    """Best mIoU over thresholds, and relative and absolute E(0.5), of class maps and of refined maps."""
    numbers = {}
    for name, read in (("class maps", "cam"), ("refined maps", "pcm")):
        one = reading(method, read)
        error = equivariance(lab, one, records=lab.choose_on)
        numbers[f"{name}: mIoU"] = float(lab.measure(one, "choose").miou().values.max())
        numbers |= {f"{name}: {kind} error": values[SCALES.index(0.5)] for kind, values in error.items()}
    return numbers


def costs(lab: Workbench, rounds: int = 7) -> dict[str, dict[str, float]]:
    """A training step of each method over CAM's: time, and what autograd keeps for the backward pass."""
    batch = to_device(examples(lab, 32), lab.device)
    methods: dict[str, nn.Module] = {
        "CAM": lab.classifier(),
        "two sizes": lab.build("seam", TWO_VIEWS),
        "SEAM": lab.build("seam", BOOK),
    }
    numbers = step_costs(methods, batch, rounds)
    return {name: {key: numbers[name][key] / numbers["CAM"][key] for key in ("time", "memory")} for name in methods}


def steps(lab: Workbench) -> int:
    """Updates of a training run."""
    return -(-len(lab.train_on) // lab.recipe().batch_size) * passes(lab)


STUDIES: dict[str, Study] = {"seam": seam, "seam_settings": seam_settings}
