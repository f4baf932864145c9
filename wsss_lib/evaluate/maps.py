"""Maps: measure two splits in the same way, choose thresholds on one, report the other.

    val, test = (measure(method, load("critters", split=s)) for s in ("val", "test"))
    row = scores(choose=val, report_on=test)

Baseline and method go through these two functions and no others, so that they differ in nothing but the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from wsss_lib import maps, metrics
from wsss_lib.data.records import IGNORE, Batch, Records, check_same_classes
from wsss_lib.evaluate.protocol import Measurement, count
from wsss_lib.methods.contract import Method, Prediction

THRESHOLDS = 100
"""Steps of every threshold sweep: 0, 0.01, …, 0.99."""


class Localiser(Protocol):
    """The least that can be measured: something that says where, such as a fixed map. Methods say what as well."""

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (N, K, h, w) in [0, 1] of images (N, 3, H, W)."""
        ...


class MapMeasurement(Measurement):
    """What one pass over a split counted of maps; nothing is chosen yet. Used in chapter 1.

    Args:
        records: With masks or boxes.
        labels_given: Whether absent classes were removed by the image labels, as the field does for seeds.
        scales, flip: At which sizes, and whether mirrored too.
        score_boxes: Whether boxes are counted as well.

    Attributes:
        split, fingerprint, classes: Of the records.
        images: How many were seen.
        seeds: Pixels by threshold, class and target: the mIoU at every threshold.
        foreground: The same without classes: the IoU of object against background.
        boxes: Box hits by threshold, over images with exactly one object.
        pixels: Pixel scores, for PxAP.
        on_head, head_area, inside: Per image: share of the object's map mass that lies on the head, the head's share of
            the object's area, and the share of all mass that lies on the object. Empty where parts are unknown.
    """

    def __init__(
        self,
        records: Records,
        *,
        labels_given: bool = True,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        score_boxes: bool = True,
    ) -> None:
        super().__init__(records)
        self.labels_given, self.scales, self.flip = labels_given, tuple(scales), flip
        self.score_boxes = score_boxes
        self.seeds = metrics.ThresholdSweep(len(self.classes), THRESHOLDS)
        self.foreground = metrics.ForegroundSweep(THRESHOLDS)
        self.boxes = metrics.BoxSweep(THRESHOLDS)
        self.pixels = metrics.PixelAveragePrecision()
        self.on_head: list[Tensor] = []
        self.head_area: list[Tensor] = []
        self.inside: list[Tensor] = []
        self._masked = torch.zeros((), dtype=torch.int64)
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    @property
    def masked(self) -> int:
        """How many images have a mask; the others are measured by their boxes alone."""
        return int(self._masked)

    @property
    def logits(self) -> Tensor | None:
        """(N, K) on the CPU, or None for a method without a classifier."""
        return torch.cat([part.cpu() for part in self._logits]) if self._logits else None

    @property
    def labels(self) -> Tensor:
        """(N, K) multi-hot, of the images with logits."""
        return torch.cat([part.cpu() for part in self._labels])

    def miou(self) -> metrics.Curve:
        """Seed mIoU over the threshold."""
        return self.seeds.curve(self.split, self.fingerprint, self.classes)

    def iou(self) -> metrics.Curve:
        """Foreground IoU over the threshold."""
        return self.foreground.curve(self.split, self.fingerprint)

    def box_accuracy(self, delta: float = 0.5) -> metrics.Curve:
        """Box accuracy over the threshold, on images with one object."""
        return self.boxes.curve(delta, self.split, self.fingerprint)

    def update(self, batch: Batch, prediction: Prediction) -> None:
        """Count maps (N, K, H, W) in [0, 1] at the images' size, and logits, if there are some.

        Raises:
            ValueError: A batch without masks and boxes.
        """
        if "masks" not in batch and "boxes" not in batch:
            raise ValueError(f"{self.split} has neither masks nor boxes to measure against: choose another")
        each, logits = prediction
        highest = each.amax(dim=1)  # (N, H, W)
        if "masks" in batch:
            known = (batch["masks"] != IGNORE).flatten(1).any(1)
            self._masked = self._masked.to(known.device) + known.sum()
            self.seeds.update(each, batch["masks"])
            self.foreground.update(highest, batch["masks"])
            self.pixels.update(highest, batch["masks"])
        single = [i for i, boxes in enumerate(batch.get("boxes", [])) if len(boxes) == 1]
        if single and self.score_boxes:
            of_class = torch.cat([batch["box_labels"][i] for i in single])
            self.boxes.update(each[single, of_class], [batch["boxes"][i] for i in single])
        if "parts" in batch:
            present = batch["labels"].sum(1) > 0
            heat, parts = highest[present], batch["parts"][present]
            head = metrics.mass_share(heat, parts == 2, parts > 0)
            self.on_head.append(head.mass)
            self.head_area.append(head.area)
            self.inside.append(metrics.mass_share(heat, parts > 0).mass)
        if logits is not None:
            self._logits.append(logits)
            self._labels.append(batch["labels"])

    def curves(self) -> dict[str, metrics.Curve]:
        """``miou`` (seeds), ``iou`` (object against background), and ``box_accuracy``.

        Of boxes IoU ≥ 0.5 counts, on images with one object; any contour's box may be the one, as in MaxBoxAccV2.
        """
        curves = {"miou": self.miou(), "iou": self.iou()} if self.masked else {}
        return curves | ({"box_accuracy": self.box_accuracy()} if int(self.boxes.images) else {})

    def numbers(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """``object_precision`` and ``object_recall`` of pixels, object against background, at the threshold of
        ``miou``; ``pxap`` (no threshold); ``max_box_acc_v2`` (by its definition the best threshold of the reported
        data); ``mean_ap`` and ``accuracy`` of the classifier; ``on_head``, ``head_area``, ``inside``.
        """
        row: dict[str, float] = {}
        if self.masked:
            row["pxap"] = self.pixels.value()
            if "miou" in chosen:
                at = int((self.foreground.thresholds - chosen["miou"]).abs().argmin())
                precision, recall = self.foreground.precision_recall()
                row |= {"object_precision": float(precision[at]), "object_recall": float(recall[at])}
        if int(self.boxes.images):
            row["max_box_acc_v2"] = float(self.boxes.maximum().mean())
        if (logits := self.logits) is not None:
            row["mean_ap"] = metrics.mean_average_precision(logits, self.labels)
            if bool((self.labels.sum(1) == 1).all()):
                row["accuracy"] = metrics.accuracy(logits, self.labels.argmax(1))
        for name in ("on_head", "head_area", "inside"):
            values = getattr(self, name)
            if values:
                row[name] = float(torch.cat(values).nanmean())
        return row

    def conditions(self) -> dict[str, Any]:
        """``labels_given``, ``scales`` and ``flip``."""
        return {"labels_given": self.labels_given, "scales": list(self.scales), "flip": self.flip}


def measure(
    method: nn.Module | Localiser,
    records: Records,
    *,
    labels_given: bool = True,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    score_boxes: bool = True,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> MapMeasurement:
    """Localise every image of a split and count, at one forward pass a batch and view.

    Args:
        method: A method; one with a classifier is also scored as such. Or anything with ``localize(images, labels)``.
        records: With masks or boxes. Images of unlike size are taken one by one, so that no padding enters a map.
        labels_given: Whether to keep the maps of the image's own classes only (trap S2: say so beside the number).
        scales: Of the image; see :func:`wsss_lib.maps.multi_scale`. The classifier sees the image as it is.
        flip: Whether to add the mirror image's map.
        score_boxes: Whether boxes are counted as well.
        batch_size: Images at once, where their sizes agree.
        device: Where to compute; None: where the method is.

    Returns:
        The counts. The method runs in evaluation mode, and each of its modules returns to the mode it was in.

    Raises:
        ValueError: Records without masks and boxes or of other classes than the method's, nothing that localises,
            several scales of what is no method, or maps that are not one a class.
    """
    several = tuple(scales) != (1.0,) or flip
    name, number = type(method).__name__, len(records.classes)
    if not callable(getattr(method, "localize", None)):
        raise ValueError(f"{name} has no localize(images, labels): give it one, or build a method on it")
    if several and not isinstance(method, Method):
        raise ValueError(f"{name} is no method with raw maps, which several scales need: leave scales and flip out")
    names = getattr(method, "classes", None)
    if isinstance(names, (tuple, list)):  # a network of somebody's may call a number so
        check_same_classes({name: names, f"{records.name}/{records.split}": records.classes})

    def predict(batch: Batch) -> Prediction:
        images, labels = batch["images"], batch["labels"] if labels_given else None
        if several:
            each, logits = _views(cast(Method, method), images, labels, scales, flip)
        elif isinstance(method, Method):
            each, logits = method.infer(images, labels)
        else:
            each, logits = cast(Localiser, method).localize(images, labels), None
        if each.shape[1] != number:
            raise ValueError(
                f"{name} gave {each.shape[1]} map(s) an image for the {number} classes of "
                f"{records.name}/{records.split}: give it the labels (labels_given=True), or a method built on these "
                "classes"
            )
        if logits is not None and logits.shape != (len(images), number):
            logits = None  # of other classes than the maps'
        height, width = images.shape[-2:]
        return Prediction(maps.resize(each, (height, width)), logits)

    measurement = MapMeasurement(records, labels_given=labels_given, scales=scales, flip=flip, score_boxes=score_boxes)
    network = method if isinstance(method, nn.Module) else None
    return count(measurement, records, predict, network=network, batch_size=batch_size, device=device)


def _views(
    method: Method, images: Tensor, labels: Tensor | None, scales: Sequence[float], flip: bool
) -> tuple[Tensor, Tensor | None]:
    """Maps summed over the scales and mirror images, and the logits of the image as it is."""
    logits: list[Tensor | None] = []

    def raw(view: Tensor) -> Tensor:
        prediction = method.predict(view)
        if view is images:
            logits.append(prediction.logits)
        each = prediction.maps
        return each if labels is None or each.shape[1] > 1 else each.expand(-1, labels.shape[1], -1, -1)

    each = maps.multi_scale(raw, images, scales, flip, labels)
    return each, logits[0] if logits else method.predict(images).logits
