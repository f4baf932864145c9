"""The equivariance error: zero for what moves along, for what is flat, and large for what does neither."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.metrics import equivariance_error


def test_hand_value() -> None:
    before = torch.tensor([[[[0.0, 2.0], [4.0, 8.0]]]])
    after = torch.tensor([[[[-1.0, 1.0], [0.0, 2.0]]]])
    # Stretched: (0, ¼, ½, 1) and (0, ½, 0, 1), which differ by 0, ¼, ½, 0.
    error = equivariance_error(before, after, (2, 2), torch.ones(1, 1))
    assert error.tolist() == pytest.approx([0.75 / 4])
    relative = equivariance_error(before, after, (2, 2), torch.ones(1, 1), relative=True)
    assert relative.tolist() == pytest.approx([0.75 / ((1.75 + 1.5) / 2)])


def test_only_present_classes_count_and_scale_does_not() -> None:
    torch.manual_seed(0)
    before, after = torch.rand(2, 3, 6, 5), torch.rand(2, 3, 3, 3)
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    result = equivariance_error(before, after, (12, 10), labels)
    assert result.shape == (3,)
    torch.testing.assert_close(equivariance_error(before * 5, after / 9, (12, 10), labels), result)
    changed = after.clone()
    changed[0, 1] = 0
    torch.testing.assert_close(equivariance_error(before, changed, (12, 10), labels), result)


def test_the_resized_map_and_the_flat_map_have_no_error() -> None:
    ramp = torch.linspace(0, 1, 9).expand(1, 1, 9, 9)
    same = torch.linspace(0, 1, 5).expand(1, 1, 5, 5)
    assert equivariance_error(ramp, same, (40, 40), torch.ones(1, 1)) == pytest.approx(0, abs=1e-6)
    flat = torch.full((1, 1, 4, 4), 3.0)
    assert equivariance_error(flat, flat, (8, 8), torch.ones(1, 1)) == 0
    assert equivariance_error(flat, flat, (8, 8), torch.ones(1, 1), relative=True) == 0


def test_maps_without_a_common_pixel_have_the_largest_relative_error() -> None:
    left = torch.tensor([[[[1.0, 0.0]]]]).expand(1, 1, 2, 2)
    error = equivariance_error(left, left.flip(3), (2, 2), torch.ones(1, 1), relative=True)
    assert error.tolist() == pytest.approx([2.0])


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels \(1, 3\)"):
        equivariance_error(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 3), (3, 3), torch.ones(1, 3))
