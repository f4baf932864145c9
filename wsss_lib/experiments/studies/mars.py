"""Chapter 8's measurements: what always comes along in labels, networks and clusters, with and without MARS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.records import Records
from wsss_lib.experiments import context
from wsss_lib.experiments.debiased import Debiased
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, fitted, fresh, say
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.segment import MARS, Clusters, DebiasConfig, Provenance, PseudoLabels, cluster, debias
from wsss_lib.segment.debiasing import Features
from wsss_lib.segment.mars import Refill

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""α, of which the paper takes 0.4."""
BACKGROUNDS = (1, 2, 3, 5)
"""K of the backgrounds, of which the paper takes 2."""
COOCCURRENCE = (0.0, 0.3, 0.6, 0.9, 1.0)
"""Settings of the dial."""
BY_NETWORK = (0.2, 0.4, 0.6)
"""Similarity thresholds between which the network chooses."""
BASES = {"bas": 6, "seam": 4}
"""Other methods whose masks are debiased, and their passes."""
BINS = 24
"""Of the histograms of distances, from 0.4 to 0.7."""
T = TypeVar("T")


def comparison(profile: str) -> dict[str, Any]:
    """The segmentation network on labels as they are, debiased in three ways, and true; and the choices behind it."""
    beside: dict[str, list[dict[str, Any]]] = {}

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        context.limited(lab)
        method = fitted(lab, channels_last(lab.classifier()), epochs=context.passes(lab))
        run = Debiased.of_method(lab, method)
        labels, cleaned = run.labels, run.cleaned
        for key, value in observed(lab, labels, run.features, run.clusters, run.threshold).items():
            beside.setdefault(key, []).append(value)
        beside.setdefault("thresholds", []).append({"chosen": run.threshold, "miou": run.curve})
        truth = true_labels(lab)
        yield "labels", label_row(lab, labels)
        yield "debiased labels", label_row(lab, cleaned)
        all_of_them = debias(
            labels,
            run.features,
            run.clusters.with_share(1.0),
            DebiasConfig(threshold=run.threshold),
            device=lab.device,
        )
        rows: dict[str, tuple[Records, Any]] = {
            "full supervision": (truth, "none"),
            "base": (labels, "none"),
            "+ debiased, ignored": (cleaned, "none"),
            "+ refilled alike": (cleaned, "equal"),
            "MARS": (cleaned, "weighted"),
            "α = 1, refilled alike": (all_of_them, "equal"),
        }
        for name, (taught, refill) in rows.items():
            yield name, context.row_of(lab.measure(context.network(lab, method, taught, refill)[0]))

    rows, prints = by_seed("mars", profile, measured, world=context.WORLD)
    data = {"rows": rows, **beside, "shares": SHARES, "backgrounds": BACKGROUNDS, "tried": context.THRESHOLDS}
    note = "thresholds of maps and of similarity are chosen on val; labels are reported on train, networks on test"
    return {"data": data | {"world": repr(context.WORLD)}, "fingerprint": prints, "note": note}


def observed(
    lab: Workbench, labels: PseudoLabels, features: Features, clusters: Clusters, threshold: float
) -> dict[str, Any]:
    """The paper's observations, its two settings, and the features of other networks, on the labels of ``train``."""
    ious = context.cluster_ious(labels, lab.train_on, features, clusters, lab.device)
    kinds = context.sides(ious)
    split = {"target": kinds.target, "biased": kinds.biased}
    counts = {name: histogram(clusters.distances[which]) for name, which in split.items()}
    means = {name: float(clusters.distances[which].mean()) for name, which in split.items()}

    def debiased(using: Features, by: Clusters) -> Row:
        return label_row(lab, debias(labels, using, by, DebiasConfig(threshold=threshold), device=lab.device))

    alpha = []
    for share in SHARES:
        turned = clusters.with_share(share)
        alpha.append({"targets": kinds.share(turned.chosen), **debiased(features, turned)})
    grounds = []
    for count in BACKGROUNDS:
        by = cluster(labels, features, DebiasConfig(backgrounds=count), device=lab.device)
        grounds.append({"targets": targets_of(lab, labels, features, by), **debiased(features, by)})
    others: dict[str, Row] = {}
    for name, using in networks(lab, labels).items():
        by = cluster(labels, using, device=lab.device)
        others[name] = {"targets": targets_of(lab, labels, using, by), **debiased(using, by)}
    return {"distances": {"counts": counts, "means": means}, "alpha": alpha, "grounds": grounds, "features": others}


def targets_of(lab: Workbench, labels: PseudoLabels, features: Features, clusters: Clusters) -> float:
    """Share of targets among the chosen clusters."""
    return context.sides(context.cluster_ious(labels, lab.train_on, features, clusters, lab.device)).share(
        clusters.chosen
    )


def networks(lab: Workbench, labels: Records) -> dict[str, Features]:
    """Features by what made them: nothing but colour, chance, no label, labels."""
    mean = torch.stack([labels.batch([i])["images"].mean((0, 2, 3)) for i in range(0, len(labels), 10)]).mean(0)

    def colour(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 4) - mean.to(images)[:, None, None]  # (N, 3, h, w)

    torch.manual_seed(lab.seed)
    known: dict[str, Features] = {"colour": colour}
    weights: dict[str, str | None] = {"random weights": None, "no labels": "unlabelled", "labels": "shipped"}
    for name, held in weights.items():
        known[name] = context.unlabelled_features(lab, labels, backbone("tiny_cnn", weights=held))
    return known


def histogram(distances: Tensor) -> list[int]:
    """Counts in :data:`BINS` bins."""
    return [int(value) for value in torch.histc(distances, BINS, min=0.4, max=0.7).tolist()]


