import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracles import average_precision

from wsss_lib import metrics as E


def ranked(seed, n, k):
    rng = np.random.default_rng(seed)
    return (rng.random((n, k)) * 8).round() / 8, rng.integers(0, 2, (n, k))  # ties on purpose


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_average_precision_equals_the_loop_over_scores(seed, n, k):
    scores, labels = ranked(seed, n, k)
    fast = E.average_precision(torch.from_numpy(scores), torch.from_numpy(labels))
    for c in range(k):
        expected = average_precision(scores[:, c], labels[:, c]) if labels[:, c].any() else np.nan
        assert float(fast[c]) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    if not fast.isnan().all():
        mean = E.mean_average_precision(torch.from_numpy(scores), torch.from_numpy(labels))
        assert mean == pytest.approx(np.nanmean(fast.numpy()))


def test_average_precision_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is no dependency; the slow loop is the check")
    for seed in range(20):
        scores, labels = ranked(seed, 15, 3)
        labels[0] = 1
        fast = E.average_precision(torch.from_numpy(scores), torch.from_numpy(labels))
        for c in range(3):
            assert float(fast[c]) == pytest.approx(sklearn.average_precision_score(labels[:, c], scores[:, c]))


def test_average_precision_by_hand():
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    assert E.average_precision(scores, torch.tensor([[1], [0], [1], [0]])).tolist() == pytest.approx([(1 + 2 / 3) / 2])
    assert E.average_precision(scores, torch.tensor([[1], [1], [0], [0]])).tolist() == [1.0]
    assert E.average_precision(torch.zeros(4, 1), torch.tensor([[1], [0], [0], [0]])).tolist() == [0.25]
    assert E.average_precision(scores, torch.zeros(4, 1)).isnan().all()


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_ranking_forgets_monotone_maps_and_order(seed):
    scores, labels = (torch.from_numpy(x) for x in ranked(seed, 10, 3))
    labels[0] = 1
    reference = E.average_precision(scores, labels)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(E.average_precision(scores[order], labels[order]), reference)
    assert torch.allclose(E.average_precision(scores * 4 - 1, labels), reference)
    assert torch.allclose(E.average_precision(scores[:, [2, 0, 1]], labels[:, [2, 0, 1]]), reference[[2, 0, 1]])


def test_accuracy_by_hand():
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    targets = torch.tensor([0, 1, 1])
    assert E.top_k_correct(logits, targets).tolist() == [True, False, False]  # a tie goes to the first class
    assert E.top_k_correct(logits, targets, 2).tolist() == [True, True, True]
    assert E.accuracy(logits, targets) == pytest.approx(1 / 3)
    assert E.accuracy(logits, torch.nn.functional.one_hot(targets, 3).float(), 2) == 1
    assert E.accuracy(logits, torch.tensor([2, 2, 2]), 5) == 1  # fewer classes than five


@pytest.mark.parametrize("k", [1, 3])
def test_among_many_equal_logits_the_first_classes_are_preferred(k):
    logits = torch.zeros(40, 40)  # as many as a sort that is not stable brings out of order
    assert E.top_k_correct(logits, torch.arange(40), k).tolist() == [c < k for c in range(40)]


def test_classification_says_what_is_wrong():
    logits = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="exactly one class"):
        E.accuracy(logits, torch.tensor([[1, 1, 0], [1, 0, 0]]))
    with pytest.raises(ValueError, match="exactly one class"):
        E.accuracy(logits, torch.tensor([[0, 0, 0], [1, 0, 0]]))
    with pytest.raises(ValueError, match="logits have 3"):
        E.accuracy(logits, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="undefined"):
        E.accuracy(logits[:0], torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected"):
        E.average_precision(logits, torch.zeros(2, 2))
    with pytest.raises(ValueError, match="NaN"):
        E.average_precision(logits * float("nan"), torch.ones(2, 3))
    unknown = torch.tensor([[0.0, float("nan"), 0.0], [0.0, 1.0, 0.0]])  # sorted, NaN would be the best of all
    with pytest.raises(ValueError, match="NaN"):
        E.top_k_correct(unknown, torch.tensor([1, 1]))
