"""Looking inside a network that belongs to somebody else: what a layer puts out, and on which grid.

Hooks are removed even when the forward pass raises, and neither ``requires_grad`` nor ``.grad`` of a parameter is
ever touched.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Layer = str | nn.Module

MAX_EXTRA_TOKENS = 5
"""Class, distillation and register tokens that published ViTs put before the patches: at most 1 + 4."""


def find_layer(model: nn.Module, layer: Layer) -> nn.Module:
    """The layer of a model, by dotted path (``"layer4"``, ``"blocks.11.norm1"``) or as the module itself.

    Raises:
        ValueError: The model has no such layer, or something else was given, such as a list.
    """
    if not isinstance(layer, str | nn.Module):
        raise ValueError(
            f"layer is of type {type(layer).__name__}, expected one layer: pass its dotted path or the module itself, "
            "without a list around it"
        )
    if isinstance(layer, nn.Module):
        if not any(module is layer for module in model.modules()):
            raise ValueError(
                f"the layer {type(layer).__name__} is not part of the model {type(model).__name__}: "
                "pass a module taken from this very model, or its dotted path"
            )
        return layer
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        names = [name for name in modules if name]
        close = difflib.get_close_matches(layer, names, n=5, cutoff=0.3) or names[:5]
        raise ValueError(
            f"{type(model).__name__} has no layer named {layer!r}: choose one of its named_modules(), "
            f"for example {', '.join(close) or 'none, it has no layers'}"
        )
    return modules[layer]


@contextmanager
def tapped(model: nn.Module, layer: Layer, keep: Callable[[Tensor], Tensor] = Tensor.clone) -> Iterator[list[Tensor]]:
    """Collect what a layer puts out during the forward passes inside the ``with`` block.

    The layers behind it receive a copy, so that an in-place operation there (``ReLU(inplace=True)``, ``out += x``)
    cannot overwrite what was collected. If the layer returns a tuple, its first tensor is taken; if a dictionary,
    its only one.

    Args:
        model: The network.
        layer: Which layer, see :func:`find_layer`.
        keep: Makes the collected tensor out of the layer's output; what goes on through the network descends from it.

    Yields:
        A list with one tensor for each time that the layer ran.

    Raises:
        ValueError: No such layer, or its output is no tensor.
    """
    collected: list[Tensor] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            collected.append(keep(output))
            return collected[-1].clone()
        if isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
            collected.append(keep(output[0]))
            changed = [collected[-1].clone(), *output[1:]]
            return output._make(changed) if hasattr(output, "_make") else type(output)(changed)  # a named tuple, or not
        if isinstance(output, Mapping) and len(output) == 1 and isinstance(next(iter(output.values())), Tensor):
            key, value = next(iter(output.items()))
            collected.append(keep(value))
            return {key: collected[-1].clone()}
        raise ValueError(
            f"the layer {type(module).__name__} returned {type(output).__name__}, expected a tensor, a tuple that "
            "starts with one or a dictionary of one: choose a layer inside or behind it"
        )

    handle = find_layer(model, layer).register_forward_hook(hook)
    try:
        yield collected
    finally:
        handle.remove()


def layer_name(layer: Layer) -> str:
    """How messages call a layer: its path, or its type where a module was given."""
    return layer if isinstance(layer, str) else type(layer).__name__


def only(collected: list[Tensor], layer: Layer) -> Tensor:
    """The one tensor that a tapped layer gave.

    Raises:
        ValueError: The layer did not run, or ran several times and it is unclear which one is meant.
    """
    if len(collected) != 1:
        what = "did not run" if not collected else f"ran {len(collected)} times"
        raise ValueError(
            f"the layer {layer_name(layer)} {what} in one forward pass, expected once: choose a layer that the forward "
            "pass calls exactly once, for example the block around it"
        )
    return collected[0]


def grid_of(
    output: Tensor,
    images: Tensor,
    *,
    grid: tuple[int, int] | None = None,
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """What a layer gave for images (N, 3, H, W), as :func:`to_grid` lays it out.

    Raises:
        ValueError: No layout fits, or the layer sees windows of the images rather than images.
    """
    features = to_grid(output, (images.shape[2], images.shape[3]), grid=grid, reshape=reshape)
    if len(features) != len(images):
        raise ValueError(
            f"the layer gave {len(features)} grids for {len(images)} images, expected one an image: it sees windows of "
            "them; choose the block around it, or pass reshape="
        )
    return features


def to_grid(
    features: Tensor,
    image_size: tuple[int, int],
    *,
    grid: tuple[int, int] | None = None,
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Features on a grid, whether they come from a CNN or are the tokens of a transformer.

    Args:
        features: (N, C, h, w), left as it is; or (N, h, w, C), as in Swin and inside ConvNeXt, recognised where the
            first reading contradicts the image's shape and this one does not; or tokens (N, T, C) of which the last
            h·w are the patches in reading order: those before them (class, distillation, registers) are dropped.
        image_size: (H, W) in pixels; its aspect ratio gives h and w where ``grid`` does not.
        grid: (h, w) of the patches.
        reshape: Applied first, for layers of another layout, for example ``lambda x: x.permute(0, 3, 1, 2)``; the
            result is then taken as (N, C, h, w).

    Returns:
        Features (N, C, h, w).

    Raises:
        ValueError: No layout fits, or the grid cannot be told from the image.
    """
    if reshape is not None:
        features = reshape(features)
    if features.ndim == 3:
        tokens = features.shape[1]
        h, w = grid or _infer_grid(tokens, image_size)
        if h * w > tokens:
            raise ValueError(f"the grid {h}×{w} needs {h * w} tokens, the layer gave {tokens}: pass the grid it has")
        return features[:, tokens - h * w :].transpose(1, 2).unflatten(2, (h, w))  # (N, C, h, w)
    if features.ndim != 4:
        raise ValueError(
            f"the layer gave a tensor of shape {tuple(features.shape)}, expected features (N, C, h, w) or tokens "
            "(N, T, C): choose an earlier layer, or pass reshape="
        )
    _, a, b, c = features.shape
    if reshape is None and not _fits((b, c), image_size, grid) and _fits((a, b), image_size, grid):
        return features.permute(0, 3, 1, 2)  # (N, C, h, w)
    return features


