"""Eigen-CAM: hand values, an SVD by NumPy beside it, its invariances, and where each rule for the sign fails."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_backbone import small_backbone
from torch import Tensor, nn

from wsss_lib.backbones import backbone
from wsss_lib.methods import CAM, EigenCAM, EigenCAMConfig, GradCAM, eigenvectors
from wsss_lib.methods.eigen_cam import SIGN_RULES, project
from wsss_lib.methods.eigenvectors import _subspace_iteration, eigenvector, leading_vector

SHAPES = [(2, 5, 3, 4), (2, 20, 3, 4), (1, 1, 2, 2), (3, 4, 1, 1)]  # (N, C, h, w): hw > C and hw < C


def rand(*shape: int, seed: int = 0, signed: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values if signed else values.relu()


def from_rows(rows: list[list[float]], h: int, w: int) -> Tensor:
    """O (hw × C) as features (1, C, h, w)."""
    return torch.tensor(rows, dtype=torch.float64).T.reshape(1, -1, h, w)


def svd(features: Tensor, centre: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The obvious way: (maps (N, R, h, w) of arbitrary sign, singular values (N, R))."""
    maps, values = [], []
    for image in features.numpy():
        o = image.reshape(len(image), -1).T
        if centre:
            o = o - o.mean(axis=0)
        u, s, _ = np.linalg.svd(o, full_matrices=False)
        maps.append((u * s).T.reshape(-1, *image.shape[1:]))
        values.append(s)
    return np.stack(maps), np.stack(values)


class TestHandValues:
    def test_diagonal(self) -> None:
        features = from_rows([[3, 0], [0, 4], [0, 0]], 3, 1)
        result = project(features)
        torch.testing.assert_close(result.maps.flatten(), torch.tensor([0.0, 4.0, 0.0], dtype=torch.float64))
        assert result.share.item() == pytest.approx(16 / 25)
        torch.testing.assert_close(result.direction, torch.tensor([[0.0, 1.0]], dtype=torch.float64))
        second = project(features, component=1)
        torch.testing.assert_close(second.maps.flatten(), torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64))
        assert second.share.item() == pytest.approx(9 / 25)

    def test_rank_one(self) -> None:
        features = from_rows([[1, 1], [2, 2], [0, 0], [1, 1]], 2, 2)
        result = project(features)
        expected = math.sqrt(2) * torch.tensor([[[1.0, 2.0], [0.0, 1.0]]], dtype=torch.float64)
        torch.testing.assert_close(result.maps, expected)
        assert result.maps.norm().item() == pytest.approx(math.sqrt(12))  # σ_1
        assert result.share.item() == pytest.approx(1)
        second = project(features, component=1)  # there is none: zeros, not rounding
        assert second.maps.abs().sum() == 0
        assert second.share.item() == 0

    def test_what_lies_below_rounding_is_zero_and_not_noise(self) -> None:
        generator = torch.Generator().manual_seed(0)  # numbers that rounding spoils, other than small whole ones
        features = torch.rand(3, 8, 1, 1, generator=generator) * torch.rand(3, 1, 4, 5, generator=generator)
        second = project(features, component=1)
        assert not second.maps.any()
        assert not second.share.any()

    def test_centred_rank_one(self) -> None:
        features = from_rows([[1, 1], [2, 2], [0, 0], [1, 1]], 2, 2)
        result = project(features, centre=True, sign="mean_activation")
        torch.testing.assert_close(result.maps.flatten(), math.sqrt(2) * torch.tensor([0, 1, -1, 0]).double())


