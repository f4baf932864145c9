r"""Dense CRF: every pixel asks all others what they are, those most that are near and of its colour.

.. math::
    E(l) = \sum_i U_i(l_i) + \sum_{i < j} [l_i \ne l_j] \Big(
        w_p\, e^{-\frac{\|p_i - p_j\|^2}{2 \theta_p^2}}
        + w_c\, e^{-\frac{\|p_i - p_j\|^2}{2 \theta_r^2} - \frac{\|I_i - I_j\|^2}{2 \theta_c^2}} \Big)

Mean field makes of it, starting from :math:`Q_i(l) \propto e^{-U_i(l)}`,

.. math:: Q_i(l) \propto \exp\Big(-U_i(l) + \sum_m w_m \sum_j \tilde k_m(i, j)\, Q_j(l)\Big), \qquad
    \tilde k(i, j) = \frac{k(i, j)}{\sqrt{\sum_a k(i, a) \sum_a k(j, a)}}

The sum over :math:`j` has :math:`j = i` too: a pixel is in its own message, though not in the energy. Mean field proper
has :math:`j \ne i`, and the paper takes :math:`Q_i` away again after the filter. The authors' released code, which
pydensecrf wraps, does not; psa, SEAM and IRN use their widths and weights with it, so it is followed here. For the
kernel of places the pixel's own share of a message is about :math:`1 / (2 \pi \theta_p^2)`: small for the released
width of 3 pixels, large for one of about a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from wsss_lib.refine.filters import ExactFilter, Filter, LatticeFilter, normalise_symmetrically

Filtering = Literal["auto", "exact", "lattice"]

EXACT_PIXELS = 48 * 48
"""Up to so many pixels an image, ``"auto"`` filters exactly: 21 MB of weights an image and kernel."""

MEMORY = 2**28
"""Bytes that the filters' weights may take at once, roughly: a batch is refined in groups for which they suffice."""

CACHED = 2**24
"""As many bytes for lattices on a CPU: a group of images that leaves its cache takes up to a fifth longer."""

LEAST = 1e-5
"""Scores below count as this, so that no score forbids a class."""


@dataclass(frozen=True)
class CRFSettings:
    """Widths and weights of the two kernels; the defaults are those of psa and SEAM.

    Attributes:
        near: θ_p, pixels.
        near_weight: w_p.
        reach: θ_r, pixels: how far the kernel of colours reaches.
        colour: θ_c, in units of 0…255.
        colour_weight: w_c.
        iterations: Of mean field.

    Raises:
        ValueError: A width that is not positive, or a negative weight or number.
    """

    near: float = 3.0
    near_weight: float = 3.0
    reach: float = 80.0
    colour: float = 13.0
    colour_weight: float = 10.0
    iterations: int = 10

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            least = "positive" if name in ("near", "reach", "colour") else "at least 0"
            if not (value > 0 or (value == 0 and least == "at least 0")):
                raise ValueError(f"{name} is {value}, expected {least}: widths are in pixels, colours in 0…255")

    @classmethod
    def irn(cls) -> CRFSettings:
        """IRN's, for hard labels (:func:`scores_of_masks`): a shorter reach, and edges at fainter colours."""
        return cls(reach=50, colour=5)

    @classmethod
    def deeplab(cls) -> CRFSettings:
        """DeepLab's, for the scores of a segmentation network."""
        return cls(reach=67, colour=3, colour_weight=4)

    def resized(self, factor: float) -> CRFSettings:
        """For images whose sides are ``factor`` times as long: widths in pixels scale, colours do not."""
        return CRFSettings(
            self.near * factor,
            self.near_weight,
            self.reach * factor,
            self.colour,
            self.colour_weight,
            self.iterations,
        )


