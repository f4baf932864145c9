"""Superpixels: patches of one colour that respect edges, and means over them.

A map that is averaged over superpixels keeps to the image's edges. Superpixels know nothing of classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from skimage.segmentation import slic
from torch import Tensor

from wsss_lib.data.fields import Sample
from wsss_lib.data.records import Batch, Records, collate, positions, record_number
from wsss_lib.files import sha256_of_text

CELL = 64
"""Pixels of a superpixel, by default: 8 × 8."""


def slic_superpixels(
    images: Tensor, segments: int | None = None, *, compactness: float = 10.0, sigma: float = 1.0
) -> Tensor:
    """Cut each image into superpixels by SLIC: k-means over colour and place (scikit-image).

    It runs on the CPU, image by image, in some ten milliseconds for 100 × 100 pixels; :class:`WithSuperpixels` does it
    once for each record.

    Args:
        images: (N, 3, H, W) in [0, 1].
        segments: About how many an image; None: one for every :data:`CELL` pixels.
        compactness: Weight of place beside colour (CIELAB); larger ones are squarer.
        sigma: Standard deviation of the blur before, in pixels. It keeps texture from being cut up.

    Returns:
        (N, H, W) int64 on the images' device, from 1 to the number of superpixels. 0 is left for padding.

    Raises:
        ValueError: Images of another shape, or fewer than one segment.

    Source: Achanta et al. 2012. Used in chapter 6.
    """
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"images are {tuple(images.shape)}, expected (N, 3, H, W): pass colour images, batched")
    wanted = max(1, images.shape[2] * images.shape[3] // CELL) if segments is None else segments
    if wanted < 1:
        raise ValueError(f"segments is {segments}, expected at least 1: SLIC starts from that many centres")
    planes = images.detach().permute(0, 2, 3, 1).double().cpu().numpy()  # (N, H, W, 3)
    labels = [
        torch.from_numpy(slic(p, n_segments=wanted, compactness=compactness, sigma=sigma, start_label=1))
        for p in planes
    ]
    stacked = torch.stack(labels) if labels else torch.zeros(images.shape[0], *images.shape[2:])
    return stacked.to(images.device, torch.int64)  # (N, H, W)


def superpixel_mean(maps: Tensor, labels: Tensor) -> Tensor:
    r"""Give every pixel the mean of its superpixel.

    .. math:: \bar m(p) = \frac{1}{|S(p)|} \sum_{q \in S(p)} m(q), \qquad S(p) = \{q : l(q) = l(p)\}

    Time and memory are O(N K H W), whatever the number of superpixels.

    Args:
        maps: (N, K, H, W) float, any range; differentiable.
        labels: (N, H, W) int64, each from 0 to H · W, as :func:`slic_superpixels` gives them.

    Returns:
        (N, K, H, W), constant within each superpixel.

    Raises:
        ValueError: Labels of another size than the maps.

    Built in chapter 6.
    """
    if maps.dim() != 4 or labels.shape != (maps.shape[0], *maps.shape[2:]):
        raise ValueError(
            f"superpixels are {tuple(labels.shape)} and maps {tuple(maps.shape)}, expected (N, H, W) and (N, K, H, W) "
            "of one size: bring the labels to the maps' size by the nearest pixel, or resize the maps"
        )
    n, k, h, w = maps.shape
    at = labels.reshape(n, 1, h * w)  # (N, 1, P)
    bins = h * w + 1  # no more superpixels than pixels, and 0: so nobody asks the device for the largest label
    sums = maps.new_zeros(n, k, bins).scatter_add(2, at.expand(n, k, -1), maps.flatten(2))  # (N, K, bins)
    sizes = maps.new_zeros(n, 1, bins).scatter_add(2, at, maps.new_ones(n, 1, h * w)).clamp(min=1)
    return (sums / sizes).gather(2, at.expand(n, k, -1)).view_as(maps)


class WithSuperpixels(Records):
    """Records whose samples have a field ``superpixels`` (H, W), computed at the first look and kept in memory.

    Args:
        records: With images.
        segments, compactness, sigma: As for :func:`slic_superpixels`.
    """

    def __init__(
        self, records: Records, segments: int | None = None, *, compactness: float = 10.0, sigma: float = 1.0
    ) -> None:
        self.parent = records
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.image_size = records.image_size
        self.fingerprint = sha256_of_text(f"{records.fingerprint} superpixels {segments} {compactness} {sigma}")
        self._cut: dict[str, Any] = {"segments": segments, "compactness": compactness, "sigma": sigma}
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.parent)

    def __getitem__(self, index: int) -> Sample:
        number = record_number(index, len(self), f"{self.name}/{self.split}")
        sample = self.parent[number]
        return Sample(**sample, superpixels=self._superpixels(number, sample["image"]))

    @property
    def images_fingerprint(self) -> str:
        return self.parent.images_fingerprint

    @property
    def labels(self) -> Tensor:
        return self.parent.labels

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        at = positions(indices, len(self))
        if self.image_size is None:
            return collate([self[i] for i in at])
        batch = self.parent.batch(at)  # may be faster than sample by sample
        labels = [self._superpixels(number, image) for number, image in zip(at, batch["images"], strict=True)]
        return Batch(**batch, superpixels=torch.stack(labels))

    def _superpixels(self, number: int, image: Tensor) -> Tensor:
        if number not in self._kept:
            # Half the memory of int64: 0.4 GB for a thousand photographs of 320 × 320.
            self._kept[number] = slic_superpixels(image[None], **self._cut)[0].to(torch.int32)
        return self._kept[number].long()
