"""What a classifier says of an object under a growing mask: the observation that chapter 3 starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones import StagedBackbone
from wsss_lib.data.records import IGNORE, Batch
from wsss_lib.methods.bas import Rectify, activation, of_class
from wsss_lib.methods.cam import CAM, class_activation_maps
from wsss_lib.modes import evaluating

RADII = (-12, -9, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 5, 8, 12, 18, 26)
"""By how many pixels the true masks are shrunk (below zero) or grown."""


def resized(masks: Tensor, radius: int) -> Tensor:
    """Binary masks (N, H, W) grown by a square of ``radius`` pixels on every side, shrunk where it is below zero."""
    planes = masks[:, None].float()
    side = 2 * abs(radius) + 1
    if radius < 0:
        return 1 - F.max_pool2d(1 - planes, side, stride=1, padding=-radius)[:, 0]
    return F.max_pool2d(planes, side, stride=1, padding=radius)[:, 0]


@torch.no_grad()
def masked_responses(
    cam: CAM, batch: Batch, stage: str, radii: Sequence[int] = RADII, rectify: Rectify = "cells"
) -> dict[str, Tensor]:
    """What a classifier says of features under a mask, and outside it, while the true mask is shrunk and grown.

    Args:
        cam: The classifier, over a convolutional backbone.
        batch: With ``images``, ``masks`` and one class an image in ``labels``.
        stage: Where the features are masked.
        radii: See :func:`resized`; nothing and everything are added at both ends.
        rectify: See :class:`wsss_lib.methods.bas.BASConfig`.

    Returns:
        (N, len(radii) + 2) each: ``area`` (of the mask over that of the object), ``cross_entropy`` (softmax, under the
        mask), ``foreground`` and ``background`` (the class's activation under and outside the mask).

    Source: Wu et al. 2022, figure 2, whose masks are shrunk and grown alike. Built in chapter 3.
    """
    assert isinstance(cam.backbone, StagedBackbone)
    behind = cam.backbone.stages[cam.backbone.stages.index(stage) + 1 :]
    tail = nn.Sequential(*(cam.backbone.blocks[name] for name in behind))
    classes = batch["labels"].argmax(dim=1)
    truth = ((batch["masks"] > 0) & (batch["masks"] != IGNORE)).float()  # (N, H, W)
    masks = [torch.zeros_like(truth), *(resized(truth, radius) for radius in radii), torch.ones_like(truth)]
    responses: dict[str, list[Tensor]] = {"area": [], "cross_entropy": [], "foreground": [], "background": []}
    with evaluating(cam):
        features = cam.backbone(batch["images"], stages=(stage,))[stage]

        def maps(mask: Tensor) -> Tensor:
            grid = F.adaptive_avg_pool2d(mask[:, None], features.shape[-2:])  # (N, 1, h, w)
            return class_activation_maps(tail(features * grid), cam.head.weight)  # (N, K, h', w')

        for mask in masks:
            inside, outside = maps(mask), maps(1 - mask)
            responses["area"].append(mask.sum(dim=(1, 2)) / truth.sum(dim=(1, 2)))
            responses["cross_entropy"].append(F.cross_entropy(inside.mean(dim=(2, 3)), classes, reduction="none"))
            responses["foreground"].append(activation(of_class(inside, classes), rectify))
            responses["background"].append(activation(of_class(outside, classes), rectify))
    return {name: torch.stack(values, dim=1) for name, values in responses.items()}
