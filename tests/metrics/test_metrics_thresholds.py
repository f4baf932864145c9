import math

import pytest
import torch

from wsss_lib import metrics as E


def curve(values, split="val", fingerprint="b", **more):
    grid = torch.arange(len(values), dtype=torch.float64) / 10
    return E.Curve("mIoU", grid, torch.tensor(values, dtype=torch.float64), split, fingerprint, **more)


def test_chosen_on_one_split_reported_on_another():
    train, val = curve([0.1, 0.5, 0.4], "train", "a"), curve([0.6, 0.3, 0.2])
    chosen = E.choose_threshold(train)
    assert (chosen.value, chosen.rule, chosen.split, chosen.score) == (0.1, "max mIoU", "train", 0.5)
    reported = E.report(val, chosen)
    assert (reported.value, reported.split, reported.oracle) == (0.3, "val", False)
    oracle = E.report(val, E.choose_threshold(val), oracle=True)
    assert (oracle.value, oracle.oracle) == (0.6, True)


def test_the_split_that_chose_may_not_report():
    val = curve([0.6, 0.3])
    with pytest.raises(E.SameSplitError, match=r"chosen on val.*oracle=True"):
        E.report(val, E.choose_threshold(val))
    renamed = curve([0.6, 0.3], split="test")  # a new name for the same images does not help
    with pytest.raises(E.SameSplitError):
        E.report(renamed, E.choose_threshold(val))


def test_an_honest_report_is_not_called_an_oracle():
    with pytest.raises(ValueError, match="leave oracle out"):
        E.report(curve([0.6, 0.3]), E.choose_threshold(curve([0.1, 0.2], "train", "a")), oracle=True)


def test_the_lowest_of_equal_thresholds_and_no_empty_curves():
    assert E.choose_threshold(curve([0.1, 0.4, 0.4])).value == 0.1
    assert E.choose_threshold(curve([math.nan, 0.0])).value == 0.1
    with pytest.raises(ValueError, match="is empty"):
        E.choose_threshold(curve([math.nan, math.nan]))


def test_fixed_thresholds_have_a_source_and_may_report_anywhere():
    fixed = E.Threshold.fixed(0.2, "Zhou et al. 2016")
    out = E.report(curve([0.1, 0.2, 0.3]), fixed)
    assert (out.value, out.oracle) == (0.3, False)
    assert out.as_dict()["threshold_rule"] == "fixed: Zhou et al. 2016"
    assert out.as_dict()["threshold_split"] is None
    with pytest.raises(ValueError, match="source"):
        E.Threshold.fixed(0.2, "")


def test_nothing_is_interpolated():
    c = curve([0.1, 0.2])
    assert c.at(0.1) == 0.2
    with pytest.raises(ValueError, match="not among this curve's 2, the nearest is 0"):
        c.at(0.04)


def test_the_parts_come_along():
    c = curve([0.5, 0.25], columns=("background", "cat"), parts=torch.tensor([[0.9, 0.1], [0.5, 0.0]]).double())
    out = E.report(c, E.choose_threshold(curve([0.0, 1.0], "train", "a"))).as_dict()
    assert out["parts"] == {"background": 0.5, "cat": 0.0}
    assert (out["metric"], out["threshold"], out["oracle"]) == ("mIoU", 0.1, False)


def test_choosing_where_one_reports_flatters():
    """Two noisy halves of one population: the oracle is never below the honest number, and above it on average."""
    generator = torch.Generator().manual_seed(0)
    gaps = []
    for _ in range(20):
        maps = torch.rand(8, 1, 6, 6, generator=generator)
        masks = (maps[:, 0] + torch.randn(8, 6, 6, generator=generator) > 0.5).long()
        a, b = (
            E.threshold_curve(maps[half], masks[half], split=name, fingerprint=name)
            for name, half in (("a", slice(0, 4)), ("b", slice(4, 8)))
        )
        gaps.append(E.report(b, E.choose_threshold(b), oracle=True).value - E.report(b, E.choose_threshold(a)).value)
    assert min(gaps) >= 0
    assert sum(gaps) / len(gaps) > 0.005
