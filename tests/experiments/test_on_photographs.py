"""The section on photographs: rows over seeds and scales, recorded and shown."""

import json

import pytest

from wsss_lib import maps
from wsss_lib.evaluate import measure, scores
from wsss_lib.experiments import results
from wsss_lib.experiments.on_photographs import (
    ASKED,
    at_four_scales,
    of_four_scales,
    of_photographs,
    over_seeds,
    photographs,
    record_name,
)
from wsss_lib.experiments.recorded import Rows


def test_maps_of_four_scales_and_mirror_images_have_thresholds_of_their_own(lab, run):
    method = lab.classifier().eval()

    class Summed:
        def localize(self, images, labels=None):
            return maps.multi_scale(method.raw_maps, images, (1.0, 0.5, 1.5, 2.0), True, labels)

    ((name, row),) = at_four_scales(lab, {"CAM": method}).items()
    assert (name, row["scales"], row["flip"]) == ("CAM, four scales", [1.0, 0.5, 1.5, 2.0], True)
    alone = scores(*(measure(Summed(), part) for part in (lab.choose_on, lab.report_on)))
    for key in ("miou", "pxap", "max_box_acc_v2", "thresholds"):
        assert row[key] == alone[key], key
    assert row["pxap"] != run.rows["CAM"]["pxap"]
    assert row["mean_ap"] == run.rows["CAM"]["mean_ap"], "the classifier sees the image as it is"


def test_nobody_has_measured_photographs_yet(run, capsys):
    assert photographs("03_none_voc", run).cells == [["not measured yet"]]
    assert "recorded" not in capsys.readouterr().out


def test_a_run_on_photographs_is_recorded_with_its_settings(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run.lab, "drawn", False)
    monkeypatch.setattr(run.lab, "out_dir", tmp_path)
    monkeypatch.setattr(results, "_folders", lambda: [tmp_path])
    table = photographs("03_bas_voc", run, note="one scale", beta=0.5)
    stored = json.loads((tmp_path / "03_bas_voc.json").read_text())
    assert stored["data"]["beta"] == 0.5
    assert stored["data"]["rows"]["CAM"][0]["pxap"] == pytest.approx(run.rows["CAM"]["pxap"], abs=1e-5)
    assert stored["provenance"]["command"].startswith("wsss run 03_bas --profile smoke -p data=")
    assert [row[0] for row in table.cells] == ["CAM", "again"]
    assert table.caption.startswith("This run, critters: thresholds from 12 images")


def test_seeds_are_measured_one_after_the_other_and_recorded_together(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run.lab, "drawn", False)
    monkeypatch.setattr(run.lab, "out_dir", tmp_path)
    rows = over_seeds(run.lab, {"CAM": {"pxap": 0.5}}, lambda lab: {"CAM": {"pxap": 0.5 + 0.1 * lab.seed}}, seeds=3)
    table = photographs("03_bas_voc", run, rows)
    assert table.caption.endswith("3 seeds, mean ± s.d.")
    assert table.cells == [["CAM", "0.60 ± 0.10"]]
    assert photographs("03_bas_voc", run, rows, digits=3).cells == [["CAM", "0.600 ± 0.100"]]
    stored = json.loads((tmp_path / "03_bas_voc_tiny_cnn.json").read_text())
    assert [row["pxap"] for row in stored["data"]["rows"]["CAM"]] == [0.5, 0.6, 0.7]
    assert stored["provenance"]["seeds"] == [0, 1, 2]


def test_a_run_over_another_network_than_the_recorded_one_has_a_name_of_its_own(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run.lab, "drawn", False)
    monkeypatch.setattr(run.lab, "out_dir", tmp_path)
    monkeypatch.setattr(run.lab, "backbone_name", "resnet50.a1_in1k")
    assert record_name("03_bas_voc", run.lab) == "03_bas_voc_resnet50_a1_in1k"
    assert record_name("03_none_voc", run.lab) == "03_none_voc"
    photographs("03_bas_voc", run)
    rows, data = of_photographs("03_bas_voc", run.lab)
    assert (list(rows), data["backbone"]) == (["CAM", "again"], "resnet50.a1_in1k")
    assert [path.name for path in tmp_path.glob("*.json")] == ["03_bas_voc_resnet50_a1_in1k.json"]
    monkeypatch.setattr(run.lab, "backbone_name", results.read("03_bas_voc")["data"]["backbone"])
    assert record_name("03_bas_voc", run.lab) == "03_bas_voc"


def test_a_lab_that_measured_something_else_is_recorded_like_a_comparison(run, monkeypatch, tmp_path):
    assert photographs("03_none_voc", run.lab).cells == [["not measured yet"]]
    monkeypatch.setattr(run.lab, "drawn", False)
    monkeypatch.setattr(run.lab, "out_dir", tmp_path)
    rows = {"CAM": [{"miou": 0.5, "pxap": 0.4}], "network": [{"miou": 0.6, "precision": 0.7}]}
    columns = {"miou": "mIoU", "precision": "precision", "recall": "recall"}
    table = photographs("09_none_voc", run.lab, rows, how="with and without labels", columns=columns)
    assert table.header == ["method", "mIoU", "precision"]
    assert table.cells == [["CAM", "0.50", "–"], ["network", "0.60", "0.70"]]
    provenance = json.loads((tmp_path / "09_none_voc.json").read_text())["provenance"]
    assert provenance["note"] == "thresholds chosen on train, numbers from val, with and without labels"


def test_a_run_on_photographs_shows_its_own_rows_whatever_is_recorded(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run.lab, "drawn", False)
    monkeypatch.setattr(run.lab, "out_dir", tmp_path)
    monkeypatch.setattr(results, "_folders", list)
    assert [row[0] for row in photographs("03_bas_voc", run).cells] == ["CAM", "again"]


def test_what_four_scales_change_is_said_where_it_is_measured(lab, monkeypatch):
    rows = {"A": [0.2, 0.4], "A, four scales": [0.3, 0.5], "CAM, four scales": [0.1, 0.2]}
    real = Rows({name: [dict.fromkeys(ASKED, value) for value in values] for name, values in rows.items()})
    monkeypatch.setattr("wsss_lib.experiments.on_photographs.recorded", lambda name: {"01_cam_voc": real}[name])
    said = of_four_scales(real, "A", lab)
    assert "the mIoU of A's seeds by **+0.10 ± 0.00 (settled)**" in said
    assert "A minus CAM, both at four scales: **the mIoU of seeds +0.25 ± 0.07 (settled), Max" in said
    assert "+0.100 ± 0.000 (settled)" in of_four_scales(real, "A", lab, digits=3)
    assert of_four_scales(real, "B", lab) == ""
    monkeypatch.setattr(lab, "drawn", False)
    assert of_four_scales(real, "A", lab).endswith("by **+0.10 ± 0.00 (settled)**."), "of other photographs, no CAM"
