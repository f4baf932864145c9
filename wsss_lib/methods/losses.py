"""How wrong class scores are: what several methods ask of their logits.

No check here makes a GPU wait. Where labels fit a loss badly, a CPU says so; on another device the loss of such an
image becomes NaN, and the training loop stops there.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Classification = Literal["multilabel", "softmax", "against_absent"]

AT_HAND = {"cpu"}
"""Devices whose values can be looked at without waiting for them."""


def multilabel_soft_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Ask of every class on its own whether it is in the image.

    ℓ(s, y) = −1/K Σ_c [y_c log σ(s_c) + (1 − y_c) log σ(−s_c)], averaged over the batch.

    Args:
        logits: (N, K), any range.
        labels: (N, K) multi-hot.

    Returns:
        Scalar ≥ 0. For s = (2, −1, 0), y = (1, 0, 0) it is 0.37778. Built in chapter 1.
    """
    return -(labels * F.logsigmoid(logits) + (1 - labels) * F.logsigmoid(-logits)).mean()


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Ask which one class the image shows: −log softmax(s)_y, averaged over the batch.

    Args:
        logits: (N, K), any range.
        labels: (N, K) one-hot.

    Returns:
        Scalar ≥ 0. Used in chapter 1.

    Raises:
        ValueError: A row of the labels names no class or several (on a CPU; elsewhere the loss is NaN).
    """
    each = -(labels * F.log_softmax(logits, dim=1)).sum(dim=1)  # (N,)
    return _of_one_class(each, labels).mean()


def classification_loss(logits: Tensor, present: Tensor, loss: Classification, only: Tensor | None = None) -> Tensor:
    """How wrong the scores are, for each image.

    Args:
        logits: (N, K).
        present: (N, K) bool.
        loss: ``"multilabel"``: each class is a question of its own. ``"softmax"``: images of exactly one class.
            ``"against_absent"``: a softmax of each present class against the absent ones (IJCV).
        only: (N,) one present class an image: the scores are those of what lies under its mask. ``"multilabel"``: the
            other present classes are no question then, because the mask should silence them. ``"against_absent"``: the
            other present classes are rivals too, which is the cross-entropy over all classes, as released.

    Returns:
        (N,) ≥ 0. Used in chapter 3.

    Raises:
        ValueError: ``"softmax"`` where an image has no class or several (on a CPU; elsewhere the loss is NaN).
    """
    wanted = present if only is None else present & F.one_hot(only, logits.shape[1]).bool()  # (N, K)
    if loss == "multilabel":
        asked = wanted | ~present
        each = F.binary_cross_entropy_with_logits(logits, wanted.to(logits), reduction="none")  # (N, K)
        return (each * asked).sum(dim=1) / asked.sum(dim=1)
    rivals = ~present if only is None else ~wanted
    others = logits.masked_fill(~rivals, -torch.inf).logsumexp(dim=1, keepdim=True)  # (N, 1), −∞ where none is
    each = ((torch.logaddexp(logits, others) - logits) * wanted).sum(dim=1)  # (N,)
    return _of_one_class(each, present) if loss == "softmax" else each


def precise(values: Tensor) -> Tensor:
    """Values of half precision as float32, others as they are: half knows no 10⁻⁸ that could guard a denominator."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _of_one_class(losses: Tensor, labels: Tensor) -> Tensor:
    """Losses (N,) of images that show exactly one class each by their labels (N, K); of the others, an error or NaN."""
    wrong = labels.sum(dim=1) != 1
    if wrong.device.type in AT_HAND and bool(wrong.any()):
        raise ValueError(
            "the softmax loss got labels with no class or several in one image, expected exactly one: "
            'use loss="multilabel"'
        )
    return losses.masked_fill(wrong, torch.nan)
