"""Eigen-CAM: the direction in which the features vary most already shows the salient object.

Muhammad & Yeasin, *Eigen-CAM*, IJCNN 2020, arXiv 2008.00299. Built in chapter 2.

Write the features of one image as a matrix O (hw × C), rows positions, columns channels, and decompose it:

    O = U Σ Vᵀ,     L = O v_1 = σ_1 u_1,     reshaped to h × w          (section III)

There is no class, no gradient and no training in it: whatever misleads the classifier's head cannot move the map, and
two objects make one map. ``(u, v) → (−u, −v)`` is the same decomposition, so that the sign, object or background,
is a rule's choice and not the method's: see :mod:`wsss_lib.methods.signs`.

Only one singular vector is needed. It is an eigenvector of the smaller of O Oᵀ (hw × hw) and Oᵀ O (C × C), for the
whole batch at once, on the device of the features (:mod:`wsss_lib.methods.eigenvectors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones.base import Backbone
from wsss_lib.methods.contract import Method, Normalisation, Prediction, Settings
from wsss_lib.methods.eigenvectors import Solver, eigenvector, leading_vector
from wsss_lib.methods.registry import register
from wsss_lib.methods.signs import SIGN_RULES, Sign
from wsss_lib.methods.taps import Layer, find_layer, grid_of, only, tapped
from wsss_lib.modes import evaluating


class Projection(NamedTuple):
    """What :func:`project` returns.

    Attributes:
        maps: (N, h, w), signed, L = O v; its norm is the singular value σ.
        share: (N,) in [0, 1]: σ² over the sum of all σ², how much of the features the component explains.
        direction: (N, C), the unit vector v, with the sign of the map.
    """

    maps: Tensor
    share: Tensor
    direction: Tensor


@dataclass(frozen=True)
class EigenCAMConfig(Settings):
    """Settings of :class:`EigenCAM`; the defaults are the paper's, plus a rule for the sign.

    Attributes:
        centre: Subtract each channel's mean over the positions first, as many implementations do. The map becomes the
            first principal component: contrast rather than strength, and its sign is ambiguous in earnest.
        sign: A key of :data:`SIGN_RULES`; with ``centre`` any but ``"auto"`` and ``"perron"``.
        component: 0 for the first, 1 for the second, …
        normalisation: ``"max"`` (ReLU, then division by the maximum) or ``"minmax"`` (signed, stretched).
        solver: See :func:`project`.
    """

    centre: bool = False
    sign: Sign = "auto"
    component: int = 0
    normalisation: Normalisation = "max"
    solver: Solver = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.component, self.centre, self.sign, self.solver)

    @classmethod
    def paper(cls) -> EigenCAMConfig:
        """Muhammad & Yeasin 2020, section III: no centring, first component, min–max. They say nothing of the sign."""
        return cls(centre=False, component=0, normalisation="minmax")


def project(
    features: Tensor,
    *,
    component: int = 0,
    centre: bool = False,
    sign: Sign = "auto",
    solver: Solver = "auto",
) -> Projection:
    """Project the features of each image onto one of their own principal directions: L = O v.

    Computed in the features' precision, but at least float32, and outside autocast: forming O Oᵀ squares the singular
    values, so in float32 a component is resolved down to σ_k/σ_1 ≈ 10⁻³, in float64 to 10⁻⁷. What lies below rounding
    gives a map of zeros, as do zero features. Differentiable once with respect to the features; the gradient grows as
    1/(λ_k − λ_j) where two components are nearly equally strong.

    Args:
        features: (N, C, h, w), any range.
        component: 0 for the dominant direction, up to min(hw, C) − 1.
        centre: Subtract each channel's mean over the positions first.
        sign: A key of :data:`SIGN_RULES`.
        solver: ``"eigh"``: all eigenvectors of the smaller Gram matrix, exact. ``"subspace"``: only the first few, by
            iteration, and eigh where that has not converged. ``"auto"``: iteration for large matrices; of the first
            one where no gradient is needed, without the Gram matrix.

    Returns:
        Maps (N, h, w), the share of the features explained (N,), and the directions (N, C).

    Raises:
        ValueError: NaN or infinite features, another shape, no such component, or a sign rule that cannot apply.

    Source: Muhammad & Yeasin 2020, section III. Built in chapter 2.
    """
    _check(component, centre, sign, solver)
    if features.ndim != 4:
        raise ValueError(f"features have shape {tuple(features.shape)}, expected (N, C, h, w): see to_grid for tokens")
    _, c, h, w = features.shape
    if component >= min(h * w, c):
        raise ValueError(
            f"component is {component}, but {c} channels on {h} × {w} cells have {min(h * w, c)}: count from 0"
        )
    if sign == "border" and min(h, w) < 3:
        raise ValueError(
            f'sign="border" needs a grid of at least 3 × 3, got {h} × {w}: use an earlier layer or another rule'
        )
    with torch.autocast(features.device.type, enabled=False):
        values = features.to(torch.promote_types(features.dtype, torch.float32))
        matrix, scale = _balanced(values, centre)  # (N, hw, C), (N, 1)
        scores, direction, share = _decompose(matrix, component, solver)  # (N, hw), (N, C), (N,)
        resolved = share > min(h * w, c) * torch.finfo(share.dtype).eps
        maps = torch.where(resolved[:, None], scores, 0).unflatten(1, (h, w))  # (N, h, w)
        turn = torch.where(SIGN_RULES[sign](maps.detach(), matrix.detach().mT.unflatten(2, (h, w))) < 0, -1, 1)  # (N,)
        maps = maps * (turn[:, None] * scale)[..., None]
        return Projection(maps, torch.where(resolved, share, 0), direction * turn[:, None])


def _balanced(values: Tensor, centre: bool) -> tuple[Tensor, Tensor]:
    """O (N, hw, C) of largest entry 1, and its scale (N, 1): squares then neither overflow nor vanish."""
    channels = values.flatten(2)  # (N, C, hw)
    largest = _largest(channels)  # (N,)
    if not bool(torch.isfinite(largest).all()):
        bad = torch.nonzero(~torch.isfinite(largest)).flatten().tolist()
        raise ValueError(
            f"the features of image {bad[0]} of the batch ({len(bad)} in all) are NaN or infinite, expected finite "
            "numbers: look for a diverged or half-precision network before this layer"
        )
    info = torch.finfo(channels.dtype)
    scale = largest
    if centre:
        channels = channels - channels.mean(dim=2, keepdim=True)
        scale = _largest(channels)
    # Constant channels minus their mean leave rounding, not structure; it would be blown up to a full map.
    empty = (scale <= 16 * info.eps * largest) | (scale < info.tiny)
    inverse = torch.where(empty, 0, 1 / torch.where(empty, 1, scale))
    return (channels * inverse[:, None, None]).mT, torch.where(empty, 0, scale)[:, None]


def _largest(channels: Tensor) -> Tensor:
    """The largest absolute value of each image, (N,) of (N, C, hw), many times as fast as its norm; NaN if one is."""
    flat = channels.detach().flatten(1)
    return torch.maximum(flat.amax(dim=1), -flat.amin(dim=1))


def _decompose(matrix: Tensor, component: int, solver: Solver) -> tuple[Tensor, Tensor, Tensor]:
    """σ u (N, hw), v (N, C) and σ² / Σ σ² (N,) of O (N, hw, C), by whichever Gram matrix is smaller."""
    total = matrix.square().sum(dim=(1, 2)).clamp_min(torch.finfo(matrix.dtype).tiny)  # Σ σ²
    if matrix.shape[1] > matrix.shape[2]:
        right = _vector(matrix.mT, component, solver)  # v: (N, C)
        scores = (right[:, None] @ matrix.mT).squeeze(1)  # σ u = O v: (N, hw)
        variance = scores.square().sum(dim=1)
    else:
        left = _vector(matrix, component, solver)  # u: (N, hw)
        right = (left[:, None] @ matrix).squeeze(1)  # σ v = Oᵀ u: (N, C)
        # Before it is scaled to length 1: a component that is not there has length 0 but for rounding.
        variance = right.square().sum(dim=1)
        scores = right.norm(dim=1, keepdim=True) * left
        right = F.normalize(right, dim=1)
    return scores, right, variance / total


def _vector(matrix: Tensor, component: int, solver: Solver) -> Tensor:
    """Eigenvector (N, n) of M Mᵀ, M (N, n, m)."""
    constant = not (matrix.requires_grad and torch.is_grad_enabled())
    if solver == "auto" and component == 0 and matrix.shape[1] >= 64 and constant:
        vector = leading_vector(matrix)  # its derivative would need all of M Mᵀ
        if vector is not None:
            return vector
    return eigenvector(matrix @ matrix.mT, component, solver)


def _check(component: int, centre: bool, sign: str, solver: str) -> None:
    if sign not in SIGN_RULES:
        raise ValueError(f"sign is {sign!r}, expected one of {', '.join(SIGN_RULES)}: choose one of them")
    if centre and sign in ("auto", "perron"):
        raise ValueError(
            f'sign="{sign}" reads the sign off the sum of the map, and a centred map sums to zero: choose '
            '"mean_activation", "max_abs" or "border", or centre=False'
        )
    if component < 0:
        raise ValueError(f"component is {component}, expected 0 or more: 0 is the dominant one")
    if solver not in get_args(Solver):
        raise ValueError(f"solver is {solver!r}, expected one of {', '.join(get_args(Solver))}: choose one of them")


@register("eigencam", title="Eigen-CAM", settings=EigenCAMConfig, chapter=2)
class EigenCAM(Method):
    """Eigen-CAM at any layer of any network, trained with labels or without.

    The model is run in evaluation mode and left in the mode it was in. Differentiable; for plain use, call it under
    ``torch.no_grad()``.

    Args:
        model: A backbone, or any module that takes images.
        layer: None: what the model returns, the deepest stage of a backbone. Otherwise a stage of the backbone, the
            dotted path of a layer or the layer itself. In a ViT take a block's output or input ("blocks.11"), not what
            a layer norm gives, and consider ``centre=True, sign="border"``.
        config: The settings.
        grid: (h, w) of a ViT's patches; None finds it from the image's aspect ratio.
        reshape: Turns the layer's output into (N, C, h, w) or (N, T, C) where it is neither.

    Raises:
        ValueError: No such layer.
    """

    waits = True  # for the iteration to converge, and to see that features are finite

    def __init__(
        self,
        model: nn.Module,
        layer: Layer | None = None,
        config: EigenCAMConfig | None = None,
        *,
        grid: tuple[int, int] | None = None,
        reshape: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if layer is not None and not self._is_stage(model, layer):
            find_layer(model, layer)
        self.model = model
        # A layer given as a module already lives inside the model: registering it twice would double its parameters.
        object.__setattr__(self, "layer", layer)
        self.config = config or EigenCAMConfig()
        self.normalisation = self.config.normalisation
        self.grid, self.reshape = grid, reshape

    @classmethod
    def build(cls, backbone: Backbone, num_classes: int, settings: EigenCAMConfig | None = None) -> Self:
        """Over a backbone's deepest stage; there is no class in it."""
        return cls(backbone, config=settings)

    @staticmethod
    def _is_stage(model: nn.Module, layer: Layer) -> bool:
        return isinstance(layer, str) and layer in getattr(model, "stages", ())

    def features(self, images: Tensor) -> Tensor:
        """Features (N, C, h, w) of the layer."""
        layer: Any = self.layer
        with evaluating(self.model):
            if layer is None or self._is_stage(self.model, layer):
                output = self.model(images) if layer is None else self.model(images, stages=[layer])
                output = list(output.values())[-1] if isinstance(output, Mapping) else output
            else:
                with tapped(self.model, layer) as collected:
                    self.model(images)
                output = only(collected, layer)
        return grid_of(output, images, grid=self.grid, reshape=self.reshape)

    def predict(self, images: Tensor) -> Prediction:
        """Where the salient thing is, (N, 1, h, w), signed, the same for every class; there are no logits.

        Images are (N, 3, H, W) in [0, 1] for a backbone of ours, otherwise as the model takes them.
        """
        c, features = self.config, self.features(images)  # (N, C, h, w)
        projected = project(features, component=c.component, centre=c.centre, sign=c.sign, solver=c.solver)
        return Prediction(projected.maps[:, None], None)
