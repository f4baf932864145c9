"""A mode that is changed for a while is given back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsss_lib.modes import default_dtype, evaluating


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(inplace=True), nn.Dropout()))


class TestEvaluating:
    def test_restores_each_module_not_only_the_root(self) -> None:
        model = network().train()
        model[1].eval()  # frozen batch norm in a training model
        before = [m.training for m in model.modules()]
        with evaluating(model):
            assert not any(m.training for m in model.modules())
        assert [m.training for m in model.modules()] == before
        assert before.count(False) == 1

    def test_restores_after_an_exception(self) -> None:
        model = network().train()
        with pytest.raises(RuntimeError, match="inside"), evaluating(model):
            raise RuntimeError("inside")
        assert all(m.training for m in model.modules())

    def test_does_not_call_train_of_the_model(self) -> None:
        class Busy(nn.Module):
            def train(self, mode: bool = True) -> Busy:
                raise AssertionError("train() was called")

        with evaluating(model := Busy()):
            assert not model.training
        assert model.training


def test_the_type_of_new_tensors_is_given_back() -> None:
    def fails() -> None:
        with default_dtype(torch.float64):
            assert torch.zeros(1).dtype == torch.float64
            raise RuntimeError("inside")

    before = torch.get_default_dtype()
    with pytest.raises(RuntimeError, match="inside"):
        fails()
    assert torch.get_default_dtype() == before
