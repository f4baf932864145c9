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
