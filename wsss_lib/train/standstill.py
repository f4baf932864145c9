"""A run that learns nothing: the scores of all classes tie, the loss stands at ln 2, and every map is flat."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from wsss_lib.data.records import Batch
from wsss_lib.methods.contract import Method
from wsss_lib.train.history import History
from wsss_lib.train.state import original

EPOCHS = 2
"""So many epochs a loss must have stood, in each of their updates."""
NEAR = 0.005
"""How far from the logarithm it may be: half precisions round ln 2 by up to 0.002."""
FLAT = 0.01
"""A map is flat where its values differ by at most this share of the largest magnitude."""
IMAGES = 8
"""So many images' maps are looked at."""

Validate = Callable[[nn.Module], Mapping[str, float]]


def tied_term(history: History, classes: int | None) -> tuple[str, int] | None:
    """The loss term that says that scores tie, and how many tie: its value is ln 2, or ln K for a softmax.

    Only numbers that the history holds are compared: the device is asked for nothing.

    Args:
        history: Of the run so far.
        classes: K, where it is known.

    Returns:
        None where no term has stood there in every update of the last :data:`EPOCHS` epochs.
    """
    updates = EPOCHS * history.steps_per_epoch
    if len(history) < updates:
        return None
    for name, values in history.terms.items():
        for count in (2, classes or 2):
            if all(abs(value - math.log(count)) <= NEAR for value in values[-updates:]):
                return name, count
    return None


def are_flat(maps: Tensor) -> Tensor:
    """Whether each raw map (N, K, h, w) says the same of every place, (N, K) bool; so does a map of zeros."""
    values = maps.float()
    spread = values.amax((2, 3)) - values.amin((2, 3))  # (N, K)
    return spread <= FLAT * values.abs().amax((2, 3))


class Standstill:
    """Warns once in a run that stands still.

    Args:
        method: What is trained; maps are those of its ``predict(images)``. One that has no maps is never warned of.
        read: Gives some images of the run as a batch, as the method sees them.
    """

    def __init__(self, method: nn.Module, read: Callable[[], Batch]) -> None:
        self.read = read
        self.classes: int | None = getattr(method, "num_classes", None)
        self.watches = isinstance(original(method), Method)

    def share_of_flat_maps(self, method: nn.Module) -> Mapping[str, float]:
        """``{"flat": share}`` of the maps of some images, in the mode that the method is in."""
        images = self.read()["images"]
        device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
        maps = method.predict(images.to(device)).maps  # type: ignore[operator]
        return {"flat": float(are_flat(maps).float().mean())}

    def look(
        self, history: History, validated: Callable[[Callable[[nn.Module], Mapping[str, float]]], Mapping]
    ) -> None:
        """Called at the end of an epoch. The maps are looked at only where a loss stands still.

        Args:
            history: Of the run so far.
            validated: Runs a function of the method in evaluation mode, without a trace in the training.
        """
        term = tied_term(history, self.classes) if self.watches else None
        if term is None or validated(self.share_of_flat_maps)["flat"] < 1:
            return
        name, count = term
        self.watches = False
        warnings.warn(
            f"the loss term {name!r} has stood at ln {count} = {math.log(count):.3f} for {EPOCHS} epochs and the maps "
            "are flat: all scores tie, so that nothing is learnt. Start again from pretrained weights with a lower lr, "
            "and see that the labels differ between the images",
            stacklevel=3,
        )
