r"""MARS before training: which part of a pseudo-label is the object, and which is what always comes along.

Features of a network that knows no labels split the pixels of a class within an image into clusters. A cluster that
resembles the backgrounds of the training images is taken for context, and its pixels lose their label::

    features = CentredFeatures.of(network, labels)
    kept = cluster(labels, features)                  # centroids, and how far each is from the backgrounds
    debiased = debias(labels, features, kept)         # 255 where the label was dropped

.. math:: d(v) = \frac1B\sum_{j=1}^{B}\frac{1-\cos(v, b_j)}2, \qquad
          \hat M_p = \max\big(0, \max_{c}\cos(F_p, V^c)\big)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones.base import Backbone
from wsss_lib.data.records import IGNORE, Records, to_device, unpadded_batches
from wsss_lib.methods.learner import Settings
from wsss_lib.modes import evaluating
from wsss_lib.refine.crf import CRFSettings, dense_crf
from wsss_lib.segment.kmeans import spherical_kmeans
from wsss_lib.segment.pseudo_labels import Provenance, PseudoLabels

Features = Callable[[Tensor], Tensor]
"""From images (N, 3, H, W) in [0, 1] to features (N, D, h, w), learnt without labels."""


@dataclass(frozen=True)
class DebiasConfig(Settings):
    """Settings; clusters, backgrounds and share are the paper's.

    Attributes:
        clusters: Of each class within an image, at least 1.
        backgrounds: Clusters of an image's background, at least 1.
        share: α, the share of a class's centroids, the farthest ones, that its debiased centroid averages, in (0, 1].
        threshold: Similarity from which a pixel keeps its label, in [0, 1]; the paper names none.
        refinement: Dense CRF over kept and dropped before the threshold; None for none.

    Raises:
        ValueError: A setting outside its range.
    """

    clusters: int = 2
    backgrounds: int = 2
    share: float = 0.4
    threshold: float = 0.5
    refinement: CRFSettings | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.clusters, self.backgrounds) < 1 or not 0 < self.share <= 1 or not 0 <= self.threshold <= 1:
            raise ValueError(
                f"clusters {self.clusters}, backgrounds {self.backgrounds}, share {self.share}, threshold "
                f"{self.threshold}: expected at least one cluster of each, a share in (0, 1], a threshold in [0, 1]"
            )


class CentredFeatures(nn.Module):
    """A stage of a backbone, minus its mean over a training set.

    After a ReLU no feature is negative, and so no cosine would be. The paper's features have both signs already.

    Args:
        backbone: Trained without labels.
        mean: (C,) of the stage.
        stage: None for the deepest.
    """

    mean: Tensor

    def __init__(self, backbone: Backbone, mean: Tensor, stage: str | None = None) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.stage = stage or backbone.stages[-1]
        self.register_buffer("mean", mean)

    @classmethod
    @torch.no_grad()
    def of(
        cls, backbone: Backbone, records: Records, batch_size: int = 50, stage: str | None = None
    ) -> CentredFeatures:
        """The features, centred over the images of these records; the backbone is on the device that computes."""
        device, stage = next(backbone.parameters()).device, stage or backbone.stages[-1]
        total, images = torch.zeros(backbone.channels[stage], device=device), 0
        with evaluating(backbone):
            for batch in unpadded_batches(records, batch_size):
                grid = backbone(batch["images"].to(device), (stage,))[stage]  # (N, C, h, w)
                total, images = total + grid.mean((2, 3)).sum(0), images + len(grid)
        return cls(backbone, total / images, stage)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, C, h, w) of images (N, 3, H, W) in [0, 1]."""
        return self.backbone(images, (self.stage,))[self.stage] - self.mean[:, None, None]


def mean_distance(centroids: Tensor, background: Tensor) -> Tensor:
    r"""Mean of :math:`(1-\cos)/2` to all backgrounds, through their sum: the mean of cosines is a cosine's numerator.

    Args:
        centroids: (M, D), of any length.
        background: (D,) mean of the backgrounds' centroids, each of length 1.

    Returns:
        (M,) in [0, 1].

    Source: Jo et al. 2023, eq. 1.
    """
    return (1 - F.normalize(centroids, dim=1) @ background) / 2


@dataclass(frozen=True)
class Clusters:
    """What was clustered in the labels of a training set.

    Attributes:
        centroids: (M, D), of length 1: the clusters of all classes in all images.
        classes: (M,) int64, from 0 to K − 1.
        images: (M,) int64, the record of each.
        distances: (M,) in [0, 1], to the backgrounds of all images.
        background: (D,) mean of all backgrounds' centroids.
        targets: (K, D) debiased centroids; zero for a class that occurs nowhere.
        chosen: (M,) bool: which of them the debiased centroids average.
    """

    centroids: Tensor
    classes: Tensor
    images: Tensor
    distances: Tensor
    background: Tensor
    targets: Tensor
    chosen: Tensor

    def with_share(self, share: float) -> Clusters:
        """The same clusters, of which other debiased centroids are made."""
        targets, chosen = debiased_centroids(self.centroids, self.classes, self.distances, len(self.targets), share)
        return replace(self, targets=targets, chosen=chosen)


