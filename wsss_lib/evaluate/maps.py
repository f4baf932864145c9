"""One protocol for every method: measure two splits in the same way, choose on one, report the other.

    val, test = (measure(method, load("critters", split=s)) for s in ("val", "test"))
    row = scores(choose=val, report_on=test)

Baseline and method go through these two functions and no others, so that they differ in nothing but the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wsss_lib import maps, metrics
from wsss_lib.data.records import Batch, Records, to_device, unpadded_batches
from wsss_lib.methods.contract import Method
from wsss_lib.modes import evaluating

THRESHOLDS = 100
"""Steps of every threshold sweep: 0, 0.01, …, 0.99."""


@dataclass
class Measured:
    """What one pass over a split counted; nothing is chosen yet. Used in chapter 1.

    Attributes:
        split, fingerprint, classes: Of the records.
        images: How many were seen.
        masked: How many of them have a mask; the others are measured by their boxes alone.
        scales, flip: At which sizes, and whether mirrored too.
        labels_given: Whether absent classes were removed by the image labels, as the field does for seeds.
        seeds: Pixels by threshold, class and target: the mIoU at every threshold.
        foreground: The same without classes: the IoU of object against background.
        boxes: Box hits by threshold, over images with exactly one object.
        pixels: Pixel scores, for PxAP.
        logits, labels: (N, K), or None for a method without a classifier.
        on_head, head_area, inside: Per image: share of the object's map mass that lies on the head, the head's share of
            the object's area, and the share of all mass that lies on the object. Empty where parts are unknown.
    """

    split: str
    fingerprint: str
    classes: tuple[str, ...]
    labels_given: bool
    seeds: metrics.ThresholdSweep
    foreground: metrics.ForegroundSweep
    boxes: metrics.BoxSweep
    pixels: metrics.PixelAveragePrecision
    images: int = 0
    masked: int = 0
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    logits: Tensor | None = None
    labels: Tensor | None = None
    on_head: list[Tensor] = field(default_factory=list)
    head_area: list[Tensor] = field(default_factory=list)
    inside: list[Tensor] = field(default_factory=list)

    def miou(self) -> metrics.Curve:
        """Seed mIoU over the threshold."""
        return self.seeds.curve(self.split, self.fingerprint, self.classes)

    def iou(self) -> metrics.Curve:
        """Foreground IoU over the threshold."""
        return self.foreground.curve(self.split, self.fingerprint)

    def box_accuracy(self, delta: float = 0.5) -> metrics.Curve:
        """Box accuracy over the threshold, on images with one object."""
        return self.boxes.curve(delta, self.split, self.fingerprint)


@torch.no_grad()
def measure(
    method: nn.Module,
    records: Records,
    *,
    labels_given: bool = True,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> Measured:
    """Localise every image of a split and count.

    Args:
        method: A module with ``localize(images, labels)``; with ``raw_maps(images)`` as well where more than one scale
            is asked for. A method whose forward pass gives logits is also scored as a classifier.
        records: With masks or boxes. Images of unlike size are taken one by one, so that no padding enters a map.
        labels_given: Whether to keep the maps of the image's own classes only (trap S2: say so beside the number).
        scales: Of the image; see :func:`wsss_lib.maps.multi_scale`.
        flip: Whether to add the mirror image's map.
        batch_size: Images at once, where their sizes agree.
        device: Where to compute; None: where the method is.

    Returns:
        The counts. The method runs in evaluation mode, and each of its modules returns to the mode it was in.

    Raises:
        ValueError: Records without masks and boxes, several scales for a method without ``raw_maps``, or a method whose
            maps are not one a class.
    """
    several = tuple(scales) != (1.0,) or flip
    if several and not hasattr(method, "raw_maps"):
        raise ValueError(
            f"{type(method).__name__} has no raw_maps, which several scales need: leave scales and flip out"
        )
    where = device if device is not None else next((p.device for p in method.parameters()), torch.device("cpu"))
    count = len(records.classes)
    done = Measured(
        split=f"{records.name}/{records.split}",
        fingerprint=records.fingerprint,
        classes=records.classes,
        labels_given=labels_given,
        seeds=metrics.ThresholdSweep(count, THRESHOLDS),
        foreground=metrics.ForegroundSweep(THRESHOLDS),
        boxes=metrics.BoxSweep(THRESHOLDS),
        pixels=metrics.PixelAveragePrecision(),
        scales=tuple(scales),
        flip=flip,
    )
    logits: list[Tensor] = []
    with evaluating(method):
        for batch in unpadded_batches(records, batch_size):
            batch = to_device(batch, where)
            if "masks" not in batch and "boxes" not in batch:
                raise ValueError(f"{done.split} has neither masks nor boxes to measure against: choose another")
            images, size = batch["images"], batch["images"].shape[-2:]
            labels = batch["labels"] if labels_given else None
            prediction = method.infer(images, labels) if isinstance(method, Method) and not several else None
            if several:
                found = maps.multi_scale(method.raw_maps, images, scales, flip, labels)  # type: ignore[arg-type]
            else:
                low = method.localize(images, labels) if prediction is None else prediction.maps  # type: ignore[operator]
                found = maps.resize(low, (size[0], size[1]))
            if found.shape[1] != count:
                raise ValueError(
                    f"{type(method).__name__} gave {found.shape[1]} map(s) an image for the {count} classes of "
                    f"{done.split}: give it the labels (labels_given=True), or a method built on these classes"
                )
            _count(done, batch, found)
            score = _logits(method, images, count) if prediction is None else prediction.logits
            if score is not None:
                logits.append(score.cpu())
    if logits:
        done.logits, done.labels = torch.cat(logits), records.labels
    return done


def _logits(method: nn.Module, images: Tensor, classes: int) -> Tensor | None:
    """The classifier's scores, where the method is one."""
    if type(method).forward is nn.Module.forward:  # a method without a forward pass of its own
        return None
    out = method(images)
    return out if isinstance(out, Tensor) and out.shape == (len(images), classes) else None


