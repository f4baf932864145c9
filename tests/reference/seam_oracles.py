"""SEAM's losses written for the eye: one image, one class, one pixel at a time, as the released code orders them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-5


def stretched(plane: list[list[float]]) -> list[list[float]]:
    """N of one map."""
    positive = [[max(0.0, v) for v in row] for row in plane]
    low, high = min(map(min, positive)), max(map(max, positive))
    return [[max(0.0, v - low - EPS) / (high - low + EPS) for v in row] for row in positive]


def strongest_only(pixel: list[float]) -> list[float]:
    """Background first: of the classes only the largest stays."""
    top = max(pixel[1:])
    return [pixel[0]] + [v if v == top else 0.0 for v in pixel[1:]]


def correlated(maps: Tensor, features: Tensor) -> Tensor:
    """The pixel correlation of one image, (K, h, w) and (C, h, w)."""
    classes, height, width = maps.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    unit = {}
    for y, x in places:
        f = [float(v) for v in features[:, y, x]]
        length = math.sqrt(sum(v * v for v in f)) + EPS
        unit[y, x] = [v / length for v in f]
    out = torch.zeros_like(maps)
    for j in places:
        alike = {i: max(0.0, sum(a * b for a, b in zip(unit[i], unit[j], strict=True))) for i in places}
        total = sum(alike.values()) + EPS
        for k in range(classes):
            out[k, j[0], j[1]] = sum(float(maps[k, i[0], i[1]]) * a / total for i, a in alike.items())
    return out


def module_input(raw: Tensor) -> Tensor:
    """What the module spreads, (K + 1, h, w) of (K, h, w)."""
    classes, height, width = raw.shape
    out = torch.zeros(classes + 1, height, width, dtype=raw.dtype)
    tops = [max(0.0, float(raw[k].max())) for k in range(classes)]
    for y in range(height):
        for x in range(width):
            scaled = [max(0.0, max(0.0, float(raw[k, y, x])) - EPS) / (tops[k] + EPS) for k in range(classes)]
            out[:, y, x] = torch.tensor(strongest_only([1 - max(scaled), *scaled]))
    return out


def as_maps(planes: Tensor) -> Tensor:
    """N of each map of (K, h, w)."""
    return torch.tensor([stretched(plane.tolist()) for plane in planes], dtype=planes.dtype)


def enlarged(planes: Tensor, like: Tensor) -> Tensor:
    """(K, h', w') on the grid of ``like``, corner cells on the corners."""
    out = torch.zeros(len(planes), *like.shape[1:], dtype=planes.dtype)
    (h, w), (height, width) = planes.shape[1:], like.shape[1:]
    for y in range(height):
        for x in range(width):
            v, u = y * (h - 1) / max(1, height - 1), x * (w - 1) / max(1, width - 1)
            y0, x0 = min(int(v), h - 1), min(int(u), w - 1)
            y1, x1, b, a = min(y0 + 1, h - 1), min(x0 + 1, w - 1), v - int(v), u - int(u)
            top = planes[:, y0, x0] * (1 - a) + planes[:, y0, x1] * a
            bottom = planes[:, y1, x0] * (1 - a) + planes[:, y1, x1] * a
            out[:, y, x] = top * (1 - b) + bottom * b
    return out


def seam_losses(
    raw: tuple[Tensor, Tensor], refined: tuple[Tensor, Tensor], labels: Tensor, hard: float, count: str
) -> dict[str, float]:
    """All four losses of a batch from both views' class maps (N, K, ·, ·) and refined maps (N, K + 1, ·, ·).

    Means over images and classes are taken at the very end, weights are 1.
    """
    images, classes = labels.shape
    terms: dict[str, list[float]] = {"classification": [], "equivariance": [], "cross": [], "background": []}
    for n in range(images):
        present = [k for k in range(classes) if labels[n, k] > 0]
        for view in raw:
            scores = [float(view[n, k].mean()) for k in range(classes)]
            loss = sum(math.log1p(math.exp(-s if k in present else s)) for k, s in enumerate(scores)) / classes
            terms["classification"].append(loss)
        c1, c2 = as_maps(raw[0][n]), enlarged(as_maps(raw[1][n]), raw[0][n])
        r1, r2 = as_maps(refined[0][n]), enlarged(as_maps(refined[1][n]), refined[0][n])
        for k in range(classes):
            if k not in present:
                c1[k], c2[k], r1[k + 1], r2[k + 1] = 0, 0, 0, 0
        terms["equivariance"].append(float((c1 - c2).abs().mean()))
        cross = 0.0
        for c, r in ((c2, r1), (c1, r2)):
            errors = []
            for y in range(c.shape[1]):
                for x in range(c.shape[2]):
                    pixel = [float(v) for v in c[:, y, x]]
                    target = strongest_only([1 - max(pixel), *pixel])
                    both = zip(target, r[:, y, x], strict=True)
                    errors += [
                        abs(t - float(p))
                        for k, (t, p) in enumerate(both)
                        if count == "all" or k - 1 in present or k == 0
                    ]
            errors.sort(reverse=True)
            kept = max(1, math.floor(hard * len(errors) + 1e-6))
            cross += sum(errors[:kept]) / kept
        terms["cross"].append(cross)
        for view in refined:
            flat = [
                max([float(view[n, k + 1, y, x]) if k in present else 0.0 for k in range(classes)])
                for y in range(view.shape[2])
                for x in range(view.shape[3])
            ]
            dark = sorted(flat)[: max(1, len(flat) // 4)]
            terms["background"].append(sum(max(0.0, v) for v in dark) / len(dark))
    return {name: sum(values) / len(values) for name, values in terms.items()}
