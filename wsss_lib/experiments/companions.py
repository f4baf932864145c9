"""What labels, clusters and networks of chapter 8 make of the companions, which its world alone can show.

places = places_of(lab, "train", len(labels))
shares(labels.masks, places)                       # called an animal: of the animals, companions, other background
kinds = lying_on(labels, places, features, clusters)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wsss_lib.data.records import IGNORE
from wsss_lib.experiments import context
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.modes import evaluating
from wsss_lib.segment import Clusters, PseudoLabels
from wsss_lib.segment.debiasing import Features
from wsss_lib.segment.mars import MARS

PLACES = ("animal", "companion", "other background")
"""What a pixel lies on; the numbers of :func:`places_of` are positions here."""


def places_of(lab: Workbench, split: Literal["train", "test"] = "train", count: int = 200) -> Tensor:
    """What each pixel of the first images lies on, (N, H, W) int64: its position in :data:`PLACES`.

    An image whose companion cannot be told, or that has none, is :data:`IGNORE` throughout.
    """
    companion = context.companion_pixels(lab, split, count)
    masks = lab.split(split).batch(range(len(companion)))["masks"]
    places = torch.where(masks > 0, 0, torch.where(companion, 1, 2))
    return places.masked_fill(~companion.any(2).any(1)[:, None, None], IGNORE)


def shares(marked: Tensor, places: Tensor) -> dict[str, float]:
    """Share of each place's pixels that are marked, by name; NaN for a place without pixels.

    Args:
        marked: (N, H, W) bool.
        places: (N, H, W), as :func:`places_of` gives them.
    """
    return {name: float(marked[places == number].double().mean()) for number, name in enumerate(PLACES)}


@torch.no_grad()
def lying_on(
    labels: PseudoLabels,
    places: Tensor,
    features: Features,
    clusters: Clusters,
    device: str | torch.device | None = None,
) -> Tensor:
    """On what most cells of each cluster lie, on the features' grid.

    Args:
        labels: As they were clustered.
        places: (N, H, W) of the same images.
        features: As they were clustered.
        clusters: Of the labels.
        device: Where the features are computed; None for the CPU.

    Returns:
        (M,) int64, positions in :data:`PLACES`; :data:`IGNORE` where nobody can tell.
    """
    kinds = torch.full_like(clusters.classes, IGNORE)
    beside = PseudoLabels(labels.parent, list(places), labels.provenance)
    for index, mine, at in context.cells(labels, beside, features, clusters, device):
        known = at[mine & (at != IGNORE)]
        if len(known):
            kinds[index] = torch.bincount(known, minlength=len(PLACES)).argmax()
    return kinds


def of_clusters(kinds: Tensor, clusters: Clusters, sides: context.Sides) -> dict[str, dict[str, float]]:
    """By what clusters lie on: how many, how many are targets, biased and chosen, and their mean distance.

    Args:
        kinds: (M,) of :func:`lying_on`.
        clusters: The same clusters.
        sides: Theirs.
    """
    rows: dict[str, dict[str, float]] = {}
    for number, name in enumerate(PLACES):
        here = kinds == number
        counted = {"clusters": here, "targets": sides.target, "biased": sides.biased, "chosen": clusters.chosen}
        rows[name] = {key: int((here & which).sum()) for key, which in counted.items()}
        rows[name]["distance"] = float(clusters.distances[here].mean())
    return rows


def of_images(kinds: Tensor, clusters: Clusters) -> dict[str, int]:
    """In how many images a companion can be told, and in how many of these clusters part it from the animal.

    Args:
        kinds: (M,) of :func:`lying_on`.
        clusters: The same clusters.
    """
    told = clusters.images[kinds != IGNORE].unique()
    parted = [set(kinds[clusters.images == image].tolist()) >= {0, 1} for image in told]
    return {"told": len(parted), "animal and companion": sum(parted)}


@torch.no_grad()
def answered(lab: Workbench, net: MARS, count: int = 200) -> Tensor:
    """Which pixels of the first test images a network calls an animal, (N, H, W) bool."""
    batches = [range(at, min(at + 50, count)) for at in range(0, count, 50)]
    images = (lab.report_on.batch(some)["images"] for some in batches)
    with evaluating(net):
        return torch.cat([net.answer({"images": each.to(lab.device)}).cpu() > 0 for each in images])
