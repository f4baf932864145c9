"""The ladder from maps to a network: seed, refined seed, pseudo-label, network, ceiling; by one rule.

Three mIoUs are easily taken for one another. *Seed* and *pseudo-label* are measured on ``train`` with the image labels
given; the *network* on ``test``, where nobody gives it labels. Every threshold is chosen on ``val``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from wsss_lib import maps, metrics
from wsss_lib.backbones import Backbone
from wsss_lib.data.records import IGNORE, Batch, Records
from wsss_lib.evaluate import measure_masks
from wsss_lib.experiments import recipes
from wsss_lib.experiments.studies import seam
from wsss_lib.experiments.studies.common import Row, Study, by_seed, fitted
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.contract import Method
from wsss_lib.refine import CRFSettings, dense_crf
from wsss_lib.segment import (
    MARS,
    AffinityConfig,
    AffinityNet,
    Provenance,
    PseudoLabels,
    Segmenter,
    SegmenterConfig,
    certain_labels,
)

METHODS = ("cam", "bas", "seam", "ssc", "esol")
"""Whose maps climb the ladder."""
IMAGES, LABELLED, CHOSEN_ON, REPORTED = recipes.SSC_IMAGES, 500, 30, 120
"""Of ``train``, those of them that get pseudo-labels and teach the networks, of ``val`` and of ``test``: a dense CRF of
each image, at each threshold, takes most of the time."""
NETWORK = SegmenterConfig(width=32, dilations=(6,), scene=True, shallow="stage2")
"""The network, small enough for eighteen of them; the first stage of the small CNN would make its decoder four times as
slow."""
ON_PHOTOGRAPHS = SegmenterConfig(width=32, dilations=(1, 3), scene=True, shallow="")
"""The network on photographs: it reads nothing but what a frozen trunk makes of them, on a grid of 16 pixels."""
AFFINITY = AffinityConfig(width=16, steps=256)
"""Half the width, for half the time; as many steps as AffinityNet takes, which ``val`` preferred to 64 and 16."""
BATCH = 8
"""Images of a step of either: a quarter of the recipe's, so four times as many steps in as many passes."""
SEED_THRESHOLDS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 17)))
"""Constant background scores of the seeds, before and after the walk, from which ``val`` chooses."""
CRF_THRESHOLDS = (0.02, 0.1, 0.25, 0.45)
"""Those before the dense CRF, which favours what is large: the background."""
CERTAINTY = 0.8
"""Of the dense CRF, from which a pixel is a pseudo-label."""
PUBLISHED_SIDE = 320
"""Sides of VOC's photographs, for which the dense CRF's widths were made, are about so long or longer."""

Prediction = Callable[[Batch], Tensor]


def ladder(profile: str, names: Sequence[str] = METHODS) -> dict[str, Any]:
    """The rungs of each method, and full supervision of the same network."""

    rows, prints = by_seed("ladder", profile, lambda lab: measured(lab, names))
    note = (
        "thresholds chosen on val; seeds, walked and refined ones and pseudo-labels reported on train with the image "
        "labels given, networks on test without, where not said otherwise"
    )
    images = {"classifiers": IMAGES, "train": LABELLED, "val": CHOSEN_ON, "test": REPORTED}
    return {"data": {"rows": rows, "certainty": CERTAINTY, "images": images}, "fingerprint": prints, "note": note}


def measured(lab: Workbench, names: Sequence[str] = METHODS) -> Iterator[tuple[str, Row]]:
    """The rows of one run."""
    limited(lab)
    methods = {name: trained(lab, name) for name in dict.fromkeys(("cam", *names))}
    labelled = lab.limit("train", most=LABELLED)
    start = methods["cam"].backbone
    yield "ceiling", {"network": network_row(lab, labelled, start)}
    for name in names:
        yield registry.entry(name).title, rungs(lab, name, methods[name], start)


def limited(lab: Workbench) -> Workbench:
    """The same lab, with as many images as the ladder takes."""
    for split, most in (("train", IMAGES), ("choose", CHOSEN_ON), ("report", REPORTED)):
        lab.limit(split, most=most)  # type: ignore[arg-type]
    return lab


def trained(lab: Workbench, name: str) -> Method:
    """A method after its chapter's recipe."""
    changes = {"epochs": seam.passes(lab)} if name == "seam" else {}
    return fitted(lab, channels_last(lab.build(name)), **changes)


