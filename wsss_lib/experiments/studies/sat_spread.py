"""Why three seeds settle less than one would like: SAT against the class token's attention, seed taken apart.

    python -m wsss_lib.experiments.studies sat_spread
    python -m wsss_lib.experiments.studies sat_maps       # TS-CAM's maps of the eight images that the chapter shows

A seed of the other studies decides two things at once: which images are drawn (the *world*), and with which head, token
and order of images a method begins (the *start*). On the world of seed 1, where the two maps are closest, both
begin here as the other seeds do. The attention of the pretrained network, before any training, is measured too.
"""

from __future__ import annotations

from typing import Any

import torch

from wsss_lib.experiments.studies.common import SEEDS, Row, Study, fitted, fresh, say, titles
from wsss_lib.experiments.studies.sat import scored, settings
from wsss_lib.experiments.workbench import Workbench

CLOSEST = 1
"""The seed at which the attention came closest to SAT."""
METHODS = titles("class-token", "sat")
CASES = ((CLOSEST, 0), (CLOSEST, 2))
"""(world, start): those that the study ``sat`` has not measured."""


def sat_spread(profile: str) -> dict[str, Any]:
    """SAT and the class token on seed 1's world, from the other seeds' starts."""
    rows: list[Row] = []
    for world, start in CASES:
        for title in METHODS:
            rows.append(case(profile, title, world, start))
            say(f"sat_spread, world {world}, start", start, {title: rows[-1:]})
    before = [untrained(profile, seed) for seed in SEEDS]
    prints = {f"test-{seed}": bench(profile, seed, seed).report_on.fingerprint for seed in SEEDS}
    return {"data": {"rows": rows, "untrained": before, "settings": settings()}, "fingerprint": prints}


def bench(profile: str, world: int, start: int) -> Workbench:
    """A lab whose images are one seed's, and whose fresh weights and order of images another's."""
    lab = Workbench(profile, backbone="tiny_vit", seed=world)
    lab.seed = start
    return lab


def case(profile: str, title: str, world: int, start: int) -> Row:
    """One training: the honest row with what was varied."""
    lab = bench(profile, world, start)
    method = fitted(lab, fresh(lab, METHODS[title]))
    return {"map": title, "world": world, "start": start} | scored(lab, method)


def untrained(profile: str, seed: int) -> Row:
    """The class token's attention as pretraining left it, on one seed's world; nothing needs a threshold."""
    lab = bench(profile, seed, seed)
    result = lab.measure(fresh(lab, "class-token"))
    return {"max_box_acc_v2": float(result.boxes.maximum().mean()), "pxap": result.pixels.value()}


def sat_maps(profile: str) -> dict[str, Any]:
    """TS-CAM's maps of the images that the chapter shows, so that it need not train a third network."""
    lab = bench(profile, 0, 0)
    method = fitted(lab, fresh(lab, "ts-cam"))
    shown = lab.examples(8)
    with torch.no_grad():
        every = method.localize(shown["images"].to(lab.device), shown["labels"].to(lab.device))
    result = every.amax(dim=1)  # (8, h, w)
    data = {"maps": (result * 1000).round().div(1000), "pxap": lab.measure(method).pixels.value()}
    return {"data": data | {"settings": settings()}, "fingerprint": {"test-0": lab.report_on.fingerprint}}


STUDIES: dict[str, Study] = {"sat_spread": sat_spread, "sat_maps": sat_maps}
