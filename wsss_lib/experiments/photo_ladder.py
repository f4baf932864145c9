"""Chapter 9's ladder on photographs: from a classifier's maps to a network that learnt from their pseudo-labels.

    rows, about = climbed(lab)       # of one seed; a lab of photographs with a frozen trunk

One split chooses every threshold, and another one reports every rung: the cut maps, the same behind a dense CRF, and
the network, which learnt from labels of other images, made in the same way. A network is asked twice: as it is used,
when nobody gives it the labels of an image; and given these, as the maps are, so that it may be compared with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib import maps, metrics
from wsss_lib.data.records import Batch, Records
from wsss_lib.evaluate import measure_masks
from wsss_lib.experiments.networks import trunk_kept
from wsss_lib.experiments.studies import ladder
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.cam import CAM
from wsss_lib.methods.contract import Method
from wsss_lib.refine import CRFSettings, dense_crf
from wsss_lib.segment import Provenance, PseudoLabels, Segmenter, certain_labels, only_given

SEEDS, REFINED, ARG_MAX, NETWORK, SHARPENED = "CAM", "CAM + CRF", "network, arg max", "network", "network + CRF"
"""The rungs."""
CEILING = "full supervision"
"""The same network, which learnt from the true masks of the same images; its threshold is chosen as the network's."""
GIVEN = ", labels given"
"""Behind the name of a network that was given the labels of the images."""
EVERY = 2
"""Of so many images that a classifier learnt from, one gets a pseudo-label and teaches the network."""
CRF_SIDE, OF_THE_PAPERS = 160, 500
"""Pixels of the longer side at which the dense CRF works, a quarter of the pixels of VOC's photographs as they are
stored here; and for which its widths were published."""
CRF_THRESHOLDS = (0.05, 0.1, 0.2, 0.3)
"""Constant background scores before the dense CRF, from which one is chosen."""
LOWERED = (0.0, 0.5, 1.0, 1.5)
"""What may be taken from the score of a network's background, a logit."""
POSSIBLE = 0.001
"""A label that no pixel of an image has with this probability is left out of the dense CRF: it would not win there."""
CERTAINTY = 0.8
"""Of the dense CRF, from which a pixel is a pseudo-label."""


