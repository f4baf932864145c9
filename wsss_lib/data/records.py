"""Records: images with labels, masks and boxes, the same whether drawn, read from Parquet or photographed.

Shapes: a sample has no batch dimension, a batch has; the names say which (``image`` / ``images``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

IGNORE = 255
"""Mask value of pixels that no metric counts: VOC's borders, and padding."""


class Sample(TypedDict, total=False):
    """One image and what is known of it.

    ``mask``, ``boxes`` and ``box_labels`` are absent where a data set has none; ``parts`` (H, W) int64, 0 none,
    1 body, 2 head, and ``objects`` (a list of attribute dictionaries) exist in the drawn world only.
    """

    image: Tensor  # (3, H, W) float32 in [0, 1]
    labels: Tensor  # (K,) float32 multi-hot
    mask: Tensor  # (H, W) int64: 0 background, k + 1 for class k, 255 ignore
    boxes: Tensor  # (M, 4) float32 xyxy pixels, right and bottom exclusive
    box_labels: Tensor  # (M,) int64, 0-based class
    id: str
    parts: Tensor
    objects: list[dict[str, Any]]


class Batch(TypedDict, total=False):
    """Samples stacked; images of unlike size are padded at the right and bottom (see :func:`collate`)."""

    images: Tensor  # (N, 3, H, W)
    labels: Tensor  # (N, K)
    masks: Tensor  # (N, H, W)
    boxes: list[Tensor]
    box_labels: list[Tensor]
    sizes: list[tuple[int, int]]  # (height, width) of each image before padding
    ids: list[str]
    parts: Tensor
    objects: list[list[dict[str, Any]]]


class Records(Dataset[Sample]):
    """A split of a data set as a sequence of :class:`Sample`.

    Subclasses set the attributes and implement ``__len__`` and ``__getitem__``.

    Attributes:
        name: The data set, for example ``"critters"`` or ``"voc2012"``.
        split: ``"train"``, ``"val"``, …
        classes: Names of the K foreground classes; class k has mask value k + 1.
        fingerprint: Hexadecimal SHA-256 that changes when the content does; it goes into every result's provenance.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError

    @property
    def labels(self) -> Tensor:
        """All image labels, (len(self), K) float32 multi-hot. Subclasses that can, answer without decoding images."""
        return torch.stack([self[i]["labels"] for i in range(len(self))])

    def subset(self, indices: Sequence[int]) -> Records:
        """The records at ``indices``, in that order, as records of their own."""
        return _Subset(self, indices)


class _Subset(Records):
    def __init__(self, parent: Records, indices: Sequence[int]) -> None:
        self.parent, self.indices = parent, [int(i) for i in indices]
        out = [i for i in self.indices if not 0 <= i < len(parent)]
        if out:
            raise IndexError(
                f"indices {out[:5]} are outside 0..{len(parent) - 1}: choose indices of {parent.name}/{parent.split}"
            )
        self.name, self.split, self.classes = parent.name, parent.split, parent.classes
        import hashlib

        self.fingerprint = hashlib.sha256((parent.fingerprint + repr(self.indices)).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.parent[self.indices[index]]

    @property
    def labels(self) -> Tensor:
        return self.parent.labels[self.indices]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch.

    Images of unlike size are padded at the right and bottom to the largest: the image with its own mean colour
    (so that padding is neither an edge nor a second black object), the mask with 255, the parts with 0.

    Args:
        samples: At least one sample; all must have the same optional fields.

    Returns:
        The batch; ``sizes`` keeps each image's own height and width.

    Raises:
        ValueError: No samples.
    """
    if not samples:
        raise ValueError("cannot stack an empty list of samples: pass at least one")
    sizes = [(s["image"].shape[-2], s["image"].shape[-1]) for s in samples]
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)

    def pad(plane: Tensor, value: float) -> Tensor:
        h, w = plane.shape[-2:]
        return plane if (h, w) == (height, width) else F.pad(plane, (0, width - w, 0, height - h), value=value)

    def pad_image(image: Tensor) -> Tensor:
        if image.shape[-2:] == (height, width):
            return image
        canvas = mean_colour(image).repeat(1, height, width)  # (3, height, width)
        canvas[:, : image.shape[-2], : image.shape[-1]] = image
        return canvas

    batch: Batch = {
        "images": torch.stack([pad_image(s["image"]) for s in samples]),
        "labels": torch.stack([s["labels"] for s in samples]),
        "sizes": sizes,
        "ids": [s["id"] for s in samples],
    }
    if "mask" in samples[0]:
        batch["masks"] = torch.stack([pad(s["mask"], IGNORE) for s in samples])
    if "parts" in samples[0]:
        batch["parts"] = torch.stack([pad(s["parts"], 0) for s in samples])
    if "boxes" in samples[0]:
        batch["boxes"] = [s["boxes"] for s in samples]
        batch["box_labels"] = [s["box_labels"] for s in samples]
    if "objects" in samples[0]:
        batch["objects"] = [s["objects"] for s in samples]
    return batch


def mean_colour(image: Tensor) -> Tensor:
    """The mean of each channel of an image (3, H, W), as (3, 1, 1)."""
    return image.mean(dim=(1, 2), keepdim=True)


def batches(
    records: Records,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    transform: Callable[[Sample], Sample] | None = None,
    device: str | torch.device | None = None,
) -> Iterator[Batch]:
    """Run once through the records, in order or shuffled by ``seed``.

    Args:
        records: What to read.
        batch_size: Samples per batch; the last one may be smaller.
        shuffle: Whether to permute the records, with a generator of its own (the global one is not touched).
        seed: Decides the permutation.
        transform: Applied to each sample before stacking, for example a resize.
        device: Where the tensors go; None leaves them.

    Yields:
        Batches.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(records), generator=generator).tolist() if shuffle else range(len(records))
    chunk: list[Sample] = []
    for position, index in enumerate(order, start=1):
        sample = records[index]
        chunk.append(transform(sample) if transform else sample)
        if len(chunk) == batch_size or position == len(records):
            yield to_device(collate(chunk), device)
            chunk = []


def to_device(batch: Batch, device: str | torch.device | None) -> Batch:
    """The batch with every tensor on ``device`` (None: unchanged)."""
    if device is None:
        return batch

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        return [move(v) for v in value] if isinstance(value, list) and value and isinstance(value[0], Tensor) else value

    return {key: move(value) for key, value in batch.items()}  # type: ignore[return-value]
