"""From the network's raw class maps to maps in [0, 1]: normalise, resize, sum over scales and mirror images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1.0, 0.5, 1.5, 2.0)
"""The scales at which the WSSS literature sums maps (Ahn et al. 2019, released code)."""


def normalise(maps: Tensor, how: Literal["minmax", "max"] = "minmax", eps: float = 1e-5) -> Tensor:
    r"""Bring every map, on its own, into [0, 1].

    .. math::
        \text{minmax: } \frac{m - \min m}{\max m - \min m + \epsilon} \qquad
        \text{max: } \frac{\mathrm{ReLU}(m)}{\max \mathrm{ReLU}(m) + \epsilon}

    The two differ in what a weak map means. ``minmax`` is what localisation uses: the darkest pixel becomes 0 even if
    the whole image is object. ``max`` is what segmentation seeds use: evidence below zero counts as none, and the
    zero of the class score stays the zero of the map.

    A constant map says nothing about *where*. ``minmax`` turns it into zeros; ``max`` does so only where it is not
    positive (a constant positive map becomes a map of ones: foreground everywhere).

    Args:
        maps: (..., h, w) float, any range. NaN stays NaN, so that it cannot pass as an empty map.
        how: ``"minmax"`` or ``"max"``.
        eps: Added to the denominator. It is not scale-free: a map whose whole range is of the order of ``eps`` stays
            dark. 1e-5 is what irn, BAS and SAT use; Eigen-CAM implementations use 1e-7; 0 normalises exactly (and
            still gives zeros, not NaN, for a constant map).

    Returns:
        (..., h, w) in [0, 1], same dtype and device.

    Raises:
        ValueError: Unknown ``how``.

    Source: Zhou et al. 2016 (max); evaluation code of BAS (Wu et al. 2022) (minmax). Used in chapter 1.
    """
    if how == "minmax":
        maps = maps - maps.amin(dim=(-2, -1), keepdim=True)
    elif how == "max":
        maps = maps.relu()
    else:
        raise ValueError(f"normalise how={how!r} is unknown: use 'minmax' or 'max'")
    top = maps.amax(dim=(-2, -1), keepdim=True) + eps
    return maps / torch.where(top == 0, torch.ones_like(top), top)


def resize(maps: Tensor, size: tuple[int, int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Interpolate maps to ``size``, pixels seen as areas (``align_corners=False``).

    Args:
        maps: (N, K, h, w) or (N, h, w), float.
        size: (height, width) in pixels.
        mode: ``"bilinear"`` stays within each map's range, in every memory format and precision; ``"bicubic"``, which
            the WSOL benchmark uses, may overshoot it: normalise afterwards, not before.

    Returns:
        (N, K, height, width) or (N, height, width).

    Raises:
        ValueError: Unknown mode, or maps with neither 3 nor 4 dimensions.
    """
    if mode not in ("bilinear", "bicubic"):
        raise ValueError(f"resize mode={mode!r} is unknown: use 'bilinear' or 'bicubic'")
    if maps.dim() == 3:
        return resize(maps[:, None], size, mode)[:, 0]
    if maps.dim() != 4:
        raise ValueError(f"maps have {maps.dim()} dimensions, expected (N, K, h, w) or (N, h, w): add or index one")
    larger = F.interpolate(maps, size=tuple(size), mode=mode, align_corners=False)
    return larger if mode == "bicubic" else _within(larger, maps.detach())


def _within(larger: Tensor, maps: Tensor) -> Tensor:
    """Interpolated maps (N, K, H, W) without the rounding by which they leave the range of ``maps`` (N, K, h, w).

    Weights that should sum to 1 do so but for rounding, how much depends on the memory format. Gradients are untouched.
    """
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)  # (N, K, 1, 1)
    # A NaN spreads to the cells around it, and not to all of the map.
    low, high = low.nan_to_num(-torch.inf, torch.inf, -torch.inf), high.nan_to_num(torch.inf, torch.inf, -torch.inf)
    bounded = larger.detach().clamp(low, high)
    if not larger.requires_grad:
        return bounded
    return torch.where(bounded == larger, larger, larger + (bounded - larger.detach()))


