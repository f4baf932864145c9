import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracles import box_iou as slow_iou
from metric_oracles import classic_accuracy, max_box_acc

from wsss_lib import maps as M
from wsss_lib import metrics as E
from wsss_lib.metrics.localisation import _best_iou as best_iou
from wsss_lib.metrics.threshold_boxes import boxes_by_threshold

HAND_MAP = torch.tensor([[0, 0, 0, 0, 0], [0, 0.4, 0.4, 0.4, 0.6], [0, 0.4, 1, 0.8, 0.6], [0, 0.4, 0.4, 0.4, 0.6]])


@st.composite
def splits(draw):
    """Smooth and rough maps in [0, 1], and one to three whole-pixel boxes each."""
    n, h, w = draw(st.integers(1, 4)), draw(st.integers(2, 10)), draw(st.integers(2, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    raw = torch.from_numpy(rng.normal(size=(n, draw(st.integers(1, h)), draw(st.integers(1, w))))).float()
    maps = M.wsolevaluation_map(raw, (h, w))
    truths = []
    for _ in range(n):
        a = rng.integers(0, [w, h], (rng.integers(1, 4), 2))
        b = np.minimum(a + rng.integers(1, 1 + max(h, w), a.shape), [w, h])
        truths.append(torch.from_numpy(np.concatenate([a, b], axis=1)).float())
    return maps, truths


# boxes


def test_the_benchmarks_iou_by_hand():
    a, b, zero = torch.tensor([[1, 2, 5, 6]]), torch.tensor([[3, 1, 4, 5]]), torch.zeros(1, 4)
    assert float(E.box_iou(a, b, "plus-one")) == pytest.approx(8 / 27)
    assert float(E.box_iou(zero, zero, "plus-one")) == 1
    assert float(E.box_iou(zero, zero)) == 0
    assert float(E.box_iou(a, b)) == pytest.approx(3 / (16 + 4 - 3))


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=2, max_size=6), st.booleans())
@settings(max_examples=80, deadline=None)
def test_iou_equals_the_loop(corners, plus_one):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    rule = "plus-one" if plus_one else "half-open"
    table = E.box_iou(torch.tensor(boxes), torch.tensor(boxes), rule)
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes):
            assert float(table[i, j]) == pytest.approx(slow_iou(a, b, plus_one), abs=1e-12)


def test_iou_of_disjoint_and_unknown():
    a, b = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[2.0, 0, 4, 2]])
    assert float(E.box_iou(a, b)) == 0  # they share an edge
    assert float(E.box_iou(a, b, "plus-one")) == pytest.approx(3 / 15)  # the +1 rule sees a shared column
    with pytest.raises(ValueError, match="'half-open' or 'plus-one'"):
        E.box_iou(a, b, "inclusive")
    with pytest.raises(ValueError, match="xyxy"):
        E.box_iou(a[:, :3], b)


def test_resize_boxes_by_hand():
    box = torch.tensor([[1.0, 2, 4, 3]])
    assert E.resize_boxes(box, (20, 10), (10, 35), truncate=True).tolist() == [[3, 1, 14, 1]]
    assert E.resize_boxes(box, (20, 10), (10, 35)).tolist() == [[3.5, 1, 14, 1.5]]
    assert E.resize_boxes(box.long(), (20, 10), (10, 35)).tolist() == [[3.5, 1, 14, 1.5]]


def test_centre_crop_boxes_by_hand():
    box = torch.tensor([[0.0, 0, 500, 250], [100.0, 50, 300, 200]])
    out = E.centre_crop_boxes(box, (250, 500))
    # ×256/500 and ×256/250, then −16: (0, 0, 256, 256) is clipped; (51.2, 51.2, 153.6, 204.8) is cut to whole pixels.
    assert out.tolist() == [[0, 0, 223, 223], [35, 35, 137, 188]]


# MaxBoxAcc and V2


