"""Boxes in 3D: matching by centres, precision over recall, and the errors of what is matched."""

import math

import pytest
import torch
from boxes_slow import average_precision, errors, f1
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib import metrics as E
from wsss_lib.metrics.boxes3d import DISTANCES

COUNT = 2


@st.composite
def scene(draw):
    """Predictions and objects on a coarse grid of places, sizes, directions and scores, so that ties happen."""

    def box():
        x, y = (draw(st.integers(0, 16)) / 4 for _ in range(2))
        size = [draw(st.integers(1, 4)) / 2 for _ in range(3)]
        # Unlike for every box, so that no two objects are equally near.
        nudge = draw(st.floats(0, 0.01))
        return [x + nudge, y - nudge / 3, 0.0, *size, draw(st.integers(-6, 6)) / 2]

    def some(scored):
        return [
            {"box": box(), "label": draw(st.integers(0, COUNT - 1))}
            | ({"score": draw(st.integers(0, 9)) / 10 + i * 1e-6} if scored else {})
            for i in range(draw(st.integers(0, 5)))
        ]

    return some(True), some(False)


def boxes(rows, scored):
    scores = torch.tensor([row["score"] for row in rows], dtype=torch.float64) if scored else None
    values = torch.tensor([row["box"] for row in rows], dtype=torch.float64).reshape(-1, 7)
    return E.Boxes3D(values, torch.tensor([row["label"] for row in rows], dtype=torch.int64), scores)


def measured(scenes):
    metric = E.CentreDistance(COUNT)
    metric.update([boxes(p, True) for p, _ in scenes], [boxes(t, False) for _, t in scenes])
    return metric


@given(st.lists(scene(), min_size=1, max_size=3))
@settings(max_examples=80, deadline=None)
def test_precision_errors_and_f1_equal_the_loops(scenes):
    metric = measured(scenes)
    present = {o["label"] for _, truth in scenes for o in truth}
    slow = [[average_precision(scenes, k, d) for d in DISTANCES] for k in range(COUNT)]
    assert metric.average_precision().flatten().tolist() == pytest.approx(
        [ap for row in slow for ap in row], nan_ok=True
    )
    if present:
        each = [errors(scenes, k) for k in present]
        expected = [sum(column) / len(each) for column in zip(*each, strict=True)]
        assert list(metric.errors().values()) == pytest.approx(expected)
        assert metric.mean_average_precision() == pytest.approx(sum(sum(slow[k]) for k in present) / 4 / len(present))
    curve = metric.curve("val", "print", ("a", "b"), 10)
    for t, threshold in enumerate(curve.thresholds.tolist()):
        assert float(curve.values[t]) == pytest.approx(f1(scenes, range(COUNT), threshold), nan_ok=True)
        for k in range(COUNT):
            assert float(curve.parts[t, k]) == pytest.approx(f1(scenes, [k], threshold), nan_ok=True)


