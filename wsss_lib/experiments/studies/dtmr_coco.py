"""DTMR on photographs: sentences that a program made of COCO's boxes, a hundred images to learn from.

    WSSS_DATA=FOLDER python -m wsss_lib.experiments.studies dtmr_coco

FOLDER holds ``coco_small`` (100 + 100 images of COCO, panoptic, in Parquet). The sentences follow the grammar of the
world of sentences; no person said them. What is measured is only whether the machinery stands on photographs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from wsss_lib.backbones import backbone
from wsss_lib.data import load
from wsss_lib.data.photos.folders import home
from wsss_lib.data.worlds.sentences import KINDS
from wsss_lib.data.worlds.sentences.templates import TemplateSentences
from wsss_lib.evaluate import measure_grounding
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, say
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig, fit
from wsss_lib.train.region_memory import RegionRecords

BACKBONE, LONGER = "tf_efficientnet_lite0", 320
ROWS: dict[str, dict[str, Any]] = {
    "independent softmaxes": {"attention": "independent"},
    "DTMR": {},
    "category alone": {"reference": False, "discriminative": False},
}
STEPS = 300
RECIPE = TrainConfig(steps=STEPS, batch_size=25, optimiser="adamw", lr=4e-3, weight_decay=1e-2, schedule="cosine")
"""Chosen before the first run, and not changed after it."""


def coco(profile: str) -> dict[str, Any]:
    """Accuracy on COCO's second hundred images, of things that have another one of their class beside them."""
    folder = home() / "coco_small"
    train = TemplateSentences(load(folder, split="train", size=LONGER, keep_empty=True))
    val = TemplateSentences(load(folder, split="val", size=LONGER, keep_empty=True), ambiguous=True)
    network = backbone(BACKBONE)
    kept, reported = (RegionRecords(records, network) for records in (train, val))
    kinds = [kind for kind in KINDS if kind != "colour"]
    rows: dict[str, list[Row]] = {}
    for seed in SEEDS:
        for name, changes in ROWS.items():
            torch.manual_seed(seed)
            method = registry.build("dtmr", network, len(train.classes), registry.entry("dtmr").configured(**changes))
            config = replace(RECIPE, seed=seed, steps=2 if profile == "smoke" else STEPS)
            fit(method, kept, config, progress="none")
            measured = measure_grounding(method.answer, reported, kinds=kinds)
            rows.setdefault(name, []).append(measured.numbers({}))
            say("dtmr_coco", seed, {name: rows[name]})
    guess = sum(1 / alike(val, i, each.target) for i, row in enumerate(val.statements) for each in row)
    number = sum(map(len, val.statements))
    data = {"rows": rows, "sentences": [sum(map(len, train.statements)), number], "species": guess / max(1, number)}
    note = "sentences made by a program of COCO's boxes, true boxes as proposals, nothing chosen, numbers from val"
    return {"data": data, "fingerprint": {"train": train.fingerprint, "val": val.fingerprint}, "note": note}


def alike(records: TemplateSentences, index: int, target: int) -> int:
    """How many things of an image have the class of one of them."""
    labels = records[index]["box_labels"]
    return int((labels == labels[target]).sum())


STUDIES: dict[str, Study] = {"dtmr_coco": coco}
