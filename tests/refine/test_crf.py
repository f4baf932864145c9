import json
import math
from dataclasses import FrozenInstanceError, asdict, astuple, replace
from pathlib import Path

import pytest
import refine_slow
import torch
from largest import Largest

from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.refine import CRFSettings, crf, dense_crf, scores_of_masks
from wsss_lib.refine.crf import EXACT_PIXELS
from wsss_lib.refine.filters import ExactFilter, LatticeFilter, normalise_symmetrically

SMALL = CRFSettings(near=1.0, near_weight=0.7, reach=3.0, colour=60.0, colour_weight=1.5, iterations=4)


def scene(n=2, labels=3, h=5, w=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, h, w, generator=generator, dtype=dtype)
    return torch.rand(n, labels, h, w, generator=generator, dtype=dtype).softmax(1), images


def test_one_pixel_by_hand():
    scores = torch.tensor([0.6, 0.4]).view(1, 2, 1, 1)
    result = dense_crf(scores, torch.zeros(1, 3, 1, 1), replace(SMALL, near_weight=1, colour_weight=2, iterations=1))
    # Alone, a pixel hears itself: log 0.6 + 3 · 0.6 against log 0.4 + 3 · 0.4.
    expected = 1 / (1 + math.exp(math.log(0.4) + 1.2 - math.log(0.6) - 1.8))
    torch.testing.assert_close(result.flatten(), torch.tensor([expected, 1 - expected]))


@pytest.mark.parametrize("settings", [SMALL, CRFSettings(iterations=3), replace(SMALL, near_weight=0)])
def test_the_exact_mean_field_is_the_slow_one(settings):
    scores, images = scene()
    result = dense_crf(scores, images, settings, "exact")
    for i in range(2):
        torch.testing.assert_close(result[i], refine_slow.dense_crf(scores[i], images[i], **asdict(settings)))
    assert torch.equal(result, dense_crf(scores, images, settings))  # small images are filtered exactly


def test_the_lattice_says_what_pydensecrf_says():
    """Recorded with pydensecrf2 1.1, which computes on the same lattice in C++."""
    record = json.loads((Path(__file__).parent / "pydensecrf.json").read_text())
    images = torch.tensor(record["image"], dtype=torch.float32)[None] / 255
    scores = torch.tensor(record["scores"])[None]
    for run in record["runs"]:
        result = dense_crf(scores, images, CRFSettings(**run["settings"]), "lattice")
        torch.testing.assert_close(result[0], torch.tensor(run["beliefs"]), atol=2e-5, rtol=0)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_lattice_filters_nearly_as_all_pairs_do(d):
    generator = torch.Generator().manual_seed(d)
    features = torch.rand(2, 500, d, generator=generator) * 3
    values = torch.cat([features.sin(), torch.ones(2, 500, 1)], dim=2)
    exact, lattice = (make(features)(values) for make in (ExactFilter, LatticeFilter))
    error = (exact[..., :-1] / exact[..., -1:] - lattice[..., :-1] / lattice[..., -1:]).abs()
    assert float(error.mean()) < 0.02 < float((exact[..., :-1] / exact[..., -1:] - values[..., :-1]).abs().mean())


def test_on_a_drawn_animal_lattice_and_all_pairs_agree():
    batch = Critters(World(size=40), "val", 4).batch(range(4))
    seeds = torch.where(batch["parts"] == 2, batch["masks"], 0)
    scores = scores_of_masks(seeds, 9, 0.6)
    settings = CRFSettings().resized(40 / 320)
    exact, lattice = (dense_crf(scores, batch["images"], settings, how) for how in ("exact", "lattice"))
    assert float((exact.argmax(1) == lattice.argmax(1)).double().mean()) > 0.97


@pytest.mark.parametrize("filtering", ["exact", "lattice"])
def test_an_image_is_refined_alike_alone_and_in_a_batch(filtering, monkeypatch):
    scores, images = scene(3, 4, 9, 7)
    together = dense_crf(scores, images, SMALL, filtering)
    for i in range(3):
        torch.testing.assert_close(
            together[i : i + 1], dense_crf(scores[i : i + 1], images[i : i + 1], SMALL, filtering)
        )
    torch.testing.assert_close(together.sum(1), torch.ones(3, 9, 7, dtype=torch.float64))
    for budget in ("MEMORY", "CACHED"):
        monkeypatch.setattr(crf, budget, 2 * 8 * 63 * 64)  # two images at once
    torch.testing.assert_close(dense_crf(scores, images, SMALL, filtering), together)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(dense_crf(scores[:, order], images, SMALL, filtering), together[:, order])
    torch.testing.assert_close(dense_crf(5 * scores, images, SMALL, filtering), together)  # only ratios count


