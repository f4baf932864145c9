"""The network of a run: which one and with which weights, and the trunk of it that is frozen and computed once."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from wsss_lib.backbones import NAMES, HybridBackbone, StagedBackbone, check_name
from wsss_lib.data.records import Records
from wsss_lib.files import cache_folder
from wsss_lib.train.features import FeatureRecords
from wsss_lib.train.masked_features import MaskedFeatures
from wsss_lib.train.trunk_memory import remembering


def named_backbone(text: str) -> tuple[str, str | Path]:
    """Name and weights that the parameter ``backbone`` means.

    Raises:
        ValueError: There is no such network.
    """
    path = Path(os.path.expanduser(text))
    name = path.stem if path.suffix == ".safetensors" else text
    try:
        check_name(name)
    except ValueError as error:
        raise ValueError(
            f"backbone is {text!r}, expected one of {', '.join(NAMES)}, a convolutional network of timm, or a "
            ".safetensors file named after one: correct the parameter"
        ) from error
    if path.suffix == ".safetensors":
        return name, path
    return name, "shipped" if name.startswith("tiny") else "published"


def freeze_trunk(net: nn.Module, trunk: str | bool) -> None:
    """Freeze a backbone up to a stage.

    Args:
        net: The backbone.
        trunk: The stage. True: the first on the deepest grid, so that the trunk's features are as coarse as the maps;
            nothing of a network that cannot be cut there, nor of a tiny one, which has not been trained on photographs.
            Of a hybrid, True means all of its convolutions: what is left is the transformer.

    Raises:
        ValueError: A stage of a network that has none.
    """
    if isinstance(net, HybridBackbone):
        net.stem.freeze(net.stem.stages[-2] if trunk is True else str(trunk))
    elif not isinstance(net, StagedBackbone):
        if trunk is not True:
            raise ValueError(f"{type(net).__name__} has no stages of convolutions to freeze: leave trunk out")
    elif isinstance(trunk, str):
        net.freeze(trunk)
    elif len(net.deepest_grid) > 1 and not net.name.startswith("tiny"):
        net.freeze(net.deepest_grid[0])


def freeze_trunks(method: nn.Module, trunk: str | bool) -> None:
    """Freeze the backbone of a method as :func:`freeze_trunk` does, and that of its teacher, if it has one."""
    for name, net in method.named_modules():
        if name.rpartition(".")[2] == "backbone":
            freeze_trunk(net, trunk)


def behind_trunk(method: nn.Module, records: Records, side: int, grid: int | None = None) -> Records | None:
    """What a method is trained on behind the frozen trunk of its backbone, kept in the cache.

    Args:
        method: Calls the backbone ``.backbone``.
        records: Images, which are squeezed to squares of ``side`` pixels.
        side: In pixels.
        grid: Side, in cells, of the masks from which a network learns; None for that of the trunk's features.

    Returns:
        None where nothing is frozen, or where the method looks at the pixels themselves.
    """
    net = method.get_submodule("backbone")
    net = net.stem if isinstance(net, HybridBackbone) else net
    if not isinstance(net, StagedBackbone) or not net.trunk or getattr(method, "reads_pixels", False):
        return None
    beside = getattr(method, "companions", {})
    features = FeatureRecords(records, net, size=(side, side), folder=cache_folder(), **beside)
    if "masks" not in getattr(method, "needs", ()):
        return features
    return MaskedFeatures(features, records, None if grid is None else (grid, grid))


def trunk_kept(method: Any) -> AbstractContextManager[None]:
    """While a method is measured: what a frozen trunk in it makes of an image is kept in the cache, for others too.

    The backbone may lie in the classifier that a method explains. What is measured may be a function of the method,
    such as its ``answer``.
    """
    behind = getattr(method, "__self__", method)
    parts = behind.modules() if isinstance(behind, nn.Module) else ()
    net = next((part for part in parts if isinstance(part, StagedBackbone) and part.trunk), None)
    return nullcontext() if net is None else remembering(net, cache_folder())
