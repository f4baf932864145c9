"""DTMR on photographs: sentences that a program made of COCO's boxes, and sentences by people, those of RefCOCO.

    WSSS_DATA=FOLDER python -m wsss_lib.experiments.studies dtmr_coco
    python -m wsss_lib.experiments.studies dtmr_refcoco

For the first, FOLDER holds ``coco_small`` (100 + 100 images of COCO, panoptic, in Parquet). The sentences follow the
grammar of the world of sentences; no person said them. What is measured is only whether the machinery stands on
photographs. The second fetches RefCOCO and needs the extra ``english``. Its data were not at hand: it is tested on
small files of the same columns, and has no record yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from wsss_lib.backbones import Backbone, backbone
from wsss_lib.data import load
from wsss_lib.data.photos.folders import home
from wsss_lib.data.records import Records
from wsss_lib.data.worlds.sentences import KINDS
from wsss_lib.data.worlds.sentences.templates import TemplateSentences
from wsss_lib.devices import pick_device
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
EPOCHS = 10
"""Of RefCOCO's train, some 7,000 updates."""
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
    recipe = replace(RECIPE, steps=2 if profile == "smoke" else STEPS)
    rows = compared("dtmr_coco", network, kept, reported, kinds, recipe)
    guess = sum(1 / alike(val, i, each.target) for i, row in enumerate(val.statements) for each in row)
    number = sum(map(len, val.statements))
    data = {"rows": rows, "sentences": [sum(map(len, train.statements)), number], "species": guess / max(1, number)}
    note = "sentences made by a program of COCO's boxes, true boxes as proposals, nothing chosen, numbers from val"
    return {"data": data, "fingerprint": {"train": train.fingerprint, "val": val.fingerprint}, "note": note}


def refcoco(profile: str) -> dict[str, Any]:
    """Accuracy on RefCOCO's ``val``, triads read by the parser of free English, and the objects' boxes as proposals."""
    few = 12 if profile == "smoke" else None
    train, val = (load("refcoco", split=split, size=LONGER) for split in ("train", "val"))
    network = backbone(BACKBONE).to(pick_device("auto"))
    kept, reported = (RegionRecords(records.subset(range(len(records))[:few]), network) for records in (train, val))
    recipe = replace(RECIPE, steps=None, epochs=1 if few else EPOCHS)
    rows = compared("dtmr_refcoco", network, kept, reported, (), recipe, parser="english")
    guesses = [1 / len(boxes) for boxes in reported.batch(range(len(reported)))["sentence_boxes"] for _ in boxes]
    number = [sum(len(records[i]["sentences"]) for i in range(len(records))) for records in (kept, reported)]
    data = {"rows": rows, "sentences": number, "guess": sum(guesses) / max(1, len(guesses))}
    note = "sentences by people, boxes of the objects that are spoken of as proposals, nothing chosen, numbers from val"
    return {"data": data, "fingerprint": {"train": train.fingerprint, "val": val.fingerprint}, "note": note}


def compared(
    what: str, network: Backbone, kept: Records, reported: Records, kinds: Sequence[str], recipe: TrainConfig,
    **settings: Any,
) -> dict[str, list[Row]]:  # fmt: skip
    """Rows of :data:`ROWS` over the seeds, trained on ``kept`` and measured on ``reported``, with some settings."""
    rows: dict[str, list[Row]] = {}
    for seed in SEEDS:
        for name, changes in ROWS.items():
            torch.manual_seed(seed)
            config = registry.entry("dtmr").configured(**changes, **settings)
            method = registry.build("dtmr", network, len(kept.classes), config).to(next(network.parameters()).device)
            fit(method, kept, replace(recipe, seed=seed), progress="none")
            measured = measure_grounding(method.answer, reported, kinds=kinds)
            rows.setdefault(name, []).append(measured.numbers({}))
            say(what, seed, {name: rows[name]})
    return rows


def alike(records: TemplateSentences, index: int, target: int) -> int:
    """How many things of an image have the class of one of them."""
    labels = records[index]["box_labels"]
    return int((labels == labels[target]).sum())


STUDIES: dict[str, Study] = {"dtmr_coco": coco, "dtmr_refcoco": refcoco}