class TestAgainstSVD:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("centre", [False, True])
    @pytest.mark.parametrize("solver", ["eigh", "subspace"])
    def test_every_component(self, shape: tuple[int, ...], centre: bool, solver: str) -> None:
        features = rand(*shape, signed=True)
        maps, values = svd(features, centre)
        for k in range(maps.shape[1]):
            result = project(features, component=k, centre=centre, sign="max_abs", solver=solver)  # type: ignore[arg-type]
            expected = torch.from_numpy(maps[:, k])
            expected = expected * torch.sign((result.maps * expected).sum(dim=(1, 2)))[:, None, None]
            torch.testing.assert_close(result.maps, expected, rtol=1e-6, atol=1e-6)
            share = torch.from_numpy(values[:, k] ** 2 / np.maximum((values**2).sum(1), 1e-300))
            torch.testing.assert_close(result.share, share)
            if values[:, k].min() > 1e-6:
                torch.testing.assert_close(result.direction.norm(dim=1), torch.ones(shape[0], dtype=torch.float64))
                if not centre:
                    by_direction = torch.einsum("nchw,nc->nhw", features, result.direction)
                    torch.testing.assert_close(by_direction, result.maps)

    @pytest.mark.parametrize("shape", [(2, 130, 11, 11), (2, 100, 12, 12)])
    def test_large_matrices_in_float32(self, shape: tuple[int, ...]) -> None:
        features = rand(*shape)
        oracle = torch.from_numpy(svd(features)[0])
        for k in range(2):
            expected = oracle[:, k]
            expected = expected * torch.sign(expected.sum(dim=(1, 2)))[:, None, None]
            for solver in ("eigh", "subspace", "auto"):
                result = project(features.float(), component=k, solver=solver).maps  # type: ignore[arg-type]
                assert result.dtype == torch.float32
                # From the second on this noise has near neighbours: the error is that of float32 over the gap.
                error = (result - expected).norm() / expected.norm()
                assert error < (1e-5 if k == 0 else 5e-3), (k, solver)

    def test_norm_is_the_singular_value(self) -> None:
        features = rand(2, 7, 4, 4)
        norms = project(features).maps.flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.from_numpy(svd(features)[1][:, 0]))


class TestSolvers:
    def test_subspace_iteration_says_when_it_has_not_converged(self) -> None:
        torch.manual_seed(0)
        flat = torch.diag_embed(1 + 1e-3 * torch.rand(2, 150, dtype=torch.float64))  # a hundred near-equal eigenvalues
        assert _subspace_iteration(flat, 0) is None
        expected = torch.linalg.eigh(flat).eigenvectors[..., -1]
        for solver in ("auto", "subspace"):
            result = eigenvector(flat, 0, solver)  # type: ignore[arg-type]
            torch.testing.assert_close((result * expected).sum(1).abs(), torch.ones(2, dtype=torch.float64))

    def test_subspace_iteration_converges_where_the_two_largest_are_close(self) -> None:
        values = torch.cat([torch.tensor([1.0, 1 - 1e-4]), torch.logspace(-1, -3, 148)]).double()
        basis = torch.linalg.qr(rand(150, 150, signed=True)).Q
        result = _subspace_iteration((basis * values @ basis.T)[None], 0)
        assert result is not None
        assert (result[0] @ basis[:, 0]).abs().item() == pytest.approx(1, abs=1e-9)

    def test_subspace_iteration_converges_where_there_is_one_direction_only(self) -> None:
        direction = nn.functional.normalize(rand(150), dim=0)
        result = _subspace_iteration(torch.outer(direction, direction)[None], 0)
        assert result is not None
        assert (result[0] @ direction).abs().item() == pytest.approx(1)

    @pytest.mark.parametrize("shape", [(3, 70, 200), (3, 120, 70), (2, 5, 9), (2, 1, 4)])
    def test_the_leading_vector_needs_no_gram_matrix(self, shape: tuple[int, ...]) -> None:
        """Of a falling spectrum, of one direction only, and of nothing."""
        matrix = rand(*shape) * 0.9 ** torch.arange(shape[2])
        for one in (matrix, matrix[:, :, :1] * matrix[:, :1], torch.zeros(shape, dtype=matrix.dtype)):
            vector = leading_vector(one)
            if shape[1] < 6:
                assert vector is None  # so small a matrix is left to the other solvers
                continue
            assert vector is not None
            torch.testing.assert_close(vector.norm(dim=1), torch.ones(shape[0], dtype=matrix.dtype))
            expected = eigenvector(one @ one.mT, 0, "eigh")
            if one.any():
                assert float((vector * expected).sum(dim=1).abs().min()) > 1 - 1e-12

    def test_the_leading_vector_of_two_that_are_close_is_left_to_the_others(self) -> None:
        values = torch.cat([torch.tensor([1.0, 1 - 1e-9]), torch.linspace(0.999, 0.1, 78)]).double().sqrt()
        basis = torch.linalg.qr(rand(80, 80, signed=True)).Q
        matrix = (basis * values)[None]
        assert leading_vector(matrix) is None
        features = matrix.mT.unflatten(2, (8, 10))
        torch.testing.assert_close(project(features).maps, project(features, solver="subspace").maps)

    def test_with_a_gradient_or_without_the_map_is_the_same(self) -> None:
        features = rand(2, 90, 9, 10)
        free = project(features).maps
        torch.testing.assert_close(project(features.requires_grad_()).maps.detach(), free)

    def test_the_global_generator_is_left_alone(self) -> None:
        before = torch.get_rng_state()
        first = project(rand(2, 120, 12, 12), solver="subspace").maps
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(first, project(rand(2, 120, 12, 12), solver="subspace").maps)


