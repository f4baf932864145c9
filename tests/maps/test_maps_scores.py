import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracles import normalise_minmax

from wsss_lib import maps as M

seeds_of_rng = st.integers(0, 2**31)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# normalise


def test_minmax_by_hand():
    m = torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]])
    assert M.normalise(m, "minmax", eps=0).tolist() == [[[0.0, 0.25], [0.5, 1.0]]]
    assert torch.allclose(M.normalise(m, "minmax", eps=4.0), torch.tensor([[[0.0, 0.125], [0.25, 0.5]]]))


def test_max_takes_the_relu_and_keeps_zero():
    m = torch.tensor([[[-1.0, 0.0], [1.0, 4.0]]])
    assert M.normalise(m, "max", eps=0).tolist() == [[[0.0, 0.0], [0.25, 1.0]]]
    assert torch.allclose(M.normalise(m, "max", eps=1.0)[0, 1, 1], torch.tensor(0.8))


def test_default_epsilon_is_that_of_the_docstring():
    m = torch.tensor([[[0.0, 1e-5]]])
    for how in ("minmax", "max"):
        assert torch.allclose(M.normalise(m, how), torch.tensor([[[0.0, 0.5]]]))


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_constant_maps_become_zeros(eps):
    for value in (-3.0, 0.0, 7.0):
        assert M.normalise(torch.full((2, 3, 4, 5), value), "minmax", eps).eq(0).all()
    for value in (-3.0, 0.0):
        assert M.normalise(torch.full((2, 3, 4, 5), value), "max", eps).eq(0).all()
    assert torch.allclose(M.normalise(torch.full((1, 2, 2), 7.0), "max", eps), torch.ones(1, 2, 2))


def test_every_map_is_normalised_on_its_own_and_nan_does_not_hide():
    m = draw(0, 2, 3, 4, 5) * torch.tensor([1.0, 10.0, 100.0])[None, :, None, None]
    m[1, 2, 0, 0] = math.nan
    out = M.normalise(m, "minmax", 0.0)
    for n in range(2):
        for k in range(3):
            if (n, k) == (1, 2):
                assert out[n, k].isnan().all()
            else:
                assert np.allclose(out[n, k], normalise_minmax(m[n, k].numpy(), 0.0), atol=1e-6)


@given(seeds_of_rng, st.floats(0.01, 100), st.floats(-10, 10))
@settings(max_examples=30, deadline=None)
def test_minmax_forgets_scale_and_offset(seed, scale, offset):
    m = draw(seed, 2, 5, 6).double()
    assert torch.allclose(M.normalise(m * scale + offset, eps=0), M.normalise(m, eps=0), atol=1e-9)
    assert torch.allclose(M.normalise(m * scale, "max", 0), M.normalise(m, "max", 0), atol=1e-9)


def test_normalise_says_what_it_knows():
    with pytest.raises(ValueError, match="'minmax' or 'max'"):
        M.normalise(torch.zeros(1, 2, 2), "softmax")


# resize


@pytest.mark.parametrize(("mode", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
def test_resize_is_opencvs(mode, flag):
    m = draw(1, 2, 3, 5, 7)
    out = M.resize(m, (20, 21), mode)
    for n in range(2):
        for k in range(3):
            assert np.allclose(out[n, k], cv2.resize(m[n, k].numpy(), (21, 20), interpolation=flag), atol=1e-4)


def test_resize_by_hand_sees_pixels_as_areas():
    assert M.resize(torch.tensor([[[0.0, 1.0]]]), (1, 4)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]
    # With aligned corners it would be 0, 1/3, 2/3, 1.


def test_resize_takes_three_or_four_dimensions_and_known_modes():
    m = draw(2, 4, 3, 3)
    assert torch.equal(M.resize(m, (6, 6)), M.resize(m[None], (6, 6))[0])
    with pytest.raises(ValueError, match="dimensions"):
        M.resize(m[0], (6, 6))
    with pytest.raises(ValueError, match="nearest"):
        M.resize(m, (6, 6), "nearest")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(33, 47), (96, 96), (7, 101), (5, 6), (3, 2)])
