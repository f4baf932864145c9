"""Chapter 10's measurements: what weighs the pairs, what each unit is worth, real proposals, ambiguity, and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from wsss_lib.data.records import Records
from wsss_lib.experiments.grounding import bench, eased, learnt, proposing, recall_of, row
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, fitted, say
from wsss_lib.experiments.studies.cost import answer_costs, step_costs
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry

Changes = Mapping[str, Any]
"""Settings that differ from the book's."""
FULL = "DTMR"
BATCH = 48
"""Scenes of an update."""
ROWS: dict[str, Changes] = {
    "raw scores, as released": {"attention": "raw"},
    "independent softmaxes": {"attention": "independent"},
    FULL: {},
    "category alone": {"reference": False, "discriminative": False},
    "no reference": {"reference": False},
    "no discriminative word": {"discriminative": False},
}
SENTENCE = "GroundeR (whole sentence)"
PROPOSED = "DTMR, proposals"
"""Trained on true boxes, and asked about proposals."""
ADDED = (0, 75, 150, 300, 600)
"""Settings of the dial: unambiguous scenes in the training, beside the ambiguous ones; the last is about all."""
LONGER = (("dtmr", 4), ("grounder", 4))
"""Methods, and how many times the updates of their recipe they get."""
PROPOSALS = (5, 20)
"""Proposals of an image for which the cost is measured."""
NOTE = "nothing is chosen, numbers from test, where every scene is ambiguous; seeds decide world, weights and order"


def network(lab: Workbench, changes: Changes, records: Records | None = None, **recipe: Any) -> nn.Module:
    """DTMR with some settings changed, trained by its recipe."""
    method = lab.build("dtmr", registry.entry("dtmr").configured(**changes))
    lab.fit(method, records, **recipe)
    return method


def comparison(profile: str) -> dict[str, Any]:
    """Every way to weigh, every unit left out, the whole sentence, real proposals, and the dial of ambiguity."""
    rows: dict[str, list[Row]] = {}
    dial: list[list[Row]] = [[] for _ in ADDED]
    prints: dict[str, str] = {}
    recalls: list[Row] = []
    counts: dict[str, int] = {}
    for seed in SEEDS:
        lab = bench(profile, seed)
        prints[f"test-{seed}"] = lab.report_on.fingerprint

        def keep(name: str, method: nn.Module, measured: Workbench = lab, seed: int = seed) -> None:
            rows.setdefault(name, []).append(row(measured, method))
            counts[name] = learnt(method)
            say("dtmr", seed, {name: rows[name]})

        for name, changes in ROWS.items():
            method = network(lab, changes)
            keep(name, method)
            if name == FULL:
                other = proposing(lab)
                recalls.append(recall_of(other))
                keep(PROPOSED, method, other)
        keep(SENTENCE, fitted(lab, lab.build("grounder", registry.entry("grounder").configured())))
        updates = {"epochs": None, "steps": (lab.recipe(method).epochs or 1) * -(-len(lab.train_on) // BATCH)}
        for number, share in enumerate(ADDED):
            if number == len(ADDED) - 1:
                dial[number].append(rows[FULL][-1])
                continue
            part = eased(lab.train_on, share / ADDED[-1])
            dial[number].append(row(lab, network(lab, {}, part, **updates)))
            say(f"dtmr, {share} unambiguous", seed, {FULL: dial[number]})
    data = {
        "rows": rows,
        "recall": recalls,
        "learnt": counts,
        "scenes": len(lab.train_on),
        "unambiguous": {"settings": ADDED, "rows": {FULL: dial}},
    }
    return {"data": data, "fingerprint": prints, "note": NOTE}


def longer(profile: str) -> dict[str, Any]:
    """DTMR and the whole sentence with more updates: does the rival only need more time?"""
    rows: dict[str, list[Row]] = {}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = bench(profile, seed)
        prints[f"test-{seed}"] = lab.report_on.fingerprint
        for name, times in LONGER:
            method = lab.build(name)
            lab.fit(method, epochs=times * (lab.recipe(method).epochs or 1))
            title = f"{registry.entry(name).title}, {times} times the updates"
            rows.setdefault(title, []).append(row(lab, method))
            say("dtmr_longer", seed, {title: rows[title]})
    return {"data": {"rows": rows}, "fingerprint": prints, "note": NOTE}


def cost(profile: str) -> dict[str, Any]:
    """A training step and the answers of DTMR and of GroundeR at one width: parameters, operations, processor time.

    Processor time, not the clock's: another process on the machine does not count.
    """
    lab = bench("smoke", 0)
    data: dict[str, Any] = {"rows": {}, "batch": 16}
    for number in PROPOSALS:
        batch = example(lab, number)
        methods = {name: lab.build(name) for name in ("dtmr", "grounder")}
        rounds = 3 if profile == "smoke" else 40
        spent = step_costs(methods, batch, rounds, flops=True)
        asked = answer_costs(methods, batch, rounds)
        queries = sum(map(len, batch["sentences"]))
        for name, method in methods.items():
            title = registry.entry(name).title
            numbers = {"parameters": learnt(method), "queries": queries, "answer": asked[name], **spent[name]}
            data["rows"][f"{title}, {number} proposals"] = [numbers]
    return {"data": data, "fingerprint": {"test-0": lab.report_on.fingerprint}, "note": "seed 0, one thread"}


def example(lab: Workbench, proposals: int) -> dict[str, Any]:
    """Sixteen scenes of the lab as a batch, the first proposal repeated until there are so many."""
    batch: dict[str, Any] = dict(lab.train_on.batch(range(16)))
    for name in ("regions", "proposals"):
        lacking = [max(0, proposals - len(each)) for each in batch[name]]
        batch[name] = [
            torch.cat([each, each[:1].expand(more, -1)])[:proposals]
            for each, more in zip(batch[name], lacking, strict=True)
        ]
    return batch


STUDIES: dict[str, Study] = {"dtmr": comparison, "dtmr_longer": longer, "dtmr_cost": cost}