def scene(object_: tuple[slice, slice], ground: float = 0.0) -> tuple[Tensor, Tensor]:
    """Features (1, 4, 8, 8) of an object in two channels on a ground in two others; and the object's mask."""
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[object_] = True
    features = 0.02 * rand(1, 4, 8, 8, seed=1)
    features[:, :2] += mask
    features[:, 2:] += ground * ~mask
    return features, mask


SMALL = (slice(3, 5), slice(3, 5))
LARGE = (slice(1, 7), slice(0, 8))  # 48 of 64 cells, the middle rows


class TestSign:
    @given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
    @settings(max_examples=40, deadline=None)
    def test_perron_gives_non_negative_maps(self, n: int, c: int, h: int, w: int, seed: int) -> None:
        features = rand(n, c, h, w, seed=seed)
        result = project(features)
        assert result.maps.min() >= -1e-9 * max(1.0, features.max().item())
        assert result.direction.min() >= -1e-7

    def test_perron_does_not_depend_on_what_the_solver_returns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features = rand(2, 6, 4, 4)
        expected = project(features)
        import wsss_lib.methods.eigen_cam as module

        monkeypatch.setattr(module, "eigenvector", lambda *args: -eigenvector(*args))
        for rule in SIGN_RULES:
            flipped = project(features, sign=rule)  # type: ignore[arg-type]
            if rule in ("auto", "perron"):
                torch.testing.assert_close(flipped.maps, expected.maps)
                torch.testing.assert_close(flipped.direction, expected.direction)
            score = SIGN_RULES[rule](flipped.maps, features)
            assert (score > 0).all(), rule

    def test_perron_refuses_centred_maps(self) -> None:
        with pytest.raises(ValueError, match="a centred map sums to zero"):
            project(rand(1, 3, 3, 3), centre=True)
        with pytest.raises(ValueError, match="a centred map sums to zero"):
            EigenCAMConfig(centre=True)

    def test_perron_fails_on_signed_features_of_a_small_object(self) -> None:
        features, mask = scene(SMALL)
        result = project(features - 0.5, sign="perron")  # as behind a layer norm: no theorem, a majority vote
        assert result.maps[0][mask].mean() < result.maps[0][~mask].mean()

    def test_the_rule_follows_from_what_each_images_features_are(self) -> None:
        features, mask = scene(SMALL)
        signed = features - 0.5
        both = project(torch.cat([features, signed])).maps
        torch.testing.assert_close(both[:1], project(features, sign="perron").maps, rtol=0, atol=0)
        torch.testing.assert_close(both[1:], project(signed, sign="border").maps, rtol=0, atol=0)
        assert both[1][mask].mean() > both[1][~mask].mean()
        assert project(rand(2, 5, 2, 9, signed=True)).maps.shape == (2, 2, 9), "no rim: the majority votes"

    def test_mean_activation_is_the_sum_of_the_direction_when_centred(self) -> None:
        features = rand(20, 6, 5, 5, signed=True)
        result = project(features, centre=True, sign="mean_activation")
        unsigned = result.direction.sum(dim=1)
        assert (unsigned > 0).all()
        covariance = SIGN_RULES["mean_activation"](result.maps, features)
        lambda_ = result.maps.square().sum(dim=(1, 2))
        torch.testing.assert_close(covariance, lambda_ * unsigned / 6)

    @pytest.mark.parametrize(
        ("rule", "right", "wrong"),
        [
            ("mean_activation", scene(SMALL), scene(SMALL, ground=2.0)),  # the ground is the strongest thing
            ("max_abs", scene(SMALL), scene(LARGE)),  # the object covers more than half
            ("border", scene(SMALL), scene((slice(0, 8), slice(0, 2)))),  # the object lies along the edge
        ],
    )
    def test_where_each_rule_holds_and_fails(
        self, rule: str, right: tuple[Tensor, Tensor], wrong: tuple[Tensor, Tensor]
    ) -> None:
        for (features, mask), holds in ((right, True), (wrong, False)):
            map_ = project(features, centre=True, sign=rule).maps[0]  # type: ignore[arg-type]
            assert bool(map_[mask].mean() > 0 > map_[~mask].mean()) is holds
            assert bool(map_[mask].mean() < 0 < map_[~mask].mean()) is not holds

    def test_the_other_rules_hold_where_max_abs_fails(self) -> None:
        features, mask = scene(LARGE)
        uncentred = project(features).maps[0]
        assert uncentred[mask].min() > uncentred[~mask].max()
        centred = project(features, centre=True, sign="mean_activation").maps[0]
        assert centred[mask].min() > 0

    def test_border_by_hand_and_on_small_grids(self) -> None:
        maps = torch.zeros(1, 3, 4, dtype=torch.float64)
        maps[0, 1, 1:3] = 1
        maps[0, 0, 0] = 5
        assert SIGN_RULES["border"](maps, maps[:, None]).item() == pytest.approx(1 - 5 / 10)
        with pytest.raises(ValueError, match="at least 3 × 3, got 2 × 9"):
            project(rand(1, 3, 2, 9), sign="border")


