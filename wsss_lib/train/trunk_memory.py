"""What a frozen trunk made of an image is looked up wherever the same image comes again, above all in measuring.

    with remembering(method.backbone, cache_folder()):
        measure(method, records)

An image is known by its pixels: at another size, mirrored, or from another split, it is another or the same. So this
works below every method, scale and flip. :class:`wsss_lib.train.features.FeatureRecords` is for training, where the
images and their order are known beforehand.

On disk, an image is a file (:mod:`wsss_lib.train.kept_features`). No fault of the disk stops anybody.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from wsss_lib.backbones.base import StagedBackbone
from wsss_lib.files import sha256_of_text
from wsss_lib.modes import evaluating
from wsss_lib.train.kept_features import DIGITS, FOLDER, is_whole, maker, warn, write_features

_PIXELS = 32
"""Digits of the digest of an image's pixels that a name holds."""


@contextmanager
def remembering(backbone: StagedBackbone, folder: str | Path | None) -> Iterator[None]:
    """Inside the block, the backbone gets what its trunk made of an image in place of the image.

    An image whose features are not kept is computed, by itself, so that its features do not depend on what stands
    beside it. Where an earlier stage is asked for, a layer of the trunk is looked into, or a gradient of the image is
    wanted, everything is computed as usual.

    Args:
        backbone: With a frozen trunk, see :meth:`wsss_lib.backbones.StagedBackbone.freeze`.
        folder: Of the cache; None: nothing is kept.

    Raises:
        ValueError: The backbone has no frozen trunk.
    """
    handle = remember(backbone, folder)
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def remember(backbone: StagedBackbone, folder: str | Path | None) -> RemovableHandle | None:
    """The same from now on, until the handle's ``remove()``: for a backbone that never learns.

    Args:
        backbone: With a frozen trunk.
        folder: Of the cache; None: nothing is kept, and there is no handle.

    Raises:
        ValueError: The backbone has no frozen trunk.
    """
    if not backbone.trunk:
        raise ValueError(f"{type(backbone).__name__} has no frozen trunk: call backbone.freeze(stage) first")
    if folder is None:
        return None
    identity = sha256_of_text(json.dumps(maker(backbone), sort_keys=True))
    kept = _Kept(Path(folder) / FOLDER / f"images-{identity[:DIGITS]}")
    return backbone.register_forward_pre_hook(partial(_recall, kept), with_kwargs=True)


def _recall(
    kept: _Kept, backbone: nn.Module, arguments: Any, named: Any
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments of a forward pass, with features for images; None where these must be computed."""
    assert isinstance(backbone, StagedBackbone)
    images, stages = _of_forward(*arguments, **named)
    usual = isinstance(images, Tensor) and images.ndim == 4 and images.shape[1] == 3 and images.dtype == torch.float32
    early = any(stage in backbone.trunk[:-1] for stage in stages or ())
    looked_into = any(module._forward_hooks for name in backbone.trunk for module in backbone.blocks[name].modules())
    if not usual or early or looked_into or images.requires_grad or torch.is_autocast_enabled(images.device.type):
        return None
    return (torch.stack([kept.features(image, backbone) for image in images]), stages), {}


def _of_forward(images: Any, stages: Sequence[str] | None = None) -> tuple[Any, Sequence[str] | None]:
    return images, stages


class _Kept:
    """Features of images, a file each.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self.files = {path.stem.partition("-")[0]: path for path in folder.glob("*.npy")}

    def features(self, image: Tensor, backbone: StagedBackbone) -> Tensor:
        """Of an image (3, H, W), the trunk's features (C, h, w) where the image is."""
        pixels = image.cpu().contiguous().numpy()
        name = sha256_of_text(repr(pixels.shape).encode() + pixels.tobytes())[:_PIXELS]
        features = self._read(name)
        if features is None:
            stage = backbone.trunk[-1]
            with torch.no_grad(), evaluating(backbone):
                features = backbone.forward(image[None], (stage,))[stage][0].contiguous().cpu()
            self._write(name, features.numpy())
        return features.to(image.device)

    def _read(self, name: str) -> Tensor | None:
        path = self.files.get(name)
        if path is None:
            return None
        try:
            content = path.read_bytes()
            if is_whole(path, sha256_of_text(content)):
                return torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False))
            reason = "its content is not what was written"
            path.unlink()
        except (OSError, ValueError) as error:
            reason = str(error)
        del self.files[name]
        warn(f"{path} cannot be used ({reason}): its features are computed again")
        return None

    def _write(self, name: str, features: np.ndarray) -> None:
        if self.folder is None:
            return
        try:
            self.files[name] = write_features(self.folder, name, features)
        except OSError as error:
            warn(f"{self.folder} cannot be used ({error}): features are computed anew next time")
            self.folder = None
