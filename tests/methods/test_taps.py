"""Looking inside somebody else's network, and leaving it as it was."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import convnext_tiny, swin_t

from wsss_lib.methods import EigenCAM, GradCAM, GradCAMPlusPlus
from wsss_lib.methods.taps import find_layer, grid_of, only, tapped, to_grid


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(inplace=True), nn.Dropout()))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


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

    def test_a_list_of_layers(self) -> None:
        model = network()
        with pytest.raises(ValueError, match=r"of type list, expected one layer.*without a list"):
            find_layer(model, [model[0]])  # type: ignore[arg-type]

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
        model, counts = network(), []
        model[0].register_forward_pre_hook(lambda *_: counts.append(hooks(model)))
        with pytest.raises(RuntimeError), tapped(model, "1"):
            model(torch.randn(2, 5, 8, 8))
        assert counts == [2]  # this test's own and the tap
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
            result = output["last"] if kind == "dict" else output[0]
            torch.testing.assert_close(result, x)
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
        assert only([result := torch.zeros(1)], "layer4") is result


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
        result = to_grid(tokens, (100, 100), grid=(3, 4))  # no square, as the image would suggest
        assert result.flatten().tolist() == list(range(1, 13))
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

    @pytest.mark.parametrize(
        ("size", "grid"),
        [((224, 224), (7, 7)), ((224, 448), (7, 14)), ((225, 190), (15, 12)), ((20, 100), (1, 3)), ((100, 20), (3, 1))],
    )
    def test_channels_last_features_are_recognised(self, size: tuple[int, int], grid: tuple[int, int]) -> None:
        features = torch.randn(2, *grid, 96)
        torch.testing.assert_close(to_grid(features, size), features.permute(0, 3, 1, 2), rtol=0, atol=0)

    @pytest.mark.parametrize(
        ("shape", "size"),
        [
            ((2, 768, 7, 7), (224, 224)),
            ((2, 7, 7, 7), (224, 224)),  # both readings fit: the usual one
            ((2, 16, 12, 5), (64, 64)),  # neither does
            ((2, 8, 1, 1), (64, 64)),
            ((2, 5, 4, 6), (33, 49)),  # padded strides
        ],
    )
    def test_other_features_stay(self, shape: tuple[int, ...], size: tuple[int, int]) -> None:
        features = torch.randn(shape)
        assert to_grid(features, size) is features

    @pytest.mark.parametrize(
        ("channels", "last"), [(24, True), (25, True), (26, False), (30, False), (31, True), (32, True)]
    )
    def test_the_usual_reading_stays_where_both_sides_may_have_one_stride(self, channels: int, last: bool) -> None:
        """14 cells on 224 pixels have strides from 224 / 15 to 224 / 13, as 26 to 30 cells on 448 pixels may have."""
        features = torch.randn(1, 7, 14, channels)
        assert torch.equal(to_grid(features, (224, 448)), features.permute(0, 3, 1, 2) if last else features)

    def test_a_given_grid_decides_the_layout(self) -> None:
        features = torch.randn(1, 4, 4, 4, requires_grad=True)
        assert to_grid(features, (64, 64), grid=(4, 4)) is features
        assert to_grid(torch.randn(1, 3, 5, 9), (64, 64), grid=(3, 5)).shape == (1, 9, 3, 5)

    def test_windows_are_not_images(self) -> None:
        with pytest.raises(ValueError, match="64 grids for 1 images"):
            grid_of(torch.zeros(64, 49, 6), torch.zeros(1, 3, 224, 224))


class TestOtherLayouts:
    """Networks that keep channels last: maps lie on the grid, as they do with reshape=."""

    def test_swins_norm(self) -> None:
        torch.manual_seed(0)
        model, images = swin_t(weights=None).eval(), torch.rand(2, 3, 96, 64)
        labels = torch.nn.functional.one_hot(torch.tensor([3, 5]), 1000)
        for method in (GradCAM, GradCAMPlusPlus):
            plain = method(model, "norm", normalisation="minmax").localize(images, labels)
            assert plain.shape == (2, 1000, 3, 2)
            reshaped = method(model, "norm", normalisation="minmax", reshape=lambda x: x.permute(0, 3, 1, 2))
            torch.testing.assert_close(plain, reshaped.localize(images, labels))
        assert EigenCAM(model, "features").localize(images).shape == (2, 1, 3, 2)

    def test_convnexts_inner_layers(self) -> None:
        torch.manual_seed(0)
        model, images = convnext_tiny(weights=None).eval(), torch.rand(1, 3, 64, 64)
        inner = EigenCAM(model, "features.1.0.block.2").localize(images)  # the layer norm of a block: (1, 16, 16, 96)
        outer = EigenCAM(model, "features.1.0").localize(images)
        assert inner.shape == outer.shape == (1, 1, 16, 16)