@pytest.mark.parametrize("filtering", ["exact", "lattice"])
def test_several_scores_of_an_image_are_refined_as_each_alone(filtering, monkeypatch):
    scores, images = scene(3, 4, 9, 7)
    several = torch.stack([scores, scores.square(), scores.roll(1, dims=1)])
    several[1, :, 3] = 0  # absent from one of them only
    several[:, 0, 1] = 0
    each = torch.stack([dense_crf(one, images, SMALL, filtering) for one in several])
    torch.testing.assert_close(dense_crf(several, images, SMALL, filtering), each)
    assert not dense_crf(several, images, SMALL, filtering)[1, :, 3].any()
    for budget in ("MEMORY", "CACHED"):
        monkeypatch.setattr(crf, budget, 2 * 8 * 63 * 64)  # two images at once
    torch.testing.assert_close(dense_crf(several, images, SMALL, filtering), each)
    one = several[0].to(memory_format=torch.channels_last)
    torch.testing.assert_close(dense_crf(one, images, SMALL, filtering), each[0])


@pytest.mark.parametrize(
    ("filtering", "budget", "at_once"),
    [
        ("exact", {"MEMORY": 2 * 8 * 63 * 63, "CACHED": 1}, 2),  # a number of 8 bytes for each pair of pixels
        ("lattice", {"CACHED": 3 * 8 * 63 * 64, "MEMORY": 1}, 3),
        ("lattice", {"CACHED": 1}, 1),
    ],
)
def test_as_many_images_are_refined_at_once_as_the_budget_is_for(filtering, budget, at_once, monkeypatch):
    for name, size in budget.items():
        monkeypatch.setattr(crf, name, size)
    scores, images = (one.expand(4, -1, -1, -1) for one in scene(1, 3, 9, 7))
    dense_crf(scores, images, SMALL, filtering)  # the kernel of places is made once, and kept
    made = []
    for number in (4, at_once, at_once - 1):
        with Largest() as seen:
            dense_crf(scores[:number], images[:number], SMALL, filtering)
        made.append(seen.bytes)
    assert made[0] == made[1] > made[2]


def test_photographs_of_one_size_share_the_kernel_of_places():
    scores, images = scene(n=3, h=7, w=9)
    together = dense_crf(scores, images, SMALL, "lattice")
    alone = [dense_crf(scores[i : i + 1], images[i : i + 1], SMALL, "lattice") for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))
    misses = crf._near.cache_info().misses
    dense_crf(scores.roll(1, 0), images.flip(0), SMALL, "lattice")
    assert crf._near.cache_info().misses == misses


@pytest.mark.parametrize("filtering", ["exact", "lattice"])
def test_the_gradient_is_that_of_the_differences(filtering):
    scores, images = scene(1, 2, 3, 3)
    with torch.inference_mode():
        dense_crf(scores, images, SMALL, filtering)  # what this keeps must not refuse a gradient afterwards
    scores.requires_grad_(True)
    settings = replace(SMALL, iterations=2)
    assert torch.autograd.gradcheck(lambda s: dense_crf(s, images, settings, filtering), (scores,))


@pytest.mark.parametrize("make", [ExactFilter, LatticeFilter])
def test_filters_are_linear_and_normalised_symmetrically(make):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    x, y = torch.randn(2, 2, 50, 4, generator=generator, dtype=torch.float64)
    kernel = make(features)
    torch.testing.assert_close(kernel(2 * x - y), 2 * kernel(x) - kernel(y))
    total = kernel(torch.ones(2, 50, 1, dtype=torch.float64))
    plain = kernel(x / total.sqrt()) / total.sqrt()
    normalise_symmetrically(kernel, features)
    torch.testing.assert_close(kernel(x), plain)
    torch.testing.assert_close(kernel(total.sqrt()), total.sqrt())  # its fixed vector


def test_a_label_that_is_absent_stays_absent():
    scores, images = scene(2, 4)
    scores[0, 2] = 0
    scores[:, 3] = 0
    for filtering in ("exact", "lattice"):
        result = dense_crf(scores, images, SMALL, filtering)
        assert not result[0, 2].any()
        assert not result[:, 3].any()
        torch.testing.assert_close(result[:1, :2], dense_crf(scores[:1, :2], images[:1], SMALL, filtering))
        torch.testing.assert_close(result[1:, :3], dense_crf(scores[1:, :3], images[1:], SMALL, filtering))


