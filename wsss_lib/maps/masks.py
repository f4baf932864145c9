"""From maps to masks: a score for the background, then the largest score wins."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wsss_lib.maps.scores import keep_labels


def background_constant(maps: Tensor, threshold: float) -> Tensor:
    """The background's score as a constant: a pixel is foreground where some class's map exceeds it.

    Args:
        maps: (N, K, h, w) in [0, 1].
        threshold: t in [0, 1]. Published values: 0.15 (IRN), 0.2 (AffinityNet), 0.26 (SEAM).

    Returns:
        (N, 1, h, w), filled with ``threshold``.

    Used in chapter 1.
    """
    return torch.full_like(maps[:, :1], threshold)


def background_power(maps: Tensor, alpha: float) -> Tensor:
    r"""The background's score as what the classes leave over: :math:`(1 - \max_c \hat M_c)^\alpha`.

    A *low* α means *more* background. With α = :func:`equivalent_power` (t), the decision between foreground and
    background is that of the constant t.

    Args:
        maps: (N, K, h, w) in [0, 1].
        alpha: The exponent, > 0. Published pairs for confident labels: 4 and 32 (AffinityNet), 4 and 24 (SEAM).

    Returns:
        (N, 1, h, w) in [0, 1].

    Raises:
        ValueError: An exponent that is not positive.

    Source: Ahn and Kwak 2018 (AffinityNet). Used in chapter 1.
    """
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}, expected a positive exponent: larger values mean less background")
    return (1 - maps.amax(dim=1, keepdim=True)).clamp(min=0) ** alpha


def with_background(maps: Tensor, background: Tensor) -> Tensor:
    """Put the background's score in front as channel 0, so that channel c + 1 is class c, as in masks.

    Args:
        maps: (N, K, h, w).
        background: (N, 1, h, w), from :func:`background_constant` or :func:`background_power`.

    Returns:
        (N, K + 1, h, w).
    """
    return torch.cat([background, maps], dim=1)


def equivalent_threshold(alpha: float) -> float:
    r"""The constant background score that decides like the power α: the root of :math:`t = (1 - t)^\alpha`.

    Args:
        alpha: The exponent, > 0.

    Returns:
        t in (0, 1); 0.5 for α = 1, 0.2755 for 4, 0.0770 for 32.

    Raises:
        ValueError: An exponent that is not positive and finite.
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha is {alpha}, expected a positive, finite exponent")
    low, high = 0.0, 1.0  # t − (1 − t)^α rises from −1 to 1, so bisection cannot miss
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if middle < (1 - middle) ** alpha else (low, middle)
    return (low + high) / 2


def equivalent_power(threshold: float) -> float:
    r"""The exponent whose power background decides like the constant t: :math:`\alpha = \ln t / \ln(1 - t)`.

    Args:
        threshold: t in (0, 1).

    Returns:
        α > 0.

    Raises:
        ValueError: A threshold outside the open interval.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold}, expected a number between 0 and 1, both excluded")
    return math.log(threshold) / math.log1p(-threshold)


def threshold_mask(maps: Tensor, threshold: float) -> Tensor:
    """Where a map *exceeds* the threshold; a pixel that equals it is background.

    Args:
        maps: (..., h, w).
        threshold: In the maps' unit; compared in the maps' own precision, half precisions as float32 (as in metrics).

    Returns:
        (..., h, w) bool.
    """
    if maps.dtype in (torch.float16, torch.bfloat16):
        maps = maps.float()
    return maps > threshold


def seeds(maps: Tensor, labels: Tensor | None, threshold: float) -> Tensor:
    r"""Pseudo-labels from maps: :math:`\arg\max(t, \hat M_1, \dots, \hat M_K)`.

    On a tie the first wins: the background before any class, a class before the later ones.

    Args:
        maps: (N, K, h, w) in [0, 1].
        labels: (N, K) multi-hot; classes absent from the image label cannot be seeded. None admits every class (the
            honest setting when no label is known at test time).
        threshold: The constant background score t.

    Returns:
        (N, h, w) int64: 0 background, k + 1 for class k.

    Raises:
        ValueError: Labels that do not match the maps, or NaN, which exceeds nothing and would pass as background.

    Source: Ahn and Kwak 2018 (AffinityNet), released code. Built in chapter 1.
    """
    if labels is not None:
        maps = keep_labels(maps, labels)
    best, winner = maps.max(dim=1)  # (N, h, w) both; the first of equals
    if bool(best.isnan().any()):
        raise ValueError("a map contains NaN: find where it arises, or set it to 0 on purpose with torch.nan_to_num")
    return torch.where(threshold_mask(best, threshold), winner + 1, torch.zeros_like(winner))


def confident_seeds(maps: Tensor, labels: Tensor | None, low: float, high: float) -> Tensor:
    """Pseudo-labels where they are sure: a class above ``high``, background up to ``low``, 255 in between.

    Args:
        maps: (N, K, h, w) in [0, 1].
        labels: As for :func:`seeds`.
        low: In [0, high]. 0.05 in IRN.
        high: In [low, 1]. 0.30 in IRN.

    Returns:
        (N, h, w) int64: 0 background, k + 1 for class k, 255 where neither is sure.

    Raises:
        ValueError: Thresholds in the wrong order, or what :func:`seeds` refuses.

    Source: Ahn et al. 2019 (IRN), released code.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"the thresholds are {low} and {high}, expected 0 ≤ low ≤ high ≤ 1: exchange them")
    strict, lenient = seeds(maps, labels, high), seeds(maps, labels, low)
    return torch.where((strict == 0) & (lenient > 0), 255, strict)


def likeliest(scores: Tensor) -> Tensor:
    """The label with the highest score at each pixel, the first of equals.

    On a CPU ``argmax`` over planes takes ten times as long for the same.

    Args:
        scores: (..., L, h, w), of any kind: probabilities, logits, -inf for a label that is forbidden.

    Returns:
        (..., h, w) int64, from 0 to L - 1.
    """
    return scores.max(dim=-3).indices
