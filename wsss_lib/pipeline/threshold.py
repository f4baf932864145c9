"""Stage *threshold*: where to cut the maps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from wsss_lib import maps, metrics
from wsss_lib.localize.photos import size_within
from wsss_lib.pipeline.labels import listed
from wsss_lib.pipeline.maps import MapFile, written_maps
from wsss_lib.pipeline.stages import Stage, Work

DEFAULT, DEFAULT_OF_SCALES = 0.15, 0.35
"""Thresholds where no mask chooses one: IRN's for one scale (Ahn et al. 2019), and one that suits sums over scales."""
ENOUGH = 4
"""Masks from which half of them choose the threshold, and the other half say how good it is."""
MEASURED = 640
"""Pixels of the longer side at which masks choose the threshold."""


def choose(work: Work) -> dict[str, Any]:
    """The threshold: the user's, else that with the best mIoU on photographs with masks, else the field's.

    Of :data:`ENOUGH` masks or more each second one chooses, and the others say how good the choice is.
    """
    given, count = work.settings.threshold, work.results["labels"]["masks"]
    usual = DEFAULT_OF_SCALES if work.settings.multi_scale else DEFAULT
    if not count:
        return {"threshold": usual if given is None else given, "given": given is not None, "chosen_on": 0}
    classes = list(work.results["labels"]["counts"])
    choosing, reporting = (metrics.ThresholdSweep(len(classes), 100) for _ in range(2))
    records, number = listed(work), 0
    for index, written in enumerate(tqdm(list(written_maps(work)), "threshold", leave=False, disable=None)):
        if written.photo.mask is not None:
            sweep = choosing if chooses(number, count, given) else reporting
            sweep.update(*_small(in_order(written, classes), records[index]["mask"]))
            number += 1
    curve = choosing.curve("choosing", work.key, classes)
    threshold = float(curve.thresholds[int(curve.values.nan_to_num(-1.0).argmax())]) if given is None else given
    chosen_on = sum(chooses(each, count, given) for each in range(number))
    shown = reporting.curve("reporting", work.key, classes) if chosen_on < number else curve
    at = int((shown.thresholds - threshold).abs().argmin())
    assert shown.parts is not None  # a sweep over classes has them
    parts = zip(shown.columns, shown.parts[at].tolist(), strict=True)
    return {
        "threshold": round(threshold, 4),
        "given": given is not None,
        "chosen_on": chosen_on,
        "reported_on": number - chosen_on,
        "miou": round(float(shown.values[at]), 4),
        "iou": {name: round(value, 4) for name, value in parts if math.isfinite(value)},
    }


def chooses(number: int, count: int, given: float | None) -> bool:
    """Whether the ``number``-th of ``count`` masks chooses the threshold, and does not report."""
    return given is None and (count < ENOUGH or number % 2 == 0)


def in_order(written: MapFile, classes: list[str]) -> Tensor:
    """A photograph's maps with a map for each class, (K, H, W), zeros for those that it does not show."""
    each = written.read()
    every = torch.zeros(len(classes), *each.shape[1:])
    for name, heat in zip(written.classes, each, strict=True):
        every[classes.index(name)] = heat
    return every


def _small(each: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (K, H, W) and a mask (H, W) as a batch of one, at most :data:`MEASURED` pixels wide and high."""
    size = size_within(truth.shape[0], truth.shape[1], MEASURED)
    smaller = functional.interpolate(truth[None, None].float(), size=size, mode="nearest-exact")[0].long()
    return (each[None] if size == truth.shape else maps.resize(each[None], size)), smaller


def _summary(result: dict[str, Any]) -> str:
    text = f"{result['threshold']:g}"
    measured = f"mIoU {result['miou']:.2f}" if "miou" in result else ""
    if result["given"]:
        return f"{text}, as said" + (f"; {measured} on {_masked(result['reported_on'])}" if measured else "")
    if not measured:
        return f"{text}, the usual one: no mask chooses another"
    on = f"{result['reported_on']} others" if result["reported_on"] else "the same ones"
    return f"{text}, chosen on {_masked(result['chosen_on'])}; {measured} on {on}"


def _masked(count: int) -> str:
    return f"{count} photograph{'s with masks' if count > 1 else ' with a mask'}"


THRESHOLD = Stage("threshold", choose, _summary, ("threshold",))