def dense_crf(
    scores: Tensor, images: Tensor, settings: CRFSettings | None = None, filtering: Filtering = "auto"
) -> Tensor:
    """Sharpen scores along the edges of their images, by mean field.

    Args:
        scores: (N, L, H, W) ≥ 0, the background's first, as :func:`wsss_lib.maps.with_background` gives them; they
            need not sum to 1. A label that is zero all over an image is absent from it, and stays zero. Or
            (T, N, L, H, W): several scores of the same images, whose filters are then made once.
        images: (N, 3, H, W) in [0, 1].
        settings: None for :class:`CRFSettings`.
        filtering: ``"exact"`` over all pairs of pixels, ``"lattice"`` in linear time, or ``"auto"``: exact up to
            :data:`EXACT_PIXELS`.

    Returns:
        Probabilities of the scores' shape, differentiable in the scores.

    Raises:
        ValueError: Scores and images of unlike sizes, an unknown filtering, or an image without any label.

    Source: Krähenbühl and Koltun 2011, with the symmetric normalisation of their released code, and, as there,
    the pixel itself in its own message.
    """
    settings = settings or CRFSettings()
    several = scores if scores.dim() == 5 else scores[None]
    if several.dim() != 5 or images.shape != (several.shape[1], 3, *several.shape[3:]):
        raise ValueError(
            f"scores are {tuple(scores.shape)} and images {tuple(images.shape)}, expected (N, L, H, W) and "
            "(N, 3, H, W) of one size: resize the scores to the images first"
        )
    if filtering not in ("auto", "exact", "lattice"):
        raise ValueError(f"filtering={filtering!r} is unknown: use 'auto', 'exact' or 'lattice'")
    if not bool((several.detach().amax(dim=(2, 3, 4)) > 0).all()):
        raise ValueError("an image has scores of zero for every label: give it a background score first")
    pixels = several.shape[3] * several.shape[4]
    exact = filtering == "exact" or (filtering == "auto" and pixels <= EXACT_PIXELS)
    most = MEMORY if exact or images.device.type != "cpu" else CACHED
    group = max(1, most // max(1, scores.element_size() * pixels * (pixels if exact else 64)))
    precise = torch.promote_types(scores.dtype, torch.float32)  # half precision cannot tell neighbours apart
    parts = [
        _mean_field(several[:, at].to(precise), images[at].to(precise), settings, exact)
        for at in (slice(start, start + group) for start in range(0, len(images), group))
    ]
    return torch.cat(parts, dim=1).reshape(scores.shape).to(scores.dtype) if parts else torch.zeros_like(scores)


def _mean_field(scores: Tensor, images: Tensor, settings: CRFSettings, exact: bool) -> Tensor:
    count, (h, w) = len(scores), scores.shape[3:]
    # Each image's own labels, as many as the richest one has: the others cost nothing.
    present = scores.detach().amax(dim=(3, 4)) > 0  # (T, N, L)
    any_present = present.any(dim=0)
    most = int(any_present.sum(dim=1).max())
    chosen = any_present.float().argsort(dim=1, descending=True, stable=True)[:, :most].expand(count, -1, -1)
    planes = chosen[:, :, :, None, None].expand(-1, -1, -1, h, w)  # (T, N, L', H, W)
    evidence = scores.gather(2, planes).clamp(min=LEAST).log()
    evidence = evidence.masked_fill(~present.gather(2, chosen)[:, :, :, None, None], -torch.inf)
    evidence = evidence.flatten(3).permute(1, 3, 0, 2).flatten(2).contiguous()  # (N, P, T · L')
    kernels = _kernels(images, settings, exact)
    beliefs = _softmax(evidence, count)
    for _ in range(settings.iterations):
        message = evidence
        for weight, kernel in kernels:
            message = torch.add(message, kernel(beliefs), alpha=weight)
        beliefs = _softmax(message, count)
    sharp = beliefs.unflatten(1, (h, w)).unflatten(3, (count, most)).permute(3, 0, 4, 1, 2)
    return torch.zeros_like(scores).scatter(2, planes, sharp)


def scores_of_masks(masks: Tensor, num_labels: int, certainty: float = 0.7) -> Tensor:
    """Hard labels as scores: the label of a pixel has ``certainty``, the others share the rest.

    Args:
        masks: (N, H, W) int64, from 0; pixels of other values than 0 … L − 1, such as 255, have equal scores.
        num_labels: L, with the background.
        certainty: In (1 / L, 1).

    Returns:
        (N, L, H, W) float32, positive, summing to 1. A label without a pixel in an image is absent from it: zero.

    Raises:
        ValueError: A certainty that prefers another label.

    Source: IRN (Ahn et al. 2019), released code.
    """
    if not 1 / num_labels < certainty < 1:
        raise ValueError(f"certainty is {certainty}, expected more than 1 / {num_labels} and less than 1")
    labels = torch.arange(num_labels, device=masks.device).view(1, -1, 1, 1)
    hit = (masks[:, None] == labels).float()  # (N, L, H, W)
    present = hit.amax(dim=(2, 3), keepdim=True)
    count = present.sum(dim=1, keepdim=True)
    known = hit.sum(dim=1, keepdim=True)
    # One label alone is certain; several share.
    rest = (1 - certainty) / (count - 1).clamp(min=1)
    return present * torch.where(known > 0, hit * certainty + (1 - hit) * rest, 1 / count.clamp(min=1))


def _kernels(images: Tensor, settings: CRFSettings, exact: bool) -> list[tuple[float, Filter]]:
    n, _, h, w = images.shape
    kernels: list[tuple[float, Filter]] = []
    if settings.near_weight > 0:
        kernels.append((settings.near_weight, _near(exact, h, w, settings.near, images.dtype, images.device)))
    if settings.colour_weight > 0:
        colours = images.detach().flatten(2).transpose(1, 2) * (255 / settings.colour)  # (N, P, 3)
        places = _places(h, w, colours).expand(n, -1, -1)
        kernels.append((settings.colour_weight, _normalised(exact, torch.cat([places / settings.reach, colours], 2))))
    return kernels


def _normalised(exact: bool, features: Tensor) -> Filter:
    kernel = ExactFilter(features) if exact else LatticeFilter(features)
    normalise_symmetrically(kernel, features)
    return kernel


@lru_cache(maxsize=8)  # photographs come in a few sizes
@torch.inference_mode(False)  # what is kept must serve a later call that wants gradients
def _near(exact: bool, h: int, w: int, width: float, dtype: torch.dtype, device: torch.device) -> Filter:
    """The kernel that knows no colours: the same for all images of a size, so it is kept from one call to the next."""
    like = torch.zeros((), dtype=dtype, device=device)
    return _normalised(exact, _places(h, w, like) / width)


def _places(h: int, w: int, like: Tensor) -> Tensor:
    """Column and row of each pixel, (1, P, 2)."""
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([columns, rows], dim=-1).reshape(1, h * w, 2).to(like)


def _softmax(values: Tensor, count: int) -> Tensor:
    """Over the labels of each of ``count`` scores in (N, P, count · L); PyTorch is several times as fast over a
    dimension that is not the last."""
    planes = values.transpose(1, 2).contiguous().unflatten(1, (count, -1))
    return planes.softmax(dim=2).flatten(1, 2).transpose(1, 2).contiguous()
