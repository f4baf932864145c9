"""SAT, slow and obvious: one image, one head, one token at a time, as the formulas stand."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor


def gate(queries: Tensor, keys: Tensor) -> Tensor:
    """σ of the heads' mean logit of the last query, for each key; (N, H, T, d) → (N, T)."""
    n, heads, length, dim = keys.shape
    out = keys.new_zeros(n, length)
    for b in range(n):
        for j in range(length):
            logits = [sum(queries[b, h, -1, c] * keys[b, h, j, c] for c in range(dim)) / dim**0.5 for h in range(heads)]
            out[b, j] = 1 / (1 + torch.exp(-sum(logits) / heads))
    return out


def attention(queries: Tensor, keys: Tensor, values: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
    """(softmax(E) ⊙ g) V and its row sums, with the matrix written out."""
    n, heads, length, dim = keys.shape
    out, rows = torch.zeros_like(values), keys.new_zeros(n, heads, length)
    for b in range(n):
        for h in range(heads):
            for i in range(length):
                logits = torch.stack([(queries[b, h, i] * keys[b, h, j]).sum() / dim**0.5 for j in range(length)])
                p = logits.exp() / logits.exp().sum()
                for j in range(length):
                    out[b, h, i] += p[j] * gates[b, j] * values[b, h, j]
                    rows[b, h, i] += p[j] * gates[b, j]
    return out, rows


def area(maps: Tensor, prior: float) -> float:
    """|mean over the batch of each image's mean − λ|."""
    means = [sum(float(v) for v in image.flatten()) / image.numel() for image in maps]
    return abs(sum(means) / len(means) - prior)


def kernel() -> list[list[float]]:
    """Three bins of a Gaussian cut at six deviations, outer product, square root, sum 1."""

    def below(x: float) -> float:
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    width = 2 * 6 / 3 + 1 / 3  # (2 · 6 + 1) / 3
    edges = [-6 - width / 2 + i * (2 * 6 + width) / 3 for i in range(4)]
    bins = [below(b) - below(a) for a, b in pairwise(edges)]
    square = [[math.sqrt(a * b) for b in bins] for a in bins]
    total = sum(map(sum, square))
    return [[v / total for v in row] for row in square]


def normalisation(maps: Tensor) -> float:
    """Mean of M* (1 − M*), M* filtered cell by cell, nothing beyond the border."""
    k, total = kernel(), 0.0
    n, _, h, w = maps.shape
    for b in range(n):
        for y in range(h):
            for x in range(w):
                m = 0.0
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        if 0 <= y + dy < h and 0 <= x + dx < w:
                            m += k[dy + 1][dx + 1] * float(maps[b, 0, y + dy, x + dx])
                total += m * (1 - m)
    return total / (n * h * w)
