"""Studies of the spine: the drawn world, its dials, and the maps of chapters 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from wsss_lib.data.worlds.critters import World
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, explaining, fitted, say, titles, trained
from wsss_lib.experiments.studies.supervised import Supervised
from wsss_lib.experiments.variants import MaxPooled
from wsss_lib.experiments.workbench import Workbench

DIALS: dict[str, tuple[Any, ...]] = {
    "body_evidence": (0.0, 0.25, 0.5, 0.75, 1.0),
}
"""Settings of the dials that the study turns, the others at their defaults."""


def world(profile: str) -> dict[str, Any]:
    """Classifier, CAM and upper bound at the default dials; and the classifier of several critters an image."""
    rows: dict[str, list[dict[str, Any]]] = {"cam": [], "supervised": [], "several": []}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        rows["cam"].append(lab.scores(trained(lab)))
        torch.manual_seed(seed)
        supervised = Supervised(lab.backbone(), len(lab.classes))
        # Masks are a harder thing to learn than labels: twice the epochs, so that the bound is not too low.
        rows["supervised"].append(lab.scores(fitted(lab, supervised, epochs=2 * (lab.recipe().epochs or 1))))
        crowd = Workbench(profile, seed=seed, world=World(critters=(1, 3)))
        # Several small critters instead of a large one: twice the epochs as well.
        rows["several"].append(crowd.scores(trained(crowd, epochs=2 * (crowd.recipe().epochs or 1))))
        prints[f"test-{seed}"] = lab.report_on.fingerprint
        say("world", seed, rows)
    return {"data": {"dials": repr(World()), "rows": rows}, "fingerprint": prints}


def dials(profile: str) -> dict[str, Any]:
    """Plain CAM at five settings of each dial."""
    out: dict[str, Any] = {}
    prints: dict[str, str] = {}
    for dial, settings in DIALS.items():
        out[dial] = {"settings": [list(s) if isinstance(s, tuple) else s for s in settings], "cam": []}
        for setting in settings:
            rows = []
            for seed in SEEDS:
                lab = Workbench(profile, seed=seed, world=replace(World(), **{dial: setting}))
                rows.append(lab.scores(trained(lab)))
                prints[f"{dial}-{setting}-{seed}"] = lab.report_on.fingerprint
            out[dial]["cam"].append(rows)
            say(f"{dial} {setting}", SEEDS[-1], {"cam": rows})
    return {"data": out, "fingerprint": prints}


def methods(profile: str) -> dict[str, Any]:
    """The maps of chapters 1 and 2 on one and the same classifier."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        cam = trained(lab)
        explained = titles("gradcam", "gradcam++", "eigencam").items()
        candidates = {"CAM": cam} | {title: explaining(name, cam) for title, name in explained}
        candidates["Eigen-CAM, centred"] = explaining("eigencam", cam, centre=True, sign="mean_activation")
        torch.manual_seed(lab.seed)
        candidates["CAM, max pooling"] = fitted(lab, MaxPooled(lab.backbone(), len(lab.classes)))
        for name, method in candidates.items():
            yield name, lab.scores(method)

    rows, prints = by_seed("methods", profile, measured)
    return {"data": {"rows": rows}, "fingerprint": prints}


STUDIES: dict[str, Study] = {"world": world, "dials": dials, "methods": methods}