@given(splits(), st.sampled_from([7, 20, 100]))
@settings(max_examples=50, deadline=None)
def test_max_box_acc_equals_the_benchmark_spelled_out(split, count):
    maps, truths = split
    grid = E.threshold_grid(count)
    for protocol, every in ((E.MAX_BOX_ACC, False), (E.MAX_BOX_ACC_V2, True)):
        sweep = E.BoxSweep(count, (0.3, 0.5, 0.7), protocol)
        sweep.update(maps, truths)
        slow = max_box_acc(maps.numpy(), [t.tolist() for t in truths], grid.numpy(), (0.3, 0.5, 0.7), every)
        assert np.allclose(sweep.accuracy().numpy(), slow, atol=1e-12)
    assert E.max_box_acc_v2(maps, truths, count) == pytest.approx(slow.max(axis=1).mean())
    first = max_box_acc(maps.numpy(), [t.tolist() for t in truths], grid.numpy(), (0.5,), False)
    assert E.max_box_acc(maps, truths, count) == pytest.approx(first.max())


@given(splits())
@settings(max_examples=40, deadline=None)
def test_the_classic_sweep_equals_the_flood_fill(split):
    maps, truths = split
    for protocol, plus_one in ((E.CLASSIC, True), (E.HALF_OPEN, False)):
        sweep = E.BoxSweep(20, (0.5,), protocol)
        sweep.update(maps, truths)
        slow = classic_accuracy(maps.numpy(), [t.tolist() for t in truths], sweep.thresholds.numpy(), 0.5, plus_one)
        assert np.allclose(sweep.accuracy()[0].numpy(), slow, atol=1e-12)


@given(st.integers(0, 2**31), st.sampled_from(["plus-one", "half-open"]))
@settings(max_examples=100, deadline=None)
def test_overlaps_of_a_sweep_are_those_of_box_iou(seed, rule):
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.integers(0, 9, (6, 2, 2)), axis=1).reshape(6, 4)  # some are empty
    truth = np.sort(rng.integers(0, 19, (6, 3, 2, 2)) / 2, axis=2).reshape(6, 3, 4)
    slow = E.box_iou(torch.from_numpy(boxes)[:, None], torch.from_numpy(truth), rule).amax(dim=(1, 2))
    assert np.array_equal(best_iou(boxes, truth, rule), slow.numpy())


def test_the_benchmarks_hand_boxes_are_hit_exactly():
    grid = torch.tensor([0, 0.2, 0.4, 0.6, 0.8])
    boxes = [(1, 1, 4, 3), (1, 1, 4, 3), (2, 1, 4, 3), (2, 2, 4, 3), (2, 2, 3, 3)]
    for t, box in enumerate(boxes):
        best = E.best_overlaps(HAND_MAP[None], [torch.tensor([box])], grid, E.MAX_BOX_ACC)
        assert float(best[0, t]) == 1


def test_an_empty_map_predicts_a_corner_pixel_or_the_whole_image():
    blank = torch.zeros(1, 4, 5)
    corner, everything = [torch.tensor([[0.0, 0, 0, 0]])], [torch.tensor([[0.0, 0, 5, 4]])]
    assert E.best_overlaps(blank, corner, 5, E.MAX_BOX_ACC_V2).eq(1).all()
    assert E.best_overlaps(blank, corner, 5, E.MAX_BOX_ACC).eq(1).all()
    assert E.best_overlaps(blank, everything, 5, E.HALF_OPEN).eq(1).all()
    assert E.best_overlaps(blank, everything, 5, E.CLASSIC).eq(1).all()
    assert E.best_overlaps(blank, everything, 5, E.MAX_BOX_ACC).max() < 0.1


def test_a_perfect_map_scores_one_under_half_open_boxes():
    maps, truth = torch.zeros(1, 9, 9), torch.tensor([[2.0, 3, 7, 8]])
    maps[0, 3:8, 2:7] = 1
    assert E.best_overlaps(maps, [truth], 10, E.HALF_OPEN).eq(1).all()
    assert E.max_box_acc_v2(maps, [truth]) == 1


def test_the_threshold_is_the_data_sets_and_not_each_images():
    """One image needs a low threshold, the other a high one: no threshold serves both."""
    maps = torch.zeros(2, 1, 10)
    maps[0, 0, :8], maps[0, 0, 0] = 0.3, 1.0
    maps[1, 0, :8], maps[1, 0, :2] = 0.3, 1.0
    truths = [torch.tensor([[0.0, 0, 8, 1]]), torch.tensor([[0.0, 0, 2, 1]])]
    sweep = E.BoxSweep(10, (0.5,), E.HALF_OPEN)
    sweep.update(maps, truths)
    assert float(sweep.maximum()) == 0.5
    per_image = E.best_overlaps(maps, truths, 10, E.HALF_OPEN) >= 0.5
    assert per_image.any(dim=1).double().mean() == 1  # the mistake


