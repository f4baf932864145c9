"""Boxes in 3D by their overlap: IoU of turned boxes, average precision over it, quality by distance."""

import math

import point_detr3d_slow as slow
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib import metrics as M

BOX = [0.0, 0.0, 1.0, 4.0, 2.0, 2.0, 0.0]


def box(**changes):
    names = ("x", "y", "z", "length", "width", "height", "yaw")
    return torch.tensor([changes.get(name, value) for name, value in zip(names, BOX, strict=True)], dtype=torch.float64)


numbers = st.tuples(
    st.floats(-3, 3), st.floats(-3, 3), st.floats(-1, 1), st.floats(0.3, 5), st.floats(0.3, 5), st.floats(0.3, 3),
    st.floats(-7, 7),
)  # fmt: skip


@given(numbers, numbers)
@settings(max_examples=200, deadline=None)
def test_iou_of_turned_boxes_equals_clipping_one_by_the_other(a, b):
    one, other = (torch.tensor(values, dtype=torch.float64) for values in (a, b))
    assert float(M.ground_iou(one, other)) == pytest.approx(slow.ground_iou(a, b), abs=1e-6)
    assert float(M.iou3d(one, other)) == pytest.approx(slow.iou3d(a, b), abs=1e-6)


@pytest.mark.parametrize(
    ("other", "on_ground", "in_space"),
    [
        (box(), 1, 1),
        (box(yaw=math.pi), 1, 1),
        (box(yaw=math.pi / 2), 4 / 12, 4 / 12),
        (box(x=2.0), 1 / 3, 1 / 3),
        (box(x=4.0), 0, 0),
        (box(x=9.0, yaw=0.3), 0, 0),
        (box(z=2.0), 1, 1 / 3),
        (box(z=3.5), 1, 0),
        (box(length=2.0, width=1.0, yaw=0.3), 2 / 8, 2 / 8),
    ],
)
def test_overlaps_by_hand(other, on_ground, in_space):
    assert float(M.ground_iou(box(), other)) == pytest.approx(on_ground, abs=1e-9)
    assert float(M.iou3d(box(), other)) == pytest.approx(in_space, abs=1e-9)


def test_all_pairs_at_once():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(5, 7, generator=generator) * 2 + 0.5
    table = M.ground_iou(boxes[:, None], boxes[None])
    assert table.shape == (5, 5)
    torch.testing.assert_close(table, table.T)
    torch.testing.assert_close(table.diagonal(), torch.ones(5, dtype=torch.float64))


def scene(boxes, labels, scores=None):
    values = torch.stack(boxes) if boxes else torch.zeros(0, 7, dtype=torch.float64)
    return M.Boxes3D(values, torch.tensor(labels, dtype=torch.int64), None if scores is None else torch.tensor(scores))


def test_average_precision_asks_for_iou_and_not_for_distance():
    metric = M.OverlapPrecision(1, 0.5)
    truth = scene([box(), box(x=10.0)], [0, 0])
    metric.update([scene([box(yaw=math.pi / 2), box(x=10.4)], [0, 0], [0.9, 0.8])], [truth])
    # Both are at the right places, and the surer one lies across: precision rises to ½ at recall ½, in 40 steps.
    distance = M.CentreDistance(1)
    distance.update([scene([box(yaw=math.pi / 2), box(x=10.4)], [0, 0], [0.9, 0.8])], [truth])
    assert distance.mean_average_precision() == pytest.approx(1)
    assert metric.mean_average_precision() == pytest.approx(8.2 / 81)
    perfect = M.OverlapPrecision(1, 0.5)
    perfect.update([truth._replace(scores=torch.tensor([0.9, 0.8]))], [truth])
    assert perfect.mean_average_precision() == pytest.approx(1)


def test_an_object_is_taken_once_by_the_surest_box_of_its_class():
    metric = M.OverlapPrecision(2, (0.5, 0.9))
    truth = scene([box(), box(x=10.0)], [0, 1])
    predicted = scene([box(), box(x=0.1), box(x=10.3), box()], [0, 0, 1, 1], [0.9, 0.8, 0.7, 0.6])
    metric.update([predicted], [truth])
    assert metric.hits.tolist() == [True, False, False, False]
    half = M.OverlapPrecision(1, 0.5)
    half.update([scene([box(height=1.0)], [0], [0.9])], [scene([box()], [0])])
    assert half.hits.tolist() == [True], "an IoU of exactly the least one is enough"
    assert math.isnan(M.OverlapPrecision(2).mean_average_precision())
    two = M.OverlapPrecision(2, (0.5, 0.9))
    two.update([scene([], [], [])], [scene([], [])])
    two.merge(metric)
    assert torch.equal(two.hits, metric.hits)
    with pytest.raises(ValueError, match=r"expected an IoU in \(0, 1\)"):
        M.OverlapPrecision(2, (0.5,))
    with pytest.raises(ValueError, match="one entry for each scene"):
        metric.update([], [truth])


def test_quality_by_distance():
    quality = M.QualityByDistance((0, 10, 20))
    truth = torch.stack([box(x=5.0), box(x=15.0), box(x=30.0)])
    predicted = torch.stack([box(x=5.0, yaw=math.pi), box(x=17.0), box(x=30.0)])
    quality.update(predicted, truth)
    assert quality.iou() == pytest.approx([1, 1 / 3])
    assert quality.axis_error() == pytest.approx([0, 0], abs=1e-9)
    quality.update(torch.stack([box(x=15.0, yaw=math.pi / 2)]), torch.stack([box(x=15.0)]))
    quality.update(torch.stack([box(x=15.0, yaw=0.8)]), torch.stack([box(x=15.0)]))
    assert quality.count.tolist() == [1, 3]
    assert quality.axis_error()[1] == pytest.approx(math.degrees(0.8))
    assert math.isnan(M.QualityByDistance((0, 1)).iou()[0])
    with pytest.raises(ValueError, match="one for each, in order"):
        quality.update(predicted, truth[:2])
    with pytest.raises(ValueError, match="rising"):
        M.QualityByDistance((1, 1))
