"""Chapter 8's companions over three seeds: what labels, clusters, networks and a smaller threshold make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from wsss_lib.data.records import IGNORE
from wsss_lib.experiments import companions, context
from wsss_lib.experiments.debiased import Debiased
from wsss_lib.experiments.studies.common import Row, Study, by_seed, fitted
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench

BELOW = (0.0, 0.05, 0.1, 0.15)
"""Similarity thresholds below the smallest of those that are chosen from."""


def study(profile: str) -> dict[str, Any]:
    """Shares of animals, companions and other background: labelled, dropped, and called an animal by networks."""
    below: list[list[float]] = []

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        context.limited(lab)
        method = fitted(lab, channels_last(lab.classifier()), epochs=context.passes(lab))
        run = Debiased.of_method(lab, method)
        below.append(context.chosen_threshold(lab, run.val, run.features, run.clusters, BELOW)[1])

        places = companions.places_of(lab, "train", len(run.labels))
        said, left = (torch.stack(each.masks).long() for each in (run.labels, run.cleaned))
        yield "labels", companions.shares(said > 0, places)
        yield "dropped", companions.shares(left == IGNORE, torch.where(said > 0, places, IGNORE))
        clustered = (run.features, run.clusters, lab.device)
        kinds = companions.lying_on(run.labels, places, *clustered)
        sides = context.sides(context.cluster_ious(run.labels, lab.train_on, *clustered))
        yield "images", companions.of_images(kinds, run.clusters)
        for name, row in companions.of_clusters(kinds, run.clusters, sides).items():
            yield f"clusters: {name}", row

        shown = companions.places_of(lab, "test", len(lab.report_on))
        base, _ = context.network(lab, method, run.labels)
        mars, _ = context.network(lab, method, run.cleaned, "weighted")
        for name, net in {"base": base, "MARS": mars}.items():
            yield name, companions.shares(companions.answered(lab, net, len(shown)), shown)

    rows, prints = by_seed("mars_companions", profile, measured, world=context.WORLD)
    note = (
        "thresholds of maps and of similarity are chosen on val; labels and clusters are judged on those images of "
        "train, networks on those of test, whose companion can be told; val_below: mIoU of the debiased labels of val"
    )
    return {"data": {"rows": rows, "below": BELOW, "val_below": below}, "fingerprint": prints, "note": note}


STUDIES: dict[str, Study] = {"mars_companions": study}