def test_v2_takes_any_contour_and_v1_the_largest():
    maps = torch.zeros(1, 8, 8)
    maps[0, 0:5, 0:5], maps[0, 5:8, 5:8] = 1, 1
    maps[0, 4, 4] = maps[0, 5, 5] = 0
    small = [torch.tensor([[5.0, 5, 7, 7]])]
    assert E.max_box_acc(maps, small) == 0
    assert E.max_box_acc_v2(maps, small) == 1


@given(splits(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_order_and_chunks_do_not_matter(split, random):
    maps, truths = split
    whole, parts = E.BoxSweep(20), [E.BoxSweep(20), E.BoxSweep(20)]
    whole.update(maps, truths)
    for i in random.sample(range(len(maps)), len(maps)):
        parts[i % 2].update(maps[i : i + 1], [truths[i].flip(0)])
    both = parts[0].merge(parts[1])
    assert torch.equal(both.hits, whole.hits)
    assert int(both.images) == len(maps)


def test_chunks_inside_do_not_matter(monkeypatch):
    maps = torch.rand(5, 6, 6, generator=torch.Generator().manual_seed(0))
    truths = [torch.tensor([[0.0, 0, 3 + i % 3, 4]]) for i in range(5)]
    whole = E.best_overlaps(maps, truths, 20)
    monkeypatch.setattr("wsss_lib.metrics.localisation._PIXELS_AT_ONCE", 72)  # two images at once
    assert torch.equal(E.best_overlaps(maps, truths, 20), whole)
    assert E.best_overlaps(maps[:0], [], 20).shape == (0, 20)


def test_a_box_curve_goes_through_the_same_door():
    maps = torch.rand(4, 6, 6, generator=torch.Generator().manual_seed(1))
    truths = [torch.tensor([[0.0, 0, 4, 4]])] * 4
    sweeps = [E.BoxSweep(10, (0.3, 0.5), E.HALF_OPEN) for _ in range(2)]
    sweeps[0].update(maps[:2], truths[:2])
    sweeps[1].update(maps[2:], truths[2:])
    a, b = sweeps[0].curve(0.5, "train", "a"), sweeps[1].curve(0.5, "val", "b")
    assert E.report(b, E.choose_threshold(a)).metric == "BoxAcc at IoU 0.5"
    with pytest.raises(E.SameSplitError):
        E.report(b, E.choose_threshold(b))
    with pytest.raises(ValueError, match="was not counted"):
        sweeps[0].curve(0.7, "train", "a")


def test_localisation_says_what_is_wrong():
    maps, truth = torch.rand(2, 4, 4), torch.tensor([[0.0, 0, 2, 2]])
    with pytest.raises(ValueError, match=r"images \[1\] have no annotated box"):
        E.best_overlaps(maps, [truth, torch.zeros(0, 4)])
    with pytest.raises(ValueError, match="N tensors"):
        E.best_overlaps(maps, [truth])
    for bad in (maps * 3, maps * float("nan")):
        with pytest.raises(ValueError, match=r"\[0, 1\]|NaN"):
            E.best_overlaps(bad, [truth, truth])


@pytest.mark.parametrize("protocol", [E.MAX_BOX_ACC_V2, E.MAX_BOX_ACC, E.HALF_OPEN])
def test_many_thresholds_cost_one_tree(monkeypatch, protocol):
    calls = []
    monkeypatch.setattr(
        "wsss_lib.metrics.localisation.boxes_by_threshold",
        lambda *a: calls.append((a[0].shape, int(a[1].sum()))) or boxes_by_threshold(*a),
    )
    maps = M.wsolevaluation_map(torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0)), (16, 16))
    E.best_overlaps(maps, [torch.tensor([[2.0, 2, 9, 9]])] * 3, 1000, protocol)
    assert calls == [((3, 16, 16), 3 * (255 if protocol.eight_bit else 1000))]  # no more cuts than grey levels


