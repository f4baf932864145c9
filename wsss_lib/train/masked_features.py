"""Masks beside what a frozen trunk made of their images: for a network that learns masks behind the trunk.

cached = MaskedFeatures(FeatureRecords(labels, net, size=(256, 256), folder=cache), labels, grid=(64, 64))
fit(Segmenter(net, len(labels.classes), SegmenterConfig(shallow="")), cached, config, transform=draw_view)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.data.fields import Sample
from wsss_lib.data.records import Records
from wsss_lib.files import sha256_of_text


class MaskedFeatures(Records):
    """What a frozen trunk makes of images and of their mirror images, with their masks on a grid.

    A sample has ``cell_views`` (2, h, w) int64 besides what the features' sample has. A cell of the grid has the label
    of the pixel at its middle.

    Args:
        features: Two views of each image, the second one mirrored, as
            :class:`wsss_lib.train.features.FeatureRecords` holds them by default.
        masked: The same images, with masks.
        grid: (height, width) of the masks in cells; None for that of the features.

    Raises:
        ValueError: Another number of images, or of views.
    """

    def __init__(self, features: Records, masked: Records, grid: tuple[int, int] | None = None) -> None:
        if len(features) != len(masked):
            raise ValueError(
                f"there are features of {len(features)} images and {len(masked)} with masks: pass the same images"
            )
        views = features[0].get("views")
        if views is None or len(views) != 2:
            raise ValueError("expected the views of each image and of its mirror image: leave views out")
        self.name, self.split, self.classes = features.name, features.split, features.classes
        self.image_size, self.features = features.image_size, features
        size = tuple(grid or views.shape[-2:])
        self.masks = [mask_on_grid(masked[index]["mask"], size).byte() for index in range(len(masked))]
        said = "".join(sha256_of_text(str(mask.numpy().tobytes())) for mask in self.masks)
        self.fingerprint = sha256_of_text(features.fingerprint + said + ("" if grid is None else str(size)))

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: int) -> Sample:
        mask = self.masks[index].long()
        return Sample(**self.features[index], cell_views=torch.stack([mask, mask.flip(-1)]))

    @property
    def labels(self) -> Tensor:
        return self.features.labels


def mask_on_grid(mask: Tensor, size: tuple[int, ...]) -> Tensor:
    """A mask (H, W) as (h, w), by the pixel at the middle of each cell."""
    return F.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
