r"""Regions: what a backbone sees in each proposed box, and where the box is.

.. math:: v = \Big[\operatorname*{mean}_{p}\ \frac{F_l(p)}{\lVert F_l(p)\rVert}\Big]_l, \qquad
          \ell = \Big(\frac{x_0}{W}, \frac{y_0}{H}, \frac{x_1}{W}, \frac{y_1}{H}, \frac{(x_1-x_0)(y_1-y_0)}{WH}\Big)

F_l are the features of stage l at 7 × 7 places p of the box. The middle of the box gives its mean colour besides:
normalised features know little of colour, and sentences speak of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from wsss_lib.backbones import Backbone
from wsss_lib.methods.learner import Learner, Task
from wsss_lib.modes import evaluating

GRID = 7
"""Places across and down a box at which features are read."""
INNER = slice(2, 5)
"""Of these, the ones in the middle, where a box holds little of its surroundings."""
PLACE = 5
"""Numbers that say where a box is: the last ones of a region."""


def region_size(backbone: Backbone) -> int:
    """D, how many numbers describe what is in a box: the channels of all stages, and three of colour."""
    return sum(backbone.channels[stage] for stage in backbone.stages) + 3


@torch.no_grad()
def regions_of(backbone: Backbone, images: Tensor, proposals: Sequence[Tensor]) -> list[Tensor]:
    """What is in each box, and where it is; the backbone is looked through in evaluation mode and learns nothing.

    Args:
        backbone: With named stages.
        images: (N, 3, H, W) in [0, 1].
        proposals: Of each image (P, 4) xyxy pixels; P may be 0.

    Returns:
        Of each image (P, D + 5).

    Raises:
        ValueError: Another number of images than of lists of boxes.

    Source: Sun et al. 2021, released code (which pools the last stage of a detector). Built in chapter 10.
    """
    if len(images) != len(proposals):
        raise ValueError(f"{len(images)} images and proposals of {len(proposals)}: pass a tensor of boxes for each")
    counts = [len(boxes) for boxes in proposals]
    boxes = [each.to(images) for each in proposals]
    with evaluating(backbone):
        features = backbone(images, backbone.stages)
    cells = {
        stage: roi_align(features[stage], boxes, GRID, 1 / backbone.strides[stage], sampling_ratio=2, aligned=True)
        for stage in backbone.stages
    }  # (M, C, 7, 7), the boxes of all images one after the other
    parts = [F.normalize(each, dim=1).mean((2, 3)) for each in cells.values()]
    colours = roi_align(2 * images - 1, boxes, GRID, 1.0, sampling_ratio=2, aligned=True)  # (M, 3, 7, 7)
    parts.append(colours[:, :, INNER, INNER].mean((2, 3)))
    parts.append(places(torch.cat(boxes), (images.shape[2], images.shape[3])))
    return list(torch.cat(parts, dim=1).split(counts))


def places(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Where boxes are: (M, 4) xyxy pixels of an image of ``size`` (height, width) to (M, 5) in [0, 1]."""
    height, width = size
    sides = boxes.new_tensor([width, height, width, height])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1, keepdim=True) / (height * width)
    return torch.cat([boxes / sides, area], dim=1)


class RegionReader(Learner):
    """Base of what grounds sentences: regions of a frozen backbone, padded to one number.

    Standardised by batch norm: features of a backbone have means that are large beside what tells regions apart.
    """

    task: ClassVar[Task] = "grounding"
    needs: tuple[str, ...] = ("sentences", "proposals")

    def __init__(self, backbone: Backbone, num_classes: int | None = None, place: int = 16) -> None:
        super().__init__(backbone, num_classes)
        backbone.requires_grad_(False)
        self.size = region_size(backbone)
        self.standardise = nn.BatchNorm1d(self.size + PLACE, affine=False)
        self.place = nn.Linear(PLACE, place)

    def read(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Regions of a batch; those that were computed before (``regions``) are taken as they are.

        Returns:
            v (N, P, D), ℓ (N, P, L), whether each is a region (N, P), and the image of each sentence (S,).
        """
        regions = batch["regions"] if "regions" in batch else regions_of(
            self.backbone, batch["images"], batch["proposals"]
        )  # fmt: skip
        weight = self.place.weight
        flat = torch.cat(list(regions)).to(weight)  # (M, D + 5)
        standard = self.standardise
        if standard.training and len(flat) < 2:  # one region has no spread
            flat = F.batch_norm(flat, standard.running_mean, standard.running_var, eps=standard.eps)
        else:
            flat = standard(flat)
        v, where = flat.split([self.size, PLACE], dim=1)
        counts = [len(each) for each in regions]
        most = max(counts, default=0)
        rows = torch.tensor([n * most + p for n, count in enumerate(counts) for p in range(count)], dtype=torch.int64)
        rows = rows.to(weight.device)

        def padded(values: Tensor) -> Tensor:
            empty = values.new_zeros(len(counts) * most, values.shape[1])
            return empty.index_copy(0, rows, values).view(len(counts), most, values.shape[1])

        real = padded(v.new_ones(len(v), 1))[..., 0] > 0
        sentences = [n for n, each in enumerate(batch["sentences"]) for _ in each if counts[n]]
        owner = torch.tensor(sentences, dtype=torch.int64).to(weight.device)
        return padded(v), padded(self.place(where)), real, owner

    def spoken(self, batch: Any) -> list[str]:
        """The sentences of a batch one after the other, but for those about images without a proposal."""
        many = [len(each) for each in batch["proposals"]]
        return [text for count, texts in zip(many, batch["sentences"], strict=True) for text in texts if count]

    def chosen(self, batch: Any, which: Tensor) -> list[Tensor]:
        """Boxes (Q, 4) of each image, of the region ``which`` (S,) of each sentence; zeros without a proposal."""
        boxes, start = [], 0
        for proposals, texts in zip(batch["proposals"], batch["sentences"], strict=True):
            number = len(texts) if len(proposals) else 0
            picked = proposals[which[start : start + number].to(proposals.device)]
            boxes.append(picked if number == len(texts) else proposals.new_zeros(len(texts), 4))
            start += number
        return boxes