def true_labels(lab: Workbench) -> PseudoLabels:
    """The true masks of the training images."""
    masks = [lab.train_on[number]["mask"] for number in range(len(lab.train_on))]
    return PseudoLabels(lab.train_on, masks, Provenance("truth", "none", lab.seed))


def label_row(lab: Workbench, labels: PseudoLabels) -> Row:
    """The scores of the labels of the training images."""
    return context.row_of(context.label_scores(labels, lab.train_on))


def agnostic(profile: str) -> dict[str, Any]:
    """The network on masks of other methods, as they are and with MARS."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        context.limited(lab)
        classifier = fitted(lab, channels_last(lab.classifier()), epochs=context.passes(lab))
        for name, book in BASES.items():
            method = fitted(lab, channels_last(fresh(lab, name)), epochs=context.passes(lab, book))
            title = registry.entry(name).title
            run = Debiased.of_method(lab, method, name)
            yield f"{title} labels", label_row(lab, run.labels)
            yield title, context.row_of(lab.measure(context.network(lab, classifier, run.labels)[0]))
            yield (
                f"{title} + MARS",
                context.row_of(lab.measure(context.network(lab, classifier, run.cleaned, "weighted")[0])),
            )

    rows, prints = by_seed("mars_methods", profile, measured, world=context.WORLD)
    return {"data": {"rows": rows}, "fingerprint": prints}


def thresholds(profile: str) -> dict[str, Any]:
    """MARS at several similarity thresholds, on ``val`` and on ``test``: what the network itself would choose."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        context.limited(lab)
        method = fitted(lab, channels_last(lab.classifier()), epochs=context.passes(lab))
        labels = context.seed_labels(lab, method, "train")
        features = context.unlabelled_features(lab, labels)
        clusters = cluster(labels, features, device=lab.device)
        for threshold in BY_NETWORK:
            cleaned = debias(labels, features, clusters, DebiasConfig(threshold=threshold), device=lab.device)
            net, _ = context.network(lab, method, cleaned, "weighted")
            on_val = context.row_of(lab.measure(net, "choose"))["miou"]
            yield f"τ = {threshold:g}", context.row_of(lab.measure(net)) | {"val_miou": on_val}

    rows, prints = by_seed("mars_thresholds", profile, measured, world=context.WORLD)
    return {"data": {"rows": rows, "thresholds": BY_NETWORK}, "fingerprint": prints}


def dial(profile: str) -> dict[str, Any]:
    """The labels of CAM, as they are and debiased, while things come along more and more often."""
    rows: dict[str, list[list[Row]]] = {name: [[] for _ in COOCCURRENCE] for name in ("CAM", "debiased")}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        for number, setting in enumerate(COOCCURRENCE):
            lab = context.limited(Workbench(profile, seed=seed, world=replace(context.WORLD, cooccurrence=setting)))
            method = fitted(lab, channels_last(lab.classifier()), epochs=context.passes(lab))
            run = Debiased.of_method(lab, method)
            for name, labels in {"CAM": run.labels, "debiased": run.cleaned}.items():
                rows[name][number].append(label_row(lab, labels))
            prints[f"train-{setting}-{seed}"] = lab.train_on.fingerprint
            say(f"mars_dial {setting}", seed, {name: held[number] for name, held in rows.items()})
    data = {"cooccurrence": {"settings": list(COOCCURRENCE), "rows": rows}}
    note = "labels of train against its masks; where a label was dropped, background"
    return {"data": data, "fingerprint": prints, "note": note}


def cost(profile: str) -> dict[str, Any]:
    """What an update costs, and what the work before the training costs, both beside chapter 1's CAM."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        context.limited(lab)
        method = fitted(lab, channels_last(lab.classifier()), epochs=context.passes(lab))
        labels = context.seed_labels(lab, method, "train")
        few = lab.train_on.batch(range(min(50, len(labels))))
        with torch.no_grad():
            _, made = timed(lambda: method.localize(few["images"].to(lab.device), few["labels"].to(lab.device)))
        features, centred = timed(lambda: context.unlabelled_features(lab, labels))
        clusters, clustered = timed(lambda: cluster(labels, features, device=lab.device))
        cleaned, dropped = timed(lambda: debias(labels, features, clusters, device=lab.device))
        refills: dict[str, Refill] = {"network": "none", "MARS": "weighted"}
        networks: dict[str, nn.Module] = {"CAM": lab.classifier()}
        for name, refill in refills.items():
            networks[name] = lab.build(MARS, replace(context.NETWORK, refill=refill))
        networks = {name: channels_last(net.train()) for name, net in networks.items()}
        steps = step_costs(networks, cleaned.batch(range(min(32, len(cleaned)))), flops=True)
        for name, step in steps.items():
            yield name, {key: step[key] / steps["CAM"][key] for key in step}
        before = (centred + clustered + dropped) / len(labels)
        yield "seconds an image", {"map": made / len(few["images"]), "debiased labels": before}

    rows, prints = by_seed("mars_cost", profile, measured, world=context.WORLD)
    note = "processor time; updates of 32 images over one of CAM; memory is what autograd keeps for the backward pass"
    return {"data": {"rows": rows}, "fingerprint": prints, "note": note}


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and its seconds of processor time."""
    began = time.process_time()
    given = work()
    return given, time.process_time() - began


STUDIES: dict[str, Study] = {
    "mars": comparison,
    "mars_cost": cost,
    "mars_methods": agnostic,
    "mars_dial": dial,
    "mars_thresholds": thresholds,
}
