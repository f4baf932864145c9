"""K-means of directions within masks, for many images at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def spherical_kmeans(features: Tensor, inside: Tensor, k: int, rounds: int = 10) -> tuple[Tensor, Tensor]:
    """K-means by cosine within a mask, for many images at once. It starts from points far apart, and draws nothing.

    Args:
        features: (N, P, D), of any length; only directions count.
        inside: (N, P) bool: the points that are clustered.
        k: How many clusters, at least 1.
        rounds: Of assignment and mean.

    Returns:
        Centroids (N, k, D) of length 1, and the cluster of each point (N, P) int64, −1 outside. An image with fewer
        points than k has fewer clusters: the centroids of the others are zero.
    """
    units = F.normalize(features, dim=2)
    weight = inside.to(units)
    whole = F.normalize((units * weight[:, :, None]).sum(1), dim=1)  # (N, D)
    nearest = torch.einsum("npd,nd->np", units, whole)  # of each point to what was chosen, (N, P)
    chosen: list[Tensor] = []
    for _ in range(k):
        first = nearest.masked_fill(~inside, math.inf).argmin(1)  # the point farthest from all of them
        chosen.append(units[torch.arange(len(units), device=units.device), first])
        likeness = torch.einsum("npd,nd->np", units, chosen[-1])
        nearest = likeness if len(chosen) == 1 else torch.maximum(nearest, likeness)
    centroids = torch.stack(chosen, dim=1)  # (N, k, D)
    for _ in range(rounds):
        assigned = torch.einsum("npd,nkd->npk", units, centroids).argmax(2)  # (N, P)
        member = F.one_hot(assigned, k).to(units) * weight[:, :, None]  # (N, P, k)
        sums = torch.einsum("npk,npd->nkd", member, units)
        centroids = torch.where(member.sum(1)[:, :, None] > 0, F.normalize(sums, dim=2), centroids)
    assigned = torch.einsum("npd,nkd->npk", units, centroids).argmax(2).masked_fill(~inside, -1)
    used = torch.stack([(assigned == number).any(1) for number in range(k)], dim=1)  # (N, k)
    return centroids * used[:, :, None], assigned