@given(st.lists(scene(), min_size=2, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_scenes_and_chunks_does_not_matter(scenes, random):
    whole, parts = measured(scenes), [E.CentreDistance(COUNT), E.CentreDistance(COUNT)]
    for i in random.sample(range(len(scenes)), len(scenes)):
        p, t = scenes[i]
        parts[i % 2].update([boxes(p, True)], [boxes(t, False)])
    both = parts[0].merge(parts[1])
    copy = E.CentreDistance(COUNT).load_state(both.state())
    for other in (both, copy):
        assert torch.allclose(other.average_precision(), whole.average_precision(), equal_nan=True)
        assert other.errors() == pytest.approx(whole.errors(), nan_ok=True)


def car(x, y=0.0, yaw=0.0, score=None, label=0, size=(4.0, 2.0, 1.5)):
    return {"box": [x, y, 0.0, *size, yaw], "label": label} | ({} if score is None else {"score": score})


def test_hand_values():
    perfect = measured([([car(0, score=0.9), car(5, score=0.8)], [car(0), car(5)])])
    assert perfect.mean_average_precision() == pytest.approx(1)
    assert list(perfect.errors().values()) == [0, 0, 0]
    # One of two objects: precision 1 up to recall 0.5, which is 40 of the 90 recalls.
    assert measured([([car(0, score=0.9)], [car(0), car(5)])]).mean_average_precision() == pytest.approx(40 / 90)
    # 0.75 m off: wrong within 0.5 m, right within 1, 2 and 4.
    near = measured([([car(0.75, score=1.0)], [car(0)])])
    assert near.average_precision()[0].tolist() == pytest.approx([0, 1, 1, 1])
    assert math.isnan(near.average_precision()[1, 0])
    # A distance of exactly 1 m is not below 1 m.
    assert measured([([car(1.0, score=1.0)], [car(0)])]).average_precision()[0].tolist() == pytest.approx([0, 0, 1, 1])
    # The surer prediction takes the object, the other is wrong.
    twice = measured([([car(0.1, score=0.9), car(0, score=0.8)], [car(0)])])
    assert twice.errors()["translation"] == pytest.approx(0.1)
    assert twice.hits[:, 0].tolist() == [True, False]


def test_a_state_may_have_any_number_of_rows_of_the_right_width():
    state = measured([([car(0, score=0.9), car(5, score=0.8)], [car(0)])]).state()
    assert len(E.CentreDistance(COUNT).load_state(state).scores) == 2
    with pytest.raises(ValueError, match=r"differences is \(2, 2\), expected a tensor of shape \(3,\)"):
        E.CentreDistance(COUNT).load_state(state | {"differences": state["differences"][:, :2]})


def test_errors_by_hand():
    turned = measured([([car(0, yaw=math.pi - 0.1, score=1.0)], [car(0, yaw=-math.pi + 0.1)])])
    assert turned.errors()["orientation"] == pytest.approx(0.2)
    half = measured([([car(0, score=1.0, size=(2.0, 2.0, 1.5))], [car(0)])])
    assert half.errors() == {"translation": 0, "scale": pytest.approx(0.5), "orientation": 0}
    assert list(measured([([], [car(0)])]).errors().values()) == [1, 1, 1]


def test_errors_are_those_of_recalls_above_a_tenth():
    truth = [car(10 * i) for i in range(20)]
    sure = [car(1, score=0.9), car(10.5, score=0.8), car(20, score=0.7)]
    assert measured([(sure[:2], truth)]).errors() == {"translation": 1, "scale": 1, "orientation": 1}
    assert measured([(sure, truth)]).errors()["translation"] == pytest.approx(0.5)  # of all three, at recall 0.15


def test_of_equally_sure_predictions_the_first_takes_the_object():
    many = [car(i / 100, score=0.5) for i in range(40, 0, -1)]  # as many as an unstable sort brings out of order
    assert measured([(many, [car(0)])]).errors()["translation"] == pytest.approx(0.4)


def test_the_sum_by_hand():
    assert E.spnds(0.5, 0.3, 0.25, 1.2) == pytest.approx(0.49375)
    assert E.spnds(1, 0, 0, 0) == 1


def test_boxes_say_what_is_wrong():
    metric, good = E.CentreDistance(COUNT), boxes([car(0, score=0.5)], True)
    with pytest.raises(ValueError, match="one entry for each scene"):
        metric.update([good], [])
    for bad in (
        good._replace(scores=None),
        good._replace(labels=torch.zeros(2).long()),
        good._replace(boxes=good.boxes[:, :6]),
    ):
        with pytest.raises(ValueError, match=r"expected \(P, 7\)"):
            metric.update([bad], [good])
    for bad in (good._replace(labels=torch.tensor([2])), good._replace(boxes=good.boxes * math.nan),
                good._replace(boxes=good.boxes * 0), good._replace(labels=torch.tensor([-1]))):  # fmt: skip
        for pair in ((bad, good), (good, bad)):
            with pytest.raises(ValueError, match="no size, a label outside"):
                metric.update([pair[0]], [pair[1]])
    with pytest.raises(ValueError, match=r"a score outside \[0, 1\]"):
        metric.update([good._replace(scores=torch.tensor([7.0]))], [good])
    with pytest.raises(ValueError, match="expected 2 among them"):
        E.CentreDistance(1, (0.5, 1.0))
    assert len(metric.scores) == 0, "nothing is counted of what is refused"