def test_maps_of_the_worlds_size_in_time():
    """500 maps of 96 px at 100 thresholds: the bar is 10 s on one core. A tenth of the maps, five times the time."""
    maps = M.wsolevaluation_map(torch.randn(50, 12, 12, generator=torch.Generator().manual_seed(0)), (96, 96))
    truths = [torch.tensor([[20.0, 20, 70, 70]])] * 50
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.process_time()
        E.max_box_acc_v2(maps, truths, 100)
        assert time.process_time() - start < 5
    finally:
        torch.set_num_threads(threads)


# GT-known, Top-1, Top-5


def test_top_k_localisation_by_hand():
    truths = [
        torch.tensor([[0.0, 0, 4, 4]]),
        torch.tensor([[0.0, 0, 4, 4], [4.0, 4, 8, 8]]),
        torch.tensor([[0.0, 0, 8, 8]]),
    ]
    predicted = torch.tensor([[0.0, 0, 4, 2], [4.0, 4, 8, 8], [0.0, 0, 3, 3]])  # IoU 1/2, 1, 9/64
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0], [5.0, 4, 3, 2, 1, 0], [5.0, 4, 3, 2, 1, 0]])
    targets = torch.tensor([1, 0, 0])
    assert E.gt_known(predicted, truths).tolist() == [True, True, False]
    assert E.gt_known(predicted, truths, delta=0.6).tolist() == [False, True, False]
    scores = E.localisation_accuracy(predicted, truths, logits, targets)
    assert scores == {"gt_known": pytest.approx(2 / 3), "top1": pytest.approx(1 / 3), "top5": pytest.approx(2 / 3)}
    sixth = E.localisation_accuracy(predicted, truths, logits, torch.tensor([5, 5, 5]))
    assert (sixth["top1"], sixth["top5"]) == (0, 0)


def test_the_plus_one_rule_moves_a_decision():
    truth, predicted = [torch.tensor([[0.0, 0, 10, 10]])], torch.tensor([[0.0, 0, 10, 4.9]])
    assert not E.gt_known(predicted, truth).item()
    assert E.gt_known(predicted, truth, rule="plus-one").item()


@pytest.mark.parametrize(("delta", "width"), [(0.25, 2), (0.5, 4), (0.75, 6)])
def test_a_box_that_overlaps_by_exactly_delta_counts(delta, width):
    truth, predicted = [torch.tensor([[0.0, 0, 8, 8]])], torch.tensor([[0.0, 0, width, 8]])
    assert float(E.box_iou(predicted, truth[0])) == delta
    assert E.gt_known(predicted, truth, delta).tolist() == [True]
    assert E.gt_known(predicted, truth, delta + 1e-9).tolist() == [False]
    assert E.localisation_accuracy(predicted, truth, torch.tensor([[1.0]]), torch.tensor([0]), delta)["gt_known"] == 1
    maps = torch.zeros(1, 8, 8)
    maps[..., :width] = 1
    sweep = E.BoxSweep(2, (delta, delta + 1e-9), E.HALF_OPEN)
    sweep.update(maps, truth)
    assert sweep.accuracy().tolist() == [[1, 1], [0, 0]]


def test_top_k_localisation_says_what_is_wrong():
    one = torch.zeros(1, 4)
    assert E.gt_known(one[:0], []).tolist() == []
    with pytest.raises(ValueError, match="each image needs one"):
        E.gt_known(one, [])
    with pytest.raises(ValueError, match="each image needs one"):
        E.gt_known(one, [torch.zeros(0, 4)])
    with pytest.raises(ValueError, match="rows of logits"):
        E.localisation_accuracy(one, [one], torch.zeros(2, 3), torch.tensor([0, 0]))


def test_the_centre_gaussian_finds_the_centred_object():
    maps = E.centre_gaussian((32, 32)).expand(3, -1, -1)
    truths = [torch.tensor([[8.0, 8, 24, 24]]), torch.tensor([[6.0, 6, 26, 26]]), torch.tensor([[0.0, 0, 6, 6]])]
    assert E.max_box_acc_v2(M.normalise(maps, eps=0), truths) == pytest.approx(2 / 3)


def test_a_protocol_that_all_share_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        E.HALF_OPEN.iou = "plus-one"  # type: ignore[misc]
