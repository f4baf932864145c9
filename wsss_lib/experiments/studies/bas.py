"""Studies of chapter 3: what two curves see of a growing mask, BAS against CAM, its ablation, its dial, its cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones import StagedBackbone, backbone
from wsss_lib.data.records import Batch, Records, collate
from wsss_lib.data.worlds.critters import World
from wsss_lib.evaluate import measure
from wsss_lib.experiments import results
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, fitted, laid_out, say, trained
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.workbench import Lab
from wsss_lib.methods.bas import BAS, BASConfig, Rectify, activation, of_class
from wsss_lib.methods.cam import CAM, class_activation_maps
from wsss_lib.modes import evaluating

RADII = (-12, -9, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 5, 8, 12, 18, 26)
"""By how many pixels the true masks are shrunk (below zero) or grown."""
CHOSEN_ON = 100
"""Validation images whose boxes and masks chose α and β."""
BODY = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Settings of the dial ``body_evidence``."""


class SharedTail(BAS):
    """BAS without its safeguard: f₂ and F learn from the suppression too."""

    def background(self, features: Tensor, mask: Tensor) -> Tensor:
        """The class maps outside the mask, with gradients to everything."""
        return self.tail()(features * (1 - mask)[:, None])


ABLATION: dict[str, tuple[type[BAS], dict[str, Any]]] = {
    "no L_bas": (BAS, {"suppression": 0.0}),
    "no L_frg (α = 0)": (BAS, {"alpha": 0.0}),
}
SAFEGUARD: dict[str, tuple[type[BAS], dict[str, Any]]] = {"f₂ shared and trained": (SharedTail, {})}
SETTINGS: dict[str, tuple[type[BAS], dict[str, Any]]] = {
    "β halved": (BAS, {"beta": BASConfig().beta / 2}),
    "β doubled": (BAS, {"beta": BASConfig().beta * 2}),
    "no L_ac (β = 0)": (BAS, {"beta": 0.0}),
    "ReLU in the cells": (BAS, {"rectify": "cells"}),
    "running batch norm in Sᵇ": (BAS, {"copy_norm": "running"}),
}


def resized(masks: Tensor, radius: int) -> Tensor:
    """Binary masks (N, H, W) grown by a square of ``radius`` pixels on every side, shrunk where it is below zero."""
    planes = masks[:, None].float()
    side = 2 * abs(radius) + 1
    if radius < 0:
        return 1 - F.max_pool2d(1 - planes, side, stride=1, padding=-radius)[:, 0]
    return F.max_pool2d(planes, side, stride=1, padding=radius)[:, 0]


@torch.no_grad()
def masked_responses(
    cam: CAM, batch: Batch, stage: str, radii: Sequence[int] = RADII, rectify: Rectify = "cells"
) -> dict[str, Tensor]:
    """What a classifier says of features under a mask, and outside it, while the true mask is shrunk and grown.

    Args:
        cam: The classifier, over a convolutional backbone.
        batch: With ``images``, ``masks`` and one class an image in ``labels``.
        stage: Where the features are masked.
        radii: See :func:`resized`; nothing and everything are added at both ends.
        rectify: See :class:`wsss_lib.methods.bas.BASConfig`.

    Returns:
        (N, len(radii) + 2) each: ``area`` (of the mask over that of the object), ``cross_entropy`` (softmax, under the
        mask), ``foreground`` and ``background`` (the class's activation under and outside the mask).

    Source: Wu et al. 2022, figure 2, whose masks are shrunk and grown alike. Built in chapter 3.
    """
    assert isinstance(cam.backbone, StagedBackbone)
    behind = cam.backbone.stages[cam.backbone.stages.index(stage) + 1 :]
    tail = nn.Sequential(*(cam.backbone.blocks[name] for name in behind))
    classes = batch["labels"].argmax(dim=1)
    truth = ((batch["masks"] > 0) & (batch["masks"] < 255)).float()  # (N, H, W)
    masks = [torch.zeros_like(truth), *(resized(truth, radius) for radius in radii), torch.ones_like(truth)]
    found: dict[str, list[Tensor]] = {"area": [], "cross_entropy": [], "foreground": [], "background": []}
    with evaluating(cam):
        features = cam.backbone(batch["images"], stages=(stage,))[stage]

        def maps(mask: Tensor) -> Tensor:
            grid = F.adaptive_avg_pool2d(mask[:, None], features.shape[-2:])  # (N, 1, h, w)
            return class_activation_maps(tail(features * grid), cam.head.weight)  # (N, K, h', w')

        for mask in masks:
            inside, outside = maps(mask), maps(1 - mask)
            found["area"].append(mask.sum(dim=(1, 2)) / truth.sum(dim=(1, 2)))
            found["cross_entropy"].append(F.cross_entropy(inside.mean(dim=(2, 3)), classes, reduction="none"))
            found["foreground"].append(activation(of_class(inside, classes), rectify))
            found["background"].append(activation(of_class(outside, classes), rectify))
    return {name: torch.stack(values, dim=1) for name, values in found.items()}


