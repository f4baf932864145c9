"""A frozen trunk is computed once: its features of each image, kept on disk, shared by every method and every seed.

    net.freeze("stage4")
    cached = FeatureRecords(records, net, size=(256, 256), folder=cache)
    fit(CAM(net, len(records.classes)), cached, config, transform=draw_view)

Training starts behind the trunk: records yield its features in place of images, and the backbone takes them. A flip
or a crop is a *view*, computed once like the image itself; :func:`draw_view` draws among them.

On disk, a view of 64 images is a file (:mod:`wsss_lib.train.kept_features`). No fault of the disk stops anybody: what
cannot be written stays in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from wsss_lib.backbones.base import StagedBackbone
from wsss_lib.data.fields import Sample
from wsss_lib.data.records import Records
from wsss_lib.data.transforms import Resize
from wsss_lib.files import sha256_of, sha256_of_text
from wsss_lib.modes import evaluating
from wsss_lib.train.kept_features import DIGITS, FOLDER, is_whole, maker, warn, write_features

_IMAGES = 64
"""Images in a file."""


@dataclass(frozen=True)
class View:
    """How an image is looked at before it is squeezed to the trunk's size.

    Attributes:
        mirrored: Whether left and right are exchanged.
        window: What is cut out first: left, top, right and bottom as shares of the image's sides, each in [0, 1].
    """

    mirrored: bool = False
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        left, top, right, bottom = self.window
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(
                f"the window is {self.window}, expected left < right and top < bottom as shares of the image from 0 to "
                "1: correct them"
            )

    def __call__(self, image: Tensor, size: tuple[int, int] | None) -> Tensor:
        """The view of an image (3, H, W), as (3, *size), or at its own size where ``size`` is None."""
        return self.planes(Sample(image=image), size)["image"]

    def planes(self, sample: Sample, size: tuple[int, int] | None) -> Sample:
        """The view of an image and of its superpixels, where the sample has them; all else is left out."""
        height, width = sample["image"].shape[1:]
        left, top, right, bottom = self.window
        columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
        rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
        part = Sample(image=sample["image"][:, rows, columns])
        if "superpixels" in sample:
            part["superpixels"] = sample["superpixels"][rows, columns]
        part = part if size is None else Resize(size)(part)
        return {name: plane.flip(-1) for name, plane in part.items()} if self.mirrored else part  # type: ignore


BOTH_SIDES = (View(), View(mirrored=True))
"""The image and its mirror image."""


PLANES = {
    "image": "views",
    "small": "small_views",
    "colours": "colour_views",
    "small_colours": "small_colour_views",
    "pixels": "pixel_views",
    "patches": "patch_views",
    "cells": "cell_views",
}
"""What is kept of a view, and the field that holds it for all views."""


def draw_view(sample: Sample, generator: torch.Generator) -> Sample:
    """One of a sample's views as its image, each as likely as the others; a transform for ``fit``.

    Of :data:`BOTH_SIDES` it draws what :class:`wsss_lib.data.transforms.RandomFlip` draws.
    """
    number = len(sample["views"])
    drawn = number - 1 - int(torch.rand((), generator=generator) * number)
    single = {views: plane for plane, views in PLANES.items()}
    one: dict[str, Any] = {name: value for name, value in sample.items() if name not in single}
    one |= {plane: sample[views][drawn] for views, plane in single.items() if views in sample}  # type: ignore[literal-required]
    return one  # type: ignore[return-value]


class FeatureRecords(Records):
    """Records that yield what a frozen trunk makes of their images, with their labels.

    A sample has ``views`` (V, C, h, w), of which :func:`draw_view` draws one; or, of a single view, ``image``
    (C, h, w). With ``small``, ``colours`` and ``pixels``, it has the other :data:`PLANES` of each view too. All else
    that is known of the image is left out.

    Args:
        records: Images with labels.
        backbone: Whose trunk is frozen, see :meth:`wsss_lib.backbones.StagedBackbone.freeze`; it computes where it is.
        size: (height, width) in pixels to which each view is squeezed; None where all images have one size.
        views: Of each image.
        folder: Of the cache; None keeps the features in memory.
        dtype: Of what is kept: float32, or float16, which takes half of the disk, and rounds.
        batch_size: Images in one forward pass.
        small: Size of a second copy of each view over the first, of which the trunk's features are kept too.
        antialias: Whether the view is smoothed before it is made smaller.
        colours: Whether the views themselves are kept on the grid of their features, corner cells on the corners.
        pixels: Whether the views themselves are yielded at their full size, and their superpixels where the records
            have these. They are read anew each time: on disk they would be larger than their features.

    Raises:
        ValueError: The backbone has no frozen trunk, images differ in size and no size is given, there is no view, or
            the dtype is another.
    """

    def __init__(
        self,
        records: Records,
        backbone: StagedBackbone,
        *,
        size: tuple[int, int] | None = None,
        views: Sequence[View] = BOTH_SIDES,
        folder: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
        batch_size: int = 16,
        small: float | None = None,
        antialias: bool = True,
        colours: bool = False,
        pixels: bool = False,
    ) -> None:
        if not getattr(backbone, "trunk", ()):
            raise ValueError(f"{type(backbone).__name__} has no frozen trunk: call backbone.freeze(stage) first")
        if size is None and records.image_size is None:
            raise ValueError(f"images of {records.name}/{records.split} differ in size: give one to squeeze them to")
        if dtype not in (torch.float32, torch.float16) or not views:
            raise ValueError(f"{len(views)} views in {dtype}, expected at least one, in float32 or float16")
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.image_size, self._labels = size or records.image_size, records.labels
        identity = {
            "records": records.images_fingerprint,
            "images": len(records),
            **maker(backbone),
            "size": size,
            "dtype": str(dtype),
        }
        shrunk = {"scale": small, "antialias": antialias}
        kinds: dict[str, dict[str, Any]] = {"image": {}}
        kinds |= {"small": shrunk} if small is not None else {}
        kinds |= {"colours": {"colours": True}} if colours else {}
        kinds |= {"small_colours": shrunk | {"colours": True}} if colours and small is not None else {}
        keys: list[str] = []
        self._parts: dict[str, list[_Part]] = {plane: [] for plane in kinds}
        for plane, kind in kinds.items():
            for view in views:
                keys.append(sha256_of_text(json.dumps(identity | kind | {"view": asdict(view)}, sort_keys=True)))
                place = None if folder is None else Path(folder) / FOLDER / keys[-1][:DIGITS]
                self._parts[plane].append(_Part(place))
        self._seen = (records, tuple(views), size) if pixels else None
        self.fingerprint = sha256_of_text(" ".join([*keys, *([records.fingerprint] if pixels else [])]))

        numbers = range(-(-len(records) // _IMAGES))
        # Two processes that begin together begin at different files, and so share the work.
        order = [numbers[(i + os.getpid()) % len(numbers)] for i in numbers]
        for number in tqdm(order, f"features of {self.name}/{self.split}", unit="file", leave=False, disable=None):
            missing = [
                (view, kind, part)
                for plane, kind in kinds.items()
                for view, part in zip(views, self._parts[plane], strict=True)
                if not part.find(number)
            ]
            if not missing:
                continue
            images = [records[i]["image"] for i in range(len(records))[number * _IMAGES :][:_IMAGES]]
            for view, kind, part in missing:
                copies_of = [_copy(view(image, size), kind) for image in images]
                part.put(number, _computed(backbone, copies_of, batch_size, kind).to(dtype).numpy())

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}: count from 0")
        sample: dict[str, Any] = {"labels": self._labels[index]}
        for plane, parts in self._parts.items():
            views = torch.stack([torch.from_numpy(part.row(index)).float() for part in parts])  # (V, C, h, w)
            sample |= {plane: views[0]} if len(views) == 1 else {PLANES[plane]: views}
        if self._seen:
            sample |= _pixels_of(index, *self._seen)
        return sample  # type: ignore[return-value]

    @property
    def labels(self) -> Tensor:
        return self._labels


class _Part:
    """The features of one view, in files of so many images; in memory what could not be written.

    Args:
        folder: Where the files are; None for nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.files: dict[int, Path] = {}
        self.arrays: dict[int, np.ndarray] = {}

    def find(self, number: int) -> bool:
        """Whether the file is here, whole; one that is not is removed."""
        if number in self.arrays:
            return True
        for path in sorted(self.folder.glob(f"{number:05}-*.npy")) if self.folder else ():
            try:
                if is_whole(path, sha256_of(path)):
                    self.arrays[number] = np.load(path, mmap_mode="r", allow_pickle=False)
                    self.files[number] = path
                    return True
                path.unlink()
                reason = "its content is not what was written"
            except (OSError, ValueError) as error:
                reason = str(error)
            warn(f"{path} cannot be used ({reason}): its features are computed again")
        return False

    def put(self, number: int, features: np.ndarray) -> None:
        """Keep features (images, C, h, w) in a file, or in memory where that fails."""
        self.arrays[number] = features
        if self.folder is None:
            return
        try:
            path = write_features(self.folder, f"{number:05}", features)
            self.arrays[number] = np.load(path, mmap_mode="r", allow_pickle=False)
            self.files[number] = path
        except (OSError, ValueError) as error:
            warn(f"{self.folder} cannot be used ({error}): features stay in memory, and are computed anew next time")
            self.folder = None

    def row(self, index: int) -> np.ndarray:
        """A copy of the features (C, h, w) of an image."""
        number, row = divmod(index, _IMAGES)
        if number not in self.arrays:
            self.arrays[number] = np.load(self.files[number], mmap_mode="r", allow_pickle=False)
        return np.array(self.arrays[number][row])

    def __getstate__(self) -> dict[str, Any]:
        """For a worker process: what is in files is opened there, not sent."""
        return vars(self) | {"arrays": {n: array for n, array in self.arrays.items() if n not in self.files}}