def _fits(size: tuple[int, int], image_size: tuple[int, int], grid: tuple[int, int] | None) -> bool:
    """Whether a grid can be that of an image: as fine along one side as along the other, but for rounding."""
    if grid is not None:
        return size == grid
    if not all(1 <= cells <= pixels for cells, pixels in zip(size, image_size, strict=True)):
        return False
    if image_size[0] == image_size[1]:
        return size[0] == size[1]
    # A side of n cells has a stride between pixels / (n + 1) and pixels / (n − 1), however the network pads.
    finest = max(pixels / (cells + 1) for cells, pixels in zip(size, image_size, strict=True))
    coarsest = min(pixels / max(cells - 1, 1e-9) for cells, pixels in zip(size, image_size, strict=True))
    return finest < coarsest


def _infer_grid(tokens: int, image_size: tuple[int, int]) -> tuple[int, int]:
    """The largest grid of the image's aspect ratio that the tokens fill but for a few extra ones."""
    height, width = image_size
    divisor = math.gcd(height, width)
    rows, columns = height // divisor, width // divisor
    times = math.isqrt(tokens // (rows * columns))
    if times == 0 or tokens - rows * columns * times**2 > MAX_EXTRA_TOKENS:
        raise ValueError(
            f"{tokens} tokens are no grid of the aspect ratio of a {height}×{width} image with up to "
            f"{MAX_EXTRA_TOKENS} extra tokens: pass grid=(rows, columns) of the patches"
        )
    return rows * times, columns * times
