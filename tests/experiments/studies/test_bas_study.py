"""Chapter 3's measurements: masks move as told, responses end where they must, the safeguard is what is removed."""

from __future__ import annotations

import json
import statistics

import pytest
import torch
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.experiments import masking, results, variants
from wsss_lib.experiments.studies import bas as study
from wsss_lib.methods.bas import BAS, BASConfig, of_class
from wsss_lib.methods.cam import CAM
from wsss_lib.methods.contract import Progress


def test_a_square_grows_and_shrinks_by_pixels() -> None:
    masks = torch.zeros(1, 12, 12)
    masks[0, 4:8, 3:9] = 1
    for radius, expected in ((0, 24), (1, 6 * 8), (2, 8 * 10), (-1, 2 * 4), (-2, 0)):
        assert masking.resized(masks, radius).sum() == expected, radius


def test_a_mask_at_the_border_does_not_shrink_there() -> None:
    masks = torch.zeros(1, 6, 6)
    masks[0, :3] = 1
    assert masking.resized(masks, -1)[0].sum(dim=1).tolist() == [6, 6, 0, 0, 0, 0]


def test_responses_run_from_nothing_to_everything() -> None:
    torch.manual_seed(0)
    cam = CAM(backbone("tiny_cnn", widths=(4, 4, 6, 6)), 6).eval()
    with torch.no_grad():
        cam.head.weight.abs_()  # so that every score is positive
    batch = Critters(World(size=48), "test", 5).batch(range(5))
    radii = (-2, 0, 3)
    result = masking.masked_responses(cam, batch, "stage3", radii)
    assert {name: tuple(values.shape) for name, values in result.items()} == dict.fromkeys(result, (5, 5))
    assert torch.equal(result["area"][:, 0], torch.zeros(5))
    assert torch.equal(result["area"][:, 2], torch.ones(5)), "radius 0 is the object"
    assert (result["area"].diff(dim=1) >= 0).all()
    everything = of_class(cam.raw_maps(batch["images"]), batch["labels"].argmax(dim=1)).relu().mean(dim=(1, 2)).detach()
    torch.testing.assert_close(result["foreground"][:, -1], everything)
    torch.testing.assert_close(result["background"][:, 0], everything)
    torch.testing.assert_close(result["foreground"][:, 0], result["background"][:, -1])
    classes = batch["labels"].argmax(dim=1)
    whole = F.cross_entropy(cam(batch["images"]), classes, reduction="none").detach()
    torch.testing.assert_close(result["cross_entropy"][:, -1], whole)


def test_without_the_safeguard_the_background_pass_teaches_everything() -> None:
    torch.manual_seed(0)
    guarded, shared = (kind(backbone("tiny_cnn", widths=(4, 4, 4, 4)), 3) for kind in (BAS, variants.SharedTail))
    images, mask = torch.rand(2, 3, 16, 16), torch.rand(2, 4, 4)
    shared.load_state_dict(guarded.state_dict())
    guarded.eval()
    shared.eval()
    torch.testing.assert_close(*(m.background(m.features(images), mask) for m in (guarded, shared)))
    loss = shared.background(shared.features(images), mask).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in shared.backbone.parameters())
    assert not guarded.background(guarded.features(images), mask).requires_grad


@pytest.mark.parametrize(
    ("kind", "taught"), [(variants.EarlySuppression, [0, 1]), (variants.LateSuppression, list(range(2, 40)))]
)
def test_the_suppression_can_teach_in_a_part_of_the_training(kind: type[BAS], taught: list[int]) -> None:
    torch.manual_seed(0)
    method = kind(backbone("tiny_cnn", widths=(4, 4, 4, 4)), 3)
    batch = {"images": torch.rand(2, 3, 32, 32), "labels": torch.eye(3)[:2]}
    teaches = []
    for step in range(40):
        method.before_step(Progress(step, 40, "training", step, 40))
        if method.losses(batch)["suppression"].requires_grad:
            teaches.append(step)
    assert teaches == taught


def test_the_ablation_changes_one_thing_at_a_time() -> None:
    for name, (kind, changes) in (study.ABLATION | study.SAFEGUARD | study.SETTINGS | study.TIMING).items():
        assert (kind != "bas") + len(changes) == 1, name
        assert BASConfig(**changes) != BASConfig() or kind != "bas", name


def test_the_cost_is_relative_to_classification_alone() -> None:
    method = BAS(backbone("tiny_cnn", widths=(4, 4, 4, 4)), 3)
    batch = Critters(World(size=32), "test", 2).batch(range(2)) | {"labels": torch.eye(3)[:2]}
    plain = variants.OnlyClassifying(method).losses(batch)["classification"]
    torch.testing.assert_close(plain, F.multilabel_soft_margin_loss(method(batch["images"]), batch["labels"]))
    torch.testing.assert_close(plain, method.losses(batch)["classification"])


@pytest.mark.parametrize(
    "name", ["bas", "bas_observation", "bas_dial", "bas_ablation", "bas_safeguard", "bas_settings", "bas_timing"]
)
def test_what_is_recorded_has_three_seeds_and_the_claims_hold(name: str) -> None:
    if name not in results.names():
        pytest.skip(f"{name} is not recorded yet")
    document = results.read(name)
    assert document["provenance"]["seeds"] == [0, 1, 2]
    assert json.dumps(document, allow_nan=False)
    if name == "bas":
        plain, rows = results.read("methods")["data"]["rows"]["CAM"], document["data"]["rows"]["BAS"]
        for key in ("max_box_acc_v2", "pxap"):
            gains = [b[key] - a[key] for a, b in zip(plain, rows, strict=True)]
            assert statistics.fmean(gains) > 2 * statistics.stdev(gains), key
        assert all(row["accuracy"] > 0.95 for row in rows), "the classifier did not pay for it"
    if name == "bas_ablation":
        full = results.read("bas")["data"]["rows"]["BAS"]
        for setting, rows in document["data"]["rows"].items():
            losses = [b["pxap"] - a["pxap"] for a, b in zip(rows, full, strict=True)]
            assert statistics.fmean(losses) > 0, f"{setting}: what is left out is worth something"


def test_on_photographs_bas_is_compared_with_the_same_cam() -> None:
    if "03_bas_voc" not in results.names():
        pytest.skip("not recorded yet")
    document = results.read("03_bas_voc")
    data = document["data"]
    rows = [*data["rows"]["CAM"], *data["rows"]["BAS"]]
    assert len(rows) == 2 * len(document["provenance"]["seeds"]) == 6
    assert min(row["mean_ap"] for row in rows) > 0.9, "the recipe teaches both classifiers"
    for row in rows:
        assert (row["choose"], row["split"]) == ("voc_animals/train", "voc_animals/val")
        assert row["images"] == data["val"]
