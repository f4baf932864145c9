"""Pseudo-labels before and after MARS drops what always comes along: the path of every run and study of chapter 8.

run = Debiased.of_method(lab, cam)
net, _ = context.network(lab, cam, run.cleaned, "weighted")
"""

from __future__ import annotations

from dataclasses import dataclass

from wsss_lib.experiments import context
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.contract import Method
from wsss_lib.segment import Clusters, DebiasConfig, PseudoLabels, cluster, debias
from wsss_lib.segment.debiasing import Features


@dataclass(frozen=True)
class Debiased:
    """Labels of a run before and after.

    Attributes:
        labels, cleaned: Of the training images.
        val: Of the split that chooses, as they are.
        features, clusters: By which they were debiased.
        threshold: Of similarity, chosen by the mIoU of labels on the split that chooses.
        curve: That mIoU at each similarity that was tried, see :func:`wsss_lib.experiments.context.chosen_threshold`.
    """

    labels: PseudoLabels
    cleaned: PseudoLabels
    val: PseudoLabels
    features: Features
    clusters: Clusters
    threshold: float
    curve: list[float]

    @classmethod
    def of_method(cls, lab: Workbench, method: Method, name: str = "cam") -> Debiased:
        """The seeds of a trained method, which the labels' provenance calls ``name``."""
        labels, val = (context.seed_labels(lab, method, split, name) for split in ("train", "choose"))
        return cls.of_labels(lab, labels, val)

    @classmethod
    def of_labels(cls, lab: Workbench, labels: PseudoLabels, val: PseudoLabels) -> Debiased:
        """Labels that were made alike of the training images and of the split that chooses."""
        features = context.unlabelled_features(lab, labels)
        clusters = cluster(labels, features, device=lab.device)
        threshold, curve = context.chosen_threshold(lab, val, features, clusters)
        cleaned = debias(labels, features, clusters, DebiasConfig(threshold=threshold), device=lab.device)
        return cls(labels, cleaned, val, features, clusters, threshold, curve)
