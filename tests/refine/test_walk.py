import pytest
import refine_slow
import torch
from largest import Largest
from skimage.segmentation import random_walker

from wsss_lib.refine import (
    affinity_loss,
    boundary_affinities,
    feature_affinities,
    pair_offsets,
    random_walk,
    table_bytes,
)
from wsss_lib.refine.walk import distances_after


def scene(n=2, k=3, h=5, w=7, c=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return draw(n, k, h, w), 2 * draw(n, c, h, w)


def test_offsets_are_as_many_as_the_papers_have():
    assert [len(pair_offsets(r)) for r in (1.5, 5, 10)] == [4, 34, 152]
    assert pair_offsets(1.2) == ((0, 1), (1, 0))
    both = {*pair_offsets(5), *((-y, -x) for y, x in pair_offsets(5))}
    assert len(both) == 68
    with pytest.raises(ValueError, match="more than 1"):
        pair_offsets(1)


@pytest.mark.parametrize(("affinity", "power", "steps"), [(0.5, 1, 1), (0.9, 8, 64), (0.0, 3, 5), (1.0, 2, 1)])
def test_two_pixels_by_hand(affinity, power, steps):
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64).view(1, 1, 1, 2)
    plane = torch.tensor([affinity, 0.0], dtype=torch.float64).view(1, 1, 1, 2)
    walked = random_walk(scores, plane, ((0, 1),), steps=steps, power=power).flatten()
    a = affinity**power
    torch.testing.assert_close(float(walked[0] - walked[1]), ((1 - a) / (1 + a)) ** steps)
    torch.testing.assert_close(float(walked.sum()), 1.0)


@pytest.mark.parametrize(("radius", "power", "steps"), [(1.5, 1.0, 1), (3, 2.0, 8), (5, 8.0, 64)])
def test_the_walk_is_the_power_of_the_whole_matrix(radius, power, steps):
    scores, features = scene()
    offsets = pair_offsets(radius)
    walked = random_walk(scores, feature_affinities(features, offsets), offsets, steps=steps, power=power)
    for i in range(2):
        torch.testing.assert_close(walked[i], refine_slow.walk(scores[i], features[i], radius, power, steps))


def test_by_default_it_walks_64_steps_with_the_power_of_affinitynet():
    scores, features = scene()
    offsets = pair_offsets(3)
    alike = feature_affinities(features, offsets)
    assert torch.equal(random_walk(scores, alike, offsets), random_walk(scores, alike, offsets, steps=64, power=8.0))


@pytest.mark.parametrize("steps", [64, 256])
def test_many_steps_are_the_power_of_the_whole_matrix(steps):
    scores, features = scene(n=1, h=9, w=11)
    offsets = pair_offsets(3)
    alike = feature_affinities(features.float(), offsets)
    walked = random_walk(scores.float(), alike, offsets, steps=steps, power=4)
    exact = refine_slow.walk(scores[0], features[0], 3, 4.0, steps).float()
    torch.testing.assert_close(walked[0], exact, rtol=0, atol=3e-6)


@pytest.mark.parametrize("steps", [63, 64, 300])
def test_many_steps_are_fewer_products_with_the_same_result(steps):
    scores, features = (part.float() for part in scene(h=9, w=11))
    assert len(distances_after(steps, torch.finfo(torch.float32).eps)) < steps
    offsets = pair_offsets(3)
    alike = feature_affinities(features, offsets)
    walked = random_walk(scores, alike, offsets, steps=steps, power=4)
    nobody = torch.zeros(2, 9, 11, dtype=torch.bool)  # with pixels that are held, every step is a product
    plain = random_walk(scores, alike, offsets, steps=steps, power=4, held=nobody)
    torch.testing.assert_close(walked, plain, rtol=0, atol=3e-6)
    assert (walked <= scores.amax((2, 3), keepdim=True)).all()
    assert (walked >= scores.amin((2, 3), keepdim=True)).all()


def test_a_constant_stays_one_however_many_steps():
    _, features = scene(n=1)
    offsets = pair_offsets(3)
    even = torch.full((1, 1, 5, 7), 0.3)
    walked = random_walk(even, feature_affinities(features.float(), offsets), offsets, steps=500)
    torch.testing.assert_close(walked, even)


def test_distances_of_a_coin_walk():
    assert distances_after(0, 0) == [1]
    assert distances_after(1, 0) == [0, 1]
    assert distances_after(2, 0) == [0.5, 0, 0.5]
    assert distances_after(3, 0) == [0, 0.75, 0, 0.25]
    assert distances_after(3, 0.25) == [0, 1]
    products = [len(distances_after(64, torch.finfo(dtype).eps)) - 1 for dtype in (torch.float32, torch.float64)]
    assert products == [40, 60]
    many = distances_after(1000, 1e-9)
    assert sum(many) == pytest.approx(1)
    assert len(many) < 210


def test_what_the_walk_keeps():
    scores, features = scene()
    offsets = pair_offsets(3)
    alike = feature_affinities(features, offsets)
    even = torch.full_like(scores, 0.3)
    torch.testing.assert_close(random_walk(even, alike, offsets), even)
    assert torch.equal(random_walk(scores, alike, offsets, steps=0), scores)
    walked = random_walk(scores, alike, offsets, steps=3)
    assert (walked.amax((2, 3)) <= scores.amax((2, 3))).all()
    assert (walked.amin((2, 3)) >= scores.amin((2, 3))).all()
    torch.testing.assert_close(random_walk(scores, torch.zeros_like(alike), offsets), scores)
    assert random_walk(scores[:0], alike[:0], offsets).shape == (0, 3, 5, 7)
    held = torch.zeros(2, 5, 7, dtype=torch.bool)
    held[:, 2] = True
    kept = random_walk(scores, alike, offsets, steps=5, held=held)
    assert torch.equal(kept[:, :, 2], scores[:, :, 2])
    assert not torch.equal(kept[:, :, 1], scores[:, :, 1])