class TestInvariances:
    @given(st.integers(0, 10**6), st.sampled_from(["perron", "max_abs", "border"]), st.booleans())
    @settings(max_examples=20, deadline=None)
    def test_permuting_and_rotating_channels(self, seed: int, rule: str, centre: bool) -> None:
        sign = "border" if centre and rule == "perron" else rule
        features = rand(2, 6, 4, 5, seed=seed)
        options = {"sign": sign, "centre": centre}
        expected = project(features, **options).maps  # type: ignore[arg-type]
        permuted = features[:, torch.randperm(6, generator=torch.Generator().manual_seed(seed))]
        torch.testing.assert_close(project(permuted, **options).maps, expected, rtol=1e-6, atol=1e-6)  # type: ignore[arg-type]
        rotation = torch.linalg.qr(rand(6, 6, seed=seed + 1, signed=True)).Q
        rotated = torch.einsum("nchw,cd->ndhw", features, rotation)
        torch.testing.assert_close(project(rotated, **options).maps, expected, rtol=1e-6, atol=1e-6)  # type: ignore[arg-type]

    @pytest.mark.parametrize("rule", [r for r in SIGN_RULES if r != "border"])
    def test_permuting_positions_permutes_the_map(self, rule: str) -> None:
        features = rand(2, 6, 4, 5)
        order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
        moved = features.flatten(2)[..., order].unflatten(2, (4, 5))
        expected = project(features, sign=rule).maps.flatten(1)[:, order].unflatten(1, (4, 5))  # type: ignore[arg-type]
        torch.testing.assert_close(project(moved, sign=rule).maps, expected)  # type: ignore[arg-type]

    @pytest.mark.parametrize("rule", list(SIGN_RULES))
    def test_flips(self, rule: str) -> None:
        features = rand(2, 6, 4, 5)
        for dims in ((2,), (3,), (2, 3)):
            expected = project(features, sign=rule).maps.flip([d - 1 for d in dims])  # type: ignore[arg-type]
            torch.testing.assert_close(project(features.flip(dims), sign=rule).maps, expected)  # type: ignore[arg-type]

    def test_a_batch_is_its_images(self) -> None:
        for shape in ((5, 6, 4, 5), (3, 130, 11, 11)):
            features = rand(*shape)
            one_by_one = torch.cat([project(f[None]).maps for f in features])
            torch.testing.assert_close(project(features).maps, one_by_one)

    def test_scale(self) -> None:
        features = rand(2, 6, 4, 5).float()
        expected = project(features)
        for factor in (1e25, 1e-25):  # their squares leave float32
            result = project(features * factor)
            torch.testing.assert_close(result.maps / factor, expected.maps)
            torch.testing.assert_close(result.share, expected.share)


