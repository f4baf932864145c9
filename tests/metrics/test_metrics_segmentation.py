import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracles import dataset_iou

from wsss_lib import metrics as E
from wsss_lib.maps import seeds

K = 3


@st.composite
def splits(draw):
    """Maps with many ties, masks with ignored pixels, image labels; a few small images."""
    n, h, w = draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    maps = torch.from_numpy((rng.random((n, K, h, w)) * 10).round() / 10).float()
    masks = torch.from_numpy(rng.choice([0, 1, 2, 3, 255], (n, h, w)))
    labels = torch.from_numpy(rng.integers(0, 2, (n, K))).float()
    return maps, masks, labels


def swept(maps, masks, labels=None, thresholds=10):
    sweep = E.ThresholdSweep(K, thresholds)
    sweep.update(maps, masks, labels)
    return sweep


# the definition


def test_iou_by_hand():
    prediction = torch.tensor([[0, 1, 1], [0, 2, 2]])
    target = torch.tensor([[0, 0, 1], [255, 2, 1]])
    matrix = E.confusion(prediction, target, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert E.iou(matrix).tolist() == [1 / 2, 1 / 3, 1 / 2]
    assert float(E.mean_iou(matrix)) == pytest.approx(4 / 9)


@given(splits())
@settings(max_examples=60, deadline=None)
def test_iou_equals_the_loops(split):
    maps, masks, labels = split
    prediction = seeds(maps, labels, 0.5)
    counter = E.ConfusionMatrix(K + 1)
    for p, m in zip(prediction, masks, strict=True):
        counter.update(p[None], m[None])
    slow, occurs = dataset_iou(prediction.numpy(), masks.numpy(), K + 1)
    assert np.array_equal(counter.iou().numpy(), slow, equal_nan=True)
    mean = slow[occurs].mean() if occurs.any() else np.nan
    assert counter.mean_iou() == pytest.approx(mean, nan_ok=True)
    assert counter.mean_iou("penalise") == pytest.approx(
        np.nanmean(slow) if (~np.isnan(slow)).any() else np.nan, nan_ok=True
    )


def test_ignored_pixels_are_in_neither_count():
    target = torch.tensor([[1, 255, 255, 0]])
    right, wrong = torch.tensor([[1, 1, 1, 0]]), torch.tensor([[1, 0, 77, 0]])
    for prediction in (right, wrong):
        assert E.iou(E.confusion(prediction, target, 2)).tolist() == [1.0, 1.0]
    assert E.confusion(right, torch.full_like(right, 255), 2).sum() == 0
    assert np.isnan(float(E.mean_iou(E.confusion(right, torch.full_like(right, 255), 2))))


def test_it_is_the_data_sets_iou_and_not_the_images_mean():
    targets = torch.tensor([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
    predictions = torch.tensor([[[1, 1, 1, 1]], [[0, 0, 0, 0]]])
    counter = E.ConfusionMatrix(2)
    counter.update(predictions, targets)
    assert counter.iou()[1] == 4 / 5  # the mean over images would be (1 + 0) / 2
    # Move the hit from the one image to the other: the sums stay, and so does the score.
    swapped = E.ConfusionMatrix(2)
    swapped.update(torch.tensor([[[1, 1, 1, 0]], [[1, 0, 0, 0]]]), targets)
    assert torch.equal(swapped.iou(), counter.iou())
    assert swapped.mean_iou() == counter.mean_iou()


def test_a_class_without_a_true_pixel():
    prediction, target = torch.tensor([[0, 2, 1, 1]]), torch.tensor([[0, 0, 1, 1]])
    matrix = E.confusion(prediction, target, 4)
    assert E.iou(matrix).tolist()[:3] == [0.5, 1.0, 0.0]
    assert E.iou(matrix)[3].isnan()
    assert float(E.mean_iou(matrix)) == 0.75  # background and class 1 occur
    assert float(E.mean_iou(matrix, "penalise")) == 0.5  # class 2 was predicted
    with pytest.raises(ValueError, match="'skip' or 'penalise'"):
        E.mean_iou(matrix, "zero")


def test_classes_out_of_range_are_named():
    ok, bad = torch.tensor([[0, 1]]), torch.tensor([[0, 2]])
    with pytest.raises(ValueError, match=r"the target holds class 0\.\.2"):
        E.confusion(ok, bad, 2)
    with pytest.raises(ValueError, match=r"the prediction holds class 0\.\.2"):
        E.confusion(bad, ok, 2)
    with pytest.raises(ValueError, match=r"the prediction holds class 0\.\.255"):
        E.confusion(torch.tensor([[0, 255]]), ok, 2)
    with pytest.raises(ValueError, match="resize the maps"):
        E.confusion(ok, ok[0], 2)


# properties


@given(splits(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_chunks_classes_and_padding_do_not_matter(split, random):
    maps, masks, labels = split
    whole = swept(maps, masks, labels)
    reference = whole.curve("a", "f")

    order = random.sample(range(len(maps)), len(maps))
    chunked = E.ThresholdSweep(K, 10)
    for i in order:
        chunked.update(maps[i : i + 1], masks[i : i + 1], labels[i : i + 1])
    assert torch.equal(chunked.histogram, whole.histogram)

    cut = random.randint(0, len(maps))
    left, right = swept(maps[:cut], masks[:cut], labels[:cut]), swept(maps[cut:], masks[cut:], labels[cut:])
    assert torch.equal(left.merge(right).histogram, whole.histogram)

    padded = (
        torch.nn.functional.pad(masks, (0, 2, 0, 1), value=255),
        torch.nn.functional.pad(maps, (0, 2, 0, 1), value=1.0),
    )
    assert torch.equal(swept(padded[1], padded[0], labels).histogram, whole.histogram)

    # Renaming the classes renames their IoUs. (Ties between classes are resolved by index, so break them first.)
    maps = maps + torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    names = random.sample(range(K), K)
    rename = torch.tensor([0, *(names.index(k) + 1 for k in range(K))] + [0] * 252)
    rename[255] = 255
    plain = swept(maps, masks, labels).curve("a", "f")
    renamed = swept(maps[:, names], rename[masks], labels[:, names]).curve("a", "f")
    assert torch.allclose(renamed.values, plain.values, atol=1e-12, equal_nan=True)
    columns = [0, *(k + 1 for k in names)]
    assert torch.equal(torch.nan_to_num(renamed.parts, nan=-1), torch.nan_to_num(plain.parts[:, columns], nan=-1))
    assert reference.columns == ("background", "class 1", "class 2", "class 3")


def test_perfect_and_empty_maps():
    masks = torch.tensor([[[0, 1], [2, 3]]])
    perfect = torch.nn.functional.one_hot(masks, 4).permute(0, 3, 1, 2)[:, 1:].float()
    assert swept(perfect, masks).curve("a", "f").values.eq(1).all()
    empty = swept(torch.zeros_like(perfect), masks).curve("a", "f")
    assert empty.values.eq(1 / 4 / 4).all()  # the background's IoU is 1/4, the others' 0
    assert empty.parts[:, 0].eq(1 / 4).all()


# the curve from one histogram


@given(splits(), st.booleans(), st.sampled_from([7, 10, 100]))
@settings(max_examples=60, deadline=None)
def test_the_curve_equals_the_sweep_at_every_threshold(split, with_labels, count):
    maps, masks, labels = split
    labels = labels if with_labels else None
    sweep = swept(maps, masks, labels, count)
    curve = sweep.curve("a", "f")
    for t, threshold in enumerate(sweep.thresholds.tolist()):
        matrix = E.confusion(seeds(maps, labels, threshold), masks, K + 1)
        assert torch.equal(sweep.confusions()[t], matrix)
        same = torch.equal(curve.values[t].nan_to_num(nan=-1), E.mean_iou(matrix).nan_to_num(nan=-1))
        assert same


def test_the_curve_in_one_call_and_its_range():
    maps = torch.rand(2, K, 5, 5, generator=torch.Generator().manual_seed(0))
    masks = torch.randint(0, 4, (2, 5, 5), generator=torch.Generator().manual_seed(1))
    curve = E.threshold_curve(maps, masks, split="val", fingerprint="f", thresholds=torch.tensor([0.1, 0.26, 0.9]))
    assert curve.thresholds.tolist() == pytest.approx([0.1, 0.26, 0.9])
    assert curve.at(0.26) == float(E.mean_iou(E.confusion(seeds(maps, None, 0.26), masks, 4)))
    assert (curve.metric, curve.split, curve.fingerprint) == ("mIoU", "val", "f")


def test_half_precision_maps_are_compared_as_float():
    maps = torch.rand(1, K, 8, 8, generator=torch.Generator().manual_seed(2)).half()
    masks = torch.randint(0, 4, (1, 8, 8), generator=torch.Generator().manual_seed(3))
    sweep = swept(maps, masks)
    assert torch.equal(sweep.histogram, swept(maps.float(), masks).histogram)
    for threshold, matrix in zip(sweep.thresholds.tolist(), sweep.confusions(), strict=True):
        assert torch.equal(matrix, E.confusion(seeds(maps, None, threshold), masks, K + 1)), threshold


def test_the_sweep_says_what_is_wrong():
    maps, masks = torch.rand(1, K, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"maps\.resize"):
        swept(maps[..., :2], masks)
    with pytest.raises(ValueError, match=r"maps\.resize"):
        swept(maps[:, :2], masks)
    with pytest.raises(ValueError, match="check num_classes"):
        swept(maps, masks + 4)
    with pytest.raises(ValueError, match="NaN"):
        swept(maps * float("nan"), masks)
    with pytest.raises(ValueError, match="rising"):
        E.ThresholdSweep(K, torch.tensor([0.2, 0.1]))
    with pytest.raises(ValueError, match="at least 1"):
        E.ThresholdSweep(K, 0)


def test_the_grid_is_the_benchmarks():
    assert torch.equal(E.threshold_grid(1000), torch.from_numpy(np.arange(0, 1, 0.001)))
    assert E.threshold_grid(4).tolist() == [0, 0.25, 0.5, 0.75]


@given(st.integers(0, 2**31), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_kinds_of_errors_equal_the_loops(seed, classes):
    rng = np.random.default_rng(seed)
    prediction, target = rng.integers(0, classes, (2, 4, 3)), rng.choice([*range(classes), 255], (2, 4, 3))
    matrix = E.confusion(torch.from_numpy(prediction), torch.from_numpy(target), classes)
    result, counted = E.mask_scores(matrix), target != 255
    rows = []
    for c in range(classes):
        p, t = (prediction == c) & counted, target == c
        both, union = (p & t).sum(), (p | t).sum()
        pairs = ((both, union), (both, p.sum()), (both, t.sum()), ((p & ~t).sum(), union), ((t & ~p).sum(), union))
        rows.append([a / b if b else np.nan for a, b in pairs])
        assert [float(values[c]) for values in result] == pytest.approx(rows[-1], nan_ok=True)
    present = [row for c, row in enumerate(rows) if (target == c).any()]
    means = E.mean_mask_scores(matrix)
    assert list(means) == ["miou", "precision", "recall", "false_positives", "false_negatives"]
    for i, mean in enumerate(means.values()):
        known = [row[i] for row in present if not np.isnan(row[i])]
        assert mean == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)


def test_a_class_that_is_never_predicted_counts_and_one_that_never_occurs_does_not():
    means = E.mean_mask_scores(torch.tensor([[2, 0, 0], [0, 2, 1], [0, 0, 0]]))  # class 2 is predicted, and absent
    assert (means["recall"], means["precision"]) == pytest.approx(((1 + 2 / 3) / 2, 1.0))
    means = E.mean_mask_scores(torch.tensor([[2, 0, 0], [0, 2, 0], [2, 0, 0]]))  # it occurs, and is never predicted
    assert (means["recall"], means["precision"]) == pytest.approx((2 / 3, 0.75))


def test_a_class_far_beyond_the_last_is_refused_and_no_other_class() -> None:
    sweep = E.ThresholdSweep(K, 10)
    masks = torch.full((1, 4, 4), 2**32 + 1)  # its lower 32 bits are 1
    with pytest.raises(ValueError, match="target"):
        sweep.update(torch.rand(1, K, 4, 4), masks)
