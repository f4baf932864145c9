"""Changes of one sample in which image, mask, parts and boxes move together.

Coordinates are those of pixel areas: pixel i covers [i, i + 1), so a box with exclusive right and bottom scales, flips
and shifts without a half pixel anywhere, and masks are sampled where the image's pixels have their centres.

What happens to the rest of a sample: the image-level labels stay as they are, even if a crop has cut an object away,
because whoever labelled the image did not know the crop. What may no longer be true is dropped, such as sentences, or
``objects`` of drawn worlds with their positions: :data:`~wsss_lib.data.fields.FIELDS` says which.

Each random transform draws from a ``torch.Generator``: its own, or the one that is passed with the sample, or torch's
global one. :class:`PerSample` makes the draw depend on the sample alone, not on the order of reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.data.fields import FIELDS, Batch, Sample, field_of, mean_colour

Transform = Callable[..., Sample]
"""``transform(sample, generator=None) -> sample``."""


class Resize:
    """Scale to a size.

    The image is interpolated with antialiasing (a shrunken photograph without it is full of false edges), mask and
    parts take the nearest pixel: 7 and 9 have no 8 between them.

    Args:
        size: The longer side, keeping the shape; or (height, width).
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        lengths = size if isinstance(size, Sequence) else (size,)
        whole = all(isinstance(length, int) and not isinstance(length, bool) and length >= 1 for length in lengths)
        if not whole or len(lengths) != (2 if isinstance(size, Sequence) else 1):
            raise ValueError(f"size is {size!r:.80}: expected the longer side or (height, width), in pixels")
        self.size = size

    def __call__(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        height, width = sample["image"].shape[-2:]
        return _resized(sample, _target(height, width, self.size))


class RandomResize:
    """Scale the longer side to a length drawn evenly from ``low`` to ``high``, both included.

    Args:
        low: Smallest longer side.
        high: Largest longer side.
        generator: Where the draws come from.
    """

    def __init__(self, low: int, high: int, generator: torch.Generator | None = None) -> None:
        if not 1 <= low <= high:
            raise ValueError(f"low is {low} and high {high}: expected 1 <= low <= high")
        self.low, self.high, self.generator = low, high, generator

    def __call__(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        length = _draw(self.low, self.high, generator or self.generator)
        height, width = sample["image"].shape[-2:]
        return _resized(sample, _target(height, width, length))


class RandomFlip:
    """Mirror left and right.

    Args:
        p: Probability.
        generator: Where the draws come from.
    """

    def __init__(self, p: float = 0.5, generator: torch.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is {p}: expected a probability from 0 to 1")
        self.p, self.generator = p, generator

    def __call__(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        return (
            _flipped(sample) if self._drawn(generator) else _moved(sample, lambda plane, _: plane, lambda boxes: boxes)
        )

    def whole(self, batch: Batch, generators: Sequence[torch.Generator]) -> Batch:
        """The batch of what becomes of each sample by its own generator; images of one size, or padding would move."""
        flips = torch.tensor([self._drawn(generator) for generator in generators], dtype=torch.bool)
        width = batch["images"].shape[-1]
        rules = {field.batched: field for field in FIELDS.values() if field.moves != "drop"}
        new: dict[str, Any] = {"sizes": batch["sizes"]}
        for name, value in cast(dict[str, Any], batch).items():
            if name not in rules:
                continue
            if rules[name].moves == "plane":
                mirrored = value[flips].flip(-1)  # of these alone
                value = value.index_copy(0, flips.nonzero().squeeze(1), mirrored)  # (N, ..., H, W)
            elif rules[name].moves == "boxes":
                value = [_mirrored(one, width) if flip else one for one, flip in zip(value, flips, strict=True)]
            new[name] = value
        return cast(Batch, new)

    def _drawn(self, generator: torch.Generator | None) -> bool:
        return bool(torch.rand((), generator=generator or self.generator) < self.p)


class RandomCrop:
    """Cut out a window; where the image is smaller, pad it, the image being placed at random as well.

    Padding is the image's own mean colour (so that it is neither an edge nor a black object), 255 in the mask and 0 in
    the parts. Boxes are cut to the window, and dropped with their labels where nothing of them is inside.

    Args:
        size: Side of a square window, or (height, width).
        generator: Where the draws come from.
    """

    def __init__(self, size: int | tuple[int, int], generator: torch.Generator | None = None) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else size
        if min(self.height, self.width) < 1:
            raise ValueError(f"size is {size!r}: expected a side or (height, width), in pixels")
        self.generator = generator

    def __call__(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        height, width = sample["image"].shape[-2:]
        draw = generator or self.generator
        top = _draw(min(0, height - self.height), max(0, height - self.height), draw)
        left = _draw(min(0, width - self.width), max(0, width - self.width), draw)
        return _cropped(sample, top, left, self.height, self.width)


class Compose:
    """One transform after the other.

    Args:
        transforms: In order.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, generator=generator)
        return sample


class PerSample:
    """Let the draws depend on the sample's id, a seed and the epoch only.

    So a run that was interrupted, or that reads in another order or with more workers, changes every sample in the
    same way.

    Args:
        transform: What to do.
        seed: Of the run.
        epoch: Of the run; set it anew for each pass, or every pass shows the same crops.
    """

    def __init__(self, transform: Transform, seed: int = 0, epoch: int = 0) -> None:
        self.transform, self.seed, self.epoch = transform, seed, epoch

    def __call__(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        key = hashlib.sha256(repr((self.seed, self.epoch, sample["id"])).encode()).digest()
        draws = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)  # 63 bits: a seed is signed
        return self.transform(sample, generator=draws)


def _draw(low: int, high: int, generator: torch.Generator | None) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _target(height: int, width: int, size: int | tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, int):
        return size
    longer = max(height, width)
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def _resized(sample: Sample, size: tuple[int, int]) -> Sample:
    height, width = sample["image"].shape[-2:]

    def plane(values: Tensor, _: Tensor) -> Tensor:
        if values.shape[-2:] == size:
            return values
        if values.is_floating_point():  # (3, H, W) -> (3, h, w)
            scaled = F.interpolate(values[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
            return scaled.clamp(0, 1)
        return F.interpolate(values[None, None].float(), size, mode="nearest-exact")[0, 0].to(values.dtype)

    factors = torch.tensor([size[1] / width, size[0] / height] * 2)
    return _moved(sample, plane, lambda boxes: boxes * factors)


def _flipped(sample: Sample) -> Sample:
    width = sample["image"].shape[-1]
    return _moved(sample, lambda values, _: values.flip(-1), lambda boxes: _mirrored(boxes, width))


def _mirrored(boxes: Tensor, width: int) -> Tensor:
    """Boxes (M, 4) in the mirror image of an image."""
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def _cropped(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The window from (top, left), which may begin before or end after the image."""

    def plane(values: Tensor, fill: Tensor) -> Tensor:
        window = fill.to(values).expand(*values.shape[:-2], height, width).clone()
        y, x = max(0, top), max(0, left)
        part = values[..., y : top + height, x : left + width]
        window[..., y - top : y - top + part.shape[-2], x - left : x - left + part.shape[-1]] = part
        return window

    def shift(boxes: Tensor) -> Tensor:
        moved = boxes - torch.tensor([left, top, left, top])
        return torch.minimum(moved.clamp(min=0), torch.tensor([width, height, width, height]).float())

    cropped = _moved(sample, plane, shift)
    if "boxes" in cropped:
        boxes = cropped["boxes"]
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        cropped["boxes"], cropped["box_labels"] = boxes[inside], cropped["box_labels"][inside]
    return cropped


def _moved(sample: Sample, plane: Callable[[Tensor, Tensor], Tensor], box: Callable[[Tensor], Tensor]) -> Sample:
    """A new sample, every field moved by its rule; ``plane`` gets the values and what to fill with."""
    new: dict[str, Any] = {}
    for name, value in sample.items():
        field = field_of(name)
        if field.moves == "plane":
            planes = cast(Tensor, value)
            fill = mean_colour(planes) if field.fill == "mean" else torch.tensor(field.fill)
            new[name] = plane(planes, fill)
        elif field.moves != "drop":
            new[name] = box(cast(Tensor, value)) if field.moves == "boxes" else value
    return cast(Sample, new)
