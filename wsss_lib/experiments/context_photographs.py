"""Chapter 8 on photographs: what MARS drops from CAM's labels, and networks that learnt from what is left.

    run = Debiased.of_method(lab, cam)       # labels of the training images, as they are and debiased
    rows, dropped = measured(lab, cam, run)  # the rows of one seed, and what was dropped

Nobody knows here what always comes along, so what is judged is whatever the labels wrongly call an object. Labels are
judged on the training images, whose masks teach nothing and choose nothing; networks on the split that is reported.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from wsss_lib.data.records import IGNORE, Records
from wsss_lib.experiments import context
from wsss_lib.experiments.debiased import Debiased
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.contract import Method
from wsss_lib.segment import PseudoLabels
from wsss_lib.segment.mars import Refill

NETWORKS: dict[str, tuple[str, Refill]] = {
    "base": ("labels", "none"),
    "MARS": ("debiased labels", "weighted"),
}
"""By name, the labels that a network learns from, and what becomes of those that were dropped."""
COLUMNS = {
    "miou": "mIoU",
    "precision": "precision",
    "recall": "recall",
    "false_positives": "false pos.",
    "false_negatives": "false neg.",
}
"""Scores of masks, and their headings."""


def measured(
    lab: Workbench, method: Method, run: Debiased, trained: dict[str, Any] | None = None
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The rows of one seed.

    Args:
        lab: The run.
        method: Whose labels they are.
        run: Labels before and after.
        trained: Networks of :data:`NETWORKS` that are trained already, by name.

    Returns:
        By name, the scores of the method's maps, of both kinds of labels, and of each network; and what was dropped.
    """
    of = {"labels": run.labels, "debiased labels": run.cleaned}
    rows = {"CAM": lab.scores(method.eval())}
    rows |= {name: context.row_of(context.label_scores(each, run.labels.parent)) for name, each in of.items()}
    for name, (taught, refill) in NETWORKS.items():
        net = (trained or {}).get(name) or context.network(lab, method, of[taught], refill)[0]
        rows[name] = context.row_of(lab.measure(net))
    kinds = context.sides(context.cluster_ious(run.labels, run.labels.parent, run.features, run.clusters, lab.device))
    before = context.row_of(context.label_scores(run.val, lab.choose_on))["miou"]
    about: dict[str, Any] = {"threshold": run.threshold, "curve": run.curve, "before": before}
    for name, among in (("targets", run.clusters.chosen), ("targets_of_all", torch.ones_like(kinds.target))):
        share = kinds.share(among)
        about[name] = None if math.isnan(share) else share  # of a few images, none may be one or the other
    return rows, about | dropped(run.labels, run.cleaned, run.labels.parent)


def dropped(labels: PseudoLabels, cleaned: PseudoLabels, truth: Records) -> dict[str, float]:
    """What was dropped from labels, and how much of it was wrong: another class than the truth's, or background.

    Returns:
        ``dropped``: the share of labelled pixels; ``wrong``: of them, the share that was wrong; ``wrong_before``: the
        same of all labelled pixels; ``better`` and ``worse``: the shares of images whose labels are more and less
        precise afterwards, of those that lost a part of their labels.
    """
    labelled = lost = wrong = wrong_lost = better = worse = images = 0
    for before, after, number in zip(labels.masks, cleaned.masks, range(len(truth)), strict=True):
        mask = truth[number]["mask"]
        said = before.long().masked_fill(before == IGNORE, 0).masked_fill(mask == IGNORE, 0)
        gone, false = (said > 0) & (after == IGNORE), (said > 0) & (said != mask)
        counts = [int(part.sum()) for part in (said > 0, gone, false, false & gone)]
        labelled, lost, wrong, wrong_lost = (
            a + b for a, b in zip((labelled, lost, wrong, wrong_lost), counts, strict=True)
        )
        if 0 < counts[1] < counts[0]:
            change = (counts[2] - counts[3]) / (counts[0] - counts[1]) - counts[2] / counts[0]
            images, better, worse = images + 1, better + (change < 0), worse + (change > 0)
    return {
        "dropped": lost / max(1, labelled),
        "wrong": wrong_lost / max(1, lost),
        "wrong_before": wrong / max(1, labelled),
        "better": better / max(1, images),
        "worse": worse / max(1, images),
    }
