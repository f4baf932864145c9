"""Chapter 4's measurements: SAT against the maps that the same transformer has without it.

    python -m wsss_lib.experiments.studies sat            # SAT, class-token attention, TS-CAM; the cost of a step
    python -m wsss_lib.experiments.studies sat_ablation   # the gate with and without its two losses
    python -m wsss_lib.experiments.studies sat_settings   # gated blocks, λ, the area term
    python -m wsss_lib.experiments.studies sat_dial       # SAT and TS-CAM while the body's evidence is turned

Same backbone, images, updates, optimiser and threshold rule in all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from wsss_lib.data.worlds.critters import World
from wsss_lib.experiments import results
from wsss_lib.experiments.recipes import TRANSFORMER
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, fitted, fresh, say, titles
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.sat import SAT

TRAINING = {name: getattr(TRANSFORMER, name) for name in ("epochs", "lr", "head_lr")}
"""What decides the weights, of the recipe that all rows share."""
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Settings of ``body_evidence``."""

METHODS = titles("class-token", "ts-cam", "sat")
"""The rows of ``sat``: title to name."""
BOOK, BASELINE = (registry.entry(name).configured() for name in ("sat", "ts-cam"))
"""The book's settings of SAT, and those of both baselines."""
ABLATION: dict[str, dict[str, Any]] = {
    "gate only": {"area_weight": 0, "norm_weight": 0},
    "gate + area": {"norm_weight": 0},
    "gate + normalisation": {"area_weight": 0},
    "gate + area + normalisation": {},
}
"""The paper's rows, in its order."""
SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "area of each image": {"area": "image"},
    "two of six blocks gated": {"blocks": 2},
    "four of six": {"blocks": 4},
    "λ = 0.1": {"prior": 0.1},
    "λ = 0.3": {"prior": 0.3},
}
"""Rows of our own."""


def sat(profile: str) -> dict[str, Any]:
    """SAT and the baselines at the default dials, and what a training step of each costs."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        for title, name in METHODS.items():
            method = fitted(lab, fresh(lab, name))
            yield title, scored(lab, method)
            if name == "ts-cam":  # the same network, read without the attention
                bare = fresh(lab, name, coupled=False)
                bare.load_state_dict(method.state_dict())
                yield "patch scores alone", scored(lab, bare)

    rows, prints = by_seed("sat", profile, measured, backbone="tiny_vit")
    return {"data": {"rows": rows, "cost": cost(), "settings": settings()}, "fingerprint": prints}


def sat_ablation(profile: str) -> dict[str, Any]:
    """The gate with and without its two losses."""
    return changed(profile, ABLATION)


def sat_settings(profile: str) -> dict[str, Any]:
    """One setting changed at a time."""
    return changed(profile, SETTINGS)


def changed(profile: str, variants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """SAT with other settings; the row with the book's own is the one that ``sat`` recorded."""
    known = recorded(profile)

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        for name, changes in variants.items():
            if known and not changes:
                yield name, known["SAT"][lab.seed]
            else:
                yield name, scored(lab, fitted(lab, fresh(lab, "sat", **changes)))

    rows, prints = by_seed("changed", profile, measured, backbone="tiny_vit")
    configs = {name: repr(registry.entry("sat").configured(**changes)) for name, changes in variants.items()}
    return {"data": {"rows": rows, "changes": configs, "settings": settings()}, "fingerprint": prints}


def sat_dial(profile: str) -> dict[str, Any]:
    """SAT and TS-CAM, each trained anew at every setting of the body's evidence but the one that ``sat`` recorded."""
    curves: dict[str, list[list[dict[str, Any]]]] = {"TS-CAM": [], "SAT": []}
    prints: dict[str, str] = {}
    known = recorded(profile)
    for setting in DIAL:
        for rows in curves.values():
            rows.append([])
        for seed in SEEDS:
            lab = Workbench(profile, backbone="tiny_vit", seed=seed, world=World(body_evidence=setting))
            for title in curves:
                if known and setting == World().body_evidence:
                    curves[title][-1].append(known[title][seed])
                    continue
                method = fitted(lab, fresh(lab, METHODS[title]))
                curves[title][-1].append(scored(lab, method))
                say(f"sat_dial {setting}", seed, {title: curves[title][-1]})
            prints[f"{setting}-{seed}"] = lab.report_on.fingerprint
    data = {"dial": "body_evidence", "positions": list(DIAL), "rows": curves, "settings": settings()}
    return {"data": data, "fingerprint": prints}


def settings() -> dict[str, Any]:
    """What decides the rows of ``sat``, besides the data."""
    return {"SAT": repr(BOOK), "baselines": repr(BASELINE), "training": TRAINING}


def recorded(profile: str) -> dict[str, Any] | None:
    """The rows of ``sat``, if they were recorded with today's settings: the same seed would only repeat them."""
    try:
        data = results.read("sat")["data"]
    except FileNotFoundError:
        return None
    return dict(data["rows"]) if profile == "book" and data["settings"] == settings() else None


def scored(lab: Workbench, method: nn.Module) -> dict[str, Any]:
    """The honest row; of SAT also the mean area of its maps on ``test`` and how it spreads over the images."""
    row = lab.scores(method)
    if isinstance(method, SAT):
        row |= method.area_spread(lab.examples(200)["images"].to(lab.device))
    return row


def cost(batch: int = 32, side: int = 96, rounds: int = 6) -> dict[str, dict[str, float]]:
    """Seconds of a forward and backward pass, and what it keeps for the backward pass (MiB), on this machine's CPU."""
    generator = torch.Generator().manual_seed(0)
    given = {
        "images": torch.rand(batch, 3, side, side, generator=generator),
        "labels": torch.eye(6)[torch.arange(batch) % 6],
    }
    lab = Workbench("smoke", backbone="tiny_vit", device="cpu")
    costs = step_costs({title: fresh(lab, name).train() for title, name in METHODS.items()}, given, rounds)
    return {name: {"seconds": each["time"], "saved_mib": each["memory"] / 2**20} for name, each in costs.items()}


STUDIES: dict[str, Study] = {
    "sat": sat,
    "sat_ablation": sat_ablation,
    "sat_settings": sat_settings,
    "sat_dial": sat_dial,
}