def debiased_centroids(
    centroids: Tensor, classes: Tensor, distances: Tensor, num_classes: int, share: float
) -> tuple[Tensor, Tensor]:
    """Of each class, the mean of the centroids that are farthest from the backgrounds.

    Args:
        centroids: (M, D).
        classes: (M,) int64.
        distances: (M,).
        num_classes: K.
        share: α: the ⌈α M_c⌉ farthest of a class's M_c centroids.

    Returns:
        (K, D), zero for a class without centroids; and which were chosen, (M,) bool.

    Source: Jo et al. 2023, eqs. 2 and 3.
    """
    targets, chosen = centroids.new_zeros(num_classes, centroids.shape[1]), torch.zeros_like(classes, dtype=torch.bool)
    for number in range(num_classes):
        (at,) = (classes == number).nonzero(as_tuple=True)
        if len(at):
            far = at[distances[at].argsort(descending=True, stable=True)[: math.ceil(share * len(at) - 1e-9)]]
            targets[number], chosen[far] = centroids[far].mean(0), True
    return targets, chosen


@torch.no_grad()
def cluster(
    labels: Records,
    features: Features,
    config: DebiasConfig | None = None,
    *,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> Clusters:
    """Cluster the classes and the background of each image, and choose each class's debiased centroid.

    Args:
        labels: With images and pseudo-labels as masks; pixels of 255 belong to nothing.
        features: Of a network that was trained without labels.
        config: None for the book's.
        batch_size: Images at once.
        device: Where to compute; None for the CPU.

    Raises:
        ValueError: The labels name no class, or no background, anywhere.
    """
    config = config or DebiasConfig()
    held: dict[str, list[Tensor]] = {"centroids": [], "classes": [], "images": []}
    total, count, begun = torch.zeros(()), 0, 0
    with evaluating(features if isinstance(features, nn.Module) else nn.Module()):
        for batch in unpadded_batches(labels, batch_size):
            batch = to_device(batch, device)
            grid = features(batch["images"])  # (N, D, h, w)
            points = grid.flatten(2).transpose(1, 2)  # (N, hw, D)
            masks = labels_on_grid(batch["masks"], grid).flatten(1)  # (N, hw)
            behind, _ = spherical_kmeans(points, masks == 0, config.backgrounds)
            total, count = total + behind.sum((0, 1)).cpu(), count + int(behind.any(2).sum())
            for number in range(len(labels.classes)):
                (rows,) = (masks == number + 1).any(1).nonzero(as_tuple=True)
                if len(rows):
                    found, _ = spherical_kmeans(points[rows], masks[rows] == number + 1, config.clusters)
                    used = found.any(2)  # (rows, k)
                    held["centroids"].append(found[used].cpu())
                    held["classes"].append(torch.full((int(used.sum()),), number))
                    held["images"].append((begun + rows)[:, None].expand_as(used)[used].cpu())
            begun += len(grid)
    if not count or not held["classes"]:
        raise ValueError("the labels have no pixel of any class, or none of background: nothing can be compared")
    joined = {name: torch.cat(parts) for name, parts in held.items()}
    distances = mean_distance(joined["centroids"], total / count)
    targets, chosen = debiased_centroids(
        joined["centroids"], joined["classes"], distances, len(labels.classes), config.share
    )
    return Clusters(**joined, distances=distances, background=total / count, targets=targets, chosen=chosen)


def target_similarity(features: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """How much each cell resembles a debiased centroid of any class of its image.

    Args:
        features: (N, D, h, w).
        targets: (K, D).
        labels: (N, K) multi-hot.

    Returns:
        (N, h, w) in [0, 1].

    Source: Jo et al. 2023, eq. 4.
    """
    likeness = torch.einsum("ndhw,kd->nkhw", F.normalize(features, dim=1), F.normalize(targets.to(features), dim=1))
    return torch.where(labels[:, :, None, None] > 0, likeness, 0).amax(1).clamp(min=0)


def debiased_labels(masks: Tensor, kept: Tensor) -> Tensor:
    """Masks (N, H, W), 255 where a class's pixel is not ``kept`` (N, H, W) bool. Background stays, nothing is added.

    Source: Jo et al. 2023, eq. 5.
    """
    return torch.where((masks > 0) & ~kept, IGNORE, masks)


@torch.no_grad()
def debias(
    labels: PseudoLabels,
    features: Features,
    clusters: Clusters,
    config: DebiasConfig | None = None,
    *,
    batch_size: int = 50,
    device: str | torch.device | None = None,
) -> PseudoLabels:
    """Pseudo-labels without what always comes along: 255 where a label was dropped.

    Args:
        labels: Pseudo-labels, of the images that were clustered or of others.
        features: As they were clustered.
        clusters: From :func:`cluster`.
        config: None for the book's.
        batch_size: Images at once.
        device: Where to compute; None for the CPU.
    """
    config = config or DebiasConfig()
    masks: list[Tensor] = []
    with evaluating(features if isinstance(features, nn.Module) else nn.Module()):
        for batch in unpadded_batches(labels, batch_size):
            batch = to_device(batch, device)
            alike = target_similarity(features(batch["images"]), clusters.targets, batch["labels"])  # (N, h, w)
            alike = F.interpolate(alike[:, None], batch["images"].shape[2:], mode="bilinear", align_corners=False)
            if config.refinement is not None:
                alike = dense_crf(torch.cat([1 - alike, alike], dim=1), batch["images"], config.refinement)[:, 1:]
            masks.extend(debiased_labels(batch["masks"], alike[:, 0] > config.threshold).unbind(0))
    said = asdict(labels.provenance)
    how = said["thresholds"] | {"debiasing": config.threshold, "share": config.share}
    return PseudoLabels(labels.parent, masks, Provenance(**said | {"thresholds": how}))


def labels_on_grid(masks: Tensor, grid: Tensor) -> Tensor:
    """Masks (N, H, W) on the grid of features (N, D, h, w), int64: the value in the middle of each cell."""
    return F.interpolate(masks[:, None].float(), grid.shape[2:], mode="nearest-exact")[:, 0].long()
