"""Fields: what may be known of an image, and how several of each become a batch.

:data:`FIELDS` says of each field how it is batched, and what a change of the image does to it. Shapes: a sample has no
batch dimension, a batch has; the names say which (``image`` / ``images``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE = 255
"""Mask value of pixels that no metric counts: VOC's borders, and padding."""


class Sample(TypedDict, total=False):
    """One image and what is known of it; a data set that does not know a field leaves it out."""

    image: Tensor  # (3, H, W) float32 in [0, 1]; or (C, h, w), what the trunk of a network makes of it
    views: Tensor  # (V, C, h, w): what a trunk makes of several views of the image, one of which is to be drawn
    small: Tensor  # (C, h', w'): what it makes of the same view, made smaller
    small_views: Tensor  # (V, C, h', w')
    colours: Tensor  # (3, h, w): the view itself, in [0, 1], on the trunk's grid
    colour_views: Tensor  # (V, 3, h, w)
    small_colours: Tensor  # (3, h', w')
    small_colour_views: Tensor  # (V, 3, h', w')
    pixels: Tensor  # (3, H, W): the view itself, in [0, 1], beside what a trunk makes of it
    pixel_views: Tensor  # (V, 3, H, W)
    patches: Tensor  # (H, W) int64: the superpixels of the view
    patch_views: Tensor  # (V, H, W)
    cells: Tensor  # (h, w) int64: the mask of the view, on a grid of its own
    cell_views: Tensor  # (V, h, w)
    labels: Tensor  # (K,) float32 multi-hot
    mask: Tensor  # (H, W) int64: 0 background, k + 1 for class k, 255 ignore
    superpixels: Tensor  # (H, W) int64: from 1, of patches of one colour; 0 padding
    boxes: Tensor  # (M, 4) float32 xyxy pixels, right and bottom exclusive
    box_labels: Tensor  # (M,) int64, 0-based class
    id: str
    parts: Tensor  # (H, W) int64: 0 none, 1 body, 2 head; of drawn animals
    objects: list[dict[str, Any]]  # an entry a drawn object: its attributes by name
    sentences: list[str]  # Q sentences, each about one thing in the image
    sentence_boxes: Tensor  # (Q, 4) float32 xyxy pixels: what each sentence means
    sentence_kinds: list[str]  # Q names of what tells the meant thing from others, such as "relation"
    proposals: Tensor  # (P, 4) float32 xyxy pixels: where a thing may be, whatever it is
    regions: Tensor  # (P, D) float32: what a backbone sees in each proposal
    points: Tensor  # (P, 3 + C) float32: x, y, z in metres, and C measurements
    boxes3d: Tensor  # (M, 7) float32: centre x, y, z, length, width, height in metres, yaw in radians
    box3d_labels: Tensor  # (M,) int64, 0-based class
    clicks: Tensor  # (M, 3) float32: a point in metres near the centre of each object in 3D
    panorama: Tensor  # (3, H, W) float32 in [0, 1]: the whole horizon, first and last column are neighbours


class Batch(TypedDict, total=False):
    """Samples together, by the rules of :data:`FIELDS`; lists have an entry an image."""

    images: Tensor  # (N, 3, H, W)
    views: Tensor  # (N, V, C, h, w)
    small: Tensor  # (N, C, h', w')
    small_views: Tensor  # (N, V, C, h', w')
    colours: Tensor  # (N, 3, h, w)
    colour_views: Tensor  # (N, V, 3, h, w)
    small_colours: Tensor  # (N, 3, h', w')
    small_colour_views: Tensor  # (N, V, 3, h', w')
    pixels: Tensor  # (N, 3, H, W)
    pixel_views: Tensor  # (N, V, 3, H, W)
    patch_views: Tensor  # (N, V, H, W)
    cell_views: Tensor  # (N, V, h, w)
    labels: Tensor  # (N, K)
    masks: Tensor  # (N, H, W)
    boxes: list[Tensor]
    box_labels: list[Tensor]
    sizes: list[tuple[int, int]]  # (height, width) of each image before padding
    ids: list[str]
    parts: Tensor  # (N, H, W)
    superpixels: Tensor  # (N, H, W)
    objects: list[list[dict[str, Any]]]
    sentences: list[list[str]]
    sentence_boxes: list[Tensor]
    sentence_kinds: list[list[str]]
    proposals: list[Tensor]
    regions: list[Tensor]
    points: list[Tensor]
    boxes3d: list[Tensor]
    box3d_labels: list[Tensor]
    clicks: list[Tensor]
    panoramas: Tensor  # (N, 3, H, W)


