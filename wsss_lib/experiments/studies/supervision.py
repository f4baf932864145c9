"""Chapter 12's last question, what each kind of supervision buys: a label, a point, a box and a mask of one network.

The network, its images and its updates are those of the ladder (:mod:`wsss_lib.experiments.studies.ladder`); only what
the training masks say differs. Sentences have a network of their own, DTMR; here somebody tells it the region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from wsss_lib import maps
from wsss_lib.data.records import IGNORE, Batch, Records
from wsss_lib.experiments.grounding import bench, row
from wsss_lib.experiments.packing import packed
from wsss_lib.experiments.studies import dtmr, ladder
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, by_seed, say
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.dtmr import DTMR, joined, over_pairs
from wsss_lib.refine import dense_crf
from wsss_lib.segment import Provenance, PseudoLabels, Segmenter, certain_labels

MASKED = (5, 25, 100)
"""So many images have true masks, and the others nothing but the label that the classifier saw; then all have."""
TOLD = (0.05, 1.0)
"""Shares of the scenes in which somebody points at the region that each sentence means."""
CORE = 0.2
"""Share of a box, its middle, that is taken for the thing; we chose it."""
SHOWN, SIDE = 3, 48
"""Images of ``test`` whose masks are kept, the first ones, and the side at which they are."""

Predict = Callable[[Batch], Tensor]


def clicks(seed: int) -> Predict:
    """One pixel of each thing that an image shows, and one of the ground, each drawn at random; all others ignored."""
    generator = torch.Generator().manual_seed(seed)

    def clicked(batch: Batch) -> Tensor:
        masks = batch["masks"]  # (N, H, W)
        kept = torch.full_like(masks, IGNORE)
        for mask, label, one in zip(masks.flatten(1), batch["labels"], kept.flatten(1), strict=True):
            for value in (0, *(label.nonzero()[:, 0] + 1).tolist()):
                places = (mask == value).nonzero()[:, 0]
                if len(places):
                    one[places[int(torch.randint(len(places), (1,), generator=generator))]] = value
        return kept

    return clicked


def filled(batch: Batch) -> Tensor:
    """Boxes taken for masks: all of a box is the thing, (N, H, W); where boxes overlap, the smaller one lies on top."""
    masks = torch.zeros_like(batch["masks"])
    for mask, boxes, labels in zip(masks, batch["boxes"], batch["box_labels"], strict=True):
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        for index in areas.argsort(descending=True).tolist():
            x0, y0, x1, y1 = boxes[index].round().long().tolist()
            mask[y0:y1, x0:x1] = int(labels[index]) + 1
    return masks


def cored(batch: Batch) -> Tensor:
    """What a box makes likely, (N, H, W): beside it is ground, and its middle is the thing; the rest is ignored.

    Source: the idea is that of Khoreva et al. 2017, *Simple does it*, box-i.
    """
    whole = filled(batch)
    middles = [
        torch.cat([centre - half, centre + half], dim=1)
        for boxes in batch["boxes"]
        for centre, half in [((boxes[:, :2] + boxes[:, 2:]) / 2, CORE**0.5 * (boxes[:, 2:] - boxes[:, :2]) / 2)]
    ]
    sure = filled({**batch, "boxes": middles})
    return torch.where(sure > 0, sure, torch.where(whole > 0, IGNORE, 0))


def supervision(profile: str) -> dict[str, Any]:
    """The segmentation network by what it was told: labels, points, boxes, masks of a few images, masks of all."""
    kept: dict[str, str] = {}
    rows, prints = by_seed("supervision", profile, lambda lab: measured(lab, kept))
    data = {"rows": rows, "masks": kept, "shown": SHOWN, "side": SIDE, "masked": MASKED, "images": ladder.LABELLED}
    note = (
        "one network, one number of updates; numbers from test, where nobody gives labels; refined: what a first "
        "network says of the training images, sharpened by a dense CRF, teaches a second one; CAM is the first one of "
        "the labels; the masks that are kept are of seed 0"
    )
    return {"data": data, "fingerprint": prints, "note": note}


def measured(lab: Workbench, kept: dict[str, str]) -> Iterator[tuple[str, Row]]:
    """The rows of one run; the masks of the first run are put into ``kept``."""
    ladder.limited(lab)
    cam = ladder.trained(lab, "cam")
    images = lab.limit("train", most=ladder.LABELLED)
    steps = (lab.recipe().epochs or 1) * -(-len(images) // ladder.BATCH)

    def network(name: str, records: Records) -> tuple[Segmenter, tuple[str, Row]]:
        net = ladder.taught(lab, records, cam.backbone, epochs=None, steps=steps)
        if lab.seed == SEEDS[0]:
            kept[name] = outlined(lab, net, SHOWN, SIDE)
        return net, (name, lab.measure(net).numbers({}))

    threshold = ladder.best_threshold(lab, ladder.refining(cam, ladder.widths(lab)), ladder.CRF_THRESHOLDS)

    def of_maps(batch: Batch) -> Tensor:
        heat = ladder.heats(cam, batch)
        return maps.with_background(heat, maps.background_constant(heat, threshold))

    yield network("labels", sharpened(lab, of_maps, "cam"))[1]
    for name, make in {"points": clicks(lab.seed), "boxes": filled, "box middles": cored}.items():
        first, result = network(name, PseudoLabels.of(images, make, Provenance(name, "none", lab.seed)))
        yield result
        yield network(f"{name}, refined", sharpened(lab, allowed(first, boxes=name != "points"), name))[1]
    for count in MASKED:
        yield network(f"masks of {count} images", images.subset(range(min(count, len(images)))))[1]
    yield network("masks", images)[1]


def allowed(network: Segmenter, *, boxes: bool) -> Predict:
    """What a network says of training images: (N, K + 1, H, W), nothing but what is known to be there.

    Args:
        network: Trained.
        boxes: Whether a thing may be in its boxes only.
    """

    @torch.no_grad()
    def predict(batch: Batch) -> Tensor:
        scores = network(batch["images"]).softmax(dim=1)  # (N, K + 1, H, W)
        known = batch["labels"].to(scores)[:, :, None, None].expand_as(scores[:, 1:])  # (N, K, H, W)
        if boxes:
            inside = F.one_hot(filled(batch), scores.shape[1]).permute(0, 3, 1, 2)[:, 1:]
            known = known * inside.to(scores)
        things = scores[:, 1:] * known
        return torch.cat([1 - things.sum(dim=1, keepdim=True), things], dim=1)

    return predict


def sharpened(lab: Workbench, predict: Predict, name: str) -> PseudoLabels:
    """Pseudo-labels of the training images: what the dense CRF is sure of, given probabilities or scores."""

    @torch.no_grad()
    def sure(batch: Batch) -> Tensor:
        return certain_labels(dense_crf(predict(batch), batch["images"], ladder.widths(lab)), ladder.CERTAINTY)

    how = Provenance(name, "dense CRF", lab.seed, {"certainty": ladder.CERTAINTY})
    return PseudoLabels.of(lab.train_on, sure, how, device=lab.device)


@torch.no_grad()
def outlined(lab: Workbench, network: Segmenter, count: int, side: int) -> str:
    """Where a network sees any thing in the first images of ``test``, at a smaller side, as text."""
    things = network.answer(lab.examples(count)).gt(0).float()
    return packed(maps.resize(things[:, None], (side, side))[:, 0])


class ToldDTMR(DTMR):
    r"""DTMR that is told which region a sentence means: nothing is rebuilt.

    .. math:: L = -\log \textstyle\sum_j a_{i^* j}

    a is the shared distribution over pairs, i* the region that is meant. The network and its answer stay the same.
    """

    needs = (*DTMR.needs, "sentence_boxes")

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``region``: cross-entropy of the region that is meant; 0 without a sentence."""
        pairs, *_ = self.match(batch)
        meant = [
            box_iou(boxes, proposals).argmax(1)
            for boxes, proposals in zip(batch["sentence_boxes"], batch["proposals"], strict=True)
            if len(proposals) and len(boxes)
        ]
        if not meant:
            return {"region": pairs.target.sum() * 0}
        chance = over_pairs(joined(pairs)).sum(dim=2)  # (S, P)
        return {"region": F.nll_loss(chance.clamp_min(1e-12).log(), torch.cat(meant).to(chance.device))}


def sentences(profile: str) -> dict[str, Any]:
    """DTMR's network where somebody points at the region of each sentence, in all scenes and in a few."""
    rows: dict[str, list[Row]] = {}
    prints: dict[str, str] = {}
    settings = registry.entry("dtmr").configured()
    for seed in SEEDS:
        lab = bench(profile, seed)
        steps = (lab.recipe(lab.build("dtmr")).epochs or 1) * -(-len(lab.train_on) // dtmr.BATCH)
        for share in TOLD:
            method = lab.build(ToldDTMR, settings)
            few = lab.train_on.subset(range(max(1, round(share * len(lab.train_on)))))
            lab.fit(method, few, epochs=None, steps=steps)
            name = f"regions of {share:.0%} of the scenes"
            rows.setdefault(name, []).append(row(lab, method))
            say("supervision_sentences", seed, {name: rows[name]})
        prints[f"test-{seed}"] = lab.report_on.fingerprint
    data = {"rows": rows, "told": TOLD, "scenes": len(lab.train_on)}
    return {"data": data, "fingerprint": prints, "note": dtmr.NOTE}


STUDIES: dict[str, Study] = {"supervision": supervision, "supervision_sentences": sentences}
