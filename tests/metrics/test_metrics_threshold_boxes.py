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
    """Levels (h, w) in 0..top, rough, smooth, with plateaus or with two values, and what they were cut from."""
    h, w = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    top = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    values = rng.random((h, w))
    kind = draw(st.sampled_from(["rough", "smooth", "plateaus", "two values"]))
    if kind == "smooth":
        values = cv2.GaussianBlur(values, (5, 5), 1.5)
    elif kind == "plateaus":
        values = np.kron(rng.random((h, w)), np.ones((2, 3)))[:h, :w]
    elif kind == "two values":
        values = np.round(values)
    values = (values - values.min()) / max(np.ptp(values), 1e-9)
    return np.minimum((values * (top + 1)).astype(draw(st.sampled_from([np.uint8, np.int32, np.int64]))), top), values


def same_as_slow(levels, cuts, which, heights):
    result = boxes_by_threshold(levels, cuts, which, heights)
    for t, cut in enumerate(cuts):
        mask = torch.from_numpy(levels > cut)
        boxes = result.corners[result.threshold == t].tolist()
        slow = M.boxes(mask[None], 0.5, which)
        if which == "all":
            assert sorted(boxes) == sorted(slow[0].long().tolist())
        else:
            assert boxes == (slow.long().tolist() if mask.any() else [])


@given(level_images(), st.sampled_from(M.WHICH), st.booleans(), st.sets(st.integers(0, 12), min_size=1))
@settings(max_examples=300, deadline=None)
def test_the_tree_holds_the_boxes_of_every_threshold(image, which, with_heights, cuts):
    levels, heights = image
    same_as_slow(levels, np.array(sorted(cuts)), which, heights if with_heights else None)


@pytest.mark.parametrize("which", M.WHICH)
@pytest.mark.parametrize("grid", [7, 14])
def test_smooth_maps_of_a_networks_size(which, grid):
    raw = torch.randn(2, grid, grid, generator=torch.Generator().manual_seed(grid))
    for values in M.wsolevaluation_map(raw, (224, 200)).numpy():
        same_as_slow((values * 255).astype(np.uint8), np.arange(0, 255, 9), which, values)


@pytest.mark.parametrize("which", M.WHICH)
def test_noise_has_more_branches_than_a_byte_counts(which):
    values = np.random.default_rng(0).random((70, 81))
    same_as_slow((values * 255).astype(np.uint8), np.arange(0, 255, 40), which, values)


@pytest.mark.parametrize("which", M.WHICH)
def test_rings_and_spirals(which):
    """Holes in objects in holes, and an object that winds around itself."""
    y, x = np.mgrid[-30:31, -33:34]
    distance, angle = np.hypot(y, x), np.arctan2(y, x)
    rings = ((np.cos(distance / 3) + 1) * 100).astype(np.uint8)
    spiral = ((np.cos(distance / 2 - angle) + 1) * 60).astype(np.uint8)
    for levels in (rings, spiral, spiral.T, np.maximum(rings, 255 - spiral)):
        same_as_slow(levels, np.arange(0, 255, 25), which, None)


def test_the_tree_refuses_what_are_no_levels():
    levels, cuts = np.zeros((2, 2), np.int64), np.arange(3)
    for bad in (levels - 1, levels[None], levels.astype(float)):
        with pytest.raises(ValueError, match="whole numbers from 0"):
            boxes_by_threshold(bad, cuts, "all")
    for bad in (cuts - 1, cuts[::-1], np.array([0, 1, 1])):
        with pytest.raises(ValueError, match="from 0 that rise"):
            boxes_by_threshold(levels, bad, "all")
    with pytest.raises(ValueError, match="is unknown"):
        boxes_by_threshold(levels, cuts, "biggest")


@pytest.mark.parametrize("which", M.WHICH)
def test_the_tree_of_nothing_is_empty(which):
    for levels, cuts in (
        (np.zeros((3, 3), np.uint8), np.arange(4)),
        (np.zeros((0, 3), np.uint8), np.arange(4)),
        (np.ones((3, 3), np.uint8), np.arange(1, 4)),
        (np.ones((3, 3), np.uint8), np.arange(0)),
    ):
        result = boxes_by_threshold(levels, cuts, which)
        assert result.threshold.shape == (0,)
        assert result.corners.shape == (0, 4)
