r"""The student: a detector in the style of CenterPoint, from points alone, and point-guided self-supervision.

    heat map    one channel a class, 1 at the centres of boxes, Gaussian around them
    numbers     at each cell what :mod:`.coding` says of a box whose centre lies there, φ = 0

It learns from a strong view of each scene, be its boxes drawn by a person or by a teacher. Point-guided supervision
asks besides that both views have the same features where something was clicked:

.. math:: L_{pg} = \lambda\, \frac{\sum_p g(p)\, \lVert \hat f^{strong}_p - \mathrm{sg}\,\hat f^{weak}_p \rVert^2}{n}

The hat divides by the length over channels, g are the Gaussians at the clicks, n is their number, and the strong map is
read at the places of the weak one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch
from wsss_lib.data.worlds.lidar import HALF, MEAN_SIZES
from wsss_lib.methods.learner import Settings
from wsss_lib.methods.point_detr3d.boxes import BoxLearner, flat_block
from wsss_lib.methods.point_detr3d.coding import DIRECTION, NUMBERS, decoded, differences, encoded, padded
from wsss_lib.methods.point_detr3d.sampling import CHANNELS, pillars
from wsss_lib.methods.point_detr3d.views import View, brought_back, move_boxes, move_points, strong_view
from wsss_lib.methods.registry import register
from wsss_lib.metrics import Boxes3D


@dataclass(frozen=True)
class CenterPointConfig(Settings):
    """Settings of :class:`CenterPoint`; the defaults are the book's.

    Attributes:
        guided: λ of the point-guided loss; 0 leaves it out. The released value is 0.1.
        strength: Of the strong view, in [0, 1]; 1 is the released one.
        width: Channels.
        cells: Of the map from above, a side.
        sigma: Of the Gaussians, in cells.
        box: Weight of the loss of the numbers; the released one is 0.25.
        most: Boxes of a scene that are given at most.
        sizes: Mean length, width and height of each class, in metres.
        half: Metres from the sensor to each side of the map.
    """

    guided: float = 0.0
    strength: float = 1.0
    width: int = 24
    cells: int = 64
    sigma: float = 1.0
    box: float = 1.0
    most: int = 30
    sizes: tuple[tuple[float, float, float], ...] = MEAN_SIZES
    half: float = HALF

    @classmethod
    def paper(cls) -> CenterPointConfig:
        """Weights of the released code, a wider network on finer cells."""
        return cls(guided=0.1, box=0.25, width=256, cells=128)


def gaussians(centres: Tensor, real: Tensor, cells: int, sigma: float) -> Tensor:
    """Gaussians of height 1, the largest where several overlap.

    Args:
        centres: (N, M, 2), x and y in cells from the map's corner; each is moved to the middle of its cell.
        real: (N, M) which of them count.
        cells: Of the map, a side.
        sigma: In cells.

    Returns:
        (N, M, cells, cells), rows along y; zero for those that do not count.
    """
    at = torch.arange(cells, device=centres.device, dtype=centres.dtype)
    x, y = (at - centres[..., i, None].floor() for i in (0, 1))  # (N, M, cells)
    return (-(x.square()[:, :, None] + y.square()[..., None]) / (2 * sigma**2)).exp() * real[..., None, None]


def focal_loss(logits: Tensor, target: Tensor, count: Tensor) -> Tensor:
    """Penalty-reduced focal loss of heat maps (Law & Deng 2018), divided by the number of objects.

    Args:
        logits: (N, K, h, w).
        target: In [0, 1]; exactly 1 at centres.
        count: Scalar; at least 1 is divided by.
    """
    positive = target == 1
    sure = logits.sigmoid()
    hit = (1 - sure) ** 2 * F.logsigmoid(logits)
    miss = (1 - target) ** 4 * sure**2 * F.logsigmoid(-logits)
    return -torch.where(positive, hit, miss).sum() / count.clamp_min(1)


def point_guided_loss(strong: Tensor, weak: Tensor, weights: Tensor, count: Tensor) -> Tensor:
    """How far the directions of two views' features are apart at the clicks: Σ g ‖f̂ − sg ĝ‖² / n.

    Args:
        strong, weak: (N, C, h, w), both at the places of the weak view; no gradient reaches ``weak``.
        weights: g (N, h, w) in [0, 1].
        count: n, the number of all clicks of all classes; at least 1 is divided by.

    Returns:
        Scalar, at least 0. It is 2 Σ g (1 − cos) / n. Built in chapter 11.
    """
    a, b = F.normalize(strong, dim=1), F.normalize(weak.detach(), dim=1)
    return (weights * (a - b).square().sum(1)).sum() / count.clamp_min(1)


@register(
    "centerpoint",
    title="CenterPoint",
    settings=CenterPointConfig,
    chapter=11,
    recipe={"epochs": None, "steps": 200, "batch_size": 6, "lr": 5e-3, "head_lr": 1.0},
)
class CenterPoint(BoxLearner):
    """Boxes from points.

    Args:
        num_classes: K.
        config: The settings.
    """

    needs = ("points", "boxes3d", "box3d_labels")

    def __init__(self, num_classes: int, config: CenterPointConfig | None = None) -> None:
        c = config or CenterPointConfig()
        super().__init__(num_classes, c.sizes)
        self.config = c
        self.trunk = nn.Sequential(flat_block(CHANNELS, c.width), *(flat_block(c.width, c.width) for _ in range(3)))
        self.heat = nn.Conv2d(c.width, num_classes, 1)
        self.say = nn.Conv2d(c.width, NUMBERS, 1)
        # At the start hardly anything is an object.
        nn.init.constant_(self.heat.bias, -4.6)  # type: ignore[arg-type]

    def features(self, points: list[Tensor]) -> Tensor:
        """(N, C, cells, cells) of the points of N scenes."""
        return self.trunk(pillars(points, self.config.half, self.config.cells))

    def in_cells(self, metres: Tensor) -> Tensor:
        """Places (..., 2) in cells from the map's corner."""
        return (metres + self.config.half) * (self.config.cells / (2 * self.config.half))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``heat``, ``box`` and ``guided`` on a strong view of each scene; the last is 0 where its weight is."""
        points, c = batch["points"], self.config
        view = strong_view(len(points), points[0], c.strength)
        strong = self.features(move_points(points, view))
        terms = self.supervised(strong, move_boxes(batch["boxes3d"], view), batch["box3d_labels"])
        guided = strong.new_zeros(())
        if c.guided:
            guided = c.guided * self.guidance(strong, view, batch)
        return {**terms, "guided": guided}

    def supervised(self, features: Tensor, boxes: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """The losses of heat map and numbers against boxes in the features' own view."""
        c = self.config
        target, given = padded(boxes, fill=1.0)
        kinds, _ = padded(labels)
        at = self.in_cells(target[..., :2])  # (N, M, 2)
        real = given & ((at >= 0) & (at < c.cells)).all(-1)  # a view may push an object off the map
        each = gaussians(at, real, c.cells, c.sigma)  # (N, M, h, w)
        member = F.one_hot(kinds, len(self.sizes)).to(each)  # (N, M, K)
        heat = torch.stack([(each * member[..., k, None, None]).amax(1) for k in range(len(self.sizes))], 1)
        count = real.sum()
        cell = at.floor().clamp(0, c.cells - 1)
        index = (cell[..., 1] * c.cells + cell[..., 0]).long()  # (N, M)
        said = self.say(features).flatten(2).gather(2, index[:, None].expand(-1, NUMBERS, -1)).transpose(1, 2)
        places = torch.cat([(cell + 0.5) * (2 * c.half / c.cells) - c.half, self.sizes[kinds][..., 2:] / 2], -1)
        right = encoded(target, places, torch.zeros_like(places[..., 0]), self.sizes[kinds])
        apart, way = differences(said, right)
        box = ((apart + DIRECTION * way) * real).sum() / count.clamp_min(1)
        return {"heat": focal_loss(self.heat(features), heat, count), "box": c.box * box}

    def guidance(self, strong: Tensor, view: View, batch: Batch) -> Tensor:
        """The point-guided loss, unweighted: at the clicks where there are some, else at the boxes' centres."""
        with torch.no_grad():
            weak = self.features(batch["points"])
        centres, real = padded(batch["clicks"] if "clicks" in batch else batch["boxes3d"])
        weights = gaussians(self.in_cells(centres[..., :2]), real, self.config.cells, self.config.sigma).amax(1)
        return point_guided_loss(brought_back(strong, view, self.config.half), weak, weights, real.sum())

    def answer(self, batch: Batch) -> list[Boxes3D]:
        """The surest boxes of each scene: peaks of the heat maps, and what the numbers say there."""
        c, features = self.config, self.features(batch["points"])
        heat = self.heat(features).sigmoid()  # (N, K, h, w)
        peaks = heat * (heat == F.max_pool2d(heat, 3, 1, 1))
        scores, at = peaks.flatten(1).topk(min(c.most, peaks[0].numel()), dim=1)  # (N, most)
        labels, cell = at // c.cells**2, at % c.cells**2
        said = self.say(features).flatten(2).gather(2, cell[:, None].expand(-1, NUMBERS, -1)).transpose(1, 2)
        flat = torch.stack([cell % c.cells, cell // c.cells], -1).to(said) + 0.5
        places = torch.cat([flat * (2 * c.half / c.cells) - c.half, self.sizes[labels][..., 2:] / 2], -1)
        boxes = decoded(said, places, torch.zeros_like(said[..., 0]), self.sizes[labels])
        return [Boxes3D(*parts) for parts in zip(boxes, labels, scores, strict=True)]