def climbed(lab: Workbench, cam: CAM | None = None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """All rungs of one seed, and the ceiling.

    Args:
        lab: Of photographs.
        cam: Its classifier, trained; None: one is trained for them.

    Returns:
        By the name of the rung, its scores on the split that is reported; and how the pseudo-labels came out.
    """
    if cam is None:
        cam = channels_last(lab.classifier())
        lab.fit(cam)
    threshold = crf_threshold(lab, cam)
    rows = maps_rows(lab, cam, threshold)
    labels = pseudo_labels(lab, cam, threshold)
    rows |= network_rows(lab, ladder.taught(lab, labels, cam.backbone))
    ceiling = network_rows(lab, ladder.taught(lab, labels.parent, cam.backbone), crf=False)
    return rows | {CEILING + given: ceiling[NETWORK + given] for given in ("", GIVEN)}, about(labels)


def about(labels: PseudoLabels) -> dict[str, Any]:
    """How pseudo-labels came out: how many, their scores where they say something, and how much they leave open."""
    scored = ladder.scored(labels.masks, labels.parent)
    counts = {"labelled": len(labels), "without_object": labels.without_object}
    return {"background": labels.provenance.thresholds["background"], "coverage": labels.coverage(), **counts, **scored}


def maps_rows(lab: Workbench, method: Method, threshold: float) -> dict[str, dict[str, Any]]:
    """The honest row of the maps, with the precision and the recall of the seeds beside it; and the scores of the maps
    behind the dense CRF. The image labels are given.

    Args:
        lab: Its splits choose and report.
        method: Trained.
        threshold: The background's score before the CRF.
    """
    row = lab.scores(method.eval())
    cut = row["thresholds"]["miou"]

    def predict(batch: Batch) -> Tensor:
        heat = ladder.heats(method, batch)
        sharp = sharp_masks(heat, batch["images"], (threshold,))
        return torch.cat([maps.seeds(heat, batch["labels"], cut)[None], sharp])

    with trunk_kept(method):
        measured = measure_masks(predict, lab.report_on, choices=range(2), device=lab.device)
    seeds, refined = (measured.numbers({"miou": number}) for number in range(2))
    behind = {**refined, "thresholds": {"miou": threshold}, "images": measured.images}
    return {SEEDS: {**seeds, **row}, REFINED: behind}


def crf_threshold(lab: Workbench, method: Method, thresholds: Sequence[float] = CRF_THRESHOLDS) -> float:
    """The background score before the dense CRF that is best on the split that chooses."""

    def predict(batch: Batch) -> Tensor:
        return sharp_masks(ladder.heats(method, batch), batch["images"], thresholds)

    with trunk_kept(method):
        curve = measure_masks(predict, lab.choose_on, choices=thresholds, device=lab.device).curves()["miou"]
    return metrics.choose_threshold(curve).value


def pseudo_labels(
    lab: Workbench, method: Method, threshold: float, certainty: float = CERTAINTY, records: Records | None = None
) -> PseudoLabels:
    """The masks of the training images behind the dense CRF, 255 where it is not certain; from image labels alone.

    Args:
        lab: Of its ``train_on`` each image in :data:`EVERY` gets a label, if no other ``records`` do.
        method: Trained.
        threshold: The background's score before the CRF.
        certainty: From which a pixel has a label; 0 labels every pixel.
        records: Images with their labels.
    """

    def predict(batch: Batch) -> Tensor:
        heat = ladder.heats(method, batch)
        return certain_labels(sharp_maps(heat, batch["images"], threshold), certainty)

    records = records or lab.train_on.subset(range(0, len(lab.train_on), EVERY))
    how = Provenance("cam", "dense CRF", lab.seed, {"background": threshold, "certainty": certainty})
    with trunk_kept(method):
        return PseudoLabels.of(records, predict, how, network=method, device=lab.device)


def network_rows(lab: Workbench, network: Segmenter, crf: bool = True) -> dict[str, dict[str, Any]]:
    """A network's scores on the split that is reported, by the names of the rungs.

    A map has a threshold, which is chosen. So has a network here: how far the score of its background is lowered, once
    for the network and once for what stands behind the CRF. Its plain arg max is measured beside it.

    Args:
        lab: Its splits choose and report.
        network: Trained.
        crf: Whether the rungs behind a dense CRF are measured too, which takes most of the time.
    """
    plain, *behind = lowerings(lab, network, crf)
    rungs = [(ARG_MAX, 0.0), (NETWORK, plain), (NETWORK + GIVEN, plain)]
    rungs += [(name, lowered) for lowered in behind for name in (SHARPENED, SHARPENED + GIVEN)]

    def predict(batch: Batch) -> Tensor:
        scores, images = network(batch["images"]), batch["images"]
        both = [
            lowered_by(by, each) for by in (plain, *behind) for each in (scores, only_given(scores, batch["labels"]))
        ]
        masks = maps.likeliest(torch.stack([scores, *both[:2]]))
        return torch.cat([masks, sharp_labels(torch.stack(both[2:]), images)]) if behind else masks

    with trunk_kept(network.eval()):
        measured = measure_masks(predict, lab.report_on, choices=range(len(rungs)), device=lab.device)
    return {
        name: {**measured.numbers({"miou": number}), "lowered": by, "images": measured.images}
        for number, (name, by) in enumerate(rungs)
    }


def lowerings(lab: Workbench, network: Segmenter, crf: bool = True) -> tuple[float, ...]:
    """How far the background's score is best lowered on the split that chooses: plain and, with ``crf``, before it."""
    count = len(LOWERED)

    def predict(batch: Batch) -> Tensor:
        scores = network(batch["images"])
        each = torch.stack([lowered_by(by, scores) for by in LOWERED])
        masks = maps.likeliest(each)
        return torch.cat([masks, sharp_labels(each, batch["images"])]) if crf else masks

    with trunk_kept(network.eval()):
        measured = measure_masks(predict, lab.choose_on, choices=range((1 + crf) * count), device=lab.device)
    values = measured.curves()["miou"].values
    return tuple(LOWERED[int(part.argmax())] for part in values.split(count))


def lowered_by(by: float, scores: Tensor) -> Tensor:
    """Logits (N, K + 1, H, W), the background's first, and so much taken from it."""
    return torch.cat([scores[:, :1] - by, scores[:, 1:]], dim=1)


def sharp_labels(scores: Tensor, images: Tensor) -> Tensor:
    """The likeliest labels (T, N, H, W) behind a dense CRF over images (N, 3, H, W).

    A class that no pixel of an image has with a probability of :data:`POSSIBLE` is none of its labels.

    Args:
        scores: (T, N, K + 1, H, W) logits of networks, the background's first.
        images: The same for all T.
    """
    likely = scores.softmax(dim=2)
    possible = likely.amax(dim=(3, 4)) >= POSSIBLE  # (T, N, K + 1)
    possible[:, :, 0] = True
    return _behind_crf(likely.masked_fill(~possible[..., None, None], 0), images)


def sharp_masks(heat: Tensor, images: Tensor, thresholds: Sequence[float]) -> Tensor:
    """The likeliest labels (thresholds, N, H, W) of maps (N, K, H, W) behind the dense CRF."""
    return _behind_crf(ladder.backgrounds(heat, thresholds), images)


def _behind_crf(scores: Tensor, images: Tensor) -> Tensor:
    """The likeliest labels (T, N, H, W) behind the CRF; those whose scores (T, N, L, H, W) are zero are left out."""
    some = scores.amax(dim=(0, 1, 3, 4)) > 0
    return some.nonzero()[:, 0][maps.likeliest(sharpened(scores[:, :, some], images))]


def sharp_maps(heat: Tensor, images: Tensor, threshold: float) -> Tensor:
    """Probabilities (N, K + 1, H, W) of maps (N, K, H, W) behind the dense CRF, the background's first."""
    return sharpened(ladder.backgrounds(heat, (threshold,)), images)[0]


@torch.no_grad()
def sharpened(scores: Tensor, images: Tensor) -> Tensor:
    """Scores (T, N, L, H, W) behind a dense CRF over images (N, 3, H, W), which works on :data:`CRF_SIDE` pixels."""
    height, width = images.shape[2:]
    factor = min(1.0, CRF_SIDE / max(height, width))
    size = (max(1, round(factor * height)), max(1, round(factor * width)))
    small = F.interpolate(images, size, mode="bilinear", antialias=True)
    coarse = maps.resize(scores.flatten(0, 1), size).unflatten(0, scores.shape[:2])
    sharp = dense_crf(coarse, small, CRFSettings().resized(max(size) / OF_THE_PAPERS))
    return maps.resize(sharp.flatten(0, 1), (height, width)).unflatten(0, scores.shape[:2])