@dataclass(frozen=True)
class Field:
    """How a field of samples becomes a field of a batch, and what a change of the image does to it.

    Attributes:
        batched: Its name in a batch.
        rule: ``"padded"``: planes (..., H, W), padded at the right and bottom to the largest, then stacked.
            ``"stacked"``: tensors of one shape. ``"listed"``: anything, such as ragged tensors: a list.
        fill: What pads a plane: a number, or ``"mean"``, the sample's own mean of each channel.
        unknown: Whether a sample may lack the field beside others that have it: its plane is all ``fill`` then.
        moves: What :mod:`~wsss_lib.data.transforms` do to it: move it as a ``"plane"`` (floats (C, H, W) in [0, 1] are
            interpolated, integers take the nearest pixel) or as ``"boxes"``, ``"keep"`` it, or ``"drop"`` it, where
            they cannot know whether it is still true.
    """

    batched: str
    rule: Literal["padded", "stacked", "listed"]
    fill: float | Literal["mean"] = 0
    unknown: bool = False
    moves: Literal["plane", "boxes", "keep", "drop"] = "keep"


FIELDS: dict[str, Field] = {
    # The image's own mean colour is neither an edge nor a second black object.
    "image": Field("images", "padded", fill="mean", moves="plane"),
    "views": Field("views", "stacked", moves="drop"),
    "small": Field("small", "stacked", moves="drop"),
    "small_views": Field("small_views", "stacked", moves="drop"),
    "colours": Field("colours", "stacked", moves="drop"),
    "colour_views": Field("colour_views", "stacked", moves="drop"),
    "small_colours": Field("small_colours", "stacked", moves="drop"),
    "small_colour_views": Field("small_colour_views", "stacked", moves="drop"),
    "pixels": Field("pixels", "stacked", moves="drop"),
    "pixel_views": Field("pixel_views", "stacked", moves="drop"),
    # Superpixels on a grid of their own, beside features that stand for the image.
    "patches": Field("superpixels", "stacked", moves="drop"),
    "patch_views": Field("patch_views", "stacked", moves="drop"),
    # Masks likewise.
    "cells": Field("masks", "stacked", moves="drop"),
    "cell_views": Field("cell_views", "stacked", moves="drop"),
    "labels": Field("labels", "stacked"),
    "id": Field("ids", "listed"),
    # No metric counts what is 255: so it says, too, that an image has no mask.
    "mask": Field("masks", "padded", fill=IGNORE, unknown=True, moves="plane"),
    "parts": Field("parts", "padded", moves="plane"),
    "superpixels": Field("superpixels", "padded", moves="plane"),
    "boxes": Field("boxes", "listed", moves="boxes"),
    "box_labels": Field("box_labels", "listed"),
    "objects": Field("objects", "listed", moves="drop"),
    "sentences": Field("sentences", "listed", moves="drop"),
    "sentence_boxes": Field("sentence_boxes", "listed", moves="drop"),
    "sentence_kinds": Field("sentence_kinds", "listed", moves="drop"),
    "proposals": Field("proposals", "listed", moves="boxes"),
    "regions": Field("regions", "listed", moves="drop"),
    "points": Field("points", "listed", moves="drop"),
    "boxes3d": Field("boxes3d", "listed", moves="drop"),
    "box3d_labels": Field("box3d_labels", "listed", moves="drop"),
    "clicks": Field("clicks", "listed", moves="drop"),
    "panorama": Field("panoramas", "stacked", moves="drop"),
}
"""The fields by their name in a sample."""


