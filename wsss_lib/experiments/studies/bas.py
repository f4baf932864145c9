"""Studies of chapter 3: what two curves see of a growing mask, BAS against CAM, its ablation, its dial, its cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from wsss_lib.backbones import backbone
from wsss_lib.data.records import Batch, Records, collate
from wsss_lib.data.worlds.critters import World
from wsss_lib.evaluate import measure
from wsss_lib.experiments import results
from wsss_lib.experiments.masking import RADII, masked_responses
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, fitted, say, trained
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.variants import (
    EarlySuppression,
    LateSuppression,
    OnlyClassifying,
    SharedTail,
    channels_last,
)
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.bas import BAS, BASConfig
from wsss_lib.methods.contract import Method
from wsss_lib.modes import evaluating

CHOSEN_ON = 100
"""Validation images whose boxes and masks chose α and β."""
BODY = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Settings of the dial ``body_evidence``."""


ENTRY = registry.entry("bas")
BOOK: BASConfig = ENTRY.configured()
"""The book's settings."""

Kind = type[Method] | str
"""A variant, or the name of the registered method."""
ABLATION: dict[str, tuple[Kind, dict[str, Any]]] = {
    "no L_bas": ("bas", {"suppression": 0.0}),
    "no L_frg (α = 0)": ("bas", {"alpha": 0.0}),
}
SAFEGUARD: dict[str, tuple[Kind, dict[str, Any]]] = {"f₂ shared and trained": (SharedTail, {})}
SETTINGS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "β halved": ("bas", {"beta": BOOK.beta / 2}),
    "β doubled": ("bas", {"beta": BOOK.beta * 2}),
    "no L_ac (β = 0)": ("bas", {"beta": 0.0}),
    "ReLU in the cells": ("bas", {"rectify": "cells"}),
    "running batch norm in Sᵇ": ("bas", {"copy_norm": "running"}),
}
TIMING: dict[str, tuple[Kind, dict[str, Any]]] = {
    "L_bas at first only": (EarlySuppression, {}),
    "L_bas later only": (LateSuppression, {}),
}
"""The suppression in the first twentieth of the training, and in the rest."""


def observation(profile: str) -> dict[str, Any]:
    """The two curves on the test images (activations over the whole images' mean), and what a training step costs."""
    curves: list[dict[str, list[float]]] = []
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        cam = trained(lab)
        stage = cam.backbone.stages[-2]
        parts = [masked_responses(cam, part, stage) for part in _batches(lab.report_on)]
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        mean = {name: values.mean(dim=0) for name, values in joined.items()}
        whole = mean["foreground"][-1].clone()
        mean |= {name: mean[name] / whole for name in ("foreground", "background")}
        curves.append({name: values.tolist() for name, values in mean.items()})
        prints[f"test-{seed}"] = lab.report_on.fingerprint
    return {
        "data": {"radii": list(RADII), "images": len(lab.report_on), "curves": curves, "cost": cost()},
        "fingerprint": prints,
        "note": "test images; steps of 16 images timed on one thread, median of 5, saved activations for the backward",
    }


def trained_bas(lab: Workbench, kind: Kind = "bas", **changes: Any) -> Method:
    """BAS trained by the lab's recipe; ``changes`` are settings."""
    return fitted(lab, channels_last(lab.build(kind, ENTRY.configured(**changes))))


def _batches(records: Records, size: int = 50) -> list[Batch]:
    return [
        collate([records[i] for i in range(start, min(start + size, len(records)))])
        for start in range(0, len(records), size)
    ]


def comparison(profile: str) -> dict[str, Any]:
    """BAS: on the images that chose α and β, and on the test images. CAM's rows are in ``results/methods.json``."""
    return _rows(profile, {ENTRY.title: ("bas", {})})


def ablation(profile: str) -> dict[str, Any]:
    """The same without the suppression, and without the foreground term."""
    return _rows(profile, ABLATION)


def safeguard(profile: str) -> dict[str, Any]:
    """The same without what is held fixed."""
    return _rows(profile, SAFEGUARD)


