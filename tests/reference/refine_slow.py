"""Refinement the slow way, written from the equations: pixel by pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def superpixel_mean(plane: Tensor, labels: Tensor) -> Tensor:
    """The mean of each superpixel, of one plane (H, W)."""
    result = torch.zeros_like(plane)
    for label in labels.unique():
        result[labels == label] = plane[labels == label].mean()
    return result


def gaussian_kernel(features: list[list[float]]) -> list[list[float]]:
    """All weights exp(−‖f_i − f_j‖² / 2), symmetrically normalised."""
    number = len(features)
    kernel = [
        [math.exp(-sum((a - b) ** 2 for a, b in zip(features[i], features[j], strict=True)) / 2) for j in range(number)]
        for i in range(number)
    ]
    sums = [sum(row) for row in kernel]
    return [[kernel[i][j] / math.sqrt(sums[i] * sums[j]) for j in range(number)] for i in range(number)]


def dense_crf(
    scores: Tensor,
    image: Tensor,
    *,
    near: float,
    near_weight: float,
    reach: float,
    colour: float,
    colour_weight: float,
    iterations: int,
) -> Tensor:
    """Mean field of one image (3, H, W) over scores (L, H, W) > 0, pair by pair."""
    labels, height, width = scores.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    smooth = gaussian_kernel([[x / near, y / near] for y, x in places])
    alike = gaussian_kernel(
        [[x / reach, y / reach, *(255 * float(v) / colour for v in image[:, y, x])] for y, x in places]
    )
    evidence = [[math.log(float(scores[c, y, x])) for c in range(labels)] for y, x in places]

    def softmax(row: list[float]) -> list[float]:
        powers = [math.exp(v) for v in row]
        return [v / sum(powers) for v in powers]

    beliefs = [softmax(row) for row in evidence]
    for _ in range(iterations):
        beliefs = [
            softmax(
                [
                    evidence[i][c]
                    + sum(
                        (near_weight * smooth[i][j] + colour_weight * alike[i][j]) * beliefs[j][c]
                        for j in range(len(places))
                    )
                    for c in range(labels)
                ]
            )
            for i in range(len(places))
        ]
    return torch.tensor(beliefs, dtype=torch.float64).T.reshape(labels, height, width)


def affinity(a: Tensor, b: Tensor) -> float:
    """Of two pixels by their features (C,)."""
    return math.exp(-float((a - b).abs().sum()) / len(a))


def pairs(height: int, width: int, radius: float) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """All unordered pairs of pixels nearer than the radius."""
    places = [(y, x) for y in range(height) for x in range(width)]
    return [(p, q) for p in places for q in places if p < q and math.dist(p, q) < radius]


def walk(scores: Tensor, features: Tensor, radius: float, power: float, steps: int) -> Tensor:
    """Scores (K, h, w) after so many steps, by the power of the whole matrix, squared again and again."""
    k, height, width = scores.shape
    matrix = torch.eye(height * width, dtype=torch.float64)
    for (y, x), (v, u) in pairs(height, width, radius):
        value = affinity(features[:, y, x], features[:, v, u]) ** power
        matrix[y * width + x, v * width + u] = matrix[v * width + u, y * width + x] = value
    transition = matrix / matrix.sum(dim=0, keepdim=True)  # each column sums to 1
    assert steps & (steps - 1) == 0
    for _ in range(steps.bit_length() - 1):
        transition = transition @ transition
    return (scores.flatten(1) @ transition).view(k, height, width)


def affinity_loss(features: Tensor, seeds: Tensor, radius: float) -> float:
    """The three means over pairs of confident pixels of one image."""
    terms: dict[str, list[float]] = {"background": [], "foreground": [], "unlike": []}
    for (y, x), (v, u) in pairs(*seeds.shape, radius):
        here, partner = int(seeds[y, x]), int(seeds[v, u])
        if 255 in (here, partner):
            continue
        a = affinity(features[:, y, x], features[:, v, u])
        if here != partner:
            terms["unlike"].append(-math.log(1 + 1e-5 - a))
        else:
            terms["foreground" if here else "background"].append(-math.log(a + 1e-5))
    means = {name: sum(values) / len(values) if values else 0.0 for name, values in terms.items()}
    return means["background"] / 4 + means["foreground"] / 4 + means["unlike"] / 2


def line_minimum(boundaries: Tensor, start: tuple[int, int], end: tuple[int, int]) -> float:
    """1 − the strongest boundary on the cells of the rectangle from start to end that are less than 1 off the line."""
    (y0, x0), (y1, x1) = start, end
    length, strongest = math.dist(start, end), 0.0
    for y in range(min(y0, y1), max(y0, y1) + 1):
        for x in range(min(x0, x1), max(x0, x1) + 1):
            off = abs((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) / length
            if off < 1:
                strongest = max(strongest, float(boundaries[y, x]))
    return 1 - strongest