class TestNumbers:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_nan_is_an_error_not_zero(self, bad: float) -> None:
        features = rand(3, 4, 3, 3)
        features[1, 2, 0, 1] = bad
        for centre in (False, True):
            with pytest.raises(ValueError, match=r"image 1 of the batch \(1 in all\) are NaN or infinite"):
                project(features, centre=centre, sign="max_abs")

    def test_empty_batch(self) -> None:
        for rule in SIGN_RULES:
            assert project(rand(0, 5, 3, 4), sign=rule).maps.shape == (0, 3, 4)  # type: ignore[arg-type]

    def test_zero_features_give_zero_beside_others(self) -> None:
        features = rand(2, 4, 3, 3)
        features[0] = 0
        for shape in (features, features[:, :, :1, :1]):
            result = project(shape.requires_grad_(False))
            assert result.maps[0].abs().sum() == 0
            assert result.share[0] == 0
            assert result.maps[1].norm() > 0

    def test_constant_channels_have_no_centred_component(self) -> None:
        features = torch.full((1, 7, 5, 5), 0.1) * torch.arange(1.0, 8.0).view(1, 7, 1, 1)
        assert project(features, centre=True, sign="max_abs").maps.abs().sum() == 0

    def test_half_precision_is_computed_in_float32(self) -> None:
        features = rand(1, 6, 4, 4).half()
        result = project(features)
        assert result.maps.dtype == torch.float32
        torch.testing.assert_close(result.maps, project(features.float()).maps)

    def test_autocast_does_not_reach_inside(self) -> None:
        features = rand(2, 40, 5, 5).float()
        expected = project(features).maps
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(project(features).maps, expected)

    def test_arguments(self) -> None:
        features = rand(1, 3, 4, 4)
        with pytest.raises(ValueError, match="sign is 'plus', expected one of auto, perron"):
            project(features, sign="plus")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="component is 3, but 3 channels on 4 × 4 cells have 3"):
            project(features, component=3)
        with pytest.raises(ValueError, match="component is -1"):
            project(features, component=-1)
        with pytest.raises(ValueError, match="solver is 'svd'"):
            project(features, solver="svd")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"expected \(N, C, h, w\)"):
            project(features[0])


class TestGradient:
    @pytest.mark.parametrize("shape", [(2, 3, 2, 2), (2, 5, 2, 2)])
    @pytest.mark.parametrize("solver", ["eigh", "subspace"])
    @pytest.mark.parametrize(("component", "centre"), [(0, False), (1, False), (0, True)])
    def test_gradcheck(self, shape: tuple[int, ...], solver: str, component: int, centre: bool) -> None:
        features = rand(*shape, seed=3, signed=True).requires_grad_()

        def function(x: Tensor) -> tuple[Tensor, ...]:
            return tuple(project(x, component=component, centre=centre, sign="max_abs", solver=solver))  # type: ignore[arg-type]

        assert torch.autograd.gradcheck(function, (features,))

    def test_dead_channels_and_empty_cells_do_not_poison_it(self) -> None:
        """Equal other eigenvalues (zeros, here) turn the derivative of eigh into NaN, not this one."""
        features = rand(1, 6, 3, 3, seed=2)
        features[:, 1:4] = 0
        features = features.requires_grad_()
        assert torch.autograd.gradcheck(lambda x: project(x).maps, (features,))
        eigen = torch.linalg.eigh(features.flatten(2)[0] @ features.flatten(2)[0].mT).eigenvectors[:, -1]
        (naive,) = torch.autograd.grad(eigen[0], features)
        assert naive.isnan().any()

    def test_equal_leading_eigenvalues_and_zero_features_stay_finite(self) -> None:
        equal = from_rows([[1, 0], [0, 1], [0, 0]], 3, 1)
        for features in (equal, torch.zeros(1, 3, 4, 4, dtype=torch.float64)):
            features.requires_grad_()
            (gradient,) = torch.autograd.grad(project(features).maps.sum(), features)
            assert gradient.isfinite().all()

    def test_grows_as_the_gap_closes(self) -> None:
        norms = []
        for gap in (1e-1, 1e-2, 1e-3):
            features = from_rows([[1 + gap, 0], [0, 1], [0, 0]], 3, 1).requires_grad_()
            (gradient,) = torch.autograd.grad(project(features).maps[0, 1, 0], features)
            norms.append(gradient.norm().item())
        assert norms[1] / norms[0] == pytest.approx(10, rel=0.1)
        assert norms[2] / norms[1] == pytest.approx(10, rel=0.1)


