"""BAS the slow way, written from the equations: one image at a time, f2 copied, sums written out."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def question(score: Tensor, yes: bool) -> Tensor:
    """Binary cross-entropy of one class."""
    return -torch.log(sigmoid(score) if yes else 1 - sigmoid(score))


def classification(scores: list[Tensor], present: list[bool], how: str, only: int | None = None) -> Tensor:
    """The loss of one image's scores."""
    absent = [k for k in range(len(scores)) if not present[k]]
    wanted = [k for k in range(len(scores)) if present[k]] if only is None else [only]
    if how == "multilabel":
        asked = wanted + absent
        return torch.stack([question(scores[k], k in wanted) for k in asked]).sum() / len(asked)
    total = scores[0] * 0
    for c in wanted:
        # The image's scores compete with those of absent classes; under a mask of one class, with all of the others.
        others = absent if only is None else [k for k in range(len(scores)) if k != c]
        rivals = torch.stack([torch.exp(scores[k]) for k in [c, *others]]).sum()
        total = total - torch.log(torch.exp(scores[c]) / rivals)
    return total


def strength(plane: Tensor, rectify: str) -> Tensor:
    """The activation of one class map."""
    if rectify == "score":
        total = sum(v for row in plane for v in row) / plane.numel()
        return total if total > 0 else total * 0
    return sum((v if v > 0 else v * 0) for row in plane for v in row) / plane.numel()  # type: ignore[return-value]


def losses(
    front: nn.Module,
    generator: nn.Module,
    tail: nn.Module,
    images: Tensor,
    labels: Tensor,
    drawn: list[int],
    *,
    alpha: float,
    beta: float,
    how: str,
    rectify: str = "score",
    detach_foreground: bool = False,
) -> dict[str, Tensor]:
    """The four weighted terms; modules must treat images independently (batch norm by its running statistics)."""
    frozen = copy.deepcopy(tail)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    terms: dict[str, list[Tensor]] = {"classification": [], "suppression": [], "area": [], "foreground": []}
    for i in range(len(images)):
        present = [bool(v > 0) for v in labels[i]]
        features = front(images[i : i + 1])
        maps = tail(features)[0]  # (K, h', w')
        scores = [plane.sum() / plane.numel() for plane in maps]
        terms["classification"].append(classification(scores, present, how))
        if not any(present):
            for name in ("suppression", "area", "foreground"):
                terms[name].append(scores[0].detach() * 0)
            continue
        c = drawn[i]
        mask = sigmoid(generator(features)[0, c])  # (h, w)
        whole = strength(maps[c].detach(), rectify).item()
        kept = strength(frozen(features.detach() * (1 - mask))[0, c], rectify)
        too_much = kept.item() > whole
        terms["suppression"].append(torch.ones_like(kept) if too_much else kept / (whole + 1e-8))
        terms["area"].append(beta * mask.sum() / mask.numel())
        scale = mask.shape[0] // maps.shape[1]
        masked = []
        for plane in maps:
            plane = plane.detach() if detach_foreground else plane
            rows, columns = plane.shape
            total = plane[0, 0] * 0
            for y in range(rows):
                for x in range(columns):
                    patch = mask[y * scale : (y + 1) * scale, x * scale : (x + 1) * scale]
                    total = total + plane[y, x] * patch.sum() / scale**2
            masked.append(total / (rows * columns))
        terms["foreground"].append(alpha * classification(masked, present, how, only=c))
    assert all(math.isfinite(v.item()) for values in terms.values() for v in values)
    return {name: torch.stack(values).sum() / len(values) for name, values in terms.items()}
