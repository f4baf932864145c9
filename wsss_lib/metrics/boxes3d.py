r"""Boxes in 3D, by how far their centres are from the objects': average precision and errors as nuScenes defines them.

The predictions of a scene, surest first, each take the nearest object of their class that is still free, if its centre
is closer than :math:`d` metres on the ground plane. Precision P as a function of recall R gives

.. math:: \mathrm{AP}_d = \frac1{90} \sum_{r = 0.11}^{1} \frac{\max(P_d(r) - 0.1, 0)}{0.9}, \qquad
          \mathrm{mAP} = \frac1{|\mathcal C|\,4} \sum_{c \in \mathcal C} \sum_{d \in \{0.5, 1, 2, 4\}} \mathrm{AP}_{c,d}

with R in steps of 0.01, P interpolated between the recalls that are reached, and 0 beyond the last. A centre says
nothing of size and direction: three errors of the boxes matched within 2 m stand beside the mAP, and :func:`spnds` sums
them up.

Boxes are (..., 7): centre x, y, z, length, width, height in metres, and the yaw in radians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from wsss_lib.metrics.accumulate import Accumulator, count_exceeded, exact, threshold_grid
from wsss_lib.metrics.thresholds import Curve

DISTANCES = (0.5, 1.0, 2.0, 4.0)
"""Metres between centres up to which a box counts as right (Caesar et al. 2020)."""
ERROR_DISTANCE = 2.0
"""The distance whose matches tell the errors."""
MIN_RECALL = MIN_PRECISION = 0.1
"""What lies below is noise, and is left out."""


class Boxes3D(NamedTuple):
    """Boxes of one scene: ``boxes`` (P, 7), ``labels`` (P,) int64 0-based, ``scores`` (P,) in [0, 1]; None of truth.

    Scores are compared in float32, as networks give them.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor | None = None


