"""Does the classifier know what is in the image: accuracy and mean average precision."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k_correct(logits: Tensor, targets: Tensor, k: int = 1) -> Tensor:
    """Whether the true class is among the k highest logits.

    Args:
        logits: (N, K).
        targets: (N,) int64 classes, or (N, K) with exactly one positive a row.
        k: 1 for top-1; with fewer than k classes, all of them are admitted.

    Returns:
        (N,) bool. Among equal logits the class of lower index is preferred.

    Raises:
        ValueError: Rows with no or several classes (use :func:`average_precision` for multi-label data), or NaN among
            the logits.
    """
    _check_ranked(logits)
    classes = _single_class(targets, logits.shape)
    order = logits.argsort(dim=1, descending=True, stable=True)[:, :k]  # (N, k)
    return (order == classes[:, None]).any(dim=1)


def accuracy(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    """Share of images whose class is among the k highest logits, in [0, 1]; see :func:`top_k_correct`.

    Raises:
        ValueError: No image, rows with no or several classes, or NaN among the logits.
    """
    if not len(logits):
        raise ValueError("accuracy of no images is undefined: pass at least one row of logits")
    return float(top_k_correct(logits, targets, k).double().mean())


def average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    r"""Average precision of each class.

    .. math:: \mathrm{AP} = \sum_n (R_n - R_{n-1})\,P_n

    over the distinct scores from high to low: images with equal scores enter together, so their order does not
    matter. Nothing is interpolated (VOC 2007's eleven points are another number).

    Args:
        scores: (N, K), any monotonic function of the class's probability.
        labels: (N, K) multi-hot.

    Returns:
        (K,) float64; NaN for a class without a positive image.

    Raises:
        ValueError: Shapes differ, or NaN among the scores.
    """
    if scores.shape != labels.shape or scores.dim() != 2:
        raise ValueError(f"scores are {tuple(scores.shape)}, labels {tuple(labels.shape)}, expected (N, K) both")
    _check_ranked(scores)
    scores, labels = scores.cpu(), labels.cpu() > 0
    ranked, order = scores.sort(dim=0, descending=True)
    true = labels.gather(0, order).double().cumsum(0)  # (N, K) true positives among the first n
    precision = true / torch.arange(1, len(scores) + 1, dtype=torch.float64)[:, None]
    last = torch.ones_like(labels)  # of a run of equal scores
    last[:-1] = ranked[:-1] != ranked[1:]
    reached = torch.where(last, true, torch.zeros_like(true)).cummax(0).values
    before = torch.cat([torch.zeros_like(reached[:1]), reached[:-1]])
    gained = torch.where(last, true - before, torch.zeros_like(true))
    return (precision * gained).sum(0) / labels.sum(0).double()


def mean_average_precision(scores: Tensor, labels: Tensor) -> float:
    """Mean of :func:`average_precision` over the classes that occur; NaN where none does.

    Accumulate scores and labels over chunks or processes by concatenation: a ranking has no sums.
    """
    return float(torch.nanmean(average_precision(scores, labels)))


def _check_ranked(scores: Tensor) -> None:
    if bool(scores.isnan().any()):
        raise ValueError("a score is NaN and cannot be ranked: find where it arises in the classifier")


def _single_class(targets: Tensor, shape: torch.Size) -> Tensor:
    if targets.dim() == 1:
        if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < shape[1]:
            raise ValueError(f"targets range over {int(targets.min())}..{int(targets.max())}, logits have {shape[1]}")
        return targets
    positives = (targets > 0).sum(dim=1)
    if targets.shape != shape or bool((positives != 1).any()):
        raise ValueError(
            "targets must hold exactly one class per image, as (N,) or one-hot (N, K): "
            "for several classes use mean_average_precision"
        )
    return targets.argmax(dim=1)
