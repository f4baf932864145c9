"""MARS pixel by pixel: what the fast versions must equal."""

import math

import torch


def cosine(a, b):
    """Of two vectors, in loops."""
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b)))


def mean_distance(vector, backgrounds):
    """Eq. 1 by the loop over all backgrounds."""
    return sum((1 - cosine(vector, other)) / 2 for other in backgrounds) / len(backgrounds)


def kmeans(points, k, rounds=10):
    """K-means by cosine of points (P, D): centroids of the clusters that have a point, and each point's cluster."""
    units = [p / p.norm() for p in points.double()]
    whole = sum(units) / sum(units).norm()
    centres = [min(units, key=lambda u: float(u @ whole))]
    while len(centres) < k:
        centres.append(min(units, key=lambda u: max(float(u @ c) for c in centres)))
    for step in range(rounds + 1):
        at = [max(range(k), key=lambda j: float(u @ centres[j])) for u in units]
        if step == rounds:
            break
        for j in range(k):
            members = [u for u, number in zip(units, at, strict=True) if number == j]
            if members:
                centres[j] = sum(members) / sum(members).norm()
    return [centres[j] for j in range(k) if j in at], at


def similarity(features, targets, labels):
    """Eq. 4 for one image: features (D, h, w), targets (K, D), labels (K,)."""
    _, height, width = features.shape
    result = torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            each = [cosine(features[:, y, x], t) for t, present in zip(targets, labels, strict=True) if present]
            result[y, x] = max([0.0, *each])
    return result


def filled(mask, probabilities, labels):
    """Eq. 6 and the complement for one image: mask (H, W), probabilities (K + 1, H, W), labels (K,)."""
    labelled, weights = mask.clone(), torch.ones(mask.shape)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if int(mask[y, x]) == 255:
                each = [float(p) for p in probabilities[:, y, x]]
                labelled[y, x] = each.index(max(each))
                weights[y, x] = max([0.0, *(p for p, present in zip(each[1:], labels, strict=True) if present)])
    return labelled, weights