class CentreDistance(Accumulator):
    """Average precision and errors of boxes in 3D, over all scenes.

    Predictions of equal score enter together, so that the order of scenes and processes does not matter. A class that
    no scene contains has no average precision; nuScenes counts it as 0.

    Args:
        num_classes: K.
        distances: Metres between centres; 2 must be among them.

    Source: Caesar et al. 2020, section 3.1 and released code. The errors follow the paper's text: the mean over the
    recalls that are reached above 0.1, at each of which it is the mean so far; the code interpolates them once more.
    """

    _sums: ClassVar[tuple[str, ...]] = ("objects",)
    _rows: ClassVar[tuple[str, ...]] = ("scores", "labels", "hits", "differences")
    _settings: ClassVar[tuple[str, ...]] = ("num_classes", "distances")

    def __init__(self, num_classes: int, distances: Sequence[float] = DISTANCES) -> None:
        if ERROR_DISTANCE not in distances:
            raise ValueError(
                f"distances are {tuple(distances)}, expected {ERROR_DISTANCE:g} among them: it tells errors"
            )
        self.num_classes, self.distances = num_classes, tuple(distances)
        self.objects = torch.zeros(num_classes, dtype=torch.int64)
        self.scores = torch.zeros(0)
        self.labels = torch.zeros(0, dtype=torch.int64)
        self.hits = torch.zeros(0, len(self.distances), dtype=torch.bool)
        self.differences = torch.zeros(0, 3, dtype=torch.float64)  # NaN where nothing is matched within 2 m

    def update(self, predicted: Sequence[Boxes3D], truth: Sequence[Boxes3D]) -> None:
        """Add scenes.

        Args:
            predicted: The predictions of each scene, with scores.
            truth: The objects of each scene.

        Raises:
            ValueError: Numbers of scenes or shapes that do not match, labels out of range, or values that are NaN.
        """
        if len(predicted) != len(truth):
            raise ValueError(f"{len(predicted)} scenes are predicted, expected {len(truth)}: one entry for each scene")
        if not truth:
            return
        p, t = stacked(predicted, scored=True), stacked(truth, scored=False)
        for what, scenes in (("predictions", p), ("objects", t)):
            self._check(what, scenes)
        matched = _match(p, t, self.distances)
        kept = p.real
        self._append("scores", p.scores[kept])
        self._append("labels", p.labels[kept])
        self._append("hits", matched.hits[kept])
        self._append("differences", matched.differences[kept])
        present = t.labels[t.real]
        self._add("objects", torch.zeros_like(self.objects).to(present.device).scatter_add(0, present, present * 0 + 1))

    def average_precision(self) -> Tensor:
        """(K, len(distances)) float64 in [0, 1]; NaN for a class without an object."""
        rows = [[self._one_precision(k, d) for d in range(len(self.distances))] for k in range(self.num_classes)]
        return torch.tensor(rows, dtype=torch.float64)

    def mean_average_precision(self) -> float:
        """The mean over distances and over the classes that occur, in [0, 1]; NaN where none does."""
        return float(self.average_precision().nanmean())

    def errors(self) -> dict[str, float]:
        """``translation`` (metres), ``scale`` (1 − IoU of aligned boxes), ``orientation`` (radians): class means.

        A class whose recall stays below 0.1 has an error of 1 in each; one without an object is left out.
        """
        each = torch.stack([self._class_errors(k) for k in range(self.num_classes)])  # (K, 3)
        return dict(zip(("translation", "scale", "orientation"), each.nanmean(0).tolist(), strict=True))

    def curve(self, split: str, fingerprint: str, classes: Sequence[str], thresholds: int | Tensor = 100) -> Curve:
        """F1 of boxes within 2 m over the score that a box must exceed: all classes together, and each in ``parts``.

        Args:
            split: Its name, for the report.
            fingerprint: ``Records.fingerprint`` of the scenes counted.
            classes: K names.
            thresholds: How many (n: 0, 1/n, …) or which, rising.
        """
        grid = threshold_grid(thresholds)
        kept = count_exceeded(self.scores.cpu(), grid)[:, None] > torch.arange(len(grid))  # (P, T)
        right = self.hits[:, self.distances.index(ERROR_DISTANCE)].cpu()
        member = torch.nn.functional.one_hot(self.labels.cpu(), self.num_classes).double()  # (P, K)
        boxes = kept.double().T @ member  # (T, K)
        hits = (kept & right[:, None]).double().T @ member
        objects = exact(self.objects).cpu()
        pooled = 2 * hits.sum(1) / (boxes.sum(1) + objects.sum())
        return Curve("F1 at 2 m", grid, pooled, split, fingerprint, tuple(classes), 2 * hits / (boxes + objects))

    def _check(self, what: str, scenes: _Stacked) -> None:
        boxes, labels, scores, real = scenes
        sound = boxes.isfinite().all(-1) & (boxes[..., 3:6] > 0).all(-1) & (labels >= 0) & (labels < self.num_classes)
        if not bool(((sound & (scores >= 0) & (scores <= 1)) | ~real).all()):  # at one synchronisation
            raise ValueError(
                f"the {what} hold a box that is not finite or has no size, a label outside "
                f"0..{self.num_classes - 1}, or a score outside [0, 1]: find where it arises, and check num_classes"
            )

    def _one_precision(self, k: int, d: int) -> float:
        member = self.labels == k
        return interpolated_precision(self.scores[member], self.hits[member, d], int(self.objects[k]))

    def _class_errors(self, k: int) -> Tensor:
        objects = int(self.objects[k])
        if not objects:
            return torch.full((3,), math.nan, dtype=torch.float64)
        member = self.labels == k
        order, ends = _ranked(self.scores[member])
        right = self.hits[member, self.distances.index(ERROR_DISTANCE)].cpu()[order]
        differences = self.differences[member].cpu()[order]
        true = right.cumsum(0)[ends]  # after each run of equal scores
        sums = torch.where(right[:, None], differences, 0.0).cumsum(0)[ends]
        reached = torch.diff(true, prepend=true.new_zeros(1)) > 0
        reached &= true > MIN_RECALL * objects
        if not bool(reached.any()):
            return torch.ones(3, dtype=torch.float64)
        return (sums[reached] / true[reached, None]).mean(0)


