"""Image, mask, parts and boxes move together, by the draws of a generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wsss_lib.data import Sample, collate
from wsss_lib.data.photos.masks import boxes_from_mask
from wsss_lib.data.transforms import Compose, PerSample, RandomCrop, RandomFlip, RandomResize, Resize, Transform

SIDES = st.integers(1, 12)


def sample_of(height: int, width: int, box: tuple[int, int, int, int] | None = None, seed: int = 0) -> Sample:
    """A sample whose image, mask and parts say the same, pixel by pixel.

    Red is the mask divided by 4, green the parts divided by 4, blue is noise.
    """
    draw = torch.Generator().manual_seed(seed)
    mask = torch.zeros(height, width, dtype=torch.int64)
    left, top, right, bottom = box or (0, 0, width, height)
    mask[top:bottom, left:right] = 3
    parts = torch.randint(0, 3, (height, width), generator=draw)
    noise = torch.rand(height, width, generator=draw)
    return {
        "image": torch.stack([mask / 4, parts / 4, noise]),
        "labels": torch.tensor([0.0, 0, 1]),
        "mask": mask,
        "parts": parts,
        "boxes": torch.tensor([[left, top, right, bottom]]).float(),
        "box_labels": torch.tensor([2]),
        "id": f"s{seed}",
        "objects": [{"box": [left, top, right, bottom]}],
    }


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    height, width = draw(SIDES), draw(SIDES)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return sample_of(height, width, (left, top, right, bottom), draw(st.integers(0, 99)))


def equal(one: Sample, two: Sample) -> bool:
    return one.keys() == two.keys() and all(
        torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(one.values(), two.values(), strict=True)
    )


def copy_of(sample: Sample) -> Sample:
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in sample.items()}  # type: ignore[return-value]


EVERY: list[Transform] = [
    Resize(5), Resize((3, 7)), RandomResize(2, 9), RandomFlip(), RandomFlip(1.0), RandomFlip(0.0), RandomCrop(4),
    RandomCrop((9, 3)), Compose([RandomResize(4, 8), RandomFlip(), RandomCrop(5)]),
]  # fmt: skip


@given(samples(), st.sampled_from(EVERY), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_what_every_transform_keeps(sample: Sample, transform: Transform, seed: int) -> None:
    before = copy_of(sample)
    after = transform(sample, generator=torch.Generator().manual_seed(seed))
    assert equal(sample, before), "the sample that was given is not changed"
    assert equal(after, transform(sample, generator=torch.Generator().manual_seed(seed))), "the generator decides"
    size = after["image"].shape[-2:]
    assert after["mask"].shape == after["parts"].shape == size
    assert {k: v.dtype for k, v in after.items() if isinstance(v, Tensor)} == {
        k: v.dtype for k, v in before.items() if isinstance(v, Tensor)
    }
    assert (after["image"] >= 0).all()
    assert (after["image"] <= 1).all()
    assert set(after["mask"].unique().tolist()) <= {0, 3, 255}, "no value in between"
    assert set(after["parts"].unique().tolist()) <= {0, 1, 2}
    boxes = after["boxes"]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([size[1], size[0]])).all()
    assert len(boxes) == len(after["box_labels"])
    assert torch.equal(after["labels"], before["labels"]), "the label of an image knows of no crop"
    assert after["id"] == before["id"]
    assert "objects" not in after, "their positions would not be true any more"


@given(samples(), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_a_crop_against_the_obvious(sample: Sample, seed: int) -> None:
    height, width = sample["image"].shape[-2:]
    tall, wide = 5, 4
    draw = torch.Generator().manual_seed(seed)
    top = int(torch.randint(min(0, height - tall), max(0, height - tall) + 1, (), generator=draw))
    left = int(torch.randint(min(0, width - wide), max(0, width - wide) + 1, (), generator=draw))
    after = RandomCrop((tall, wide))(sample, generator=torch.Generator().manual_seed(seed))
    assert after["image"].shape == (3, tall, wide)
    for y in range(tall):
        for x in range(wide):
            if 0 <= y + top < height and 0 <= x + left < width:
                assert torch.equal(after["image"][:, y, x], sample["image"][:, y + top, x + left])
                assert after["mask"][y, x] == sample["mask"][y + top, x + left]
                assert after["parts"][y, x] == sample["parts"][y + top, x + left]
            else:
                assert torch.allclose(after["image"][:, y, x], sample["image"].mean((1, 2)))
                assert after["mask"][y, x] == 255
                assert after["parts"][y, x] == 0
    expected, _ = boxes_from_mask(after["mask"])
    assert torch.equal(after["boxes"], expected), "the box of what is left of the object"


@given(samples(), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_a_crop_as_large_as_the_image_loses_nothing(sample: Sample, more_down: int, more_right: int) -> None:
    height, width = sample["image"].shape[-2:]
    larger = RandomCrop((height + more_down, width + more_right))(sample, generator=torch.Generator().manual_seed(1))
    assert (larger["mask"] != 255).sum() == height * width
    assert (larger["mask"] == 3).sum() == (sample["mask"] == 3).sum()


def test_crops_reach_every_window_and_every_padding() -> None:
    """Also the last: a window that can never touch the right edge would be a quiet bias."""
    draw = torch.Generator().manual_seed(0)
    wide, narrow = sample_of(1, 5), sample_of(1, 2)
    wide["image"][0, 0] = torch.arange(5) / 10
    starts = {round(float(RandomCrop((1, 3))(wide, generator=draw)["image"][0, 0, 0]) * 10) for _ in range(60)}
    assert starts == {0, 1, 2}
    offsets = {int((RandomCrop((1, 4))(narrow, generator=draw)["mask"][0] != 255).nonzero()[0]) for _ in range(60)}
    assert offsets == {0, 1, 2}


def test_an_object_outside_the_window_loses_its_box_and_keeps_its_label() -> None:
    sample = sample_of(4, 8, (6, 0, 8, 4))
    sample["boxes"] = torch.cat([sample["boxes"], torch.tensor([[0.0, 0, 2, 2]])])
    sample["box_labels"] = torch.tensor([2, 1])
    crop = RandomCrop((4, 4))
    for seed in range(40):
        after = crop(sample, generator=torch.Generator().manual_seed(seed))
        if 3 not in after["mask"]:
            assert 2 not in after["box_labels"]
            assert after["labels"].tolist() == [0, 0, 1]
            return
    raise AssertionError("no crop missed the object")


@given(samples())
@settings(max_examples=60, deadline=None)
def test_a_flip_against_the_obvious(sample: Sample) -> None:
    after = RandomFlip(1.0)(sample)
    width = sample["image"].shape[-1]
    for x in range(width):
        assert torch.equal(after["image"][..., x], sample["image"][..., width - 1 - x])
        assert torch.equal(after["mask"][..., x], sample["mask"][..., width - 1 - x])
        assert torch.equal(after["parts"][..., x], sample["parts"][..., width - 1 - x])
    assert torch.equal(after["boxes"], boxes_from_mask(after["mask"])[0])
    twice = RandomFlip(1.0)(after)
    sample.pop("objects")
    assert equal(twice, sample)


def test_a_flip_comes_as_often_as_it_says() -> None:
    sample, draw = sample_of(1, 2, (0, 0, 1, 1)), torch.Generator().manual_seed(0)
    flips = sum(int(RandomFlip(0.3)(sample, generator=draw)["mask"][0, 1] == 3) for _ in range(400))
    assert 90 < flips < 150


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((30, 60), 20, (10, 20)), ((60, 30), 20, (20, 10)), ((10, 10), 25, (25, 25)), ((1, 90), 30, (1, 30)),
     ((375, 500), 320, (240, 320)), ((6, 4), (2, 9), (2, 9))],
)  # fmt: skip
def test_sizes(shape: tuple[int, int], size: int | tuple[int, int], expected: tuple[int, int]) -> None:
    assert Resize(size)(sample_of(*shape))["image"].shape[-2:] == expected


@given(samples(), st.integers(2, 4), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_growing_by_whole_numbers_repeats_the_mask_and_scales_boxes_exactly(
    sample: Sample, down: int, right: int
) -> None:
    height, width = sample["image"].shape[-2:]
    after = Resize((height * down, width * right))(sample)
    repeated = sample["mask"].repeat_interleave(down, 0).repeat_interleave(right, 1)
    assert torch.equal(after["mask"], repeated)
    assert torch.equal(after["parts"], sample["parts"].repeat_interleave(down, 0).repeat_interleave(right, 1))
    assert torch.equal(after["boxes"], boxes_from_mask(repeated)[0])


def test_shrinking_averages_instead_of_skipping() -> None:
    """One white column in eight makes an eighth of grey; without antialiasing it would vanish."""
    sample = sample_of(8, 64)
    sample["image"] = (torch.arange(64) % 8 == 0).float().expand(3, 8, 64)
    shrunk = Resize((8, 8))(sample)["image"]
    assert torch.allclose(shrunk[..., 1:-1], torch.tensor(1 / 8), atol=0.01)


def test_nothing_to_resize() -> None:
    sample = sample_of(6, 9)
    after = Resize(9)(sample)
    sample.pop("objects")
    assert equal(after, sample)


def test_random_sizes_reach_both_ends() -> None:
    draw = torch.Generator().manual_seed(0)
    sizes = {RandomResize(5, 7)(sample_of(2, 4), generator=draw)["image"].shape[-1] for _ in range(60)}
    assert sizes == {5, 6, 7}


def test_a_generator_of_its_own_and_none() -> None:
    sample = sample_of(9, 9, (2, 2, 5, 5))
    seeded = [RandomCrop(3, generator=torch.Generator().manual_seed(5))(sample) for _ in range(2)]
    assert equal(*seeded)
    torch.manual_seed(7)
    one = RandomCrop(3)(sample)
    torch.manual_seed(7)
    assert equal(one, RandomCrop(3)(sample)), "without one, torch's global generator"
    torch.manual_seed(7)
    passed = RandomCrop(3, generator=torch.Generator().manual_seed(1))(
        sample, generator=torch.Generator().manual_seed(5)
    )
    assert equal(passed, seeded[0]), "the one that is passed comes first"


def test_per_sample_draws_know_neither_order_nor_neighbours() -> None:
    transform = PerSample(Compose([RandomFlip(), RandomCrop(4)]), seed=1)
    many = [sample_of(9, 9, (2, 2, 5, 5), seed) for seed in range(12)]
    forward = [transform(s) for s in many]
    backward = [transform(s) for s in reversed(many)][::-1]
    assert all(equal(a, b) for a, b in zip(forward, backward, strict=True))
    for other in (PerSample(transform.transform, seed=2), PerSample(transform.transform, seed=1, epoch=1)):
        changed = [other(s) for s in many]
        assert sum(not equal(a, b) for a, b in zip(forward, changed, strict=True)) > 6
    same_picture = [{**many[0], "id": str(i)} for i in range(12)]
    crops = [transform(s)["image"] for s in same_picture]  # type: ignore[arg-type]
    assert sum(not torch.equal(crops[0], c) for c in crops) > 6, "another id, another crop"


def test_the_draws_of_a_sample_are_the_same_in_every_version() -> None:
    """Or a run that is resumed after an update would go on with other pictures."""
    seen = []

    def look(sample: Sample, generator: torch.Generator | None = None) -> Sample:
        assert generator is not None
        seen.append(generator.initial_seed())
        return sample

    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        PerSample(look, seed, epoch)(sample_of(2, 2))
    assert seen == [5_969_833_526_330_878_851, 5_384_605_458_231_993_891, 538_320_829_971_441_803]


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_a_batch_is_mirrored_as_its_samples_are(p: float) -> None:
    many = [sample_of(5, 7, (1, 2, 4, 5), seed) for seed in range(6)]
    flip = RandomFlip(p)

    def draws() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(6)]

    one_by_one = collate([flip(sample, draw) for sample, draw in zip(many, draws(), strict=True)])
    batch = collate(many)
    before = batch["images"].clone()
    at_once = flip.whole(batch, draws())
    assert one_by_one.keys() == at_once.keys()
    for name, value in one_by_one.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, at_once[name]), name
        elif name == "boxes":
            assert all(torch.equal(a, b) for a, b in zip(value, at_once[name], strict=True))
        else:
            assert value == at_once[name], name
    assert torch.equal(before, batch["images"]), "what was passed stays as it is"
    assert torch.equal(before, at_once["images"]) == (p == 0)


@pytest.mark.parametrize(
    "wrong",
    [lambda: Resize(0), lambda: Resize((3, 0)), lambda: Resize((1, 2, 3)), lambda: RandomResize(5, 4),
     lambda: RandomFlip(1.5), lambda: RandomCrop(0)],
)  # fmt: skip
def test_sizes_and_probabilities_that_make_no_sense(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        wrong()  # type: ignore[operator]


def test_a_sample_with_an_image_only() -> None:
    plain: Sample = {"image": torch.rand(3, 4, 6), "labels": torch.ones(2), "id": "x"}
    after = Compose([Resize(12), RandomFlip(1.0), RandomCrop(5)])(plain)
    assert set(after) == {"image", "labels", "id"}
