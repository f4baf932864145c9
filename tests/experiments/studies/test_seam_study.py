"""What chapter 5's study counts: errors over scales, one threshold kept over the dial, costs beside CAM's."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.evaluate import measure
from wsss_lib.experiments import variants
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import seam
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.seam import SEAM, SEAMConfig


@pytest.fixture(scope="module")
def lab() -> Workbench:
    return Workbench("smoke", seed=0)


def test_it_is_registered() -> None:
    assert {"seam", "seam_settings"} <= set(studies.STUDIES)


def test_reading_other_maps_shares_the_network(lab: Workbench) -> None:
    method = lab.build(SEAM, SEAMConfig())
    other = variants.reading(method, "cam")
    images = lab.examples(2)["images"]
    assert other.config == SEAMConfig(read="cam")
    assert method.config.read == "pcm"
    torch.testing.assert_close(other.raw_maps(images), method.branch(images).raw)


def test_modes_that_are_mixed_stay_mixed(lab: Workbench) -> None:
    method = lab.build(SEAM, SEAMConfig()).train()
    method.backbone.eval()
    modes = [module.training for module in method.modules()]
    variants.reading(method, "cam")
    assert [module.training for module in method.modules()] == modes
    seam.equivariance(lab, method, images=2)
    assert [module.training for module in method.modules()] == modes


def test_equivariance_is_measured_at_every_scale_and_restores_the_mode(lab: Workbench) -> None:
    method = lab.build(SEAM, SEAMConfig()).train()
    result = seam.equivariance(lab, method, images=4)
    assert method.training
    for values in result.values():
        assert len(values) == len(seam.SCALES)
        assert all(0 < value < 2 for value in values)
    assert result["relative"] > result["absolute"]


def test_the_dial_keeps_the_threshold_of_the_default_world(lab: Workbench) -> None:
    method = lab.classifier()
    val = measure(method, lab.choose_on.subset(range(20)))
    tests = [measure(method, lab.split("test", scale=extent).subset(range(20))) for extent in seam.EXTENTS[:2]]
    result = seam.turned(val, tests)
    at = float(val.miou().thresholds[int(val.miou().values.argmax())])
    for test, kept, best in zip(tests, result["kept threshold"], result["best threshold"], strict=True):
        curve = test.miou()
        assert kept == pytest.approx(float(curve.values[(curve.thresholds - at).abs().argmin()]))
        assert kept <= best


def test_costs_are_relative_to_those_of_cam(lab: Workbench) -> None:
    result = seam.costs(lab, rounds=1)
    assert result["CAM"] == {"time": 1.0, "memory": 1.0}
    assert 1 < result["two sizes"]["memory"] < result["SEAM"]["memory"]


def test_steps_of_a_run(lab: Workbench) -> None:
    assert seam.steps(lab) == 5  # 160 images in batches of 32


def test_seeds_are_merged_by_measurement_and_method() -> None:
    seeds = [
        {kind: {"CAM": {"value": seed}} for kind in ("rows", "equivariance", "views", "dial")}
        | {"steps": 5, "fingerprint": f"print {seed}"}
        for seed in range(3)
    ]
    result = seam.merged(seeds)
    assert [row["value"] for row in result["data"]["rows"]["CAM"]] == [0, 1, 2]
    assert result["fingerprint"] == {"test-0": "print 0", "test-1": "print 1", "test-2": "print 2"}
    assert len(result["data"]["dial"]["CAM"]) == 3
