"""How much a map changes when the image is merely resized."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.maps import normalise


def equivariance_error(
    before: Tensor, after: Tensor, size: Sequence[int], labels: Tensor, *, relative: bool = False
) -> Tensor:
    r"""How far the map of the resized image is from the resized map of the image, for each class that is present.

    .. math::
        E(s) = \langle\,|N(M(R_s I)) - R_s N(M(I))|\,\rangle

    N is the ReLU and the stretching of each map from its minimum to its maximum. A perfect map has an error of zero,
    and so has a constant one; a map that covers little cannot err by much. Read it beside a score, or ``relative``.

    Args:
        before: (N, K, h, w), raw maps M(I) of the images.
        after: (N, K, h', w'), raw maps M(R_s I) of the resized images.
        size: Height and width of the resized images, at which the two are compared. Both are interpolated with corner
            cells on the corners, as networks with padded strides lay their cells.
        labels: (N, K) multi-hot.
        relative: Divide by the mean of the two maps: 0 where they agree, 2 where they have no pixel in common.

    Returns:
        (P,), in [0, 1] or, relative, in [0, 2]: one number for each present class of each image. A pair of empty maps
        has an error of zero.

    Raises:
        ValueError: Maps or labels of different images or classes.

    Source: Wang et al. 2020, section 3.1. Built in chapter 5.
    """
    if before.shape[:2] != after.shape[:2] or before.shape[:2] != labels.shape:
        raise ValueError(
            f"maps have shapes {tuple(before.shape)} and {tuple(after.shape)}, labels {tuple(labels.shape)}: expected "
            "the same images and classes in all three"
        )
    pair = []
    for maps in (before.relu(), after.relu()):
        maps = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps  # 1e-12 is 0 in half precision
        stretched = normalise(maps, how="minmax", eps=0)
        pair.append(F.interpolate(stretched, size=tuple(size), mode="bilinear", align_corners=True)[labels > 0])
    error = (pair[0] - pair[1]).abs().mean((1, 2))  # (P,)
    return error / ((pair[0] + pair[1]).mean((1, 2)) / 2).clamp_min(1e-12) if relative else error