def _count(done: Measured, batch: Batch, found: Tensor) -> None:
    done.images += len(found)
    highest = found.amax(dim=1)  # (N, H, W)
    if "masks" in batch:
        done.masked += len(found)
        done.seeds.update(found, batch["masks"])
        done.foreground.update(highest, batch["masks"])
        done.pixels.update(highest, batch["masks"])
    single = [i for i, boxes in enumerate(batch.get("boxes", [])) if len(boxes) == 1]
    if single:
        own = torch.stack([found[i, int(batch["box_labels"][i][0])] for i in single])
        done.boxes.update(own, [batch["boxes"][i] for i in single])
    if "parts" in batch:
        present = batch["labels"].sum(1) > 0
        heat, parts = highest[present], batch["parts"][present]
        head = metrics.mass_share(heat, parts == 2, parts > 0)
        done.on_head.append(head.mass)
        done.head_area.append(head.area)
        done.inside.append(metrics.mass_share(heat, parts > 0).mass)


def scores(choose: Measured, report_on: Measured) -> dict[str, Any]:
    """One honest row: thresholds from one split, numbers from the other.

    Args:
        choose: The split that picks the thresholds.
        report_on: The split that is reported.

    Returns:
        Numbers in [0, 1] by name: ``miou`` (seeds), ``iou`` (object against background), ``box_accuracy`` (IoU ≥ 0.5 on
        images with one object; any contour's box counts, as in MaxBoxAccV2), each at the threshold chosen on
        ``choose``; ``max_box_acc_v2`` (by its definition the best threshold of the reported data), ``pxap`` (no
        threshold); ``mean_ap`` and ``accuracy`` of the classifier; ``on_head``, ``head_area``, ``inside``. Names
        without a number are left out. Then how: ``thresholds``, ``images``, ``labels_given``, ``scales``, ``flip``,
        ``choose`` and ``split``.

    Raises:
        SameSplitError: Both are the same images.
    """
    row: dict[str, Any] = {}
    thresholds: dict[str, float] = {}
    curves = []
    if choose.masked and report_on.masked:
        curves += [("miou", choose.miou(), report_on.miou()), ("iou", choose.iou(), report_on.iou())]
        row["pxap"] = report_on.pixels.value()
    if int(report_on.boxes.images) and int(choose.boxes.images):
        curves.append(("box_accuracy", choose.box_accuracy(), report_on.box_accuracy()))
        row["max_box_acc_v2"] = float(report_on.boxes.maximum().mean())
    for name, choosing, reporting in curves:
        picked = metrics.choose_threshold(choosing)
        row[name] = metrics.report(reporting, picked).value
        thresholds[name] = picked.value
    if report_on.logits is not None and report_on.labels is not None:
        row["mean_ap"] = metrics.mean_average_precision(report_on.logits, report_on.labels)
        if bool((report_on.labels.sum(1) == 1).all()):
            row["accuracy"] = metrics.accuracy(report_on.logits, report_on.labels.argmax(1))
    for name in ("on_head", "head_area", "inside"):
        values = getattr(report_on, name)
        if values:
            row[name] = float(torch.cat(values).nanmean())
    return row | {
        "thresholds": thresholds,
        "images": report_on.images,
        "labels_given": report_on.labels_given,
        "scales": list(report_on.scales),
        "flip": report_on.flip,
        "choose": choose.split,
        "split": report_on.split,
    }