def register_field(name: str, field: Field) -> None:
    """Add a field of a new data set.

    Args:
        name: In a sample.
        field: Its rules. Registering the same rules again changes nothing.

    Raises:
        ValueError: The name, in a sample or in a batch, is taken by other rules.
    """
    taken = {known.batched: other for other, known in FIELDS.items() if other != name}
    if FIELDS.get(name, field) != field or field.batched in (*taken, "sizes"):
        raise ValueError(f"the field {name!r} ({field.batched!r} in a batch) exists with other rules: choose new names")
    FIELDS[name] = field


def field_of(name: str) -> Field:
    """The rules of a field.

    Raises:
        ValueError: It is not registered.
    """
    if name not in FIELDS:
        raise ValueError(f"no rule says how {name!r} of a sample becomes a batch: give it one with register_field")
    return FIELDS[name]


def collate(samples: Sequence[Sample]) -> Batch:
    """Make a batch of samples, each field by its rule.

    Args:
        samples: At least one; all must have the same fields, but for those that may be unknown.

    Returns:
        The batch; ``sizes`` keeps each image's own height and width.

    Raises:
        ValueError: No samples, a field that is not registered or that some samples lack, or planes of one sample that
            differ in size.
    """
    if not samples:
        raise ValueError("cannot stack an empty list of samples: pass at least one")
    rows = cast(Sequence[Mapping[str, Any]], samples)
    names = list(dict.fromkeys(name for row in rows for name in row))
    sizes = [_size(row) for row in rows]
    largest = max(h for h, _ in sizes), max(w for _, w in sizes)
    batch: dict[str, Any] = {}
    for name in names:
        field = field_of(name)
        lacking = [i for i, row in enumerate(rows) if name not in row]
        if lacking and not field.unknown:
            which = ", ".join(str(rows[i].get("id", i)) for i in lacking[:3])
            raise ValueError(f"{name!r} is missing in {which} beside samples that have it: add it, or leave it out")
        if field.rule == "padded":
            like = next(row[name] for row in rows if name in row)
            planes = [row.get(name, like[..., :0, :0]) for row in rows]
            batch[field.batched] = torch.stack([_padded(plane, field.fill, largest) for plane in planes])
        else:
            values = [row[name] for row in rows]
            batch[field.batched] = torch.stack(values) if field.rule == "stacked" else values
    if "image" in names:
        batch["sizes"] = sizes
    return cast(Batch, batch)


def _size(row: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a sample's planes, (0, 0) without any."""
    planes = {name: tuple(row[name].shape[-2:]) for name in row if field_of(name).rule == "padded"}
    if len(set(planes.values())) > 1:
        raise ValueError(f"the planes of {row.get('id', 'a sample')} differ in size ({planes}): resize them to one")
    return next(iter(planes.values()), (0, 0))


def _padded(plane: Tensor, fill: float | Literal["mean"], size: tuple[int, int]) -> Tensor:
    height, width = plane.shape[-2:]
    if (height, width) == size:
        return plane
    if fill != "mean":
        return F.pad(plane, (0, size[1] - width, 0, size[0] - height), value=fill)
    canvas = mean_colour(plane).repeat(1, *size)  # (3, height, width)
    canvas[:, :height, :width] = plane
    return canvas


def mean_colour(image: Tensor) -> Tensor:
    """The mean of each channel of an image (3, H, W), as (3, 1, 1)."""
    return image.mean(dim=(1, 2), keepdim=True)


def to_device(batch: Batch, device: str | torch.device | None) -> Batch:
    """The batch with every tensor on ``device``, those in lists as well (None: unchanged)."""
    if device is None:
        return batch

    def move(value: Any) -> Any:
        if isinstance(value, list):
            return [item.to(device) if isinstance(item, Tensor) else item for item in value]
        return value.to(device) if isinstance(value, Tensor) else value

    return cast(Batch, {key: move(value) for key, value in batch.items()})
