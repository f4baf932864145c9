"""How features of a frozen trunk lie on disk: in files whose names end in the digest of their content.

What a crash or a fault left is noticed by it, and computed again. :mod:`wsss_lib.train.features` keeps many images in a
file, in their order; :mod:`wsss_lib.train.trunk_memory` keeps one, by its pixels.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsss_lib.backbones.base import StagedBackbone
from wsss_lib.files import sha256_of_text, write_atomically

FOLDER = "features"
"""Where, in the folder of the cache, features lie."""
DIGITS = 16
"""Of a digest that a name holds."""


def maker(backbone: StagedBackbone) -> dict[str, Any]:
    """What decides the features of an image, as JSON holds it: the trunk, and what computes it."""
    return {"trunk": digest_of_trunk(backbone), "made by": [backbone.mean.device.type, torch.__version__]}


def digest_of_trunk(backbone: StagedBackbone) -> str:
    """SHA-256 of all that decides what a trunk computes: its layers, their geometry, and their tensors."""
    layers = [backbone.blocks[name] for name in backbone.trunk]
    digests = [sha256_of_text(repr([layers, backbone.channels_last]))]
    tensors = [backbone.mean, backbone.std]
    tensors += [value for layer in layers for value in layer.state_dict().values()]
    digests += [sha256_of_text(value.detach().cpu().contiguous().numpy().tobytes()) for value in tensors]
    return sha256_of_text(" ".join(digests))


def write_features(folder: Path, name: str, features: np.ndarray) -> Path:
    """Write an array to a file of the folder, ``<name>-<digest>.npy``.

    Raises:
        OSError: It cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    content = buffer.getvalue()
    return write_atomically(folder / f"{name}-{sha256_of_text(content)[:DIGITS]}.npy", content)


def is_whole(path: Path, digest: str) -> bool:
    """Whether a file whose content has this SHA-256 holds what was written."""
    return path.stem.partition("-")[2][:DIGITS] == digest[:DIGITS]


def warn(what: str) -> None:
    """Say what is wrong with the cache, and how to choose another one."""
    warnings.warn(f"{what}; the variable WSSS_CACHE names another folder for them, or, empty, none", stacklevel=5)
