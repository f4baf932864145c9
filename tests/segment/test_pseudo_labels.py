import json

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from wsss_lib.data import load
from wsss_lib.data.records import Records, batches
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.segment import Provenance, PseudoLabels, certain_labels

HOW = Provenance(method="cam", refinement="dense CRF", seed=3, thresholds={"low": 0.1, "high": 0.3})


@pytest.fixture(scope="module")
def world():
    return Critters(World(size=32), "train", 6)


def halves(batch):
    """The class of the image on the left, background on the right, a column that is ignored."""
    masks = torch.zeros_like(batch["masks"])
    masks[:, :, :10] = batch["labels"].argmax(1)[:, None, None] + 1
    masks[:, :, 10] = 255
    return masks


def test_what_is_saved_is_loaded_with_its_provenance(world, tmp_path):
    made = PseudoLabels.of(world, halves, HOW)
    path = made.save(tmp_path / "labels" / "train.parquet")
    back = load(tmp_path / "labels", split="train")
    assert back.classes == world.classes
    assert len(back) == 6
    truth = world.batch(range(6))
    for number in range(6):
        assert torch.equal(back[number]["mask"], halves(truth)[number])
        assert torch.equal(back[number]["image"], truth["images"][number])
        assert torch.equal(back[number]["labels"], truth["labels"][number])
        assert back[number]["id"] == truth["ids"][number]
    said = Provenance.of(path)
    assert said == Provenance("cam", "dense CRF", 3, {"low": 0.1, "high": 0.3}, world.fingerprint)
    assert json.loads(said.text())["thresholds"] == {"low": 0.1, "high": 0.3}
    assert b"huggingface" in pq.read_schema(path).metadata


def test_an_image_whose_class_got_no_pixel_is_ignored_and_counted(world, tmp_path):
    def last_is_empty(batch):
        return halves(batch) * (torch.arange(len(batch["masks"])) < 5)[:, None, None]

    made = PseudoLabels.of(world, last_is_empty, HOW)
    assert made.without_object == 1
    back = load(made.save(tmp_path / "empty.parquet"))
    assert torch.equal(back.labels, world.labels)
    assert "mask" not in back[5]
    assert (made[5]["mask"] == 255).all()
    assert torch.equal(back.batch(range(6))["masks"], made.batch(range(6))["masks"])
    assert torch.equal(back[4]["mask"], made.masks[4].long())


def test_the_records_give_the_made_masks_and_not_the_truth(world):
    made = PseudoLabels.of(world, halves, HOW)
    batch = made.batch([4, 0])
    assert torch.equal(batch["masks"], halves(world.batch([4, 0])))
    assert torch.equal(made[4]["mask"], batch["masks"][0])
    assert not {"parts", "boxes", "objects"} & ({*batch} | {*made[0]})
    assert torch.equal(made.labels, world.labels)
    assert made.coverage() == pytest.approx(31 / 32)
    (mirrored,) = batches(made.subset([0]), 1, transform=lambda s: {**s, "mask": s["mask"].flip(-1)})
    assert torch.equal(mirrored["masks"][0], made[0]["mask"].flip(-1))


def test_the_fingerprint_tells_masks_and_provenance_apart(world):
    other = PseudoLabels.of(world, lambda batch: halves(batch).flip(-1), HOW)
    again, reseeded = PseudoLabels.of(world, halves, HOW), PseudoLabels.of(world, halves, Provenance("cam", "none", 1))
    assert len({r.fingerprint for r in (PseudoLabels.of(world, halves, HOW), other, again, reseeded)}) == 3


def test_masks_are_made_in_evaluation_mode_without_gradients(world):
    class Guess(nn.Module):
        def segment(self, batch):
            assert not self.training
            assert not torch.is_grad_enabled()
            return halves(batch)

    guess = Guess()
    PseudoLabels.of(world, guess.segment, HOW, batch_size=4)
    assert guess.training


def test_images_of_unlike_sizes_keep_their_masks():
    class Mixed(Records):
        name, split, classes, fingerprint = "mixed", "train", ("a", "b"), "0"

        def __len__(self):
            return 2

        def __getitem__(self, index):
            if not 0 <= index < 2:
                raise IndexError
            return {"image": torch.rand(3, 4 + index, 6), "labels": torch.tensor([1.0, 0.0]), "id": str(index)}

    made = PseudoLabels.of(Mixed(), lambda b: torch.full((len(b["images"]), *b["images"].shape[2:]), 2), HOW)
    assert [tuple(mask.shape) for mask in made.masks] == [(4, 6), (5, 6)]
    assert made.batch([0, 1])["masks"][0, 4].tolist() == [255] * 6  # padding


def test_what_is_no_pseudo_label_is_refused(world, tmp_path):
    with pytest.raises(ValueError, match="5 masks for 6 records"):
        PseudoLabels(world, [torch.zeros(32, 32)] * 5, HOW)
    for wrong in (len(world.classes) + 1, -1, 256):
        with pytest.raises(ValueError, match="k \\+ 1 for class k"):
            PseudoLabels(world, [torch.full((32, 32), wrong)] * 6, HOW)
    world.to_datasets().to_parquet(tmp_path / "truth.parquet")
    with pytest.raises(ValueError, match="does not say how"):
        Provenance.of(tmp_path / "truth.parquet")


def test_uncertain_pixels_are_ignored():
    probabilities = torch.tensor([[[[0.5, 0.1, 0.34]], [[0.3, 0.9, 0.33]], [[0.2, 0.0, 0.33]]]])
    assert certain_labels(probabilities, 0.5).flatten().tolist() == [0, 1, 255]
    assert certain_labels(probabilities, 0.0).flatten().tolist() == [0, 1, 0]
