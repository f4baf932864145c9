"""MARS before training: clusters within masks, distances to all backgrounds, what is dropped."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.refine import CRFSettings
from wsss_lib.segment import CentredFeatures, DebiasConfig, Provenance, PseudoLabels, cluster, debias
from wsss_lib.segment.debiasing import (
    debiased_centroids,
    debiased_labels,
    labels_on_grid,
    mean_distance,
    target_similarity,
)
from wsss_lib.segment.kmeans import spherical_kmeans

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
import mars_slow

HOW = Provenance("cam", "none", 0, {"background": 0.2})


def test_a_distance_by_hand_and_through_the_sum_of_unit_vectors():
    backgrounds = torch.tensor([[0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    units = nn.functional.normalize(backgrounds, dim=1)
    each = [mean_distance(torch.tensor([[1.0, 0.0]]), unit) for unit in units]
    assert [round(float(value), 4) for value in each] == [0.5, 0.1464, 1.0]
    assert float(mean_distance(torch.tensor([[1.0, 0.0]]), units.mean(0))) == pytest.approx(0.5488, abs=1e-4)
    torch.manual_seed(0)
    vectors, others = torch.randn(5, 7), torch.randn(11, 7)
    fast = mean_distance(vectors, nn.functional.normalize(others, dim=1).mean(0))
    slow = torch.tensor([mars_slow.mean_distance(v, others) for v in vectors])
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(mean_distance(7 * vectors, nn.functional.normalize(others, dim=1).mean(0)), fast)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_clusters_are_those_of_the_loop_image_by_image(k):
    torch.manual_seed(k)
    features = torch.randn(4, 12, 5)
    inside = torch.rand(4, 12) < 0.7
    inside[2] = False
    inside[3] = False
    inside[3, 4] = True
    centroids, assigned = spherical_kmeans(features, inside, k)
    assert centroids.shape == (4, k, 5)
    for row in range(4):
        used = [c for c in centroids[row] if bool(c.any())]
        if not bool(inside[row].any()):
            assert not used
            assert (assigned[row] == -1).all()
            continue
        expected, at = mars_slow.kmeans(features[row][inside[row]], k)
        torch.testing.assert_close(torch.stack(used).double(), torch.stack(expected), rtol=1e-4, atol=1e-5)
        assert assigned[row][inside[row]].tolist() == at
        assert (assigned[row][~inside[row]] == -1).all()
    scaled, same = spherical_kmeans(7 * features, inside, k)
    torch.testing.assert_close(scaled, centroids)
    assert torch.equal(same, assigned)


def test_a_mask_smaller_than_the_number_of_clusters_has_fewer():
    features = torch.eye(3)[None]  # three places, each its own direction
    centroids, _ = spherical_kmeans(features, torch.tensor([[True, False, True]]), 3)
    assert centroids.any(2).sum() == 2
    alike, _ = spherical_kmeans(torch.ones(1, 6, 3), torch.ones(1, 6, dtype=torch.bool), 2)
    assert alike.any(2).sum() == 1, "equal points are one cluster"


def test_the_share_of_centroids_by_hand():
    vectors = torch.arange(10.0)[:, None].expand(10, 2)
    distances = torch.linspace(0, 1, 10)
    classes = torch.zeros(10, dtype=torch.int64)
    targets, chosen = debiased_centroids(vectors, classes, distances, 2, 0.4)
    assert chosen.tolist() == [False] * 6 + [True] * 4, "⌈0.4 · 5 · 2⌉ = 4, the farthest"
    assert targets[0].tolist() == [7.5, 7.5]
    assert not targets[1].any(), "a class without centroids has none"
    for share, count in ((0.01, 1), (0.3, 3), (0.41, 5), (1, 10)):
        assert int(debiased_centroids(vectors, classes, distances, 1, share)[1].sum()) == count


def test_what_a_pixel_keeps_by_hand():
    masks = torch.tensor([[[0, 0, 2, 2, 255]]])
    kept = torch.tensor([[[True, False, True, False, False]]])
    assert debiased_labels(masks, kept).tolist() == [[[0, 0, 2, 255, 255]]]


def test_similarity_is_that_of_the_loop_and_asks_only_for_classes_of_the_image():
    torch.manual_seed(1)
    features, targets = torch.randn(2, 4, 3, 5), torch.randn(3, 4)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    fast = target_similarity(features, targets, labels)
    slow = torch.stack([mars_slow.similarity(f, targets, row) for f, row in zip(features, labels, strict=True)])
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    assert not fast[1].any(), "an image without a class keeps nothing"
    torch.testing.assert_close(target_similarity(7 * features, targets, labels), fast)


class Told(nn.Module):
    """Features that know three things: ground, animal, companion; the colour of each image says which is where."""

    def forward(self, images):
        grid = nn.functional.interpolate(images, (8, 8), mode="nearest-exact")
        ground = torch.ones_like(grid[:, :1])
        return torch.cat([ground - grid[:, :1], grid[:, :1], 0.6 * ground * grid[:, 1:2] - 0.2], dim=1)


def scene():
    """Six images: an animal (red) on the left, a companion (green) in the middle, labelled together; ground right."""
    world = Critters(World(size=32), "train", 6)
    images = torch.zeros(6, 3, 32, 32)
    images[:, 0, :, :12] = 1
    images[:, 1, :, 12:20] = 1
    masks = torch.zeros(6, 32, 32, dtype=torch.int64)
    masks[:, :, :20] = world.labels.argmax(1)[:, None, None] + 1

    class Painted(Critters):
        def batch(self, indices):
            rows = torch.as_tensor(list(indices))
            return super().batch(rows) | {"images": images[rows]}

    painted = Painted(World(size=32), "train", 6)
    return PseudoLabels(painted, list(masks), HOW), masks


def test_what_resembles_the_grounds_is_dropped_and_nothing_else():
    labels, masks = scene()
    kept = cluster(labels, Told(), batch_size=4)
    assert sorted(kept.images.tolist()) == sorted(list(range(6)) * 2)
    far = kept.distances[kept.chosen]
    assert float(far.min()) > float(kept.distances[~kept.chosen].max())
    cleaned = debias(labels, Told(), kept, batch_size=4)
    for number in range(6):
        mask = cleaned.masks[number].long()
        assert torch.equal(mask[:, :12], masks[number][:, :12]), "the animal stays"
        assert (mask[:, 14:20] == 255).all(), "the companion is dropped"
        assert not mask[:, 20:].any(), "the background stays"
    assert cleaned.provenance.thresholds == {"background": 0.2, "debiasing": 0.5, "share": 0.4}
    everything = debias(labels, Told(), kept.with_share(1.0), DebiasConfig(threshold=0.0))
    assert cleaned.coverage() < everything.coverage()
    crf = DebiasConfig(refinement=CRFSettings.irn().resized(0.1))
    assert debias(labels, Told(), kept, crf).coverage() <= 1


def test_batches_do_not_matter():
    labels, _ = scene()
    one, other = cluster(labels, Told(), batch_size=2), cluster(labels, Told(), batch_size=6)
    orders = [torch.argsort(c.images * 10 + c.distances, stable=True) for c in (one, other)]
    torch.testing.assert_close(one.centroids[orders[0]], other.centroids[orders[1]])
    torch.testing.assert_close(one.targets, other.targets)


def test_labels_that_name_nothing_are_refused():
    labels, _ = scene()
    empty = PseudoLabels(labels.parent, [torch.full((32, 32), 255)] * 6, HOW)
    with pytest.raises(ValueError, match="no pixel of any class"):
        cluster(empty, Told())


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"clusters": 0}, {"backgrounds": 0}, {"share": 0.0}, {"share": 1.1}, {"threshold": -0.1}):
        with pytest.raises(ValueError, match="expected at least one cluster"):
            DebiasConfig(**wrong)
    assert replace(DebiasConfig(), share=1.0).share == 1


def test_features_are_centred_over_the_images_and_have_both_signs():
    records = Critters(World(size=32), "train", 8)
    torch.manual_seed(0)
    features = CentredFeatures.of(backbone("tiny_cnn", widths=(4, 6, 8, 10)), records, batch_size=3).eval()
    grid = features(records.batch(range(8))["images"])
    assert grid.shape == (8, 10, 8, 8)
    assert float(grid.mean((0, 2, 3)).abs().max()) < 1e-5
    assert (grid < 0).any()
    assert not any(p.requires_grad for p in features.parameters())


def test_masks_on_a_grid_are_read_in_the_middle_of_each_cell():
    masks = torch.arange(16).view(1, 1, 16).expand(1, 4, 16)
    assert labels_on_grid(masks, torch.zeros(1, 2, 1, 4))[0, 0].tolist() == [2, 6, 10, 14]
    assert math.isclose(float(labels_on_grid(torch.full((1, 5, 7), 255), torch.zeros(1, 1, 3, 3)).float().mean()), 255)
