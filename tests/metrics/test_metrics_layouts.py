"""Every metric gives the same number behind every memory layout, type of number and odd size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from wsss_lib import maps as M
from wsss_lib import metrics as E


def curve(sweep, *batch: Tensor) -> Tensor:
    sweep.update(*batch)
    return torch.cat([sweep.curve("split", "print").values, *(s.flatten().double() for s in sweep.state().values())])


def boxes_of(masks: Tensor) -> list[Tensor]:
    height, width = masks.shape[-2:]
    return [torch.tensor([[0.0, 0, max(1, width // 2), height]])] * len(masks)


def box_overlaps(protocol: E.BoxProtocol) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda maps, masks: E.best_overlaps(maps[:, 0], boxes_of(masks), 8, protocol)


def pixel_average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    pixels = E.PixelAveragePrecision(8)
    pixels.update(maps[:, 0], masks)
    return torch.tensor(pixels.value())


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "confusion": lambda maps, masks: E.confusion(maps.argmax(1), masks, 4),
    "threshold sweep": lambda maps, masks: curve(E.ThresholdSweep(3, 8), maps, masks, torch.eye(3)[: len(maps)]),
    "foreground sweep": lambda maps, masks: curve(E.ForegroundSweep(8), maps[:, 1], masks),
    "pixel average precision": pixel_average_precision,
    "mass share": lambda maps, masks: torch.stack(E.mass_share(maps[:, 2], masks == 1, masks > 0)),
    "equivariance": lambda maps, masks: E.equivariance_error(maps, maps.flip(-1), (5, 4), torch.ones(maps.shape[:2])),
    "average precision": lambda maps, masks: E.average_precision(maps[:, :, 0, 0], torch.eye(3)[: len(maps)]),
    "accuracy": lambda maps, masks: E.top_k_correct(maps[:, :, 0, 0], torch.eye(3)[: len(maps)]),
} | {p.name: box_overlaps(p) for p in (E.HALF_OPEN, E.CLASSIC, E.MAX_BOX_ACC, E.MAX_BOX_ACC_V2)}

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (13, 5), (33, 31)]


def scene(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Maps in eighths, which every type holds exactly, and masks."""
    generator = torch.Generator().manual_seed(size[0])
    maps = torch.randint(0, 9, (3, 3, *size), generator=generator) / 8
    masks = torch.randint(0, 5, (3, *size), generator=generator)
    return maps, torch.where(masks == 4, 255, masks)


def transposed(x: Tensor) -> Tensor:
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def sliced(x: Tensor) -> Tensor:
    larger = torch.full((*x.shape[:-1], 2 * x.shape[-1] + 1), 200, dtype=x.dtype)
    larger[..., 1::2] = x
    return larger[..., 1::2]


def images_last(x: Tensor) -> Tensor:
    return x.movedim(0, -1).contiguous().movedim(-1, 0)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", METRICS)
def test_the_layout_does_not_matter(name: str, size: tuple[int, int]) -> None:
    maps, masks = scene(size)
    expected = METRICS[name](maps, masks)
    for layout in (transposed, sliced, images_last, channels_last):
        assert torch.equal(layout(maps), maps)
        result = METRICS[name](layout(maps), layout(masks))
        assert torch.allclose(result.double(), expected.double(), rtol=0, atol=1e-6, equal_nan=True), layout


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", METRICS)
def test_the_type_does_not_matter(name: str, dtype: torch.dtype, size: tuple[int, int]) -> None:
    maps, masks = scene(size)
    expected = METRICS[name](maps, masks)
    for mask_type in (torch.uint8, torch.int32, torch.int64):
        result = METRICS[name](maps.to(dtype), masks.to(mask_type))
        assert torch.allclose(result.double(), expected.double(), rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("how", ["max", "minmax"])
@pytest.mark.parametrize("size", SIZES)
def test_resized_maps_of_any_layout_can_be_measured(how: str, size: tuple[int, int]) -> None:
    _, masks = scene(size)
    raw = torch.randn(3, 3, 4, 3, generator=torch.Generator().manual_seed(0))
    raw[:, :, :2] = 1.5  # a plateau: weights that sum to more than one would leave the range here
    for layout in (transposed, sliced, images_last, channels_last):
        for dtype in (torch.float32, torch.float64):
            maps = M.resize(M.normalise(layout(raw.to(dtype)), how), size)
            assert 0 <= pixel_average_precision(maps, masks) <= 1


def test_a_value_just_outside_the_range_is_told_with_its_digits() -> None:
    maps, masks = scene((4, 4))
    maps[0, 0, 0, 0] = 1 + 1e-7
    with pytest.raises(ValueError, match=r"\[0, 1\.00000012\], expected \[0, 1\]"):
        pixel_average_precision(maps, masks)
    with pytest.raises(ValueError, match=r"1\.00000012"):
        METRICS["MaxBoxAcc"](maps, masks)
