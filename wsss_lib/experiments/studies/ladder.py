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
from wsss_lib.data.records import IGNORE, Batch, Records
from wsss_lib.evaluate import measure_masks
from wsss_lib.experiments.studies.common import Row, Study, by_seed, fitted
from wsss_lib.experiments.studies.together import as_in_its_chapter
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.contract import Method
from wsss_lib.refine import CRFSettings, dense_crf
from wsss_lib.segment import Provenance, PseudoLabels, Segmenter, certain_labels

METHODS = ("cam", "bas", "seam")
"""Whose maps climb the ladder."""
SEED_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 17))
"""Constant background scores of the seeds, from which ``val`` chooses."""
CRF_THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Those before the dense CRF, which favours what is large: the background."""
CERTAINTY = 0.8
"""Of the dense CRF, from which a pixel is a pseudo-label."""
PUBLISHED_SIDE = 320
"""Sides of VOC's photographs, for which the dense CRF's widths were made, are about so long or longer."""

Prediction = Callable[[Batch], Tensor]


def ladder(profile: str, names: Sequence[str] = METHODS) -> dict[str, Any]:
    """The rungs of each method, and full supervision of the same network."""

    def measured(lab: Workbench) -> Iterator[tuple[str, Row]]:
        yield "ceiling", {"network": network_row(lab, lab.train_on)}
        classifier = fitted(lab, lab.classifier())
        for name in names:
            method = classifier if name == "cam" else as_in_its_chapter(name, lab, classifier)
            yield registry.entry(name).title, rungs(lab, name, method)

    rows, prints = by_seed("ladder", profile, measured)
    note = "Thresholds are chosen on val; seeds and pseudo-labels are reported on train, networks on test."
    return {"data": {"rows": rows, "certainty": CERTAINTY}, "fingerprint": prints, "note": note}


def rungs(lab: Workbench, name: str, method: Method) -> Row:
    """From a trained method's seeds to the network that learnt from its pseudo-labels."""
    height, width = lab.train_on[0]["image"].shape[1:]
    settings = CRFSettings.irn().resized(max(height, width) / PUBLISHED_SIDE)  # on val better than psa's
    seeds = chosen(lab, seeding(method), SEED_THRESHOLDS)
    refined = chosen(lab, refining(method, settings), CRF_THRESHOLDS)
    threshold = refined["threshold"]

    def sure(batch: Batch) -> Tensor:
        return certain_labels(sharpened(method, batch, threshold, settings), CERTAINTY)

    how = Provenance(name, "dense CRF", lab.seed, {"background": threshold, "certainty": CERTAINTY})
    labels = PseudoLabels.of(lab.train_on, sure, how, network=method, device=lab.device)
    return {
        "seed": seeds,
        "refined": refined,
        "pseudo_labels": {
            "coverage": labels.coverage(),
            "without_object": labels.without_object,
            **sure_pixels(labels, lab.train_on),
        },
        "network": network_row(lab, labels),
    }


def network_row(lab: Workbench, records: Records) -> Row:
    """What the segmentation network reaches on ``test`` with the masks of the records."""
    network = channels_last(lab.build(Segmenter))
    lab.fit(network, records)
    return lab.measure(network).numbers({})


def chosen(lab: Workbench, predict: Callable[[Sequence[float]], Prediction], thresholds: Sequence[float]) -> Row:
    """Masks at the threshold that is best on ``val``: its numbers on ``train`` and on ``test``."""
    curve = measure_masks(predict(thresholds), lab.choose_on, choices=thresholds, device=lab.device).curves()["miou"]
    best = metrics.choose_threshold(curve).value

    def one(batch: Batch) -> Tensor:
        return predict((best,))(batch)[0]

    numbers = {
        split: measure_masks(one, records, device=lab.device).numbers({})
        for split, records in (("train", lab.train_on), ("test", lab.report_on))
    }
    return {"threshold": best, **numbers}


def seeding(method: Method) -> Callable[[Sequence[float]], Prediction]:
    """Seeds at thresholds: (thresholds, N, H, W) of a batch."""

    def at(thresholds: Sequence[float]) -> Prediction:
        def predict(batch: Batch) -> Tensor:
            heat = heats(method, batch)
            return torch.stack([maps.seeds(heat, batch["labels"], threshold) for threshold in thresholds])

        return predict

    return at


def refining(method: Method, settings: CRFSettings) -> Callable[[Sequence[float]], Prediction]:
    """The likeliest labels after the dense CRF, at thresholds before it: (thresholds, N, H, W) of a batch."""

    def at(thresholds: Sequence[float]) -> Prediction:
        def predict(batch: Batch) -> Tensor:
            return torch.stack([sharpened(method, batch, t, settings).argmax(dim=1) for t in thresholds])

        return predict

    return at


def heats(method: Method, batch: Batch) -> Tensor:
    """Maps (N, K, H, W) of the classes that the labels name, at the images' size."""
    height, width = batch["images"].shape[2:]
    return maps.resize(method.localize(batch["images"], batch["labels"]), (height, width))


def sharpened(method: Method, batch: Batch, threshold: float, settings: CRFSettings) -> Tensor:
    """Probabilities (N, K + 1, H, W) after the dense CRF, the background's first."""
    heat = heats(method, batch)
    scores = maps.with_background(heat, maps.background_constant(heat, threshold))
    return dense_crf(scores, batch["images"], settings)


def sure_pixels(labels: PseudoLabels, truth: Records) -> Row:
    """mIoU and precision of pseudo-labels over the pixels that they label."""
    confusion = metrics.ConfusionMatrix(len(truth.classes) + 1)
    for index, mask in enumerate(labels.masks):
        known = torch.where(mask == IGNORE, IGNORE, truth[index]["mask"])  # an ignored pixel is asked of nobody
        confusion.update(torch.where(mask == IGNORE, 0, mask.long())[None], known[None])
    numbers = metrics.mean_mask_scores(confusion.matrix)
    return {"miou": numbers["miou"], "precision": numbers["precision"]}


STUDIES: dict[str, Study] = {"ladder": ladder}
