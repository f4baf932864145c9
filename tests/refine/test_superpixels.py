import numpy as np
import pytest
import refine_slow
import torch

from wsss_lib.data.records import Records, Sample, batches
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.refine import WithSuperpixels, slic_superpixels, superpixel_mean


def test_a_mean_by_hand():
    maps = torch.tensor([[[[4.0, 2.0], [1.0, -1.0]]]])
    labels = torch.tensor([[[1, 1], [4, 4]]])
    assert superpixel_mean(maps, labels).flatten().tolist() == [3, 3, 0, 0]


@pytest.mark.parametrize(("n", "k", "h", "w"), [(1, 1, 1, 1), (2, 3, 5, 4), (3, 1, 1, 7), (0, 2, 3, 3), (2, 0, 3, 3)])
def test_means_are_those_of_the_slow_version(n, k, h, w):
    generator = torch.Generator().manual_seed(n + k)
    maps = torch.randn(n, k, h, w, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, h * w + 1, (n, h, w), generator=generator)
    means = superpixel_mean(maps, labels)
    assert means.shape == maps.shape
    for i in range(n):
        for c in range(k):
            torch.testing.assert_close(means[i, c], refine_slow.superpixel_mean(maps[i, c], labels[i]))


def test_other_numbers_for_the_same_superpixels_change_nothing():
    generator = torch.Generator().manual_seed(0)
    maps, labels = torch.randn(2, 3, 6, 6, generator=generator), torch.randint(0, 9, (2, 6, 6), generator=generator)
    renamed = torch.randperm(37, generator=generator)[labels]
    torch.testing.assert_close(superpixel_mean(maps, renamed), superpixel_mean(maps, labels))
    alone = torch.arange(1, 37).view(1, 6, 6).expand(2, -1, -1)
    assert torch.equal(superpixel_mean(maps, alone), maps)
    means = superpixel_mean(maps, labels)
    torch.testing.assert_close(superpixel_mean(means, labels), means)


def test_the_gradient_is_the_mean_of_gradients():
    maps = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[0, 0, 1], [1, 1, 2], [9, 9, 9]]])
    assert torch.autograd.gradcheck(lambda m: superpixel_mean(m, labels), (maps,))


def test_labels_of_another_size_are_refused():
    with pytest.raises(ValueError, match="by the nearest pixel"):
        superpixel_mean(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8, 8, dtype=torch.int64))


def test_superpixels_respect_an_edge_and_cover_the_image():
    images = torch.zeros(2, 3, 32, 40)
    images[:, :, :, 17:] = 1.0
    labels = slic_superpixels(images, 12, sigma=0)
    assert labels.shape == (2, 32, 40)
    assert labels.dtype == torch.int64
    left, right = labels[:, :, :17].unique(), labels[:, :, 17:].unique()
    assert not set(left.tolist()) & set(right.tolist())
    assert sorted({*left.tolist(), *right.tolist()}) == list(range(1, int(labels.max()) + 1))
    assert torch.equal(labels[0], labels[1])
    assert slic_superpixels(torch.zeros(0, 3, 8, 8)).shape == (0, 8, 8)
    assert set(slic_superpixels(torch.zeros(1, 3, 4, 4)).unique().tolist()) == {1}


def test_one_centre_for_every_64_pixels(monkeypatch):
    wanted = []

    def slic(image, n_segments, **_):
        wanted.append(n_segments)
        return np.ones(image.shape[:2], int)

    monkeypatch.setattr("wsss_lib.refine.superpixels.slic", slic)
    for h, w in ((32, 48), (8, 8), (8, 15), (8, 16), (3, 3)):
        slic_superpixels(torch.zeros(1, 3, h, w))
    assert wanted == [24, 1, 1, 2, 1]


def test_superpixels_of_the_world_keep_to_its_masks():
    batch = Critters(World(size=64), "val", 4).batch(range(4))
    labels = slic_superpixels(batch["images"])
    truth = (batch["masks"] > 0).float()[:, None]
    grid = torch.arange(64) // 8
    squares = (grid[:, None] * 8 + grid).expand(4, -1, -1)
    errors = [((superpixel_mean(truth, cut) > 0.5) != (truth > 0.5)).double().mean() for cut in (labels, squares)]
    assert errors[0] < 0.8 * errors[1]


def test_what_is_no_image_or_no_number_is_refused():
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        slic_superpixels(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="at least 1"):
        slic_superpixels(torch.zeros(1, 3, 8, 8), 0)


def test_records_with_superpixels_move_them_with_the_image(monkeypatch):
    records = Critters(World(size=48), "val", 6)
    wrapped = WithSuperpixels(records)
    batch = wrapped.batch([4, 1])
    expected = slic_superpixels(records.batch([4, 1])["images"])
    assert torch.equal(batch["superpixels"], expected)
    assert torch.equal(batch["images"], records.batch([4, 1])["images"])
    assert torch.equal(wrapped[4]["superpixels"], expected[0])
    assert wrapped.fingerprint != records.fingerprint
    assert torch.equal(wrapped.labels, records.labels)

    def computed_again(*_: object, **__: object) -> None:
        raise AssertionError("superpixels were computed twice")

    monkeypatch.setattr("wsss_lib.refine.superpixels.slic_superpixels", computed_again)
    assert torch.equal(wrapped.batch([1, 4])["superpixels"], expected.flip(0))
    (flipped,) = list(batches(wrapped.subset([4, 1]), 2, transform=RandomFlip(p=1.0)))
    assert torch.equal(flipped["superpixels"], expected.flip(-1))


class Unlike(Records):
    """A critter's image, and a part of it: images of two sizes."""

    name, split, classes, fingerprint = "unlike", "val", ("critter",), "none"

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        return {"image": Critters(World(size=48), "val", 1)[0]["image"][..., : 48 - 16 * index]}


def test_in_a_padded_batch_each_image_has_the_superpixels_of_its_own_size():
    batch = WithSuperpixels(Unlike()).batch([1, 0])
    assert batch["superpixels"].shape == (2, 48, 48)
    assert not batch["superpixels"][0, :, 32:].any()
    for index, superpixels in zip([1, 0], batch["superpixels"], strict=True):
        image = Unlike()[index]["image"]
        assert torch.equal(superpixels[:, : image.shape[2]], slic_superpixels(image[None])[0])