def test_no_iteration_gives_the_scores_normalised():
    scores, images = scene()
    result = dense_crf(3 * scores, images, replace(SMALL, iterations=0))
    torch.testing.assert_close(result, scores)
    assert dense_crf(scores[:0], images[:0]).shape == (0, 3, 5, 6)


def test_scores_of_half_precision_are_refined_in_single():
    scores, images = scene(h=8, w=8, dtype=torch.float32)
    half = scores.bfloat16()
    for filtering in ("exact", "lattice"):
        result = dense_crf(half, images, SMALL, filtering)
        assert result.dtype == torch.bfloat16
        assert torch.equal(result, dense_crf(half.float(), images, SMALL, filtering).bfloat16())


def test_an_edge_of_colour_holds_labels_apart():
    images = torch.zeros(1, 3, 20, 20)
    images[..., 8:] = 0.5
    seed = torch.full((1, 20, 20), 255)
    seed[0, 10, 3], seed[0, 10, 15] = 0, 1
    result = dense_crf(scores_of_masks(seed, 2), images, CRFSettings(near_weight=0, colour_weight=10)).argmax(1)
    assert (result[..., :8] == 0).all()
    assert (result[..., 8:] == 1).all()


def test_hard_labels_as_scores_by_hand():
    masks = torch.tensor([[[0, 2, 255]], [[1, 1, 1]]])
    scores = scores_of_masks(masks, 4, 0.7)
    torch.testing.assert_close(scores[0, :, 0].T, torch.tensor([[0.7, 0, 0.3, 0], [0.3, 0, 0.7, 0], [0.5, 0, 0.5, 0]]))
    assert scores[1, 1].tolist() == [[pytest.approx(0.7)] * 3]
    three = scores_of_masks(torch.tensor([[[0, 1, 2]]]), 4, 0.7)[0, :, 0]
    torch.testing.assert_close(three[:, 1], torch.tensor([0.15, 0.7, 0.15, 0]))
    assert not scores[1, [0, 2, 3]].any()
    alone = scores_of_masks(torch.tensor([[[2, 255]]]), 4, 0.7)[0, :, 0]
    assert alone[2, 1] == 1, "where nothing is known, the only label of an image is certain"


def test_what_makes_no_sense_is_refused():
    scores, images = scene()
    with pytest.raises(ValueError, match="resize the scores"):
        dense_crf(scores[:, :, :-1], images)
    with pytest.raises(ValueError, match="resize the scores"):
        dense_crf(scores[None, :1], images)
    with pytest.raises(ValueError, match="zero for every label"):
        dense_crf(scores * torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), images)
    with pytest.raises(ValueError, match="'exact' or 'lattice'"):
        dense_crf(scores, images, filtering="fast")  # type: ignore[arg-type]
    for name, value in (("near", 0), ("colour", -1), ("near_weight", -1), ("iterations", -1), ("reach", math.nan)):
        with pytest.raises(ValueError, match=name):
            CRFSettings(**{name: value})
    with pytest.raises(ValueError, match="certainty"):
        scores_of_masks(torch.zeros(1, 2, 2, dtype=torch.int64), 4, 0.25)
    with pytest.raises(ValueError, match="64 bits"):
        LatticeFilter(torch.tensor([[[0.0] * 8, [60.0] * 8]]))  # 64.4 of them
    assert LatticeFilter(torch.tensor([[[0.0] * 8, [30.0] * 8]])).corners == 18


def test_widths_scale_with_the_image_and_colours_do_not():
    assert CRFSettings.irn().resized(0.5) == CRFSettings(near=1.5, reach=25, colour=5)


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (CRFSettings(), (3, 3, 80, 13, 10, 10)),
        (CRFSettings.irn(), (3, 3, 50, 5, 10, 10)),
        (CRFSettings.deeplab(), (3, 3, 67, 3, 4, 10)),
    ],
)
def test_settings_are_those_of_the_papers(settings, values):
    """Width and weight of the near kernel; reach, colour and weight of the other; iterations."""
    assert astuple(settings) == values
    with pytest.raises(FrozenInstanceError):
        settings.near = 4.0


def test_few_pixels_are_filtered_exactly_and_many_on_the_lattice(monkeypatch):
    megabytes = EXACT_PIXELS**2 * 4 / 1e6
    assert 20.5 < megabytes < 21.5, "as the docstring says"
    monkeypatch.setattr("wsss_lib.refine.crf.EXACT_PIXELS", 24)
    for h, w, how in ((3, 8, "exact"), (5, 5, "lattice"), (8, 3, "exact")):
        scores, images = scene(1, 2, h, w)
        assert torch.equal(dense_crf(scores, images, SMALL), dense_crf(scores, images, SMALL, how))
