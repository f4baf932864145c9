r"""Boxes in 3D by how much they overlap: IoU of turned boxes, average precision over it, quality by distance.

Boxes are (..., 7): centre x, y, z, length, width, height in metres, and the yaw in radians. The overlap on the ground
is that of two turned rectangles: a convex polygon whose corners are corners of one rectangle within the other, and
crossings of their sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from wsss_lib.metrics.accumulate import Accumulator, exact
from wsss_lib.metrics.boxes3d import Boxes3D, interpolated_precision, stacked


def corners_on_ground(boxes: Tensor) -> Tensor:
    """The four corners of boxes (..., 7), counter-clockwise from the front left one: (..., 4, 2) in metres."""
    signs = boxes.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / 2
    x, y = (signs * boxes[..., None, 3:5]).unbind(-1)  # (..., 4)
    cos, sin = boxes[..., 6:7].cos(), boxes[..., 6:7].sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y], -1) + boxes[..., None, :2]


def ground_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Area that two turned boxes share on the ground.

    Args:
        a, b: (..., 7), of shapes that broadcast.

    Returns:
        (...) in square metres.
    """
    a, b = torch.broadcast_tensors(exact(a), exact(b))
    centre = a[..., None, :2]
    p, q = corners_on_ground(a) - centre, corners_on_ground(b) - centre  # (..., 4, 2)
    points = torch.cat([p, q, _crossings(p, q).flatten(-3, -2)], dim=-2)  # (..., 24, 2)
    moved = torch.cat([a[..., :2] * 0, a[..., 2:]], -1), torch.cat([b[..., :2] - a[..., :2], b[..., 2:]], -1)
    taken = torch.cat([_within(p, moved[1]), _within(q, moved[0]), _crossed(p, q).flatten(-2)], -1)  # (..., 24)
    count = taken.sum(-1, keepdim=True)
    middle = (points * taken[..., None]).sum(-2, keepdim=True) / count.clamp_min(1)[..., None]
    around = points - middle
    angle = torch.where(taken, torch.atan2(around[..., 1], around[..., 0]), math.inf)
    order = angle.argsort(-1)
    ranked = around.gather(-2, order[..., None].expand_as(around))
    # Places that are not taken come last; they become the first point, and add no area.
    ranked = torch.where(taken.gather(-1, order)[..., None], ranked, ranked[..., :1, :])
    following = ranked.roll(-1, dims=-2)
    area = (ranked[..., 0] * following[..., 1] - ranked[..., 1] * following[..., 0]).sum(-1) / 2
    return torch.where(count[..., 0] > 2, area.clamp_min(0), 0.0)


