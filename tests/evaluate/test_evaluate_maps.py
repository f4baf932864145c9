"""One protocol: what a perfect and a useless method score, and that nobody reports on the split that chose."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsss_lib.data.records import Records, Sample
from wsss_lib.data.worlds.critters import NURSERY, Critters, World
from wsss_lib.evaluate import measure, scores
from wsss_lib.methods.contract import Method, Prediction
from wsss_lib.metrics import SameSplitError


class Oracle(nn.Module):
    """Knows every mask; ``error`` moves its maps so many pixels to the right."""

    def __init__(self, records: Critters, error: int = 0) -> None:
        super().__init__()
        self.records, batch = records, records.batch(range(len(records)))
        classes = torch.arange(1, len(records.classes) + 1)[None, :, None, None]
        self.maps = (batch["masks"][:, None] == classes).float().roll(error, -1)
        self.labels, self.at = batch["labels"], 0

    def truth(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = slice(self.at, self.at + len(images))
        self.at = rows.stop % len(self.maps)
        return self.maps[rows], self.labels[rows]

    def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.truth(images)[0]


class Classifier(Method):
    """An oracle that knows what as well as where."""

    def __init__(self, records: Critters) -> None:
        super().__init__(num_classes=len(records.classes))
        self.oracle, self.passes = Oracle(records), 0

    def predict(self, images: torch.Tensor) -> Prediction:
        self.passes += 1
        assert not self.training
        maps, labels = self.oracle.truth(images)
        return Prediction(maps, labels * 2 - 1)


@pytest.fixture(scope="module")
def pair() -> tuple[Critters, Critters]:
    world = World(size=32)
    return Critters(world, "val", 12), Critters(world, "test", 10)


def test_the_truth_scores_one(pair: tuple[Critters, Critters]) -> None:
    row = scores(*(measure(Classifier(r), r, batch_size=5) for r in pair))
    for name in ("miou", "iou", "box_accuracy", "max_box_acc_v2", "pxap", "mean_ap", "accuracy", "inside"):
        assert row[name] == pytest.approx(1), name
    assert row["object_precision"] == row["object_recall"] == pytest.approx(1)
    assert row["on_head"] == pytest.approx(row["head_area"])
    assert (row["images"], row["choose"], row["split"]) == (10, "critters/val", "critters/test")


def test_boxes_alone_are_enough_and_nothing_at_all_is_refused(
    pair: tuple[Critters, Critters], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Critters.batch
    full = scores(*(measure(Classifier(r), r, batch_size=5) for r in pair))

    def without(*names: str) -> None:
        def batch(self: Critters, at: range) -> dict[str, object]:
            return {k: v for k, v in whole(self, at).items() if k not in names}

        monkeypatch.setattr(Critters, "batch", batch)

    classifiers = [Classifier(r) for r in pair]
    without("masks", "parts")
    row = scores(*(measure(c, r, batch_size=5) for c, r in zip(classifiers, pair, strict=True)))
    assert row["box_accuracy"] == full["box_accuracy"] == 1
    assert not {"miou", "iou", "pxap", "inside"} & set(row)

    class Everywhere(nn.Module):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            return torch.ones(len(images), 6, 4, 4)

    without("masks", "boxes")
    with pytest.raises(ValueError, match="neither masks nor boxes"):
        measure(Everywhere(), pair[0])


def test_a_shifted_truth_scores_less_and_no_classifier_is_no_accuracy(pair: tuple[Critters, Critters]) -> None:
    row = scores(*(measure(Oracle(r, error=4), r) for r in pair))
    assert 0.3 < row["iou"] < 0.9
    assert row["inside"] < 1
    assert "accuracy" not in row
    assert "mean_ap" not in row


def test_boxes_may_be_left_out_and_the_rest_stays(pair: tuple[Critters, Critters]) -> None:
    whole = scores(*(measure(Oracle(r, error=4), r) for r in pair))
    pixels = scores(*(measure(Oracle(r, error=4), r, score_boxes=False) for r in pair))
    assert set(whole) - set(pixels) == {"box_accuracy", "max_box_acc_v2"}
    assert "box_accuracy" not in pixels.pop("thresholds")
    assert pixels == {name: whole[name] for name in pixels}


def test_the_reported_split_may_not_choose(pair: tuple[Critters, Critters]) -> None:
    result = measure(Oracle(pair[0]), pair[0])
    with pytest.raises(SameSplitError):
        scores(choose=result, report_on=result)


def test_image_labels_are_used_only_when_given(pair: tuple[Critters, Critters]) -> None:
    class Everywhere(nn.Module):
        """The same certainty for every class."""

        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            ones = torch.ones(len(images), 6, 8, 8)
            return ones if labels is None else ones * labels[:, :, None, None]

    given_labels, untold = (
        measure(Everywhere(), pair[0], labels_given=given).seeds.confusions()[10] for given in (True, False)
    )
    truth = pair[0].scenes.masks
    assert given_labels.diagonal()[1:].sum() == (truth > 0).sum(), "with labels every object pixel gets its class"
    assert untold[:, 2:].sum() == 0, "without, all pixels go to the first class"


def test_boxes_are_scored_on_images_with_one_object_by_the_map_of_its_class() -> None:
    crowd = Critters(World(size=32, critters=(1, 2)), "val", 20)
    single = [len(objects) == 1 for objects in crowd.scenes.objects]
    assert 0 < sum(single) < len(single)

    class OthersEverywhere(Oracle):
        """The truth for the classes that are there, the whole image for all others."""

        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            present = self.records.labels[self.at : self.at + len(images), :, None, None]
            return torch.where(present > 0, super().localize(images), 1.0)

    result = measure(OthersEverywhere(crowd), crowd, labels_given=False)
    assert int(result.boxes.images) == sum(single)
    assert result.box_accuracy().at(0.5) == 1


@pytest.mark.parametrize(("part", "share"), [(2, 1.0), (1, 0.0)])
def test_a_map_of_heads_lies_on_the_head(pair: tuple[Critters, Critters], part: int, share: float) -> None:
    class Part(Oracle):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            maps = super().localize(images)
            start = (self.at - len(images)) % len(self.records)
            parts = self.records.batch(range(start, start + len(images)))["parts"]
            return maps * (parts[:, None] == part)

    row = scores(*(measure(Part(records), records) for records in pair))
    assert row["on_head"] == pytest.approx(share)
    assert row["inside"] == pytest.approx(1)


def test_several_scales_need_raw_maps(pair: tuple[Critters, Critters]) -> None:
    with pytest.raises(ValueError, match="no method with raw maps"):
        measure(Oracle(pair[0]), pair[0], flip=True)


def test_one_forward_pass_a_batch_and_view(pair: tuple[Critters, Critters]) -> None:
    for options, passes in (({}, 3), ({"scales": (1.0, 0.5)}, 6), ({"flip": True}, 6), ({"scales": (0.5,)}, 6)):
        method = Classifier(pair[0])
        measurement = measure(method, pair[0], batch_size=4, **options)
        assert method.passes == passes, "three batches; the logits are those of the image as it is"
        assert measurement.logits.shape == (12, 6)


def test_the_logits_are_of_the_unscaled_image(pair: tuple[Critters, Critters]) -> None:
    class Means(Method):
        def predict(self, images: torch.Tensor) -> Prediction:
            return Prediction(torch.ones(len(images), 1, 4, 4), images.mean((2, 3)).repeat(1, 2))

    for options in ({}, {"scales": (0.5, 1.0), "flip": True}, {"scales": (0.5,), "flip": True}):
        measurement = measure(Means(num_classes=6), pair[0], **options)
        images = pair[0].batch(range(12))["images"]
        assert torch.equal(measurement.logits, images.mean((2, 3)).repeat(1, 2)), options
        assert measurement.seeds.confusions()[50, :, 1:].sum() == 12 * 32 * 32, "a map without classes is copied"


def test_class_lists_must_agree(pair: tuple[Critters, Critters]) -> None:
    names = pair[0].classes
    turned, others = (Critters(World(size=32, species=s), "test", 3) for s in (names[::-1], (*names[:5], NURSERY[0])))
    val = measure(Oracle(pair[0]), pair[0])
    for records, how in ((turned, "in another order"), (others, f"alone has .'{names[5]}'.")):
        with pytest.raises(ValueError, match=how + r".*load both with one list"):
            scores(val, measure(Oracle(records), records))
        method = Classifier(records)
        method.classes = pair[0].classes
        with pytest.raises(ValueError, match="load both with one list"):
            measure(method, records)
    method.classes = others.classes
    assert measure(method, others).images == 3


def test_both_splits_are_measured_alike(pair: tuple[Critters, Critters]) -> None:
    with pytest.raises(ValueError, match=r"labels_given.*in the same way"):
        scores(measure(Classifier(pair[0]), pair[0]), measure(Classifier(pair[1]), pair[1], labels_given=False))
    with pytest.raises(ValueError, match=r"miou, iou, box_accuracy of critters/test depend on a threshold"):
        scores(None, measure(Classifier(pair[1]), pair[1]))
    with pytest.raises(ValueError, match="no localize"):
        measure(nn.Conv2d(1, 1, 1), pair[0])


def test_images_without_a_mask_count_by_their_boxes(pair: tuple[Critters, Critters]) -> None:
    class Partly(Records):
        name, split, classes, fingerprint = "partly", "val", pair[0].classes, "f"

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Sample:
            sample = pair[0][index]
            return sample if index % 2 else Sample(**{k: v for k, v in sample.items() if k not in ("mask", "parts")})  # type: ignore[typeddict-item]

    class Unparted(Partly):
        def __getitem__(self, index: int) -> Sample:
            return Sample(**{k: v for k, v in super().__getitem__(index).items() if k != "parts"})  # type: ignore[typeddict-item]

    measurement = measure(Oracle(pair[0]), Unparted())
    assert (measurement.images, measurement.masked, int(measurement.boxes.images)) == (4, 2, 4)
    assert measurement.miou().values[50] == 1


def test_the_mode_is_restored(pair: tuple[Critters, Critters]) -> None:
    method = Oracle(pair[0]).train()
    method.frozen = nn.Dropout().eval()  # a part that its owner keeps in evaluation mode
    measure(method, pair[0])
    assert method.training
    assert not method.frozen.training


def test_one_map_for_all_classes_needs_the_labels(pair: tuple[Critters, Critters]) -> None:
    class Salient(nn.Module):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            return torch.ones(len(images), 1 if labels is None else labels.shape[1], 4, 4)

    assert measure(Salient(), pair[0]).images == 12
    with pytest.raises(ValueError, match=r"Salient gave 1 map.*labels_given=True"):
        measure(Salient(), pair[0], labels_given=False)


def test_images_of_unlike_size_are_taken_one_by_one(pair: tuple[Critters, Critters]) -> None:
    small = Critters(World(size=24), "val", 3)

    class Mixed(Records):
        name, split, classes, fingerprint = "mixed", "val", pair[0].classes, "f"

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Sample:
            return pair[0][index] if index < 3 else small[index - 3]

    sizes = []

    class Watch(nn.Module):
        def localize(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            sizes.append(tuple(images.shape))
            return torch.zeros(len(images), 6, 4, 4)

    result = measure(Watch(), Mixed())
    assert sizes == [(3, 3, 32, 32), (3, 3, 24, 24)]
    assert result.images == 6


def test_precision_and_recall_are_those_at_the_threshold_of_the_miou() -> None:
    world = World(size=32)
    records = [Critters(world, split, 12) for split in ("val", "test")]
    moved = [Oracle(r, error=3) for r in records]
    choose, report = (measure(method, r) for method, r in zip(moved, records, strict=True))
    row = scores(choose, report)
    precision, recall = report.foreground.precision_recall()
    at = round(row["thresholds"]["miou"] * 100)
    assert (row["object_precision"], row["object_recall"]) == (float(precision[at]), float(recall[at]))
    assert row["object_precision"] < 1
    assert row["object_recall"] < 1
