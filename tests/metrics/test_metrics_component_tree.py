"""The boxes of every threshold are those of each threshold."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib import maps as M
from wsss_lib.metrics.component_tree import BoxIntervals, box_intervals, interval_max


@st.composite
def level_images(draw):
    n, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 10)), draw(st.integers(1, 10))
    top = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    smooth = draw(st.booleans())
    values = rng.random((n, h, w))
    if smooth:
        values = np.stack([cv2.GaussianBlur(v, (5, 5), 1.5) for v in values])
        values = (values - values.min()) / max(np.ptp(values), 1e-9)
    return torch.from_numpy(np.minimum((values * (top + 1)).astype(np.int64), top)), top


@given(level_images(), st.sampled_from(M.WHICH))
@settings(max_examples=200, deadline=None)
def test_the_tree_holds_the_boxes_of_every_threshold(image_and_top, which):
    levels, top = image_and_top
    n = len(levels)
    result = box_intervals(levels, which)
    assert (result.low < result.high).all()
    largest = interval_max(result, result.rank, (n, top), empty=-1)
    for t in range(top):
        slow = M.boxes(levels > t, 0.5, which)
        alive = (result.low <= t) & (t < result.high)
        for i in range(n):
            if which == "all":
                rows = result.boxes[alive & (result.image == i)]
                assert sorted(rows.tolist()) == sorted(slow[i].long().tolist())
            else:
                rank = int(largest[i, t])
                box = result.boxes[result.rank == rank][0].tolist() if rank >= 0 else [0, 0, 0, 0]
                assert box == slow[i].long().tolist()


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 17), st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_interval_max_equals_the_double_loop(seed, n, t, m):
    rng = np.random.default_rng(seed)
    image, ends = rng.integers(0, n, m), np.sort(rng.integers(0, t + 1, (m, 2)), axis=1)
    keep = ends[:, 0] < ends[:, 1]
    image, ends = image[keep], ends[keep]
    values = rng.random(keep.sum())
    slow = np.full((n, t), -1.0)
    for i, (low, high), v in zip(image, ends, values, strict=True):
        slow[i, low:high] = np.maximum(slow[i, low:high], v)
    as_tensor = [torch.from_numpy(x) for x in (image, ends[:, 0].copy(), ends[:, 1].copy())]
    intervals = BoxIntervals(*as_tensor, torch.zeros(len(values), 4), torch.zeros(len(values)))
    assert np.array_equal(interval_max(intervals, torch.from_numpy(values), (n, t), empty=-1.0).numpy(), slow)


def test_the_tree_refuses_what_are_no_levels():
    with pytest.raises(ValueError, match="counts from 0"):
        box_intervals(torch.full((1, 2, 2), -1), "all")
    with pytest.raises(ValueError, match="counts from 0"):
        box_intervals(torch.zeros(2, 2, dtype=torch.int64), "all")
    with pytest.raises(ValueError, match="is unknown"):
        box_intervals(torch.zeros(1, 2, 2, dtype=torch.int64), "biggest")


@pytest.mark.parametrize("which", M.WHICH)
def test_the_tree_of_nothing_is_empty(which):
    for levels in (torch.zeros(2, 3, 3, dtype=torch.int64), torch.zeros(0, 3, 3, dtype=torch.int64)):
        assert len(box_intervals(levels, which).image) == 0
