r"""Proposals: boxes around what stands out from its row of the image, whatever it is. No class and no training.

.. math:: c(p) = \lVert I(p) - \operatorname{median}_{q \in \text{row}(p)} I(q) \rVert_2

A ground and a sky are about one colour across, so what differs from the median of its row is likely a thing. Connected
parts above each of several heights of c give boxes. Such proposals are wrong in the ways in which proposals are: they
are moved, they miss a thing, and they show one thing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, nms

from wsss_lib.data.records import Batch, Records, Sample, collate, positions, record_number
from wsss_lib.files import sha256_of_text
from wsss_lib.maps import boxes as boxes_around

HEIGHTS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Of the contrast, relative to its largest value in the image."""
AREA = (0.004, 0.4)
"""Smallest and largest box, as shares of the image."""
MOST = 12
"""Proposals of an image."""
SAME = 0.6
"""Of two boxes whose IoU is above this, one is left out."""


def contrast(images: Tensor) -> Tensor:
    """How much each pixel differs from the median of its row, (N, H, W), largest value 1 in each image.

    Args:
        images: (N, 3, H, W) in [0, 1].

    Built in chapter 10.
    """
    middle = images.median(dim=3, keepdim=True).values  # (N, 3, H, 1)
    apart = (images - middle).square().sum(1, keepdim=True).sqrt()  # (N, 1, H, W)
    smooth = F.avg_pool2d(apart, 3, stride=1, padding=1)[:, 0]  # noise and thin lines count less
    return smooth / smooth.amax((1, 2), keepdim=True).clamp_min(1e-6)


def propose(images: Tensor, heights: Sequence[float] = HEIGHTS, most: int = MOST) -> list[Tensor]:
    """Boxes around parts that stand out, of each image (P, 4) xyxy pixels, P from 0 to ``most``.

    A box scores its side, times the contrast within it minus that of the rim around it; of two boxes that are nearly
    the same, the one with the higher score stays.

    Args:
        images: (N, 3, H, W) in [0, 1].
        heights: At which the contrast is cut.
        most: Proposals of an image.

    Raises:
        ValueError: No height.

    Built in chapter 10.
    """
    if not heights:
        raise ValueError("heights is empty, expected one at least: the contrast must be cut somewhere")
    plane = contrast(images)
    pixels = plane.shape[1] * plane.shape[2]
    per_height = [boxes_around(plane, height, "all") for height in heights]
    proposals = []
    for index, heat in enumerate(plane):
        boxes = torch.cat([each[index] for each in per_height])  # (B, 4)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1) / pixels
        fits = (area >= AREA[0]) & (area <= AREA[1])
        boxes = boxes[fits]
        score = prominence(heat, boxes) * area[fits].sqrt()
        proposals.append(boxes[nms(boxes, score, SAME)[:most]])
    return proposals


def prominence(heat: Tensor, boxes: Tensor) -> Tensor:
    """The mean of a map (H, W) within each box (B, 4) minus its mean in a rim of two pixels around it, (B,)."""
    height, width = heat.shape
    sums = F.pad(heat.double().cumsum(0).cumsum(1), (1, 0, 1, 0))  # of all above and left of a corner
    limit = boxes.new_tensor([width, height, width, height])

    def total(part: Tensor) -> tuple[Tensor, Tensor]:
        x0, y0, x1, y1 = part.long().unbind(1)
        return sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0], ((x1 - x0) * (y1 - y0)).double()

    inner, area = total(boxes)
    around = torch.minimum((boxes + boxes.new_tensor([-2, -2, 2, 2])).clamp(min=0), limit)
    outer, whole = total(around)
    rim = (outer - inner) / (whole - area).clamp(min=1)
    return (inner / area.clamp(min=1) - rim).to(boxes.dtype)


def recall(proposals: Sequence[Tensor], truth: Sequence[Tensor], delta: float = 0.5) -> float:
    """Share of the true boxes with a proposal whose IoU with it is at least ``delta``; NaN without a true box.

    Args:
        proposals, truth: Of each image (P, 4) and (M, 4) xyxy pixels.
        delta: The IoU.
    """
    hits = [
        (box_iou(boxes, true).amax(0) >= delta) if len(boxes) else torch.zeros(len(true), dtype=torch.bool)
        for boxes, true in zip(proposals, truth, strict=True)
    ]
    every = torch.cat(hits) if hits else torch.zeros(0, dtype=torch.bool)
    return float(every.double().mean())


class WithProposals(Records):
    """Records whose samples have the ``proposals`` of :func:`propose`, in place of those that they may have had.

    Args:
        records: With images.
        heights, most: As for :func:`propose`.
    """

    def __init__(self, records: Records, heights: Sequence[float] = HEIGHTS, most: int = MOST) -> None:
        self.parent, self.heights, self.most = records, tuple(heights), most
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.image_size = records.image_size
        self.fingerprint = sha256_of_text(f"{records.fingerprint} proposals {self.heights} {most}")

    def __len__(self) -> int:
        return len(self.parent)

    def __getitem__(self, index: int) -> Sample:
        sample = self.parent[record_number(index, len(self), f"{self.name}/{self.split}")]
        (boxes,) = propose(sample["image"][None], self.heights, self.most)
        return sample | {"proposals": boxes}

    @property
    def labels(self) -> Tensor:
        return self.parent.labels

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        at = positions(indices, len(self))
        if self.image_size is None:
            return collate([self[i] for i in at])
        batch = self.parent.batch(at)
        return batch | {"proposals": propose(batch["images"], self.heights, self.most)}
