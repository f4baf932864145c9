"""Which way round an Eigen-CAM map is: an eigenvector has no sign, and the paper says nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Sign = Literal["auto", "perron", "mean_activation", "max_abs", "border"]


def _perron(maps: Tensor, features: Tensor) -> Tensor:
    return maps.sum(dim=(1, 2))


def _mean_activation(maps: Tensor, features: Tensor) -> Tensor:
    mean = features.mean(dim=1)  # (N, h, w)
    return (maps * (mean - mean.mean(dim=(1, 2), keepdim=True))).sum(dim=(1, 2))


def _max_abs(maps: Tensor, features: Tensor) -> Tensor:
    return maps.amax(dim=(1, 2)) + maps.amin(dim=(1, 2))


def _border(maps: Tensor, features: Tensor) -> Tensor:
    _, h, w = maps.shape
    inner = maps[:, 1:-1, 1:-1].sum(dim=(1, 2))
    ring = maps.sum(dim=(1, 2)) - inner
    return inner / ((h - 2) * (w - 2)) - ring / (2 * (h + w) - 4)


def _auto(maps: Tensor, features: Tensor) -> Tensor:
    if min(maps.shape[1:]) < 3:  # no rim that encloses anything
        return _perron(maps, features)
    signed = features.amin(dim=(1, 2, 3)) < 0  # (N,)
    return torch.where(signed, _border(maps, features), _perron(maps, features))


SIGN_RULES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "auto": _auto,
    "perron": _perron,
    "mean_activation": _mean_activation,
    "max_abs": _max_abs,
    "border": _border,
}
"""The rules by name, and where each can fail. A tie keeps the solver's sign.

Each takes maps (N, h, w) and features (N, C, h, w), and gives (N,): a map is upside down where this is negative.

``auto``
    By what an image's features are: ``perron`` where they are ≥ 0, ``border`` where some are negative and the grid has
    a rim. On photographs with signed features ``perron`` is wrong more often than not.
``perron``
    The map's sum is positive. For uncentred features that are ≥ 0 (after a ReLU) the theorem of Perron and Frobenius
    says that the first component can be chosen ≥ 0 in every cell, and this finds that choice. It cannot fail (save
    where two components are exactly equally strong), but the map stays near the mean strength of all channels. For
    signed features (tokens of a ViT, hard-swish) and for later components it is a majority vote, and wrong where the
    object covers less than the rest. Centred maps sum to zero: an error.
``mean_activation``
    The map goes up where the mean of the channels goes up. (Centred, this covariance is λ Σ_k v_k / C: the sign that
    ``perron`` would read off the direction.) Fails where the ground is the strongest thing in the image, such as
    texture or padded borders, and is noise behind a layer norm, where the mean over channels is the same everywhere.
``max_abs``
    The largest value is positive: flip where ``|min| > |max|``. A centred map has mean zero, so the smaller region has
    the larger values: fails for objects that cover more than about half of the image.
``border``
    The rim of the grid, one cell wide, is lower on average than what it encloses. Fails for objects that are cut by the
    image's edge or surround its centre.
"""
