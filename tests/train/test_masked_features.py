"""Masks behind a frozen trunk: they turn with the view that is drawn, and lie where the image says."""

from __future__ import annotations

import pytest
import torch
from train_kit import Toys

from wsss_lib.data.records import Records, Sample
from wsss_lib.train.features import draw_view
from wsss_lib.train.masked_features import MaskedFeatures, mask_on_grid


class Masked(Toys):
    """Toys with a mask that numbers the quarters of each image."""

    def __getitem__(self, index: int) -> Sample:
        quarters = torch.tensor([[0, 1], [2, 255]]).repeat_interleave(10, 0).repeat_interleave(6, 1)
        return Sample(**super().__getitem__(index), mask=quarters)  # type: ignore[misc]


class Features(Toys):
    """What a trunk made of them and of their mirror images, as many views as are asked for."""

    def __init__(self, count: int = 5, views: int = 2) -> None:
        super().__init__(count)
        self.views = views

    def __getitem__(self, index: int) -> Sample:
        view = torch.tensor([[0.0, 1.0], [2.0, 255.0]])[None]  # (1, 2, 2)
        both = torch.stack([view, view.flip(-1)])[: self.views]
        return Sample(labels=self.multi_hot[index], views=both)  # type: ignore[typeddict-unknown-key]


def test_masks_turn_with_the_view_that_is_drawn() -> None:
    records = MaskedFeatures(Features(), Masked(5))
    assert len(records) == 5
    assert torch.equal(records.labels, Masked(5).labels)
    generator = torch.Generator().manual_seed(0)
    sides = set()
    for _ in range(12):
        drawn = draw_view(records[3], generator)
        assert set(drawn) == {"image", "labels", "cells"}
        assert torch.equal(drawn["image"][0].long(), drawn["cells"])
        sides.add(int(drawn["cells"][0, 0]))
    assert sides == {0, 1}


def test_a_cell_has_the_label_of_the_pixel_at_its_middle() -> None:
    mask = torch.zeros(9, 9, dtype=torch.int64)
    mask[1::3, 1::3] = torch.tensor([[1, 2, 255], [0, 1, 2], [2, 2, 0]])
    assert torch.equal(mask_on_grid(mask, (3, 3)), mask[1::3, 1::3])
    finer = MaskedFeatures(Features(), Masked(5), (4, 8))[0]["cell_views"]
    assert torch.equal(finer[0], torch.tensor([[0, 1], [2, 255]]).repeat_interleave(2, 0).repeat_interleave(4, 1))
    assert torch.equal(finer[1], finer[0].flip(-1))


def test_other_masks_are_other_records() -> None:
    class Other(Masked):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return Sample(**sample | {"mask": sample["mask"].flip(0)})  # type: ignore[typeddict-item]

    def fingerprint(masked: Records, grid: tuple[int, int] | None = None) -> str:
        return MaskedFeatures(Features(), masked, grid).fingerprint

    several = {fingerprint(Masked(5)), fingerprint(Other(5)), fingerprint(Masked(5), (4, 4))}
    assert len(several) == 3
    assert fingerprint(Masked(5)) in several


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="features of 5 images and 4 with masks: pass the same images"):
        MaskedFeatures(Features(), Masked(4))
    with pytest.raises(ValueError, match="of each image and of its mirror image: leave views out"):
        MaskedFeatures(Features(views=1), Masked(5))