def rungs(lab: Workbench, name: str, method: Method, start: Backbone) -> Row:
    """From a trained method's seeds to the network that learnt from its pseudo-labels."""
    seeds = chosen(lab, seeding(method), SEED_THRESHOLDS)
    walk = chosen(lab, walking(method, affinities(lab, name, method, seeds["threshold"])), SEED_THRESHOLDS)
    labels, refined = labelled(lab, name, method)
    return {
        "seed": seeds,
        "walk": walk,
        "refined": {"threshold": labels.provenance.thresholds["background"], **scored(refined, lab.train_on)},
        "pseudo_labels": {
            "coverage": labels.coverage(),
            "without_object": labels.without_object,
            **scored(labels.masks, lab.train_on),
        },
        "network": network_row(lab, labels, start),
    }


def labelled(lab: Workbench, name: str, method: Method) -> tuple[PseudoLabels, list[Tensor]]:
    """A trained method's pseudo-labels; and, of the same images, the refined masks (H, W) that label every pixel."""
    threshold = best_threshold(lab, refining(method, widths(lab)), CRF_THRESHOLDS)
    refined: list[Tensor] = []

    def sure(batch: Batch) -> Tensor:
        sharp = sharpened(method, batch, threshold, widths(lab))
        refined.extend(maps.likeliest(sharp).cpu())
        return certain_labels(sharp, CERTAINTY)

    how = Provenance(name, "dense CRF", lab.seed, {"background": threshold, "certainty": CERTAINTY})
    return PseudoLabels.of(lab.train_on, sure, how, network=method, device=lab.device), refined


def widths(lab: Workbench) -> CRFSettings:
    """The dense CRF's, for images of the lab's size."""
    return CRFSettings().resized(max(lab.train_on[0]["image"].shape[1:]) / PUBLISHED_SIDE)


def network_row(lab: Workbench, records: Records, start: Backbone, network: Segmenter | None = None) -> Row:
    """What the segmentation network reaches on ``test`` with the masks of the records.

    ``given``: the same network with the image labels given, on ``test`` and on the images from whose masks it learnt,
    as its labels were made. ``sharpened``: behind a dense CRF, on ``test``, no label given. The arguments are those of
    :func:`taught`.
    """
    network = taught(lab, records, start, network)

    @torch.no_grad()
    def behind_crf(batch: Batch) -> Tensor:
        return maps.likeliest(dense_crf(network(batch["images"]).softmax(dim=1), batch["images"], widths(lab)))

    given = {
        split: measure_masks(network.answer_given, truth, device=lab.device).numbers({})
        for split, truth in (("train", lab.train_on), ("test", lab.report_on))
    }
    sharp = measure_masks(behind_crf, lab.report_on, device=lab.device).numbers({})
    return {**lab.measure(network).numbers({}), "given": given, "sharpened": sharp}


def taught(
    lab: Workbench, records: Records, start: Backbone, network: Segmenter | None = None, **changes: Any
) -> Segmenter:
    """The segmentation network after learning from the masks of the records, in evaluation mode.

    Its backbone starts as the classifier's, ``start``, which knows the classes. On photographs whose trunk is frozen it
    learns behind the trunk, from masks on a grid of 4 pixels, the mirror images too. It then answers for photographs of
    any size.

    Args:
        lab: Has built the classifier.
        records: Images with masks, such as :class:`wsss_lib.segment.PseudoLabels` of the lab's photographs.
        start: The classifier's backbone.
        network: A fresh one, which the lab has built; None for :data:`NETWORK`, or :data:`ON_PHOTOGRAPHS`. On
            photographs it must read the deepest stage alone (``shallow=""``) to learn behind the trunk.
        changes: Of the recipe.
    """
    config = NETWORK if lab.drawn else ON_PHOTOGRAPHS
    network = channels_last(lab.build(Segmenter, config) if network is None else network)
    network.backbone.load_state_dict(start.state_dict())
    if isinstance(network, MARS):
        network.teacher.follow(network, momentum=0.0)
    lab.fit(network, records, **{"batch_size": BATCH} | changes)
    return network.eval()