def cam(seed: int = 0) -> CAM:
    return CAM(small_backbone(seed), 3).double().eval()


class TestModule:
    images = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def test_the_head_does_not_matter(self) -> None:
        model, layer = cam(), "backbone.blocks.stage3"
        eigen, gradient = EigenCAM(model, layer), GradCAM(model, layer)
        before = eigen.localize(self.images), gradient.localize(self.images)
        nn.init.normal_(model.head.weight)
        torch.testing.assert_close(eigen.localize(self.images), before[0], rtol=0, atol=0)
        assert (gradient.localize(self.images) - before[1]).abs().max() > 0.1

    def test_a_layer_that_is_not_there_is_refused_at_once(self) -> None:
        with pytest.raises(ValueError, match=r"CAM has no layer named 'blocks\.stage3'.*backbone\.blocks\.stage3"):
            EigenCAM(cam(), "blocks.stage3")
        with pytest.raises(ValueError, match="the layer Linear is not part of the model CAM"):
            EigenCAM(cam(), nn.Linear(2, 2))

    def test_labels_copy_one_map_to_the_present_classes(self) -> None:
        method = EigenCAM(cam().backbone)
        free = method.localize(self.images)
        assert free.shape == (2, 1, 6, 8)
        assert free.min() >= 0
        assert free.amax(dim=(1, 2, 3)).tolist() == [1, 1]
        labels = torch.tensor([[1, 0, 1], [0, 0, 0]])
        torch.testing.assert_close(method.localize(self.images, labels), free * labels[..., None, None])
        with pytest.raises(ValueError, match="expected multi-hot"):
            method.localize(self.images, labels[:1])

    def test_backbone_stage_path_module_and_plain_tensor_agree(self) -> None:
        model = cam()
        expected = project(model.features(self.images)).maps
        expected = (expected / expected.amax(dim=(1, 2), keepdim=True)).relu()[:, None]
        for method in (
            EigenCAM(model.backbone),
            EigenCAM(model.backbone, "stage3"),
            EigenCAM(model, "backbone.blocks.stage3"),
            EigenCAM(model, model.backbone.blocks["stage3"]),
            EigenCAM(nn.Sequential(*model.backbone.blocks.values())),
        ):
            last = method.model
            images = model.backbone.normalise(self.images) if isinstance(last, nn.Sequential) else self.images
            torch.testing.assert_close(method.localize(images), expected)
        assert EigenCAM(model.backbone, "stage1").localize(self.images).shape == (2, 1, 12, 16)

    def test_settings_arrive(self) -> None:
        model = cam()
        features = model.features(self.images)
        config = EigenCAMConfig(centre=True, sign="max_abs", component=1, normalisation="minmax", solver="eigh")
        result = EigenCAM(model.backbone, config=config).localize(self.images)[:, 0]
        maps = project(features, centre=True, sign="max_abs", component=1, solver="eigh").maps
        low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(result, (maps - low) / (high - low))
        assert EigenCAMConfig.paper() == EigenCAMConfig(normalisation="minmax")
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.centre = False  # type: ignore[misc]

    def test_modes_are_restored_and_nothing_is_counted(self) -> None:
        model = cam().train()
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        expected = EigenCAM(cam().backbone).localize(self.images)
        for method in (EigenCAM(model.backbone), EigenCAM(model, "backbone.blocks.stage3")):
            torch.testing.assert_close(method.localize(self.images), expected)
        with pytest.raises(ValueError, match="expected"):
            EigenCAM(model, "backbone.blocks.stage3").localize(self.images[:, :2])
        assert all(m.training for m in model.modules())
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        assert not any(m._forward_hooks for m in model.modules())

    def test_differentiable_to_the_images(self) -> None:
        images = self.images.clone().requires_grad_()
        maps = EigenCAM(cam().backbone).localize(images)
        (gradient,) = torch.autograd.grad(maps.square().sum(), images)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0

    def test_two_objects_make_one_map(self) -> None:
        features = torch.zeros(1, 3, 6, 6, dtype=torch.float64)
        features[:, 0, 1:3, 1:3] = 1  # one kind of object
        features[:, 1, 4:6, 4:6] = 1  # another kind
        features[:, 2] = features[:, :2].sum(dim=1)  # what both have in common
        model = EigenCAM(nn.Identity())
        maps = model.localize(features, torch.ones(1, 2))
        assert torch.equal(maps[:, 0], maps[:, 1])
        assert maps[0, 0, 1:3, 1:3].min() > 0.9
        assert maps[0, 0, 4:6, 4:6].min() > 0.9
        assert maps[0, 0].sum() == pytest.approx(8, abs=1e-6)

    @pytest.mark.parametrize("layer", ["blocks.1", "blocks.1.norm1"])
    def test_tokens_of_a_transformer(self, layer: str) -> None:
        timm = pytest.importorskip("timm")
        torch.manual_seed(0)
        vit = timm.models.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=5
        ).eval()
        images = torch.rand(2, 3, 32, 32)
        result = EigenCAM(vit, layer, EigenCAMConfig(centre=True, sign="border")).localize(images)
        assert result.shape == (2, 1, 4, 4)
        tokens = []
        handle = vit.get_submodule(layer).register_forward_hook(lambda m, i, o: tokens.append(o))
        vit(images)
        handle.remove()
        grid = tokens[0][:, 1:].transpose(1, 2).unflatten(2, (4, 4)).detach()
        maps = project(grid, centre=True, sign="border").maps.relu()
        torch.testing.assert_close(result[:, 0].detach(), maps / maps.amax(dim=(1, 2), keepdim=True))

    def test_the_books_transformer(self) -> None:
        torch.manual_seed(0)
        net = backbone("tiny_vit", dim=24, depth=2, heads=2)
        with torch.no_grad():
            side = 96 // net.strides[net.stages[-1]]
            assert EigenCAM(net).localize(torch.rand(1, 3, 96, 96)).shape == (1, 1, side, side)