def _pixels_of(index: int, records: Records, views: Sequence[View], size: tuple[int, int] | None) -> dict[str, Tensor]:
    """The views of a record themselves, and their superpixels, by the names of :data:`PLANES`."""
    seen = records[index]
    each = [view.planes(seen, size) for view in views]
    planes = {"pixels": torch.stack([view["image"] for view in each])}  # (V, 3, H, W)
    if "superpixels" in seen:
        planes["patches"] = torch.stack([view["superpixels"] for view in each])  # (V, H, W)
    return {
        name if len(views) == 1 else PLANES[name]: stacked[0] if len(views) == 1 else stacked
        for name, stacked in planes.items()
    }


def _copy(image: Tensor, kind: Mapping[str, Any]) -> Tensor:
    """A view (3, H, W), made smaller where a plane is of a smaller one."""
    if "scale" not in kind:
        return image
    options = {"mode": "bilinear", "antialias": kind["antialias"]}
    return F.interpolate(image[None], scale_factor=kind["scale"], **options)[0]


def _computed(backbone: StagedBackbone, images: Sequence[Tensor], batch_size: int, kind: Mapping[str, Any]) -> Tensor:
    """The trunk's features (images, C, h, w) on the CPU, or the images on the grid of these (images, 3, h, w)."""
    stage, device = backbone.trunk[-1], backbone.mean.device
    batches = [torch.stack(list(images[start : start + batch_size])) for start in range(0, len(images), batch_size)]
    if "colours" in kind:
        with torch.no_grad(), evaluating(backbone):
            grid = backbone(batches[0][:1].to(device), (stage,))[stage].shape[2:]
        return torch.cat([F.interpolate(each, tuple(grid), mode="bilinear", align_corners=True) for each in batches])
    with torch.no_grad(), evaluating(backbone):
        grids = [backbone(each.to(device), (stage,))[stage].cpu() for each in batches]
    return torch.cat(grids).contiguous()