def settings(profile: str) -> dict[str, Any]:
    """The same with β turned or off, and with f₂ treated otherwise."""
    return _rows(profile, SETTINGS)


def timing(profile: str) -> dict[str, Any]:
    """The same with the suppression in a part of the training."""
    return _rows(profile, TIMING)


def _rows(profile: str, kinds: dict[str, tuple[Kind, dict[str, Any]]]) -> dict[str, Any]:
    chosen: dict[str, list[Row]] = {name: [] for name in kinds}

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        few = lab.choose_on.subset(range(min(CHOSEN_ON, len(lab.choose_on))))
        for name, (kind, changes) in kinds.items():
            method = trained_bas(lab, kind, **changes)
            yield name, lab.scores(method) | {"mask_area": mask_area(method, lab.report_on)}
            few_measured = measure(method, few, device=lab.device)
            boxes, pixels = float(few_measured.boxes.maximum().mean()), few_measured.pixels.value()
            chosen[name].append({"max_box_acc_v2": boxes, "pxap": pixels})
            say("bas, choosing", lab.seed, {name: chosen[name]})

    rows, prints = by_seed("bas", profile, measured)
    data = {"config": repr(BOOK), "chosen_on": CHOSEN_ON, "rows": rows, "choosing": chosen}
    return {"data": data, "fingerprint": prints}


@torch.no_grad()
def mask_area(method: Method, records: Records, count: int = 200) -> float:
    """Mean area of the generator's masks of the images' classes, of some images."""
    areas = []
    with evaluating(method):
        for batch in _batches(records.subset(range(min(count, len(records))))):
            images = batch["images"].to(next(method.parameters()).device)
            areas.append(method.raw_maps(images)[batch["labels"] > 0].mean(dim=(1, 2)))
    return float(torch.cat(areas).mean())


def dial(profile: str) -> dict[str, Any]:
    """BAS while the body's evidence is turned; the default setting is that of the comparison."""
    rows: list[list[dict[str, Any]]] = []
    prints: dict[str, str] = {}
    for setting in BODY:
        if setting == World().body_evidence and "bas" in results.names():
            rows.append(results.read("bas")["data"]["rows"]["BAS"])
            continue
        rows.append([])
        for seed in SEEDS:
            lab = Workbench(profile, seed=seed, world=replace(World(), body_evidence=setting))
            rows[-1].append(lab.scores(trained_bas(lab)))
            prints[f"body_evidence-{setting}-{seed}"] = lab.report_on.fingerprint
        say(f"body_evidence {setting}", SEEDS[-1], {"BAS": rows[-1]})
    return {"data": {"body_evidence": {"settings": list(BODY), "bas": rows}}, "fingerprint": prints}


def cost(rounds: int = 5) -> dict[str, dict[str, float]]:
    """A training step of BAS over one of the same network that only classifies: time, multiply-adds, memory."""
    torch.manual_seed(0)
    cases: dict[str, tuple[str, int, int | None, dict[str, Any]]] = {
        "tiny_cnn, 96 px": ("tiny_cnn", 96, None, {}),
        "ResNet-18, 64 px": ("resnet18", 64, 8, {"stage": "layer3", "head": 512, "pool": 2}),
    }
    ratios: dict[str, dict[str, float]] = {}
    for name, (network, side, stride, changes) in cases.items():
        method = BAS(backbone(network, output_stride=stride), 6, ENTRY.configured(**changes)).train()
        batch: Batch = {"images": torch.rand(16, 3, side, side), "labels": torch.eye(6)[torch.arange(16) % 6]}
        kinds = {"plain": OnlyClassifying(method), "bas": method}
        plain, bas = step_costs(kinds, batch, rounds, flops=True).values()
        ratios[name] = {key: bas[key] / plain[key] for key in ("time", "flops", "memory")}
    return ratios


STUDIES: dict[str, Study] = {
    "bas": comparison,
    "bas_observation": observation,
    "bas_ablation": ablation,
    "bas_safeguard": safeguard,
    "bas_settings": settings,
    "bas_timing": timing,
    "bas_dial": dial,
}
