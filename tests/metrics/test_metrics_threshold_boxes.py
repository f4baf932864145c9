"""The boxes of every threshold are those of each threshold."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib import maps as M
from wsss_lib.metrics.threshold_boxes import boxes_by_threshold


@st.composite
def level_images(draw):
    """Levels (N, h, w) in 0..top, rough, smooth, with plateaus or with two values, and what they were cut from."""
    n, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 12)), draw(st.integers(1, 12))
    top = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    values = rng.random((n, h, w))
    kind = draw(st.sampled_from(["rough", "smooth", "plateaus", "two values"]))
    if kind == "smooth":
        values = np.stack([cv2.GaussianBlur(each, (5, 5), 1.5) for each in values])
    elif kind == "plateaus":
        values = np.kron(rng.random((n, h, w)), np.ones((1, 2, 3)))[:, :h, :w]
    elif kind == "two values":
        values = np.round(values)
    values = (values - values.min()) / max(np.ptp(values), 1e-9)
    return np.minimum((values * (top + 1)).astype(draw(st.sampled_from([np.uint8, np.int32, np.int64]))), top), values


def same_as_slow(levels, cuts, which, heights):
    """Of a stack of images and (N, L) cuts."""
    result = boxes_by_threshold(levels, cuts, which, heights)
    assert cuts[result.image, result.cut].all()
    for image, cut in zip(*np.nonzero(cuts), strict=True):
        mask = torch.from_numpy(levels[image] > cut)
        boxes = result.corners[(result.image == image) & (result.cut == cut)].tolist()
        slow = M.boxes(mask[None], 0.5, which)
        if which == "all":
            assert sorted(boxes) == sorted(slow[0].long().tolist())
        else:
            assert boxes == (slow.long().tolist() if mask.any() else [])


def every(step, number=1):
    """Cuts at 0, step, … of a byte, of so many images."""
    return np.tile(np.arange(256) % step == 0, (number, 1))


@given(level_images(), st.sampled_from(M.WHICH), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=300, deadline=None)
def test_the_tree_holds_the_boxes_of_every_threshold(images, which, with_heights, seed):
    levels, heights = images
    cuts = np.random.default_rng(seed).random((len(levels), 12)) < 0.7
    same_as_slow(levels, cuts, which, heights if with_heights else None)


@pytest.mark.parametrize("which", M.WHICH)
@pytest.mark.parametrize("grid", [7, 14])
def test_smooth_maps_of_a_networks_size(which, grid):
    raw = torch.randn(2, grid, grid, generator=torch.Generator().manual_seed(grid))
    values = M.wsolevaluation_map(raw, (224, 200)).numpy()
    same_as_slow((values * 255).astype(np.uint8), every(9, 2), which, values)


@pytest.mark.parametrize("which", M.WHICH)
def test_noise_has_more_branches_than_a_byte_counts(which):
    values = np.random.default_rng(0).random((2, 70, 81))
    same_as_slow((values * 255).astype(np.uint8), every(40, 2), which, values)


@pytest.mark.parametrize("which", M.WHICH)
def test_rings_and_spirals(which):
    """Holes in objects in holes, and an object that winds around itself."""
    y, x = np.mgrid[-30:31, -33:34]
    distance, angle = np.hypot(y, x), np.arctan2(y, x)
    rings = ((np.cos(distance / 3) + 1) * 100).astype(np.uint8)
    spiral = ((np.cos(distance / 2 - angle) + 1) * 60).astype(np.uint8)
    stack = np.stack([rings, spiral, np.maximum(rings, 255 - spiral)])
    same_as_slow(stack, every(25, 3), which, None)
    same_as_slow(stack.transpose(0, 2, 1), every(25, 3), which, None)


def test_the_tree_refuses_what_are_no_levels():
    levels, cuts = np.zeros((1, 2, 2), np.int64), np.ones((1, 3), bool)
    for bad in (levels - 1, levels[0], levels.astype(float)):
        with pytest.raises(ValueError, match="whole numbers from 0"):
            boxes_by_threshold(bad, cuts, "all")
    with pytest.raises(ValueError, match="is unknown"):
        boxes_by_threshold(levels, cuts, "biggest")


@pytest.mark.parametrize("which", M.WHICH)
def test_the_tree_of_nothing_is_empty(which):
    some = np.ones((2, 4), bool)
    for levels, cuts in (
        (np.zeros((2, 3, 3), np.uint8), some),
        (np.zeros((2, 0, 3), np.uint8), some),
        (np.ones((2, 3, 3), np.uint8), some & (np.arange(4) > 0)),
        (np.ones((2, 3, 3), np.uint8), some[:, :0]),
    ):
        result = boxes_by_threshold(levels, cuts, which)
        assert len(result.image) == len(result.cut) == 0
        assert result.corners.shape == (0, 4)