def _ranked(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The order of predictions, surest first, and whether a run of equal scores ends."""
    ranked, order = scores.cpu().sort(descending=True, stable=True)
    ends = torch.ones_like(ranked, dtype=torch.bool)
    ends[:-1] = ranked[:-1] != ranked[1:]
    return order, ends


def interpolated_precision(scores: Tensor, hits: Tensor, objects: int) -> float:
    """Average precision of the predictions of one class, as nuScenes defines it: see the module.

    Args:
        scores: (P,) in [0, 1]; equal ones enter together.
        hits: (P,) whether each is right.
        objects: How many there are to find.

    Returns:
        In [0, 1]; NaN where there is no object.
    """
    if not objects:
        return math.nan
    order, ends = _ranked(scores)
    true = hits.cpu()[order].double().cumsum(0)[ends]
    if not len(true):
        return 0.0
    precision = true / (torch.arange(len(hits)) + 1.0)[ends]
    recalls = torch.arange(round(100 * MIN_RECALL) + 1, 101, dtype=torch.float64) / 100
    above = (_interpolate(recalls, true / objects, precision) - MIN_PRECISION).clamp(min=0)
    return float(above.mean()) / (1 - MIN_PRECISION)


def spnds(mean_average_precision: float, translation: float, scale: float, orientation: float) -> float:
    r"""One number for boxes in 3D.

    .. math:: \frac18 \Big(5\,\mathrm{mAP} + \sum_{e} \big(1 - \min(1, e)\big)\Big)

    Args:
        mean_average_precision: In [0, 1].
        translation, scale, orientation: The errors, at least 0.

    Returns:
        In [0, 1]. For 0.5 and errors of 0.3, 0.25 and 1.2 it is 0.49375.

    Source: Point-DETR3D (Gao et al. 2024), released code: nuScenes' score without velocity and attributes.
    """
    return (5 * mean_average_precision + sum(1 - min(1.0, e) for e in (translation, scale, orientation))) / 8


class _Stacked(NamedTuple):
    boxes: Tensor  # (B, P, 7) float64
    labels: Tensor  # (B, P) int64
    scores: Tensor  # (B, P) float32, falling
    real: Tensor  # (B, P) bool: whether this is a box and not padding


class _Matched(NamedTuple):
    hits: Tensor  # (B, P, D) bool
    differences: Tensor  # (B, P, 3) float64


def stacked(scenes: Sequence[Boxes3D], scored: bool) -> _Stacked:
    """The boxes of scenes as padded tensors, those with scores surest first."""
    most = max(1, *(len(scene.boxes) for scene in scenes))
    boxes = exact(scenes[0].boxes).new_zeros(len(scenes), most, 7)
    labels = torch.zeros(len(scenes), most, dtype=torch.int64, device=boxes.device)
    scores, real = torch.zeros(len(scenes), most, device=boxes.device), torch.zeros_like(labels, dtype=torch.bool)
    for i, scene in enumerate(scenes):
        count = len(scene.boxes)
        shapes = [None if part is None else tuple(part.shape) for part in scene]
        if shapes[:2] != [(count, 7), (count,)] or (scored and shapes[2] != (count,)):
            raise ValueError(f"boxes, labels and scores are {shapes}, expected (P, 7), (P,) and, if predicted, (P,)")
        order = torch.arange(count, device=scene.boxes.device)
        if scored and scene.scores is not None:
            ranked, order = scene.scores.float().sort(descending=True, stable=True)
            scores[i, :count] = ranked
        boxes[i, :count], labels[i, :count] = exact(scene.boxes)[order], scene.labels[order].to(boxes.device)
        real[i, :count] = True
    return _Stacked(boxes, labels, scores, real)


def _match(p: _Stacked, t: _Stacked, distances: Sequence[float]) -> _Matched:
    """Give each prediction, surest first, the nearest free object of its class; all scenes and distances at once."""
    boxes, labels, real = (part.to(p.boxes.device) for part in (t.boxes, t.labels, t.real))
    apart = (p.boxes[:, :, None, :2] - boxes[:, None, :, :2]).norm(dim=-1)  # (B, P, G)
    same = (p.labels[:, :, None] == labels[:, None]) & real[:, None]
    apart = torch.where(same, apart, math.inf)
    limits = apart.new_tensor(distances)
    scenes, most = p.labels.shape
    free = torch.ones(scenes, len(distances), boxes.shape[1], dtype=torch.bool, device=apart.device)
    hits = torch.zeros(scenes, most, len(distances), dtype=torch.bool, device=apart.device)
    taken = torch.zeros(scenes, most, len(distances), dtype=torch.int64, device=apart.device)
    for i in range(most):
        nearest, at = torch.where(free, apart[:, i, None], math.inf).min(dim=2)  # (B, D)
        hits[:, i], taken[:, i] = nearest < limits, at
        free.scatter_(2, at[..., None], free.gather(2, at[..., None]) & (nearest >= limits)[..., None])
    index = list(distances).index(ERROR_DISTANCE)
    partner = boxes.gather(1, taken[:, :, index, None].expand(-1, -1, 7))  # (B, P, 7)
    matched = hits[:, :, index, None]
    return _Matched(hits, torch.where(matched, _differences(p.boxes, partner), math.nan))


def _differences(a: Tensor, b: Tensor) -> Tensor:
    """Distance of centres, 1 − IoU of aligned boxes, and angle between directions, (..., 3)."""
    both = torch.minimum(a[..., 3:6], b[..., 3:6]).prod(-1)
    union = a[..., 3:6].prod(-1) + b[..., 3:6].prod(-1) - both
    angle = torch.remainder(a[..., 6] - b[..., 6] + math.pi, 2 * math.pi) - math.pi
    return torch.stack([(a[..., :2] - b[..., :2]).norm(dim=-1), 1 - both / union, angle.abs()], dim=-1)


def _interpolate(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Linear between the points (``at``, rising; of equal ones the last counts), 0 beyond the last."""
    right = torch.searchsorted(at, x, right=True)  # (X,) the first point beyond
    left = (right - 1).clamp(min=0)
    right = right.clamp(max=len(at) - 1)
    step = at[right] - at[left]
    share = torch.where(step > 0, (x - at[left]) / torch.where(step > 0, step, 1.0), 0.0).clamp(min=0)
    between = values[left] + share * (values[right] - values[left])
    return torch.where(x <= at[-1], between, 0.0)
