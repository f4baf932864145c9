"""The upper bound learns from masks, the ablation pools by maximum, a record has the shape that chapters read."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.experiments import results
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies.supervised import Supervised
from wsss_lib.experiments.variants import MaxPooled


def test_the_supervised_loss_is_the_cross_entropy_of_the_present_classes_pixels() -> None:
    records = Critters(World(size=32, critters=(1, 2)), "train", 3)
    batch = records.batch(range(3))
    torch.manual_seed(0)
    method = Supervised(backbone("tiny_cnn", widths=(4, 4, 4, 4)), 6).eval()
    logits = method.scores(batch["images"])
    slow = []
    for i in range(3):
        each = [
            F.binary_cross_entropy_with_logits(logits[i, k], (batch["masks"][i] == k + 1).float())
            for k in range(6)
            if batch["labels"][i, k]
        ]
        slow.append(torch.stack(each).sum())
    torch.testing.assert_close(method.losses(batch)["pixels"], torch.stack(slow).mean())


def test_absent_classes_are_silent_where_labels_are_given() -> None:
    method = Supervised(backbone("tiny_cnn", widths=(4, 4, 4, 4)), 6).eval()
    labels = torch.eye(6)[:2]
    result = method.localize(torch.rand(2, 3, 32, 32), labels)
    assert (result.amax((2, 3)) > 0).equal(labels > 0)


def test_max_pooling_asks_one_cell_only() -> None:
    method = MaxPooled(backbone("tiny_cnn", widths=(4, 4, 4, 4)), 6).eval()
    images = torch.rand(2, 3, 32, 32)
    features = method.features(images)
    strongest = features.flatten(2).max(2).values @ method.head.weight.T
    torch.testing.assert_close(method(images), strongest)
    batch = {"images": images, "labels": torch.eye(6)[:2]}
    loss = method.losses(batch)["classification"]  # type: ignore[arg-type]
    torch.testing.assert_close(loss, F.multilabel_soft_margin_loss(strongest, batch["labels"]))
    torch.testing.assert_close(method.predict(images).maps, torch.einsum("nchw,kc->nkhw", features, method.head.weight))


def test_a_study_is_recorded_only_when_it_was_a_real_one(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, object] = {}
    monkeypatch.setattr(results, "record", lambda name, data, **provenance: stored.update({name: (data, provenance)}))
    monkeypatch.setitem(
        studies.STUDIES, "world", lambda profile: {"data": {"rows": {}}, "fingerprint": {"test-0": "f"}}
    )
    assert studies.main(["world", "--profile", "smoke"]) == 0
    assert not stored
    assert studies.main(["world"]) == 0
    assert stored["world"][1]["seeds"] == (0, 1, 2)  # type: ignore[index]


@pytest.mark.parametrize("name", sorted(set(studies.STUDIES) & set(results.names())))
def test_a_study_still_returns_what_is_recorded_of_it(name: str) -> None:
    source = inspect.getsource(inspect.getmodule(studies.STUDIES[name]))  # type: ignore[arg-type]
    lost = [key for key in results.read(name)["data"] if f'"{key}"' not in source and f"{key}=" not in source]
    assert not lost, "chapters read these, and a new record would not have them"


@pytest.mark.parametrize("name", ["world", "dials", "methods"])
def test_what_is_recorded_has_three_seeds_and_the_claims_hold(name: str) -> None:
    document = results.read(name)
    assert document["provenance"]["seeds"] == [0, 1, 2]
    assert json.dumps(document, allow_nan=False)
    if name == "world":
        rows = document["data"]["rows"]
        assert all(r["accuracy"] >= 0.95 for r in rows["cam"]), "the classifier can tell the species"
        assert all(r["mean_ap"] >= 0.95 for r in rows["several"]), "also of several critters an image"
        assert all(r["iou"] >= 0.85 for r in rows["supervised"]), "there is something to win"
        for r in rows["cam"]:
            assert r["iou"] < 0.6, "plain CAM under-covers"
            assert r["on_head"] > 1.5 * r["head_area"], "and sits on the head"
