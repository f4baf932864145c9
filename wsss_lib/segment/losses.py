"""What a segmentation network is asked for each pixel, where the answers may be wrong."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.data.fields import IGNORE

PixelLoss = Literal["cross_entropy", "soft_bootstrapping", "hard_bootstrapping"]


def pixel_loss(
    scores: Tensor, masks: Tensor, loss: PixelLoss = "cross_entropy", trust: float = 0.8, weights: Tensor | None = None
) -> Tensor:
    r"""Cross-entropy over the pixels that are not ignored; bootstrapped, the network is believed in part.

    .. math:: -\sum_l q_l \log p_l, \qquad q = y, \quad \beta y + (1 - \beta) p, \quad
        \text{or } \beta y + (1 - \beta)\, [l = \arg\max p]

    Args:
        scores: (N, L, H, W) logits.
        masks: (N, H, W) int64, from 0 to L − 1, or 255: not asked.
        loss: Which q: plain, soft or hard bootstrapping.
        trust: β in [0, 1], how far the masks are believed. Reed et al.: 0.95 soft, 0.8 hard.
        weights: (N, H, W) ≥ 0: how much each pixel counts; None for alike.

    Returns:
        Scalar ≥ 0: the weighted mean; 0 where no pixel counts.

    Raises:
        ValueError: An unknown loss, or trust outside [0, 1].

    Source: Reed et al. 2015.
    """
    if loss not in ("cross_entropy", "soft_bootstrapping", "hard_bootstrapping") or not 0 <= trust <= 1:
        raise ValueError(
            f"loss is {loss!r} with trust {trust}, expected 'cross_entropy', 'soft_bootstrapping' or "
            "'hard_bootstrapping', and trust from 0 to 1"
        )
    each = F.cross_entropy(scores, masks, ignore_index=IGNORE, reduction="none")  # (N, H, W)
    if loss != "cross_entropy":
        logs = scores.log_softmax(dim=1)
        believed = -(logs.exp() * logs).sum(dim=1) if loss == "soft_bootstrapping" else -logs.amax(dim=1)
        each = trust * each + (1 - trust) * believed
    counted = (masks != IGNORE).to(each)
    counted = counted if weights is None else counted * weights
    return (each * counted).sum() / counted.sum().clamp(min=torch.finfo(each.dtype).tiny)
