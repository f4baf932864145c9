"""How methods are trained: the recipes that belong to data, backbone and profile. What a method asks for besides stands
beside it, in :mod:`wsss_lib.methods.registry`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from wsss_lib.backbones import vit
from wsss_lib.experiments.profiles import Profile
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig

DRAWN = TrainConfig(epochs=4, optimiser="adamw", lr=1e-3, head_lr=5, weight_decay=1e-2, schedule="cosine")
"""How a network is trained on critters, from the shipped backbone."""
TRANSFORMER = replace(DRAWN, epochs=2, lr=3e-4)
"""How a transformer is."""
PHOTOS = TrainConfig(epochs=3, optimiser="adamw", lr=1e-3, weight_decay=1e-4, schedule="cosine")
"""How a head is trained on photographs, over a frozen ImageNet backbone."""
FINE_TUNED = TrainConfig(
    epochs=2, batch_size=16, optimiser="adamw", lr=2e-4, head_lr=10, weight_decay=1e-2, schedule="cosine"
)
"""How a network is trained on photographs, batch norm frozen: small steps for the backbone, long ones for what is new.
Of a CAM behind a trunk of EfficientNet-Lite0, ``train`` asked for this rate and length: with 5e-4 and three passes its
seeds were worse, and with 1e-3 the loss fell more slowly."""
PAPER = TrainConfig(epochs=5, batch_size=16, lr=0.1, head_lr=10, momentum=0.0, weight_decay=1e-4, schedule="poly")
"""IRN's recipe for VOC (Ahn et al. 2019, released code): momentum-free SGD, see the notes of ``TrainConfig``."""
SEAM_EPOCHS = 2
"""Passes through the critters in chapter 5, for every method there: half of :data:`DRAWN`'s."""
SSC_IMAGES = 1000
"""Critters that the networks of chapter 6 are trained on, every method alike: half of the book's."""

SMOKE_UPDATES = 6
"""Updates of the few photographs that see whether every path runs: each phase of a method has one at least."""


def base(profile: Profile, backbone: str, *, drawn: bool, fine_tune: bool) -> TrainConfig:
    """The recipe of a run, whatever its method.

    Args:
        profile: Of the run.
        backbone: Its name.
        drawn: Whether the data are critters.
        fine_tune: Whether the backbone learns on photographs too.
    """
    if drawn:
        return TRANSFORMER if backbone == "tiny_vit" or backbone in vit.NAMES else DRAWN
    recipe = PAPER if profile.name == "paper" else FINE_TUNED if fine_tune else PHOTOS
    if profile.photographs is not None:
        recipe = replace(recipe, batch_size=max(1, profile.photographs // SMOKE_UPDATES))
    return recipe


def of_method(method: nn.Module) -> dict[str, Any]:
    """The settings by which a registered method, or one that is derived from it, differs from the run's recipe."""
    entries = {registry.entry(name).method: registry.entry(name) for name in registry.names()}
    return next((dict(entries[kind].recipe) for kind in type(method).__mro__ if kind in entries), {})