def observation(profile: str) -> dict[str, Any]:
    """The two curves on the test images (activations over the whole images' mean), and what a training step costs."""
    curves: list[dict[str, list[float]]] = []
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Lab(profile, seed=seed)
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


def trained_bas(lab: Lab, kind: type[BAS] = BAS, **changes: Any) -> BAS:
    """BAS trained by the lab's recipe; ``changes`` are settings."""
    return fitted(lab, laid_out(lab.build(kind, BASConfig(**changes))))


def _batches(records: Records, size: int = 50) -> list[Batch]:
    return [
        collate([records[i] for i in range(start, min(start + size, len(records)))])
        for start in range(0, len(records), size)
    ]


def comparison(profile: str) -> dict[str, Any]:
    """BAS: on the images that chose α and β, and on the test images. CAM's rows are in ``results/methods.json``."""
    return _rows(profile, {"BAS": (BAS, {})})


def ablation(profile: str) -> dict[str, Any]:
    """The same without the suppression, and without the foreground term."""
    return _rows(profile, ABLATION)


def safeguard(profile: str) -> dict[str, Any]:
    """The same without what is held fixed."""
    return _rows(profile, SAFEGUARD)


def settings(profile: str) -> dict[str, Any]:
    """The same with β turned or off, and with f₂ treated otherwise."""
    return _rows(profile, SETTINGS)


def _rows(profile: str, kinds: dict[str, tuple[type[BAS], dict[str, Any]]]) -> dict[str, Any]:
    chosen: dict[str, list[Row]] = {name: [] for name in kinds}

    def measured(lab: Lab) -> Iterator[tuple[str, Row]]:
        few = lab.choose_on.subset(range(min(CHOSEN_ON, len(lab.choose_on))))
        for name, (kind, changes) in kinds.items():
            method = trained_bas(lab, kind, **changes)
            yield name, lab.scores(method) | {"mask_area": mask_area(method, lab.report_on)}
            seen = measure(method, few, device=lab.device)
            boxes, pixels = float(seen.boxes.maximum().mean()), seen.pixels.value()
            chosen[name].append({"max_box_acc_v2": boxes, "pxap": pixels})
            say("bas, choosing", lab.seed, {name: chosen[name]})

    rows, prints = by_seed("bas", profile, measured)
    data = {"config": repr(BASConfig()), "chosen_on": CHOSEN_ON, "rows": rows, "choosing": chosen}
    return {"data": data, "fingerprint": prints}


@torch.no_grad()
def mask_area(method: BAS, records: Records, count: int = 200) -> float:
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
            lab = Lab(profile, seed=seed, world=replace(World(), body_evidence=setting))
            rows[-1].append(lab.scores(trained_bas(lab)))
            prints[f"body_evidence-{setting}-{seed}"] = lab.report_on.fingerprint
        say(f"body_evidence {setting}", SEEDS[-1], {"BAS": rows[-1]})
    return {"data": {"body_evidence": {"settings": list(BODY), "bas": rows}}, "fingerprint": prints}


def cost(rounds: int = 5) -> dict[str, dict[str, float]]:
    """A training step of BAS over one of the same network that only classifies: time, multiply-adds, memory."""
    torch.manual_seed(0)
    cases: dict[str, tuple[str, int, int | None, BASConfig]] = {
        "tiny_cnn, 96 px": ("tiny_cnn", 96, None, BASConfig()),
        "ResNet-18, 64 px": ("resnet18", 64, 8, BASConfig(stage="layer3", head=512, pool=2)),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (network, side, stride, config) in cases.items():
        method = BAS(backbone(network, output_stride=stride), 6, config).train()
        batch: Batch = {"images": torch.rand(16, 3, side, side), "labels": torch.eye(6)[torch.arange(16) % 6]}
        kinds = {"plain": OnlyClassifying(method), "bas": method}
        plain, bas = step_costs(kinds, batch, rounds, flops=True).values()
        found[name] = {key: bas[key] / plain[key] for key in ("time", "flops", "memory")}
    return found


class OnlyClassifying(nn.Module):
    """BAS of which nothing but the classification is trained."""

    def __init__(self, method: BAS) -> None:
        super().__init__()
        self.method = method

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Its classification loss alone."""
        return {"classification": F.multilabel_soft_margin_loss(self.method(batch["images"]), batch["labels"])}


STUDIES: dict[str, Study] = {
    "bas": comparison,
    "bas_observation": observation,
    "bas_ablation": ablation,
    "bas_safeguard": safeguard,
    "bas_settings": settings,
    "bas_dial": dial,
}