def ground_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of turned boxes (..., 7) on the ground, in [0, 1]."""
    both = ground_intersection(a, b)
    return both / (exact(a)[..., 3:5].prod(-1) + exact(b)[..., 3:5].prod(-1) - both)


def iou3d(a: Tensor, b: Tensor) -> Tensor:
    """IoU of turned boxes (..., 7) in space, in [0, 1]."""
    a, b = torch.broadcast_tensors(exact(a), exact(b))
    low = torch.maximum(a[..., 2] - a[..., 5] / 2, b[..., 2] - b[..., 5] / 2)
    high = torch.minimum(a[..., 2] + a[..., 5] / 2, b[..., 2] + b[..., 5] / 2)
    both = ground_intersection(a, b) * (high - low).clamp_min(0)
    return both / (a[..., 3:6].prod(-1) + b[..., 3:6].prod(-1) - both)


class OverlapPrecision(Accumulator):
    """Average precision of boxes in 3D over all scenes, where a box is right if its IoU in space is high enough.

    Predictions of a scene, surest first, each take the object of their class with the largest IoU that is still free.
    The area under precision over recall is taken as for :class:`~wsss_lib.metrics.CentreDistance`.

    Args:
        num_classes: K.
        least: The IoU from which a box is right, one for all classes or one each. KITTI asks 0.7 of cars and 0.5 of
            pedestrians; its loose pair, which many reports add, is 0.5 and 0.25.
    """

    _sums: ClassVar[tuple[str, ...]] = ("objects",)
    _rows: ClassVar[tuple[str, ...]] = ("scores", "labels", "hits")
    _settings: ClassVar[tuple[str, ...]] = ("num_classes", "least")

    def __init__(self, num_classes: int, least: float | Sequence[float] = 0.5) -> None:
        self.num_classes = num_classes
        self.least = tuple(least) if isinstance(least, Sequence) else (float(least),) * num_classes
        if len(self.least) != num_classes or not all(0 < value < 1 for value in self.least):
            raise ValueError(
                f"least is {least}, expected an IoU in (0, 1) for all or for each of {num_classes} classes"
            )
        self.objects = torch.zeros(num_classes, dtype=torch.int64)
        self.scores = torch.zeros(0)
        self.labels = torch.zeros(0, dtype=torch.int64)
        self.hits = torch.zeros(0, dtype=torch.bool)

    def update(self, predicted: Sequence[Boxes3D], truth: Sequence[Boxes3D]) -> None:
        """Add scenes; the arguments are those of :meth:`wsss_lib.metrics.CentreDistance.update`.

        Raises:
            ValueError: Numbers of scenes or shapes that do not match.
        """
        if len(predicted) != len(truth):
            raise ValueError(f"{len(predicted)} scenes are predicted, expected {len(truth)}: one entry for each scene")
        if not truth:
            return
        p, t = stacked(predicted, scored=True), stacked(truth, scored=False)
        boxes, labels, real = (part.to(p.boxes.device) for part in (t.boxes, t.labels, t.real))
        same = (p.labels[:, :, None] == labels[:, None]) & real[:, None] & p.real[:, :, None]
        # Padding has no size; a box of one metre keeps its IoU finite.
        solid = [torch.where(mask[..., None], b, torch.ones_like(b)) for b, mask in ((p.boxes, p.real), (boxes, real))]
        overlap = torch.where(same, iou3d(solid[0][:, :, None], solid[1][:, None]), 0.0)  # (B, P, G)
        least = overlap.new_tensor(self.least)[p.labels]  # (B, P)
        free = torch.ones_like(overlap[:, 0], dtype=torch.bool)
        hits = torch.zeros_like(p.real)
        for i in range(p.labels.shape[1]):
            best, at = torch.where(free, overlap[:, i], 0.0).max(1)  # (B,)
            hits[:, i] = best >= least[:, i]
            free.scatter_(1, at[:, None], free.gather(1, at[:, None]) & (best < least[:, i])[:, None])
        self._append("scores", p.scores[p.real])
        self._append("labels", p.labels[p.real])
        self._append("hits", hits[p.real])
        present = labels[real]
        self._add("objects", torch.zeros_like(self.objects).to(present.device).scatter_add(0, present, present * 0 + 1))

    def average_precision(self) -> Tensor:
        """(K,) float64 in [0, 1]; NaN for a class without an object."""
        each = [
            interpolated_precision(self.scores[of], self.hits[of], int(self.objects[k]))
            for k in range(self.num_classes)
            for of in [self.labels == k]
        ]
        return torch.tensor(each, dtype=torch.float64)

    def mean_average_precision(self) -> float:
        """The mean over the classes that occur, in [0, 1]; NaN where none does."""
        return float(self.average_precision().nanmean())


class QualityByDistance(Accumulator):
    """How good boxes are whose object is known, by the distance of the object from the sensor.

    Args:
        edges: Metres between the bins, rising: b + 1 edges for b bins. What lies beyond is left out.
    """

    _sums: ClassVar[tuple[str, ...]] = ("count", "overlap")
    _rows: ClassVar[tuple[str, ...]] = ("bins", "angles")
    _settings: ClassVar[tuple[str, ...]] = ("edges",)

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        if len(self.edges) < 2 or any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"edges are {edges}, expected at least two distances, rising")
        bins = len(self.edges) - 1
        self.count = torch.zeros(bins, dtype=torch.int64)
        self.overlap = torch.zeros(bins, dtype=torch.float64)
        self.bins = torch.zeros(0, dtype=torch.int64)
        self.angles = torch.zeros(0, dtype=torch.float64)

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add boxes (M, 7) of objects (M, 7), in the same order.

        Raises:
            ValueError: Not as many boxes as objects.
        """
        if predicted.shape != truth.shape:
            raise ValueError(f"{tuple(predicted.shape)} boxes for {tuple(truth.shape)} objects: one for each, in order")
        distance = exact(truth)[:, :2].norm(dim=-1)
        at = torch.bucketize(distance, distance.new_tensor(self.edges), right=True) - 1
        inside = (at >= 0) & (at < len(self.count))
        at = at[inside]
        turn = exact(predicted)[inside, 6] - exact(truth)[inside, 6]
        axis = torch.remainder(turn + math.pi / 2, math.pi) - math.pi / 2
        overlap = ground_iou(predicted[inside], truth[inside])
        self._add("count", torch.bincount(at, minlength=len(self.count)))
        self._add("overlap", torch.zeros_like(self.overlap).to(overlap.device).scatter_add(0, at, overlap))
        self._append("bins", at)
        self._append("angles", axis.abs())

    def iou(self) -> list[float]:
        """Mean IoU on the ground of each bin, in [0, 1]; NaN of an empty one."""
        return (self.overlap / self.count).tolist()

    def axis_error(self) -> list[float]:
        """Median angle between the boxes' axes in each bin, in degrees from 0 to 90; NaN of an empty one.

        A box that points the wrong way along the right axis has no error here.
        """
        parts = [self.angles[self.bins == k] for k in range(len(self.count))]
        return [math.degrees(float(part.median())) if len(part) else math.nan for part in parts]


def _within(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether points (..., P, 2) lie in boxes (..., 7) on the ground; on the border counts."""
    cos, sin = boxes[..., 6:7].cos(), boxes[..., 6:7].sin()
    x, y = (points - boxes[..., None, :2]).unbind(-1)
    ahead, left = cos * x + sin * y, cos * y - sin * x
    near = 1e-9
    return (ahead.abs() <= boxes[..., 3:4] / 2 + near) & (left.abs() <= boxes[..., 4:5] / 2 + near)


def _sides(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each pair of sides of two quadrilaterals, how far along each the lines cross (..., 4, 4), and p's sides."""
    along, other = p.roll(-1, -2) - p, q.roll(-1, -2) - q
    a, b = along[..., :, None, :], other[..., None, :, :]
    start = q[..., None, :, :] - p[..., :, None, :]
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    parallel = cross.abs() < 1e-12
    safe = torch.where(parallel, torch.ones_like(cross), cross)
    s = (start[..., 0] * b[..., 1] - start[..., 1] * b[..., 0]) / safe
    t = (start[..., 0] * a[..., 1] - start[..., 1] * a[..., 0]) / safe
    return torch.where(parallel, -1.0, s), torch.where(parallel, -1.0, t), along


def _crossed(p: Tensor, q: Tensor) -> Tensor:
    s, t, _ = _sides(p, q)
    return (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)


def _crossings(p: Tensor, q: Tensor) -> Tensor:
    s, _, along = _sides(p, q)
    return p[..., :, None, :] + s[..., None] * along[..., :, None, :]
