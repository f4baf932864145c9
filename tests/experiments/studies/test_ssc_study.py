"""What chapter 6's study counts: where a map spills, the dial at a threshold that stays, rows by name and seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsss_lib.evaluate import measure, scores
from wsss_lib.experiments import results
from wsss_lib.experiments.recorded import recorded
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import ssc
from wsss_lib.experiments.workbench import Workbench


@pytest.fixture(scope="module")
def lab() -> Workbench:
    lab = ssc.limited(Workbench("smoke", seed=0))
    for split in ("choose", "report"):
        lab.limit(split, most=20)  # type: ignore[arg-type]
    return lab


class Everywhere:
    """The same value in every pixel."""

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        shape = labels.shape if labels is not None else (len(images), 6)
        maps = torch.ones(*shape, 8, 8)
        return maps if labels is None else maps * labels[:, :, None, None]


def test_they_are_registered() -> None:
    assert {"ssc", "ssc_parts", "ssc_collapse"} <= set(studies.STUDIES)


def test_rows_build_networks_that_differ_by_their_settings(lab: Workbench) -> None:
    for name, changes in (ssc.ROWS | ssc.PARTS | ssc.COLLAPSE).items():
        if changes is not None:
            config = ssc.ENTRY.configured(**changes)
            assert (config == ssc.BOOK) == (name == "SSC")


def test_a_map_that_is_everywhere_spills_over_all_of_the_background(lab: Workbench) -> None:
    shape = ssc.shaped(lab, Everywhere(), 1.0)  # type: ignore[arg-type]
    shares = shape["spill_fixed"]
    masks = torch.stack([lab.report_on[i]["mask"] for i in range(20)])
    assert len(shares) == len(ssc.EDGES) + 1
    assert sum(shares) == pytest.approx(float((masks == 0).sum() / (masks > 0).sum()))
    assert sum(shape["spill"]) == 0
    assert shape["evenness"] == 1


def test_evenness_is_the_share_of_the_variance_between_superpixels() -> None:
    heat = torch.tensor([[[3.0, 1.0, 0.0, 0.0]], [[2.0, 2.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 1.0]]])
    superpixels = torch.tensor([[[1, 1, 2, 2]], [[1, 1, 2, 2]], [[1, 2, 2, 2]]])
    expected = torch.tensor([2 / 3, 1.0, 1 / 3])  # 1 and 0, 1, 0 or 1/3 each: 1/12 of 1/4
    torch.testing.assert_close(ssc.evenness(heat, superpixels).float(), expected)


def test_the_dial_keeps_the_threshold_and_ends_in_the_world_itself(lab: Workbench) -> None:
    method = lab.classifier()
    row = ssc.measured(lab, method)
    turns = ssc.turned(lab, method, row["thresholds"]["miou"])
    assert len(turns) == len(ssc.CONTRAST)
    assert ssc.CONTRAST[-1] == lab.world.contrast
    assert turns[-1] == pytest.approx({key: row[key] for key in turns[-1]})
    assert turns[0]["miou"] != turns[-1]["miou"]


def test_curves_hold_the_reported_numbers(lab: Workbench) -> None:
    method = lab.classifier()
    row = ssc.measured(lab, method)
    test = measure(method, lab.report_on, score_boxes=False)
    honest = scores(lab.measure(method, "choose", score_boxes=False), test)
    assert row["miou"] == honest["miou"] <= row["best_miou"]
    assert len(row["curves"]["miou"]) == 20
    assert row["curves"]["miou"][6] == float(test.miou().values[30])
    precision, recall = test.foreground.precision_recall()
    assert (row["curves"]["precision"][6], row["curves"]["recall"][6]) == (float(precision[30]), float(recall[30]))


def test_rows_are_gathered_by_name_and_the_dial_by_setting() -> None:
    turn = [{"miou": float(i)} for i in range(len(ssc.CONTRAST))]
    rows = {"CAM": [{"miou": 0.1, "dial": turn}, {"miou": 0.2, "dial": turn}]}
    data = ssc.gathered(rows, {"test-0": "a"}, dial=True)["data"]
    assert data["rows"]["CAM"] == [{"miou": 0.1}, {"miou": 0.2}]
    assert data["contrast"]["rows"]["CAM"][3] == [{"miou": 3.0}, {"miou": 3.0}]


def test_a_network_of_the_lab_is_trained(lab: Workbench) -> None:
    before = lab.build("ssc").head.weight
    trained = ssc.network(lab, {"reconstruction": 0.0})
    assert not torch.equal(before, trained.head.weight)  # type: ignore[arg-type, union-attr]


def test_what_the_chapter_says_of_the_records_holds() -> None:
    rows = recorded("ssc", "ssc_parts", "ssc_collapse")
    for name in ("ssc", "ssc_parts", "ssc_collapse"):
        document = results.read(name)
        assert document["provenance"]["seeds"] == [0, 1, 2]
        assert document["data"]["config"] == repr(ssc.BOOK), "the settings have changed: measure again"
    assert not rows.gap("SSC", "CAM", "miou").settled
    for key in ("object_precision", "pxap"):
        value = rows.gap("SSC", "CAM", key)
        assert value.settled
        assert value.mean > 0, key
    assert abs(rows.gap("CAM + DRS", "CAM", "miou").mean) < 0.01, "DRS alone is a threshold in disguise"
    value = rows.gap("no warm-up", "DRS + alignment", "miou")
    assert value.settled
    assert value.mean < -0.1
    for name in ("DRS + reconstruction", "DRS + alignment"):
        assert not any(rows.gap(name, "CAM + DRS", key).settled for key in ("miou", "object_precision", "pxap"))
