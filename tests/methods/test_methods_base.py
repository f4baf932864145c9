"""Looking inside somebody else's network, and leaving it as it was."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import Tensor, nn

from wsss_lib.methods.taps import check_labels, evaluating, find_layer, finish, only, tapped, to_grid


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(inplace=True), nn.Dropout()))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


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


class TestFindLayer:
    def test_by_path_and_by_module(self) -> None:
        model = network()
        assert find_layer(model, "2.0") is model[2][0]
        assert find_layer(model, model[1]) is model[1]

    @pytest.mark.parametrize("name", ["layer5", "", "2.7"])
    def test_unknown_path(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"no layer named.*for example"):
            find_layer(network(), name)

    def test_suggests_what_is_near(self) -> None:
        model = nn.Module()
        model.layer3, model.layer4 = nn.ReLU(), nn.ReLU()
        with pytest.raises(ValueError, match="layer4"):
            find_layer(model, "layer5")

    def test_stranger(self) -> None:
        with pytest.raises(ValueError, match="not part of the model"):
            find_layer(network(), nn.ReLU())


class TestTapped:
    def test_in_place_operation_behind_does_not_change_what_was_collected(self) -> None:
        model = network().eval()
        x = torch.randn(2, 3, 8, 8)
        expected = model[1](model[0](x))
        plain = model(x)
        with tapped(model, "1") as collected:
            through = model(x)
        assert (expected < 0).any()
        torch.testing.assert_close(collected[0], expected, rtol=0, atol=0)
        torch.testing.assert_close(through, plain, rtol=0, atol=0)

    def test_hook_is_gone_afterwards_even_when_the_forward_pass_raises(self) -> None:
        model, seen = network(), []
        model[0].register_forward_pre_hook(lambda *_: seen.append(hooks(model)))
        with pytest.raises(RuntimeError), tapped(model, "1"):
            model(torch.randn(2, 5, 8, 8))
        assert seen == [2]  # this test's own and the tap
        assert hooks(model) == 1

    def test_tuples_named_tuples_and_dictionaries(self) -> None:
        pair = namedtuple("pair", "features rest")

        class Wrap(nn.Module):
            def __init__(self, kind: str) -> None:
                super().__init__()
                self.kind = kind

            def forward(self, x: Tensor) -> object:
                return {"tuple": (x, 7), "named": pair(x, 7), "dict": {"last": x}, "two": {"a": x, "b": x}}[self.kind]

        x = torch.randn(1, 2)
        for kind in ("tuple", "named", "dict"):
            model = nn.Sequential(Wrap(kind))
            with tapped(model, "0") as collected:
                output = model(x)
            torch.testing.assert_close(collected[0], x)
            found = output["last"] if kind == "dict" else output[0]
            torch.testing.assert_close(found, x)
            if kind == "named":
                assert output.rest == 7
        model = nn.Sequential(Wrap("two"))
        with pytest.raises(ValueError, match="returned dict, expected a tensor"), tapped(model, "0"):
            model(x)

    def test_only_one_run_is_unambiguous(self) -> None:
        with pytest.raises(ValueError, match="did not run"):
            only([], "layer4")
        with pytest.raises(ValueError, match="ran 2 times"):
            only([torch.zeros(1), torch.zeros(1)], nn.ReLU())
        assert only([found := torch.zeros(1)], "layer4") is found


class TestToGrid:
    def test_cnn_features_stay(self) -> None:
        features = torch.randn(2, 5, 3, 4)
        assert to_grid(features, (30, 40)) is features

    @pytest.mark.parametrize("extra", [0, 1, 2, 5])
    def test_tokens_in_reading_order_without_the_first_ones(self, extra: int) -> None:
        grid = torch.arange(2 * 7 * 4 * 6.0).view(2, 7, 4, 6)  # (N, C, h, w)
        tokens = torch.cat([torch.full((2, extra, 7), -1.0), grid.flatten(2).transpose(1, 2)], dim=1)
        torch.testing.assert_close(to_grid(tokens, (64, 96)), grid)

    def test_given_grid(self) -> None:
        tokens = torch.arange(13.0).view(1, 13, 1)
        found = to_grid(tokens, (100, 100), grid=(3, 4))  # no square, as the image would suggest
        assert found.flatten().tolist() == list(range(1, 13))
        with pytest.raises(ValueError, match="needs 20 tokens, the layer gave 13"):
            to_grid(tokens, (100, 100), grid=(4, 5))

    def test_tokens_that_are_no_grid(self) -> None:
        with pytest.raises(ValueError, match=r"pass grid=\(rows, columns\)"):
            to_grid(torch.zeros(1, 31, 4), (64, 64))
        with pytest.raises(ValueError, match="no grid of the aspect ratio"):
            to_grid(torch.zeros(1, 4, 4), (64, 63))

    def test_reshape_comes_first(self) -> None:
        features = torch.randn(2, 3, 4, 5)
        swapped = to_grid(features, (0, 0), reshape=lambda x: x.permute(0, 3, 1, 2))
        assert swapped.shape == (2, 5, 3, 4)

    def test_vectors_are_no_features(self) -> None:
        with pytest.raises(ValueError, match="choose an earlier layer"):
            to_grid(torch.zeros(2, 10), (64, 64))


class TestLabelsAndFinish:
    @pytest.mark.parametrize("shape", [(2,), (3, 4), (2, 5)])
    def test_labels_of_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"expected multi-hot \(2, 4\).*one_hot"):
            check_labels(torch.zeros(shape), torch.zeros(2, 3, 8, 8), 4)

    def test_any_positive_label_counts(self) -> None:
        present = check_labels(torch.tensor([[1.0, 0.0, 0.3]]), torch.zeros(1, 3, 8, 8), 3)
        assert present.tolist() == [[True, False, True]]

    def test_max_cuts_below_zero_and_minmax_stretches(self) -> None:
        maps = torch.tensor([[[[-2.0, 0.0], [1.0, 2.0]]]])
        assert finish(maps, "max").flatten().tolist() == [0.0, 0.0, 0.5, 1.0]
        assert finish(maps, "minmax").flatten().tolist() == [0.0, 0.5, 0.75, 1.0]

    def test_exact_at_any_scale(self) -> None:
        maps = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]])
        assert finish(maps * 1e-9, "max").flatten().tolist() == pytest.approx([0.0, 0.25, 0.5, 1.0])

    def test_absent_classes_are_zero(self) -> None:
        maps = torch.rand(1, 2, 2, 2)
        found = finish(maps, "max", torch.tensor([[False, True]]))
        assert found[0, 0].abs().sum() == 0
        assert found[0, 1].max() == 1
