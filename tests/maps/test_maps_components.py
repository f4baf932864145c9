import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from metric_oracles import components, cv2_contours, largest_component_box

from wsss_lib import maps as M

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@st.composite
def dense_masks(draw):
    """Random masks of any density: components, holes, and components within holes."""
    h, w = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return rng.random((h, w)) < draw(st.floats(0.1, 0.95))


def boxes_of(mask, which, **options):
    result = M.boxes(torch.from_numpy(mask)[None].float(), 0.5, which, **options)
    return result[0].int().tolist()


@given(st.one_of(masks, dense_masks()))
@settings(max_examples=300, deadline=None)
def test_boxes_are_opencvs_and_the_flood_fills(mask):
    every, largest, area = cv2_contours(mask)
    assert sorted(map(tuple, boxes_of(mask, "all"))) == sorted(every)
    assert tuple(boxes_of(mask, "contour")) == largest
    assert tuple(boxes_of(mask, "largest")) == largest_component_box(mask)
    assert M.polygon_areas(mask)[1].max(initial=0) == area


@given(dense_masks())
@settings(max_examples=100, deadline=None)
def test_polygon_areas_are_those_of_the_outermost_contours(mask):
    labels, areas = M.polygon_areas(mask)
    contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    slow = {int(labels[c[0, 0, 1], c[0, 0, 0]]): cv2.contourArea(c) for c in contours}
    assert slow == {i + 1: a for i, a in enumerate(areas)}


def test_a_hole_has_a_contour_of_its_own():
    ring = np.ones((5, 6), bool)
    ring[2, 2] = False
    assert boxes_of(ring, "all") == [[0, 0, 6, 5], [1, 1, 4, 4]]
    assert boxes_of(np.zeros((3, 3), bool), "all") == []
    notch = np.ones((3, 3), bool)
    notch[0, 1] = False  # open to the border: no hole
    assert boxes_of(notch, "all") == [[0, 0, 3, 3]]
    diagonal = np.ones((4, 4), bool)
    diagonal[0, 0] = diagonal[1, 1] = False  # the background is 4-connected: (1, 1) is closed off
    assert boxes_of(diagonal, "all") == [[0, 0, 4, 4], [0, 0, 3, 3]]


def test_most_pixels_and_largest_area_are_different_boxes():
    mask = np.zeros((9, 12), bool)
    mask[0] = True  # 12 pixels in a line: area 0
    mask[4:7, 4:7] = True  # 9 pixels, area 4
    assert boxes_of(mask, "largest") == [0, 0, 12, 1]
    assert boxes_of(mask, "contour") == [4, 4, 7, 7]
    assert len(components(mask)) == 2


def test_a_ring_encloses_its_hole():
    mask = np.zeros((9, 12), bool)
    mask[0:5, 0:5] = True
    mask[1:4, 1:4] = False  # 16 pixels, contour of area 16
    mask[0:5, 7:11] = True  # 20 pixels, contour of area 12
    assert boxes_of(mask, "largest") == [7, 0, 11, 5]
    assert boxes_of(mask, "contour") == [0, 0, 5, 5]


def test_ties_follow_the_published_codes():
    mask = np.zeros((5, 5), bool)
    mask[0:2, 0:2] = mask[3:5, 3:5] = True
    assert boxes_of(mask, "largest") == [0, 0, 2, 2]
    assert boxes_of(mask, "contour") == [3, 3, 5, 5]


def test_diagonal_neighbours_are_connected():
    assert boxes_of(np.eye(4, dtype=bool), "largest") == [0, 0, 4, 4]
    assert boxes_of(np.eye(4, dtype=bool), "all") == [[0, 0, 4, 4]]


def test_the_benchmarks_hand_values():
    m = torch.tensor([[0, 0, 0, 0, 0], [0, 0.4, 0.4, 0.4, 0.6], [0, 0.4, 1, 0.8, 0.6], [0, 0.4, 0.4, 0.4, 0.6]])
    expected = [(1, 1, 4, 3), (1, 1, 4, 3), (2, 1, 4, 3), (2, 2, 4, 3), (2, 2, 3, 3)]
    # A value does not exceed itself: at 0.4 the frame of 0.4 is gone.
    for tau, box in zip((0, 0.2, 0.4, 0.6, 0.8), expected, strict=True):
        for which in ("contour", "largest"):
            assert tuple(M.boxes(m[None], tau, which, corners="clipped")[0].int().tolist()) == box
        assert M.boxes(m[None], tau, "all", corners="clipped")[0].int().tolist()[0] == list(box)
    assert M.boxes(m[None], 0.0)[0].tolist() == [1, 1, 5, 4]  # exclusive corners may lie beyond the last pixel


def test_empty_maps():
    blank = torch.zeros(2, 3, 4, 5)
    assert M.boxes(blank, 0.0).eq(0).all()
    assert M.boxes(blank, 0.0, "contour").shape == (2, 3, 4)
    assert M.boxes(blank, 0.0, empty="image")[1, 2].tolist() == [0, 0, 5, 4]
    assert [len(b) for b in M.boxes(blank, 0.0, "all")] == [0] * 6
    one = blank.clone()
    one[0, 1, 1, 2] = 1
    assert M.boxes(one, 0.0, empty="image")[0].tolist() == [[0, 0, 5, 4], [2, 1, 3, 2], [0, 0, 5, 4]]


def test_classes_are_kept_apart_and_in_order():
    stack = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    together, lists = M.boxes(stack, 0.6), M.boxes(stack, 0.6, "all")
    for n in range(2):
        for k in range(3):
            assert torch.equal(together[n, k], M.boxes(stack[n, k][None], 0.6)[0])
            assert torch.equal(lists[3 * n + k], M.boxes(stack[n, k][None], 0.6, "all")[0])


def test_boxes_refuse_unknown_conventions():
    m = torch.zeros(1, 4, 4)
    for options in ({"which": "biggest"}, {"corners": "inclusive"}, {"empty": "nan"}):
        with pytest.raises(ValueError, match="is unknown"):
            M.boxes(m, 0.5, **options)
    with pytest.raises(ValueError, match="dimensions"):
        M.boxes(m[0], 0.5)


@pytest.mark.parametrize("shape", [(0, 4, 4), (0, 3, 4, 4), (2, 0, 4, 4)])
def test_no_maps_have_no_boxes(shape):
    maps = torch.zeros(shape)
    assert M.boxes(maps, 0.5, "all") == []
    for which in ("largest", "contour"):
        assert M.boxes(maps, 0.5, which, empty="image").shape == (*shape[:-2], 4)