def test_dead_channels_do_not_stop_the_decomposition() -> None:
    """Most rows of the Gram matrix are zero: float32's eigh may give up on such a matrix, float64's does not."""
    generator = torch.Generator().manual_seed(0)
    alive = torch.rand(3, 100, 20, generator=generator)
    matrix = torch.cat([alive, torch.zeros(3, 100, 44)], dim=2)
    gram = matrix.mT @ matrix
    result = eigenvector(gram, 0, "eigh")
    assert result.dtype == gram.dtype
    exact = torch.linalg.eigh(gram.double()).eigenvectors[..., -1].float()
    torch.testing.assert_close((result * exact).sum(1).abs(), torch.ones(3))


class OnMPS(Tensor):
    """A tensor that says it is on Apple's GPU, and has no float64 as long as it is."""

    device = property(lambda self: torch.device("mps"))  # type: ignore[assignment]

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)

    def double(self) -> Tensor:
        raise TypeError("MPS has no float64")


def test_a_device_without_float64_asks_the_cpu() -> None:
    features = rand(2, 30, 8, signed=True).float()
    gram = features.mT @ features
    values, vectors = eigenvectors._eigh(gram.as_subclass(OnMPS))
    expected = torch.linalg.eigh(gram.double())
    torch.testing.assert_close(values.as_subclass(Tensor), expected.eigenvalues.float())
    torch.testing.assert_close(vectors.as_subclass(Tensor).abs(), expected.eigenvectors.float().abs())
