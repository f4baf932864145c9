"""The deformable convolution: hand values, an ordinary one at zero offsets, torchvision's and a slow one elsewhere."""

from __future__ import annotations

import esol_slow as slow
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from wsss_lib.methods.deformable import Offsets, deformable_convolution, mean_reach, sampling_points


def drawn(n: int, c: int, d: int, size: tuple[int, int], kernel: tuple[int, int], seed: int = 0) -> tuple:  # type: ignore[type-arg]
    """Features, a weight and offsets up to some cells long, in 64 bits."""
    coin = torch.Generator().manual_seed(seed)
    options = {"generator": coin, "dtype": torch.float64}
    taps = kernel[0] * kernel[1]
    return (
        torch.randn(n, c, *size, **options),  # type: ignore[call-overload]
        torch.randn(d, c, *kernel, **options),  # type: ignore[call-overload]
        2 * torch.randn(n, 2 * taps, *size, **options),  # type: ignore[call-overload]
    )


@given(
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    st.sampled_from([(3, 3), (1, 1), (1, 3), (3, 5)]),
    st.integers(0, 10**6),
)
@settings(max_examples=30, deadline=None)
def test_torchvision_gives_the_same(
    n: int, c: int, d: int, size: tuple[int, int], kernel: tuple[int, int], seed: int
) -> None:
    x, weight, offsets = (t.requires_grad_() for t in drawn(n, c, d, size, kernel, seed))
    padding = (kernel[0] // 2, kernel[1] // 2)
    theirs = deform_conv2d(x, offsets, weight, padding=padding)
    ours = deformable_convolution(x, weight, offsets)
    torch.testing.assert_close(ours, theirs)
    aim = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(seed))
    for mine, other in zip(
        torch.autograd.grad((ours * aim).sum(), (x, weight, offsets)),
        torch.autograd.grad((theirs * aim).sum(), (x, weight, offsets)),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


def test_the_slow_version_gives_the_same() -> None:
    x, weight, offsets = drawn(2, 2, 3, (4, 5), (3, 3))
    ours = deformable_convolution(x, weight, offsets)
    for n in range(2):
        torch.testing.assert_close(ours[n], slow.deformed(x[n], weight, offsets[n]))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 5)])
def test_without_offsets_it_is_an_ordinary_convolution(kernel: tuple[int, int]) -> None:
    x, weight, offsets = (t.float() for t in drawn(2, 5, 4, (7, 9), kernel))
    plain = F.conv2d(x, weight, padding=(kernel[0] // 2, kernel[1] // 2))
    torch.testing.assert_close(deformable_convolution(x, weight, 0 * offsets), plain, rtol=1e-4, atol=1e-5)


def test_one_cell_to_the_right_is_an_image_moved_to_the_left() -> None:
    x, weight, _ = drawn(1, 2, 3, (6, 8), (3, 3))
    right = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(9).view(1, 18, 1, 1).expand(1, 18, 6, 8)
    moved = F.conv2d(x.roll(-1, dims=3), weight, padding=1)
    torch.testing.assert_close(deformable_convolution(x, weight, right)[..., 1:-2], moved[..., 1:-2])


def test_half_a_cell_on_a_ramp() -> None:
    ramp = torch.arange(6.0).view(1, 1, 1, 6)
    read = deformable_convolution(
        ramp, torch.ones(1, 1, 1, 1), torch.tensor([0.0, 0.5]).view(1, 2, 1, 1).expand(1, 2, 1, 6)
    )
    torch.testing.assert_close(read[0, 0, 0, :5], ramp[0, 0, 0, :5] + 0.5)
    assert read[0, 0, 0, 5] == pytest.approx(2.5), "between the last cell, 5, and nothing"


def test_outside_the_grid_is_zero() -> None:
    far = torch.full((1, 2, 3, 3), 40.0)
    assert not deformable_convolution(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1), far).any()


def test_sampling_points_are_the_cell_the_tap_and_the_offset() -> None:
    offsets = torch.zeros(1, 18, 2, 3)
    offsets[0, 2 * 5, 1, 2], offsets[0, 2 * 5 + 1, 1, 2] = -0.5, 0.25  # the sixth tap, one to the right
    points = sampling_points(offsets)
    assert points.shape == (1, 9, 2, 3, 2)
    assert points[0, 0, 0, 0].tolist() == [-1, -1]
    assert points[0, 4, 1, 2].tolist() == [1, 2]
    assert points[0, 5, 1, 2].tolist() == [0.5, 3.25]
    with pytest.raises(ValueError, match="offsets have 4 channels, expected 18"):
        sampling_points(torch.zeros(1, 4, 2, 3))


def test_the_branch_says_nowhere_else_at_first() -> None:
    torch.manual_seed(0)
    branch, x = Offsets(5), torch.randn(2, 5, 4, 6)
    assert branch(x).shape == (2, 18, 4, 6)
    assert not branch(x).any()
    assert Offsets(5, taps=1)(x).shape == (2, 2, 4, 6)
    weight = torch.randn(3, 5, 3, 3)
    deformable_convolution(x, weight, branch(x)).square().sum().backward()
    assert branch.weight.grad is not None
    assert branch.weight.grad.any(), "a branch of zeros still has a gradient"


def test_the_mean_length_of_offsets() -> None:
    offsets = torch.tensor([3.0, 4.0, 0.0, 1.0]).view(1, 4, 1, 1).expand(2, 4, 2, 2).requires_grad_()
    assert mean_reach(offsets) == pytest.approx(3.0)
    assert not mean_reach(offsets).requires_grad
