"""One eigenvector of many symmetric matrices at once, with a derivative that does not break where others coincide.

Eigen-CAM needs a single direction of each image. A full SVD of O (hw × C) costs hundreds of times as much.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Solver = Literal["auto", "eigh", "subspace"]

_TOLERANCE = 30
"""How many ε of the largest eigenvalue may be left of G v − λ v."""


def eigenvector(gram: Tensor, component: int = 0, solver: Solver = "auto") -> Tensor:
    """Unit eigenvector of the ``component``-th largest eigenvalue of symmetric positive semi-definite matrices.

    Args:
        gram: (N, n, n), for example O Oᵀ, in float32 or float64.
        component: 0 for the largest eigenvalue, up to n − 1.
        solver: ``"eigh"``, ``"subspace"`` (falls back to eigh where it does not converge) or ``"auto"``.

    Returns:
        (N, n), of undetermined sign. Differentiable once.
    """
    return _Eigenvector.apply(gram, component, solver)


def leading_vector(matrix: Tensor, steps: int = 24) -> Tensor | None:
    """Unit eigenvector of the largest eigenvalue of M Mᵀ, without forming M Mᵀ, by the method of Lanczos.

    Each step reads M twice. The start is the same every time, and the basis is made orthogonal twice.

    Args:
        matrix: M (N, n, m), in float32 or float64.
        steps: At most how many vectors the basis gets.

    Returns:
        (N, n), of undetermined sign, a constant; None if it has not converged for every matrix: two eigenvalues that
        are nearly equal need many steps.
    """
    start = torch.randn(1, 1, matrix.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = start.to(matrix).expand(len(matrix), -1, -1)
    basis = images = image[:, :0]  # (N, k, n)
    tolerance, largest = _TOLERANCE * torch.finfo(matrix.dtype).eps, image.new_zeros(())
    for step in range(1, min(steps, matrix.shape[1]) + 1):
        for _ in range(2):
            image = image - (image @ basis.mT) @ basis
        length = image.norm(dim=2, keepdim=True)
        # Where nothing but rounding is left the basis is complete: a row of zeros does no harm, rounding would grow.
        direction = torch.where(length > tolerance * largest, image / length, 0)
        image = (direction @ matrix) @ matrix.mT  # (N, 1, n)
        largest = torch.maximum(largest, image.norm(dim=2, keepdim=True))
        basis, images = torch.cat([basis, direction], dim=1), torch.cat([images, image], dim=1)
        if step < 6 or step % 2:
            continue
        values, inner = torch.linalg.eigh(basis @ images.mT)
        vector, value = (inner[:, None, :, -1] @ basis).squeeze(1), values[:, -1:]
        residual = ((inner[:, None, :, -1] @ images).squeeze(1) - value * vector).norm(dim=1, keepdim=True)
        if bool((residual <= tolerance * value.abs()).all()):
            return torch.where(value > 0, vector, basis[:, 0])  # of a matrix of zeros any will do
    return None


class _Eigenvector(torch.autograd.Function):
    """Unit eigenvector (N, n) of symmetric matrices (N, n, n), the ``component``-th from the largest eigenvalue down.

    Forward by whichever solver; backward by perturbation theory, dv = Σ_j v_j (v_jᵀ dG v) / (λ − λ_j). Unlike eigh's
    own derivative it asks only that λ be apart from the others, not that all others be apart from one another, and dead
    channels always make the eigenvalue 0 a multiple one.
    """

    @staticmethod
    def forward(ctx: Any, gram: Tensor, component: int, solver: Solver) -> Tensor:
        n = gram.shape[-1]
        vector = None
        # A block of a few vectors pays only where the matrix is much larger than the block.
        if solver == "subspace" or (solver == "auto" and n >= 64 and component < n // 8):
            vector = _subspace_iteration(gram, component)
        if vector is None:
            vector = _eigh(gram)[1][..., n - 1 - component]
        ctx.save_for_backward(gram, vector)
        ctx.component = component
        return vector

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        gram, vector = ctx.saved_tensors
        values, vectors = _eigh(gram)  # ascending
        place = gram.shape[-1] - 1 - ctx.component
        gap = values[:, place, None] - values  # (N, n)
        # Equal eigenvalues leave the eigenvector undetermined; there is no derivative in their directions: 0, not NaN.
        apart = gap.abs() > values[:, -1:].abs() * gram.shape[-1] * torch.finfo(gram.dtype).eps
        inverse = torch.where(apart, 1 / torch.where(apart, gap, 1), 0)
        moved = (vectors @ (inverse[..., None] * (vectors.mT @ grad[..., None]))).squeeze(-1)  # (N, n)
        outer = moved[:, :, None] * vector[:, None, :]
        return (outer + outer.mT) / 2, None, None


def _eigh(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (N, n), rising, and eigenvectors (N, n, n), computed in float64.

    In float32 LAPACK gives up on some Gram matrices in which many channels are dead (rows of zeros).
    """
    exact = gram.cpu() if gram.device.type == "mps" else gram  # the one device without float64
    values, vectors = torch.linalg.eigh(exact.double())
    return values.to(gram), vectors.to(gram)


def _subspace_iteration(gram: Tensor, component: int, rounds: int = 10, spare: int = 12) -> Tensor | None:
    """Eigenvector (N, n) by subspace iteration with Rayleigh–Ritz; None if it has not converged for every matrix.

    A block of ``component + 1 + spare`` vectors is multiplied by the matrix and made orthonormal, in turn. The error
    falls by λ_{block+1} / λ_component per multiplication, which is small even where λ_1 and λ_2 are close.
    """
    n = gram.shape[-1]
    block = min(n, component + 1 + spare)
    # A generator of its own: the same start every time, and the global one stays where it is.
    start = torch.randn(n, block, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = torch.linalg.qr(gram @ start.to(gram)).Q  # (N, n, block)
    tolerance = _TOLERANCE * torch.finfo(gram.dtype).eps
    for _ in range(rounds):
        basis = torch.linalg.qr(gram @ (gram @ basis)).Q
        image = gram @ basis
        values, inner = torch.linalg.eigh(basis.mT @ image)
        mix = inner[..., block - 1 - component, None]
        vector, value = basis @ mix, values[:, None, block - 1 - component, None]
        residual = (image @ mix - value * vector).norm(dim=1)
        if bool((residual <= tolerance * values[:, -1:].abs()).all()):
            return vector.squeeze(-1)
    return None
