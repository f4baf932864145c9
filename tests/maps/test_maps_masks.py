import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib import maps as M

TABLE = {1: 0.5, 4: 0.2755, 6: 0.2219, 8: 0.1883, 16: 0.1228, 24: 0.0939, 32: 0.0770}


def draw(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("alpha", "threshold"), TABLE.items())
def test_equivalent_threshold_table(alpha, threshold):
    assert round(M.equivalent_threshold(alpha), 4) == pytest.approx(threshold, abs=1e-12)
    assert M.equivalent_power(M.equivalent_threshold(alpha)) == pytest.approx(alpha, rel=1e-9)


@given(st.floats(0.05, 200))
def test_equivalent_threshold_solves_its_equation(alpha):
    t = M.equivalent_threshold(alpha)
    assert t == pytest.approx((1 - t) ** alpha, abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_powers_must_be_positive(bad):
    with pytest.raises(ValueError, match="positive"):
        M.equivalent_threshold(bad)
    if bad != float("inf"):
        with pytest.raises(ValueError, match="positive"):
            M.background_power(torch.zeros(1, 1, 1, 1), bad)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, float("nan")])
def test_threshold_of_a_power_is_inside(bad):
    with pytest.raises(ValueError, match="between 0 and 1"):
        M.equivalent_power(bad)


@given(st.integers(0, 2**31), st.sampled_from(sorted(TABLE)))
@settings(max_examples=40, deadline=None)
def test_power_and_its_constant_decide_alike(seed, alpha):
    maps = draw(seed, 2, 3, 8, 8).double()
    by_power = M.with_background(maps, M.background_power(maps, alpha)).argmax(1)
    by_constant = M.with_background(maps, M.background_constant(maps, M.equivalent_threshold(alpha))).argmax(1)
    assert torch.equal(by_power, by_constant)


def test_low_power_means_more_background():
    maps = draw(0, 1, 2, 16, 16)
    share = [M.with_background(maps, M.background_power(maps, a)).argmax(1).eq(0).float().mean() for a in (1, 2, 4)]
    assert share[0] > share[1] > share[2] > 0


def test_backgrounds_by_hand():
    maps = torch.tensor([[[[0.5, 0.0]], [[0.75, 0.0]]]])
    assert M.background_power(maps, 2).flatten().tolist() == [0.0625, 1.0]
    assert M.background_constant(maps, 0.3).shape == (1, 1, 1, 2)
    stacked = M.with_background(maps, M.background_constant(maps, 0.25))
    assert stacked[0, :, 0, 0].tolist() == [0.25, 0.5, 0.75]


def test_seeds_by_hand():
    maps = torch.tensor([[[[0.9, 0.2, 0.4, 0.3]], [[0.8, 0.1, 0.6, 0.3]]]])
    both, second = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    assert M.seeds(maps, both, 0.3).tolist() == [[[1, 0, 2, 0]]]  # 0.3 does not exceed 0.3
    assert M.seeds(maps, both, 0.29).tolist() == [[[1, 0, 2, 1]]]  # a tie goes to the first class
    assert M.seeds(maps, second, 0.3).tolist() == [[[2, 0, 2, 0]]]
    assert M.seeds(maps, None, 0.3).dtype == torch.int64


@given(st.integers(0, 2**31), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_seeds_are_the_arg_max_with_the_background_in_front(seed, threshold):
    maps = (draw(seed, 3, 4, 6, 6) * 8).round() / 8  # ties on purpose
    labels = (draw(seed + 1, 3, 4) > 0.4).float()
    kept = (maps * labels[:, :, None, None]).numpy()
    slow = np.concatenate([np.full((3, 1, 6, 6), threshold, np.float32), kept], axis=1).argmax(axis=1)
    assert np.array_equal(M.seeds(maps, labels, threshold).numpy(), slow)


@given(st.floats(0, 0.999))
def test_a_constant_map_of_one_is_foreground_everywhere(threshold):
    maps = torch.zeros(1, 3, 4, 4)
    maps[:, 1] = 1
    assert M.seeds(maps, torch.tensor([[0.0, 1.0, 0.0]]), threshold).eq(2).all()
    assert M.seeds(maps, None, 1.0).eq(0).all()


def test_seeds_need_labels_of_the_maps():
    with pytest.raises(ValueError, match="one column per map"):
        M.seeds(torch.zeros(2, 3, 4, 4), torch.ones(2, 4), 0.5)


def test_seeds_of_nan_are_an_error_and_no_background():
    maps = torch.rand(1, 2, 3, 3)
    maps[0, 1, 2, 2] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        M.seeds(maps, None, 0.5)
    assert M.seeds(maps, torch.tensor([[1.0, 0.0]]), 0.5).shape == (1, 3, 3)  # absent classes do not matter


def test_threshold_mask_is_strict():
    assert M.threshold_mask(torch.tensor([0.1, 0.2, 0.3]), 0.2).tolist() == [False, False, True]


def test_threshold_mask_compares_in_the_precision_of_the_map_but_never_in_half():
    just_above = torch.tensor([0.3 + 1e-12], dtype=torch.float64)
    assert M.threshold_mask(just_above, 0.3).tolist() == [True], "float32 would call them equal"
    half = torch.tensor([0.3], dtype=torch.bfloat16)  # 0.30078…
    assert M.threshold_mask(half, 0.3).tolist() == [True], "bfloat16 would round the threshold, too"


def test_confident_seeds_by_hand():
    maps = torch.tensor([[[[0.9, 0.3, 0.2, 0.05, 0.0]], [[0.1, 0.31, 0.25, 0.0, 0.04]]]])
    assert M.confident_seeds(maps, None, 0.05, 0.3).flatten().tolist() == [1, 2, 255, 0, 0]
    only_first = torch.tensor([[1.0, 0.0]])
    assert M.confident_seeds(maps, only_first, 0.05, 0.3).flatten().tolist() == [1, 255, 255, 0, 0]
    assert torch.equal(M.confident_seeds(maps, None, 0.2, 0.2), M.seeds(maps, None, 0.2))
    assert M.confident_seeds(maps, None, 0.0, 1.0).flatten().tolist() == [255] * 5, "both ends may be thresholds"
    with pytest.raises(ValueError, match="exchange them"):
        M.confident_seeds(maps, None, 0.3, 0.05)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_the_likeliest_label_is_argmax_and_the_first_of_equals(kind: torch.dtype) -> None:
    scores = torch.randint(0, 4, (2, 3, 5, 7, 8), generator=torch.Generator().manual_seed(0)).to(kind)
    scores[0, 0, 1] = -torch.inf
    assert torch.equal(M.likeliest(scores), scores.argmax(dim=2))
    assert torch.equal(M.likeliest(scores[0, 0]), scores[0, 0].argmax(dim=0))
    assert not M.likeliest(torch.zeros(3, 2, 2)).any()