def affinities(lab: Workbench, name: str, method: Method, threshold: float) -> AffinityNet:
    """AffinityNet, taught in one pass by what the maps are sure of: above twice the threshold, and below half of it."""
    low, high = threshold / 2, min(2 * threshold, 0.9)

    def sure(batch: Batch) -> Tensor:
        return maps.confident_seeds(heats(method, batch), batch["labels"], low, high)

    how = Provenance(name, "none", lab.seed, {"low": low, "high": high})
    net = channels_last(lab.build(AffinityNet, AFFINITY))
    lab.fit(net, PseudoLabels.of(lab.train_on, sure, how, network=method), epochs=1, batch_size=BATCH)
    return net


def best_threshold(
    lab: Workbench, predict: Callable[[Sequence[float]], Prediction], thresholds: Sequence[float]
) -> float:
    """The one with the best mIoU on ``val``."""
    curve = measure_masks(predict(thresholds), lab.choose_on, choices=thresholds, device=lab.device).curves()["miou"]
    return metrics.choose_threshold(curve).value


def chosen(lab: Workbench, predict: Callable[[Sequence[float]], Prediction], thresholds: Sequence[float]) -> Row:
    """The threshold that is best on ``val``, and the numbers of its masks on ``train``."""
    best = best_threshold(lab, predict, thresholds)

    def one(batch: Batch) -> Tensor:
        return predict((best,))(batch)[0]

    return {"threshold": best, **measure_masks(one, lab.train_on, device=lab.device).numbers({})}


def seeding(method: Method) -> Callable[[Sequence[float]], Prediction]:
    """Seeds at thresholds: (thresholds, N, H, W) of a batch."""

    def at(thresholds: Sequence[float]) -> Prediction:
        def predict(batch: Batch) -> Tensor:
            heat = heats(method, batch)
            return torch.stack([maps.seeds(heat, batch["labels"], threshold) for threshold in thresholds])

        return predict

    return at


def walking(method: Method, net: AffinityNet) -> Callable[[Sequence[float]], Prediction]:
    """Seeds after a random walk. A constant background stays what it is, so that the maps walk once for all."""

    def at(thresholds: Sequence[float]) -> Prediction:
        @torch.no_grad()
        def predict(batch: Batch) -> Tensor:
            walked = net.eval().walk(batch["images"], heats(method, batch))  # (N, K, H, W)
            walked = maps.normalise(walked, "max")
            return torch.stack([maps.seeds(walked, batch["labels"], threshold) for threshold in thresholds])

        return predict

    return at


def refining(method: Method, settings: CRFSettings) -> Callable[[Sequence[float]], Prediction]:
    """The likeliest labels after the dense CRF, at thresholds before it: (thresholds, N, H, W) of a batch."""

    def at(thresholds: Sequence[float]) -> Prediction:
        def predict(batch: Batch) -> Tensor:
            scores = backgrounds(heats(method, batch), thresholds)
            return maps.likeliest(dense_crf(scores, batch["images"], settings))

        return predict

    return at


@torch.no_grad()
def heats(method: Method, batch: Batch) -> Tensor:
    """Maps (N, K, H, W) of the classes that the labels name, at the images' size."""
    height, width = batch["images"].shape[2:]
    return maps.resize(method.localize(batch["images"], batch["labels"]), (height, width))


def sharpened(method: Method, batch: Batch, threshold: float, settings: CRFSettings) -> Tensor:
    """Probabilities (N, K + 1, H, W) after the dense CRF, the background's first."""
    return dense_crf(backgrounds(heats(method, batch), (threshold,))[0], batch["images"], settings)


def backgrounds(heat: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Maps (N, K, H, W) behind constant backgrounds: (thresholds, N, K + 1, H, W), the background's first."""
    return torch.stack([maps.with_background(heat, maps.background_constant(heat, t)) for t in thresholds])


def scored(masks: Sequence[Tensor], truth: Records) -> Row:
    """The numbers of masks over the pixels that they label."""
    confusion = metrics.ConfusionMatrix(len(truth.classes) + 1)
    for index, mask in enumerate(masks):
        known = torch.where(mask == IGNORE, IGNORE, truth[index]["mask"])  # an ignored pixel is asked of nobody
        confusion.update(torch.where(mask == IGNORE, 0, mask.long())[None], known[None])
    return metrics.mean_mask_scores(confusion.matrix)


STUDIES: dict[str, Study] = {"ladder": ladder}