def test_bilinear_stays_within_the_range_of_each_map(dtype, layout, size):
    maps = draw(3, 12, 5, 6, 7).clamp(-0.7, 0.6)  # plateaus at both ends, where rounding shows
    maps = maps.to(dtype).to(memory_format=layout)
    larger = M.resize(maps, size)
    assert (larger.amax((2, 3)) <= maps.amax((2, 3))).all()
    assert (larger.amin((2, 3)) >= maps.amin((2, 3))).all()
    exact = torch.nn.functional.interpolate(maps.double().contiguous(), size, mode="bilinear", align_corners=False)
    assert torch.allclose(larger.double(), exact, atol=4 * torch.finfo(dtype).eps)


def test_the_range_is_held_without_touching_gradients_or_spreading_nan():
    maps = draw(4, 3, 2, 6, 7).clamp(-0.7, 0.6).to(memory_format=torch.channels_last).requires_grad_()
    weight = draw(5, 3, 2, 33, 47)
    (held,) = torch.autograd.grad((M.resize(maps, (33, 47)) * weight).sum(), maps)
    plain = torch.nn.functional.interpolate(maps, (33, 47), mode="bilinear", align_corners=False)
    assert (plain > 0.6).any(), "nothing to hold here: the test has lost its point"
    (free,) = torch.autograd.grad((plain * weight).sum(), maps)
    assert torch.equal(held, free)
    broken = torch.ones(1, 1, 4, 4)
    broken[0, 0, 0, 0] = math.nan
    larger = M.resize(broken, (8, 8))
    assert larger.isnan().any()
    assert (larger[0, 0, 4:, 4:] == 1).all()
    ruled_out = broken.nan_to_num(-math.inf)  # as a class that an image lacks
    assert (M.resize(ruled_out, (8, 8))[0, 0, 4:, 4:] == 1).all()
    assert (M.resize(-ruled_out, (8, 8))[0, 0, 4:, 4:] == -1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_wsolevaluation_map_of_a_constant_is_zero_whatever_the_constant(dtype, layout):
    values = draw(6, 40).abs() * 10.0 ** torch.arange(-20, 20)
    maps = values.to(dtype)[:, None, None, None].repeat(1, 2, 7, 7)
    maps[:, 1, 3, 3] *= 2
    out = M.wsolevaluation_map(maps.to(memory_format=layout), (224, 224))
    assert out[:, 0].abs().max() == 0
    assert (out[:, 1].amax((1, 2)) == 1).all()


def test_wsolevaluation_map_resizes_before_it_normalises():
    raw = draw(3, 3, 4, 5)
    raw[1] = 2.5
    raw[2, 0, 0] = math.nan
    out = M.wsolevaluation_map(raw, (16, 20))
    big = cv2.resize(raw[0].numpy(), (20, 16), interpolation=cv2.INTER_CUBIC)
    assert np.allclose(out[0], normalise_minmax(big, 0.0), atol=1e-4)
    assert out[0].min() == 0
    assert out[0].max() == 1
    assert out[1].eq(0).all()
    assert out[2].eq(0).all()


# multi-scale


def channel_maps(images):
    """A "network" whose raw maps are a 2 × 2 average of the channels, two of them shifted below zero."""
    return torch.nn.functional.avg_pool2d(images, 2) - torch.tensor([0.0, 0.3, 0.6])[:, None, None]


def slow_multi_scale(fn, images, scales, flip, labels, size, crop):
    result = []
    for image, label in zip(images, labels, strict=True):
        total = torch.zeros(len(label), *size)
        for s in scales:
            hw = [round(side * s) for side in image.shape[-2:]]
            scaled = torch.nn.functional.interpolate(image[None], hw, mode="bicubic", antialias=True)
            scaled = image[None] if s == 1 else scaled.clamp(0, 1)
            views = [(scaled, False), (torch.flip(scaled, [3]), True)] if flip else [(scaled, False)]
            for view, mirrored in views:
                m = fn(view)[0]
                m[m < 0] = 0
                m = torch.flip(m, [2]) if mirrored else m
                total += torch.nn.functional.interpolate(m[None], size, mode="bilinear", align_corners=False)[0]
        total = total[:, : crop[0], : crop[1]]
        for k, present in enumerate(label):
            total[k] = total[k] / (total[k].max() + 1e-5) if present else 0
        result.append(total)
    return torch.stack(result)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(
    ("size", "grid", "crop"),
    [("image", (32, 48), (17, 34)), ("stride4", (5, 9), (5, 9)), ((10, 12), (10, 12), (10, 12))],
)
def test_multi_scale_equals_the_slow_sum(flip, size, grid, crop):
    images = draw(4, 2, 3, 17, 34).sigmoid()
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    fast = M.multi_scale(channel_maps, images, flip=flip, labels=labels, size=size)
    slow = slow_multi_scale(channel_maps, images, (1.0, 0.5, 1.5, 2.0), flip, labels, grid, crop)
    assert fast.shape == (2, 3, *crop)
    assert torch.allclose(fast, slow, atol=1e-5)
    assert fast[0, 1].eq(0).all()
    assert float(fast.max()) < 1  # the 1e-5 of the denominator


def test_relu_comes_before_the_sum_and_the_minimum_stays():
    answers = iter([torch.tensor([[[[3.0, -5.0]]]]), torch.tensor([[[[1.0, 1.0]]]])])
    out = M.multi_scale(lambda _: next(answers), torch.rand(1, 3, 1, 2), scales=(1, 2), flip=False, size=(1, 2))
    assert torch.allclose(out, torch.tensor([[[[1.0, 0.25]]]]), atol=1e-5)  # not 4 and −4, and not 1 and 0


def test_multi_scale_forgets_whether_the_image_is_mirrored():
    images = draw(5, 1, 3, 16, 16).sigmoid()
    a = M.multi_scale(channel_maps, images)
    b = M.multi_scale(channel_maps, images.flip(-1)).flip(-1)
    assert torch.allclose(a, b, atol=1e-5)
    alone = M.multi_scale(lambda x: channel_maps(x) * torch.linspace(0, 1, x.shape[-1] // 2), images, flip=False)
    other = M.multi_scale(
        lambda x: channel_maps(x) * torch.linspace(0, 1, x.shape[-1] // 2), images.flip(-1), flip=False
    )
    assert not torch.allclose(alone, other.flip(-1), atol=1e-2)


def test_sum_and_mean_over_scales_agree_after_the_maximum():
    images = draw(6, 1, 3, 16, 16).sigmoid()
    once, thrice = (M.multi_scale(channel_maps, images, scales=(1,) * n, flip=False) for n in (1, 3))
    assert torch.allclose(once, thrice, atol=1e-3)  # up to the denominator's 1e-5


def test_multi_scale_passes_images_in_range_and_gradients():
    ranges = []
    images = (draw(7, 1, 3, 16, 16) > 0).float().requires_grad_()

    def fn(x):
        ranges.append((float(x.detach().min()), float(x.detach().max()), tuple(x.shape[-2:])))
        return channel_maps(x)

    M.multi_scale(fn, images, flip=False).sum().backward()
    assert [size for *_, size in ranges] == [(16, 16), (8, 8), (24, 24), (32, 32)]
    assert min(low for low, *_ in ranges) == 0
    assert max(high for _, high, _ in ranges) == 1
    assert images.grad.abs().sum() > 0


def test_multi_scale_refuses_nonsense():
    images = torch.rand(1, 3, 8, 8)
    for bad in ((), (1, 0), (-1,)):
        with pytest.raises(ValueError, match="scales"):
            M.multi_scale(channel_maps, images, scales=bad)
    with pytest.raises(ValueError, match="stride4"):
        M.multi_scale(channel_maps, images, size="stride8")
    with pytest.raises(ValueError, match="labels"):
        M.multi_scale(channel_maps, images, labels=torch.ones(1, 2))


def test_keep_labels_removes_nan_too():
    m = torch.full((1, 2, 2, 2), math.nan)
    m[0, 0] = 1.0
    assert M.keep_labels(m, torch.tensor([[1.0, 0.0]])).eq(torch.tensor([1.0, 0.0])[None, :, None, None]).all()