def test_nothing_crosses_an_edge_of_boundaries():
    boundaries = torch.zeros(1, 9, 10)
    boundaries[..., 4] = 1.0
    scores = torch.zeros(1, 1, 9, 10)
    scores[..., 2, 1] = 1.0
    offsets = pair_offsets(5)
    walked = random_walk(scores, boundary_affinities(boundaries, offsets), offsets, steps=200)[0, 0]
    assert (walked[:, :4] > 0).all()
    assert (walked[:, 4:] == 0).all()


def test_affinities_are_those_of_each_pair():
    _, features = scene()
    boundaries = features[:, 0] / 2
    offsets = pair_offsets(3)
    of_features, of_boundaries = feature_affinities(features, offsets), boundary_affinities(boundaries, offsets)
    for at, (dy, dx) in enumerate(offsets):
        for y in range(5):
            for x in range(7):
                inside = 0 <= y + dy < 5 and 0 <= x + dx < 7
                pair = (1, at, y, x)
                expected = refine_slow.affinity(features[1, :, y, x], features[1, :, y + dy, x + dx]) if inside else 0.0
                assert float(of_features[pair]) == pytest.approx(expected)
                line = refine_slow.line_minimum(boundaries[1], (y, x), (y + dy, x + dx)) if inside else 0.0
                assert float(of_boundaries[pair]) == pytest.approx(line)


def test_the_loss_is_the_mean_over_confident_pairs():
    _, features = scene(n=1)
    seeds = torch.randint(0, 3, (1, 5, 7), generator=torch.Generator().manual_seed(1))
    seeds[0, :, 3] = 255
    offsets = pair_offsets(3)
    loss = affinity_loss(feature_affinities(features, offsets), seeds, offsets)
    assert float(loss) == pytest.approx(refine_slow.affinity_loss(features[0], seeds[0], 3))
    nobody = affinity_loss(feature_affinities(features, offsets), torch.full_like(seeds, 255), offsets)
    assert float(nobody) == 0


def test_gradients_reach_scores_and_features():
    scores, features = scene(n=2, k=2, h=3, w=3, c=2)
    offsets = pair_offsets(1.5)
    scores.requires_grad_(True)
    features.requires_grad_(True)

    def walked(s, f):
        return random_walk(s, feature_affinities(f, offsets), offsets, steps=3, power=2)

    assert torch.autograd.gradcheck(walked, (scores, features))
    seeds = torch.tensor([[[0, 0, 1], [0, 255, 1], [2, 2, 1]]]).expand(2, -1, -1)
    assert torch.autograd.gradcheck(
        lambda f: affinity_loss(feature_affinities(f, offsets), seeds, offsets), (features,)
    )


def test_memory_is_said_before_and_groups_change_nothing():
    scores, features = scene(n=5)
    offsets = pair_offsets(3)
    alike = feature_affinities(features, offsets)
    each = table_bytes(5, 7, offsets, 8)
    together = random_walk(scores, alike, offsets)
    torch.testing.assert_close(random_walk(scores, alike, offsets, memory=2 * each), together)
    with pytest.raises(ValueError, match=r"needs 0 MiB an image, allowed are 0: walk on a smaller grid"):
        random_walk(scores, alike, offsets, memory=each - 1)
    with pytest.raises(ValueError, match="for 12 offsets"):
        random_walk(scores, alike[:, 1:], offsets)
    # A walk at stride 4 on an image of 512 × 512 with the radius of AffinityNet; all pairs would take a gigabyte.
    assert table_bytes(128, 128, pair_offsets(5)) / 2**20 == pytest.approx(17.25)


@pytest.mark.parametrize("group", [1, 2])
def test_no_more_images_walk_at_once_than_the_memory_is_for(group):
    scores, features = scene(n=5)
    offsets = pair_offsets(3)
    alike = feature_affinities(features, offsets)
    memory = group * table_bytes(5, 7, offsets, 8)
    with Largest() as five:
        random_walk(scores, alike, offsets, memory=memory)
    with Largest() as few:
        random_walk(scores[:group], alike[:group], offsets, memory=memory)
    assert five.bytes == few.bytes


def test_with_seeds_held_it_ends_where_graded_random_walkers_do():
    """scikit-image solves for where a walker from each pixel first meets a seed; ours walks until nothing moves."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(6, 8, generator=generator, dtype=torch.float64)
    image[:, 4:] += 1
    seeds = torch.zeros(6, 8, dtype=torch.int64)
    seeds[1, 1], seeds[4, 6], seeds[5, 0] = 1, 2, 1
    beta = 5.0
    expected = random_walker(image.numpy(), seeds.numpy(), beta=beta, mode="bf", return_full_prob=True)
    offsets = pair_offsets(1.2)
    # Its weights: exp(−β d² / (10 σ)) + 10⁻¹⁰, d the difference of neighbours, σ the deviation of the image.
    planes = []
    for dy, dx in offsets:
        partner = torch.zeros_like(image)
        partner[: 6 - dy, : 8 - dx] = image[dy:, dx:]
        inside = torch.zeros_like(image)
        inside[: 6 - dy, : 8 - dx] = 1
        planes.append((torch.exp(-beta * (image - partner) ** 2 / (10 * image.std(correction=0))) + 1e-10) * inside)
    scores = torch.stack([seeds == 1, seeds == 2]).to(image)[None]
    walked = random_walk(scores, torch.stack(planes)[None], offsets, steps=4000, power=1, held=(seeds > 0)[None])
    torch.testing.assert_close(walked[0], torch.from_numpy(expected), atol=1e-3, rtol=0)
