"""Regions that were computed once are those that would be computed each time."""

from __future__ import annotations

from typing import Any

import torch

from wsss_lib.backbones import backbone
from wsss_lib.data.records import Records
from wsss_lib.data.worlds.sentences import Sentences, World
from wsss_lib.methods import DTMR
from wsss_lib.methods.regions import regions_of
from wsss_lib.train.region_memory import RegionRecords


def test_regions_stand_for_images() -> None:
    net = backbone("tiny_cnn", widths=(4, 6, 8, 10))
    records = Sentences(World(size=48), "train", 7)
    kept = RegionRecords(records, net, batch_size=3)
    batch, plain = kept.batch([6, 2]), records.batch([6, 2])
    boxes = {"sentence_boxes", "proposals", "boxes", "box_labels"}
    assert set(batch) == {"sentences", "sentence_kinds", "ids", "regions"} | boxes
    for one, other in zip(batch["regions"], regions_of(net, plain["images"], plain["proposals"]), strict=True):
        torch.testing.assert_close(one, other)
    assert batch["sentences"] == plain["sentences"]
    assert (len(kept), kept.classes, kept.split) == (7, records.classes, "train")
    assert torch.equal(kept.labels, records.labels)
    method = DTMR(net, 6).eval()
    for one, other in zip(method.answer(batch), method.answer(plain), strict=True):
        assert torch.equal(one, other)


class Photos(Records):
    """Two images of unlike size, the second one half covered by its only proposal."""

    name, split, classes, fingerprint = "photos", "train", ("cat",), "photos"

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        size = ((32, 48), (24, 16))[index]
        box = torch.tensor([[0.0, 0, size[1] / 2, size[0]]])
        return {"image": torch.rand(3, *size), "labels": torch.ones(1), "proposals": box, "sentences": ["the cat"]}


def test_places_are_those_of_the_image_and_not_of_its_padding() -> None:
    kept = RegionRecords(Photos(), backbone("tiny_cnn", widths=(4, 6, 8, 10)))
    for regions in kept.batch([0, 1])["regions"]:
        assert regions[0, -5:].tolist() == [0, 0, 0.5, 1, 0.5]


def test_another_backbone_is_another_fingerprint() -> None:
    records = Sentences(World(size=48), "train", 2)
    prints = set()
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        prints.add(RegionRecords(records, backbone("tiny_cnn", widths=(4, 6, 8, 10))).fingerprint)
    assert len(prints) == 2
