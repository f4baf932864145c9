"""DRS: hand values, what it keeps, where its gradient goes."""

import pytest
import torch

from wsss_lib.methods.drs import DRS, drs


def channel(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def test_hand_values():
    assert torch.allclose(drs(channel(0, 1, 2, 4)), channel(0, 1, 2, 2.2))


def test_a_second_time_cuts_again():
    twice = drs(drs(channel(0, 1, 2, 4)))
    assert torch.allclose(twice, channel(0, 1, 1.21, 1.21))


def test_a_share_of_one_is_a_relu():
    features = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drs(features, 1.0), features.relu())
    assert torch.equal(DRS(1.0)(features), features.relu())


def test_each_channel_of_each_image_has_its_own_maximum():
    features = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor([[1.0, 10.0, 100.0], [0.5, 2.0, 8.0]])[..., None, None]
    assert torch.allclose(drs(features * scale, 0.3), drs(features, 0.3) * scale)
    assert torch.allclose(drs(features, 0.3).amax((2, 3)), 0.3 * features.amax((2, 3)))


def test_what_is_cut_sends_its_gradient_to_the_maximum():
    features = channel(0, 1, 3, 4).requires_grad_()
    drs(features, 0.5).sum().backward()
    # 1 stays; 3 and 4 both became 0.5 · 4; the zero is a ReLU's.
    assert torch.allclose(features.grad, channel(0, 1, 0, 1.0))


@pytest.mark.parametrize("share", [0.1, 0.55, 0.9])
def test_the_gradient_is_that_of_the_equation(share):
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 3, 6, 5, generator=generator)
    features[0, 0, :2] = features[0, 0].max()  # equal maxima share what is moved
    features[0, 1] = -1.0
    weights = torch.randn(2, 3, 6, 5, generator=generator)
    written, plain = features.clone().requires_grad_(), features.clone().requires_grad_()
    (drs(written, share) * weights).sum().backward()
    positive = plain.relu()
    (positive.minimum(share * positive.amax((2, 3), keepdim=True)) * weights).sum().backward()
    assert torch.equal(written.grad, plain.grad)


def test_nothing_positive_stays_nothing():
    assert torch.equal(drs(-torch.ones(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_refuses_a_share_that_is_none(share):
    with pytest.raises(ValueError, match="share of the maximum"):
        drs(torch.ones(1, 1, 2, 2), share)
