"""How wrong class scores are. Hand values of each loss stand in the tests of the methods that use it first."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.methods import losses


def softmax_classification(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return losses.classification_loss(logits, labels > 0, "softmax").mean()


@pytest.mark.parametrize("loss", [losses.softmax_cross_entropy, softmax_classification])
@pytest.mark.parametrize("wrong", [[0.0, 0, 0], [1.0, 0, 1]])
def test_labels_without_exactly_one_class_never_give_a_number(loss, wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = torch.randn(2, 3), torch.tensor([[0.0, 1, 0], wrong])
    with pytest.raises(ValueError, match="exactly one"):
        loss(logits, labels)
    monkeypatch.setattr(losses, "AT_HAND", set())  # as on a GPU, where to look would be to wait
    assert loss(logits, labels).isnan()
    assert loss(logits[:1], labels[:1]).isfinite()


def test_half_precision_becomes_single_and_double_stays() -> None:
    dtypes = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float64}
    for given, expected in dtypes.items():
        assert losses.precise(torch.ones(1, dtype=given)).dtype == expected
    values = torch.ones(1)
    assert losses.precise(values) is values