def wsolevaluation_map(raw_maps: Tensor, size: tuple[int, int]) -> Tensor:
    """A raw map as the WSOL benchmark scores it: bicubic to ``size``, then exact min–max; constant or NaN maps → zeros.

    Args:
        raw_maps: (N, h, w) or (N, K, h, w), the class maps before any ReLU.
        size: (height, width) of the image as the network saw it (the benchmark: 224 × 224, no crop).

    Returns:
        (N, …, height, width) in [0, 1].

    Source: Choe et al. 2020, released evaluation code.
    """
    maps = resize(raw_maps, size, mode="bicubic")
    broken = maps.isnan().any(dim=-1, keepdim=True).any(dim=-2, keepdim=True)
    # Seen before resizing: bicubic weights sum to 1 but for rounding, which would be stretched to a map of full range.
    constant = raw_maps.amin(dim=(-2, -1), keepdim=True) == raw_maps.amax(dim=(-2, -1), keepdim=True)
    return normalise(maps.masked_fill(broken | constant, 0.0), how="minmax", eps=0.0)


def keep_labels(maps: Tensor, labels: Tensor) -> Tensor:
    """Set the maps of classes that the image label does not name to zero.

    It is the field's habit when seeds are made *and when they are scored*: the classifier's own errors then never
    show in the score. Say so beside the number.

    Args:
        maps: (N, K, h, w).
        labels: (N, K) multi-hot.

    Returns:
        (N, K, h, w).

    Raises:
        ValueError: Labels that do not match the maps.
    """
    if labels.shape != maps.shape[:2]:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, expected {tuple(maps.shape[:2])}: one row per image, "
            "one column per map"
        )
    keep = (labels > 0)[:, :, None, None]  # (N, K, 1, 1)
    return torch.where(keep, maps, torch.zeros((), dtype=maps.dtype, device=maps.device))


def multi_scale(
    fn: Callable[[Tensor], Tensor],
    images: Tensor,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    labels: Tensor | None = None,
    size: tuple[int, int] | Literal["image", "stride4"] = "image",
) -> Tensor:
    r"""Sum the maps of an image seen at several scales and in the mirror.

    .. math::
        S_c = \sum_{s} \uparrow\!\big(\mathrm{ReLU}\,M_c(I_s)
              + \mathrm{flip}\,\mathrm{ReLU}\,M_c(\mathrm{flip}\,I_s)\big), \qquad
        \hat M_c = \frac{y_c S_c}{\max_u y_c S_c(u) + 10^{-5}}

    The ReLU comes *before* the sum: evidence against a class at one scale does not cancel evidence for it at another.
    The minimum is not subtracted.

    Args:
        fn: Images (N, 3, H', W') in [0, 1] → raw class maps (N, K, h', w'), before any ReLU. Put the model in
            evaluation mode, and call under ``torch.no_grad()`` where no gradient is needed.
        images: (N, 3, H, W) in [0, 1].
        scales: Factors of the image's size; images are resized bicubic with antialiasing, cut to [0, 1].
        flip: Whether to add the mirrored image's map, mirrored back.
        labels: (N, K) multi-hot image labels; the other classes' maps become 0. None keeps all.
        size: ``"image"``: upsampled to the next multiple of 16 and cropped to the image (a stride-16 grid covers
            just that much); ``"stride4"``: ⌈H/4⌉ × ⌈W/4⌉, for random walks; or (height, width).

    Returns:
        (N, K, height, width) in [0, 1].

    Raises:
        ValueError: No scale, or a scale that is not positive.

    Source: Ahn et al. 2019 (IRN), released code. Built in chapter 1.
    """
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales are {tuple(scales)}, expected at least one positive number, for example {SCALES}")
    height, width = images.shape[-2:]
    crop: tuple[int, int] | None = None
    if size == "image":
        crop, size = (height, width), (16 * math.ceil(height / 16), 16 * math.ceil(width / 16))
    elif size == "stride4":
        size = (math.ceil(height / 4), math.ceil(width / 4))
    elif isinstance(size, str):
        raise ValueError(f"size={size!r} is unknown: use 'image', 'stride4' or (height, width)")

    total: Tensor | None = None
    for scale in scales:
        view = _scaled(images, scale)  # (N, 3, s·H, s·W)
        maps = fn(view).relu()  # (N, K, h', w')
        if flip:
            maps = maps + fn(view.flip(-1)).relu().flip(-1)
        maps = resize(maps, size)  # (N, K, height, width)
        total = maps if total is None else total + maps
    assert total is not None  # scales is not empty
    if crop:
        total = total[..., : crop[0], : crop[1]]
    if labels is not None:
        total = keep_labels(total, labels)
    return normalise(total, how="max", eps=1e-5)


def _scaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    size = [max(1, round(side * scale)) for side in images.shape[-2:]]
    # Bicubic overshoots at edges; a photograph has no values outside [0, 1].
    return F.interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
