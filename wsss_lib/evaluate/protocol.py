"""Choose on one split, report another: the same for maps, masks, grounding and boxes in 3D.

A :class:`Measurement` counts what was predicted on one split. It has :meth:`~Measurement.curves`, one for each number
that depends on a choice such as a threshold, and :meth:`~Measurement.numbers`. :func:`scores` takes two of them: the
first chooses, the second is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from wsss_lib import metrics
from wsss_lib.data.records import Batch, Records, check_same_classes, to_device, unpadded_batches
from wsss_lib.evaluate.threads import Beside, read_ahead
from wsss_lib.modes import evaluating


class Measurement:
    """What one pass over a split counted; nothing is chosen yet.

    A kind of measurement implements :meth:`update`, and what it has of the others.

    Args:
        records: What is measured on.

    Attributes:
        split, fingerprint, classes: Of the records.
        images: How many were counted.
    """

    def __init__(self, records: Records) -> None:
        self.split = f"{records.name}/{records.split}"
        self.fingerprint, self.classes = records.fingerprint, tuple(records.classes)
        self.images = 0

    def update(self, batch: Batch, prediction: Any) -> None:
        """Count a batch; all of its tensors and the prediction are on one device."""
        raise NotImplementedError

    def curves(self) -> dict[str, metrics.Curve]:
        """The numbers that depend on a choice, by name, each as a curve over what may be chosen."""
        return {}

    def numbers(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """All other numbers by name, given what was chosen for each curve."""
        return {}

    def conditions(self) -> dict[str, Any]:
        """How it was measured: what must be the same for numbers to be compared."""
        return {}


M = TypeVar("M", bound=Measurement)


@torch.no_grad()
def count(
    measurement: M,
    records: Records,
    predict: Callable[[Batch], Any],
    *,
    network: nn.Module | None = None,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> M:
    """Predict on every record and count; images are read, and counted, in threads beside the one that predicts.

    Args:
        measurement: Counts; it is changed.
        records: Images of unlike size are taken one by one, so that no padding is measured.
        predict: From a batch to what the measurement's ``update`` takes.
        network: The module behind ``predict``; None: the one that ``predict`` is, or is a method of. It runs in
            evaluation mode, and each of its submodules returns to the mode it was in.
        batch_size: Images at once, where their sizes agree.
        device: Where to compute; None: where the network is.

    Returns:
        The measurement.
    """
    behind = network if network is not None else getattr(predict, "__self__", predict)
    module = behind if isinstance(behind, nn.Module) else nn.Module()
    if device is None:
        device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with evaluating(module), Beside(measurement.update) as count_beside:
        for batch in read_ahead(unpadded_batches(records, batch_size)):
            batch = to_device(batch, device)
            count_beside(batch, predict(batch))
            measurement.images += len(next(iter(batch.values())))  # type: ignore[arg-type]
    return measurement


def scores(choose: Measurement | None, report_on: Measurement) -> dict[str, Any]:
    """One honest row: choices from one split, numbers from the other.

    Args:
        choose: The split that chooses; None for a kind of measurement with nothing to choose.
        report_on: The split that is reported.

    Returns:
        Numbers by name: those of the curves, each at the best choice of ``choose``, and those without a choice. What a
        split has no data for is left out. Then how: ``thresholds`` (what was chosen), ``images``, the measurement's
        conditions, ``choose`` and ``split``.

    Raises:
        SameSplitError: Both are the same images.
        ValueError: Other class lists, kinds or conditions, or no ``choose`` where something is to be chosen.
    """
    reported = report_on.curves()
    choosing: dict[str, metrics.Curve] = {}
    if choose is not None:
        _check_comparable(choose, report_on)
        choosing = choose.curves()
    elif reported:
        raise ValueError(
            f"{', '.join(reported)} of {report_on.split} depend on a threshold: pass a measurement of another split as "
            "choose, for example of val"
        )
    row: dict[str, Any] = {}
    chosen: dict[str, float] = {}
    for name in (name for name in reported if name in choosing):
        picked = metrics.choose_threshold(choosing[name])
        row[name] = metrics.report(reported[name], picked).value
        chosen[name] = picked.value
    return {
        **row,
        **report_on.numbers(chosen),
        "thresholds": chosen,
        "images": report_on.images,
        **report_on.conditions(),
        "choose": None if choose is None else choose.split,
        "split": report_on.split,
    }


def _check_comparable(choose: Measurement, report_on: Measurement) -> None:
    if type(choose) is not type(report_on):
        raise ValueError(
            f"{choose.split} is a {type(choose).__name__}, {report_on.split} a {type(report_on).__name__}: "
            "measure both splits in the same way"
        )
    check_same_classes({choose.split: choose.classes, report_on.split: report_on.classes})
    if choose.conditions() != report_on.conditions():
        raise ValueError(
            f"{choose.split} was measured with {choose.conditions()}, {report_on.split} with {report_on.conditions()}: "
            "measure both splits in the same way"
        )
