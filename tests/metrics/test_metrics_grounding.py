"""One predicted box a sentence."""

import numpy as np
import pytest
import torch
from boxes_slow import grounding_accuracy
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_lib import metrics as E

COORDINATES = st.tuples(*[st.integers(0, 6)] * 4)


def test_a_third_is_too_little_and_a_half_is_enough():
    predicted = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.9]])
    meant = torch.tensor([[5.0, 0, 15, 10], [0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])  # IoU 1/3, 1, 1/2, 0.49
    metric = E.GroundingAccuracy(("attribute", "relation"))
    metric.update(predicted, meant, ["relation", "attribute", "relation", "relation"])
    assert metric.value() == 0.5
    assert metric.by_kind() == {"attribute": 1, "relation": pytest.approx(1 / 3)}
    overlaps = [float(E.box_iou(one[None], other[None])) for one, other in zip(predicted, meant, strict=True)]
    assert overlaps == pytest.approx([1 / 3, 1, 0.5, 0.49])


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=8), st.sampled_from([0.3, 0.5, 1.0]))
@settings(max_examples=80, deadline=None)
def test_the_accuracy_equals_the_loop_in_any_chunks(pairs, delta):
    predicted, meant = (torch.tensor([pair[i] for pair in pairs]).float() for i in (0, 1))
    whole, parts = E.GroundingAccuracy(delta=delta), [E.GroundingAccuracy(delta=delta) for _ in range(2)]
    whole.update(predicted, meant)
    for i in range(len(pairs)):
        parts[i % 2].update(predicted[i : i + 1], meant[i : i + 1])
    assert whole.value() == pytest.approx(grounding_accuracy(predicted.numpy(), meant.numpy(), delta))
    assert parts[1].merge(parts[0]).value() == whole.value()


def test_before_any_sentence_there_is_no_accuracy():
    metric = E.GroundingAccuracy(("attribute", "relation"))
    metric.update(torch.zeros(0, 4), torch.zeros(0, 4))
    assert np.isnan([metric.value(), *metric.by_kind().values()]).all()


def test_grounding_says_what_is_wrong():
    one, metric = torch.ones(1, 4), E.GroundingAccuracy()
    for predicted, meant, kinds in (
        (one, torch.ones(2, 4), None), (one[:, :3], one[:, :3], None), (one, one, ["any", "any"]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="one box for each sentence"):
            metric.update(predicted, meant, kinds)
    with pytest.raises(ValueError, match=r"\['colour'\] are not among"):
        metric.update(one, one, ["colour"])
    with pytest.raises(ValueError, match="NaN or infinite"):
        metric.update(one * float("nan"), one)
    with pytest.raises(ValueError, match="each once"):
        E.GroundingAccuracy(("a", "a"))
    with pytest.raises(ValueError, match="delta differs"):
        metric.merge(E.GroundingAccuracy(delta=0.7))
