r"""The teacher: from a click and its class to a box.

Each click is one query, and gives one box; nothing is matched. A query reads around a *reference*:

    explicit    the reference is the click
    learned     the reference is σ(Linear(code of the click)), and the click is the base of the regression alone

On the ground it reads a 7 × 7 grid over a square of 5 m, turned along the ray from the sensor; in the picture a 7 × 7
grid over the rectangle that such a square, 2.5 m high, would fill at its distance (D-RoI). Both read at learned offsets
with learned weights, and are fused. An L1 loss compares eight numbers with the box's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from wsss_lib.data.records import Batch, Records, batches
from wsss_lib.data.worlds.lidar import HALF, MEAN_SIZES
from wsss_lib.methods.learner import Settings
from wsss_lib.methods.point_detr3d.boxes import BoxLearner, flat_block
from wsss_lib.methods.point_detr3d.coding import DIRECTION, NUMBERS, decoded, differences, encoded, padded
from wsss_lib.methods.point_detr3d.picture import WIDTHS, around, picture_network, rectangle
from wsss_lib.methods.point_detr3d.sampling import (
    CHANNELS,
    deformable_attention,
    on_map,
    pillars,
    sine_code,
    square_grid,
)
from wsss_lib.methods.registry import register
from wsss_lib.metrics import Boxes3D
from wsss_lib.modes import evaluating


@dataclass(frozen=True)
class PointDETR3DConfig(Settings):
    """Settings of :class:`PointDETR3D`; the defaults are the book's.

    Attributes:
        reference: Where a query reads: around the click itself, or around a place that is learnt from its code.
        camera: Whether it reads the picture as well.
        pretrained: Whether the camera's network starts from the shipped weights.
        width: Channels.
        heads: Of the attention; they share the channels.
        cells: Of the map from above, a side.
        side: Points of a grid, a side.
        extent: Metres a side of the square that the grid on the ground covers.
        tall: Metres of height that the grid in the picture covers.
        direction: Weight of the loss of which way a box points.
        sizes: Mean length, width and height of each class, in metres.
        half: Metres from the sensor to each side of the map.
    """

    reference: Literal["explicit", "learned"] = "explicit"
    camera: bool = True
    pretrained: bool = True
    width: int = 24
    heads: int = 4
    cells: int = 64
    side: int = 7
    extent: float = 5.0
    tall: float = 2.5
    direction: float = DIRECTION
    sizes: tuple[tuple[float, float, float], ...] = MEAN_SIZES
    half: float = HALF

    @classmethod
    def paper(cls) -> PointDETR3DConfig:
        """Width and heads of the paper; its backbones and its 16 free points a level belong to its data."""
        return cls(width=256, heads=8, cells=128)


class RoIAttention(nn.Module):
    """Deformable attention whose places are a grid that is given, plus offsets that are learnt.

    Offsets and the logits of the weights start at zero: a fresh one takes the plain mean over the grid.
    """

    def __init__(self, width: int, heads: int, points: int, channels: int | None = None) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.value = nn.Conv2d(channels or width, width, 1)
        self.offsets = nn.Linear(width, heads * points * 2)
        self.weights = nn.Linear(width, heads * points)
        self.out = nn.Linear(width, width)
        for part in (self.offsets, self.weights):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def moves(self, queries: Tensor) -> Tensor:
        """Learned offsets (N, Q, H, K, 2), in the unit of the grid."""
        return self.offsets(queries).view(*queries.shape[:2], self.heads, self.points, 2)

    def forward(self, queries: Tensor, features: Tensor, places: Tensor) -> Tensor:
        """Queries (N, Q, C), features (N, C, h, w), places (N, Q, H, K, 2) in [0, 1] to (N, Q, C)."""
        weights = self.weights(queries).view(*queries.shape[:2], self.heads, 1, self.points).softmax(-1)
        return self.out(deformable_attention([self.value(features)], places[:, :, :, None], weights))


@register(
    "point-detr3d",
    title="Point-DETR3D",
    settings=PointDETR3DConfig,
    chapter=11,
    recipe={"epochs": None, "steps": 200, "batch_size": 4, "lr": 2e-3, "head_lr": 1.0},
)
class PointDETR3D(BoxLearner):
    """A box for each click.

    Args:
        num_classes: K.
        config: The settings.
    """

    needs: tuple[str, ...] = ("points", "panoramas", "clicks", "boxes3d", "box3d_labels")

    def __init__(self, num_classes: int, config: PointDETR3DConfig | None = None) -> None:
        c = config or PointDETR3DConfig()
        super().__init__(num_classes, c.sizes)
        self.config = c
        if not c.camera:
            self.needs = tuple(name for name in self.needs if name != "panoramas")
        self.lidar = nn.Sequential(flat_block(CHANNELS, c.width), *(flat_block(c.width, c.width) for _ in range(2)))
        self.classes = nn.Embedding(num_classes, c.width)
        self.position = nn.Linear(3 * 8, c.width)
        points = c.side**2
        self.on_ground = RoIAttention(c.width, c.heads, points)
        if c.camera:
            self.picture = picture_network(weights=c.pretrained)
            self.in_picture = RoIAttention(c.width, c.heads, points, WIDTHS[-1])
            self.gate = nn.Linear(c.width, 1)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)
        if c.reference == "learned":
            self.reference = nn.Linear(c.width, 2)
        parts = 2 if c.camera else 1
        self.fuse = nn.Sequential(
            nn.Linear(parts * c.width, c.width), nn.LayerNorm(c.width), nn.ReLU(), nn.Linear(c.width, c.width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(c.width) for _ in range(2))
        self.feed = nn.Sequential(nn.Linear(c.width, 4 * c.width), nn.ReLU(), nn.Linear(4 * c.width, c.width))
        self.head = nn.Linear(c.width, NUMBERS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def queries(self, clicks: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Contents (N, Q, C) of the queries of clicks (N, Q, 3) with labels (N, Q), and the code of their places."""
        shares = torch.cat([on_map(clicks[..., :2], self.config.half), clicks[..., 2:] / 4], -1)
        code = self.position(sine_code(shares, 8))
        return code + self.classes(labels), code

    def references(self, clicks: Tensor, code: Tensor) -> Tensor:
        """Where each query reads, (N, Q, 2) in metres on the ground."""
        if self.config.reference == "explicit":
            return clicks[..., :2]
        return (2 * self.reference(code).sigmoid() - 1) * self.config.half

    def ground_places(self, queries: Tensor, references: Tensor) -> Tensor:
        """Places (N, Q, H, K, 2) on the map, in [0, 1]: a square grid, turned along the ray, plus learned offsets."""
        grid = square_grid(self.config.side, self.config.extent, references)  # (K, 2)
        ahead = torch.nn.functional.normalize(references, dim=-1)  # (N, Q, 2) away from the sensor
        left = torch.stack([-ahead[..., 1], ahead[..., 0]], -1)
        steps = grid + self.on_ground.moves(queries)  # (N, Q, H, K, 2) metres along the ray and to the left of it
        turned = steps[..., :1] * ahead[:, :, None, None] + steps[..., 1:] * left[:, :, None, None]
        return on_map(references[:, :, None, None] + turned, self.config.half)

    def picture_places(self, queries: Tensor, references: Tensor) -> Tensor:
        """Places (N, Q, H, K, 2) in the picture as shares of it: a grid over the rectangle that a box of ``extent`` by
        ``tall`` metres fills at the reference's distance, plus learned offsets in shares of that rectangle."""
        c = self.config
        steps = square_grid(c.side, 1.0, references) + self.in_picture.moves(queries)
        return rectangle(references, c.extent, c.tall, steps)

    def read_picture(self, queries: Tensor, panoramas: Tensor, references: Tensor) -> Tensor:
        """What the queries read in the pictures (N, 3, H, W), (N, Q, C), times a gate in (0, 1)."""
        features, places = around(self.picture(panoramas), self.picture_places(queries, references))
        return self.in_picture(queries, features, places) * self.gate(queries).sigmoid()

    def rates(self) -> Mapping[str, tuple[Iterable[nn.Module], float]]:
        """A network that comes with weights learns at a tenth of the rate, as in the paper."""
        return {"picture": ((self.picture,), 0.1)} if self.config.camera and self.config.pretrained else {}

    def numbers(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the teacher says of each click (N, Q, 9); clicks (N, Q, 3), labels (N, Q), which are real (N, Q)."""
        clicks, real = padded(batch["clicks"], fill=5.0)
        labels, _ = padded(batch["box3d_labels"])
        queries, code = self.queries(clicks, labels)
        references = self.references(clicks, code)
        ground = self.lidar(pillars(batch["points"], self.config.half, self.config.cells))
        read = [self.on_ground(queries, ground, self.ground_places(queries, references))]
        if self.config.camera:
            read.append(self.read_picture(queries, batch["panoramas"], references))
        x = self.norms[0](queries + self.fuse(torch.cat(read, -1)))
        x = self.norms[1](x + self.feed(x))
        return self.head(x), clicks, labels, real

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``box``, the mean L1 distance of eight numbers, and ``direction``; zero where there is no click.

        The box of a click is the one at its place in the list: nothing is matched.
        """
        said, clicks, labels, real = self.numbers(batch)
        boxes, _ = padded(batch["boxes3d"], fill=1.0)
        right = encoded(boxes, clicks, azimuths(clicks), self.sizes[labels])
        count = real.sum().clamp_min(1)
        apart, way = differences(said, right)
        return {
            "box": (apart * real).sum() / count,
            "direction": self.config.direction * (way * real).sum() / count,
        }

    def boxes(self, batch: Batch) -> list[Tensor]:
        """A box for each click, (M, 7) of each scene, in the clicks' order."""
        said, clicks, labels, _ = self.numbers(batch)
        boxes = decoded(said, clicks, azimuths(clicks), self.sizes[labels])
        return [part[: len(given)] for part, given in zip(boxes, batch["clicks"], strict=True)]

    def answer(self, batch: Batch) -> list[Boxes3D]:
        """Exactly one box for each click, with the class of the click and a score of 1."""
        return [
            Boxes3D(boxes, labels, boxes.new_ones(len(boxes)))
            for boxes, labels in zip(self.boxes(batch), batch["box3d_labels"], strict=True)
        ]


def azimuths(places: Tensor) -> Tensor:
    """Directions (...) of places (..., 2 or more) from the sensor, in radians."""
    return torch.atan2(places[..., 1], places[..., 0])


def class_mean_boxes(clicks: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
    """The trivial answer to clicks (M, 3): a box (M, 7) of the class's mean size at the click, along the ray."""
    return torch.cat([clicks, sizes[labels], azimuths(clicks)[:, None]], -1)


@torch.no_grad()
def boxes_of(teacher: PointDETR3D, records: Records, batch_size: int = 50) -> list[Tensor]:
    """The teacher's boxes of every click of some records, in evaluation mode: (M, 7) of each scene, on the CPU."""
    device = teacher.sizes.device
    made: list[Tensor] = []
    with evaluating(teacher):
        for batch in batches(records, batch_size, device=device):
            made += [part.cpu() for part in teacher.boxes(batch)]
    return made


def replaced(records: Sequence[Tensor], first: int) -> dict[int, Tensor]:
    """Boxes by the position of their scene, the first being ``first``."""
    return {first + i: boxes for i, boxes in enumerate(records)}
