"""Methods of one run side by side: their rows, their maps, and the section on photographs."""

import json

import pytest
import torch

from wsss_lib import maps
from wsss_lib.evaluate import measure, scores
from wsss_lib.experiments import Workbench, comparison, results
from wsss_lib.experiments.comparison import (
    Comparison,
    at_four_scales,
    compare,
    of_photographs,
    over_seeds,
    photographs,
    record_name,
    scored,
)


@pytest.fixture(scope="module")
def lab():
    lab = Workbench(profile="smoke", seed=0)
    lab.limit("choose", most=12)
    lab.limit("report", most=12)
    return lab


@pytest.fixture(scope="module")
def run(lab):
    return compare(lab, {"CAM": lab.classifier(), "again": lab.classifier()}, images=3)


def test_each_method_has_the_row_and_the_maps_that_it_has_alone(lab, run):
    method = lab.classifier()
    alone = lab.scores(method.eval())
    assert run.rows["CAM"] == alone
    assert run.rows["again"] == run.rows["CAM"]
    assert run.maps["CAM"].shape == run.masks.shape == (3, 96, 96)
    assert run.thresholds["CAM"] == alone["thresholds"]["iou"]


def test_the_curves_behind_a_row_are_kept(lab, run):
    choose, report = run.measured["CAM"]
    assert (choose.fingerprint, report.fingerprint) == (lab.choose_on.fingerprint, lab.report_on.fingerprint)
    threshold = run.rows["CAM"]["thresholds"]["miou"]
    assert choose.miou().values.max() == choose.miou().at(threshold)
    assert report.miou().at(threshold) == run.rows["CAM"]["miou"]


def test_rows_of_fewer_images_and_of_another_world(lab, run):
    methods = {"CAM": lab.classifier()}
    whole = scored(lab, methods)["CAM"]
    assert whole == {key: run.rows["CAM"][key] for key in whole} | {"thresholds": whole["thresholds"]}
    assert set(run.rows["CAM"]) - set(whole) == {"box_accuracy", "max_box_acc_v2"}
    assert {"miou", "iou", "pxap", "on_head"} < set(whole)
    assert scored(lab, methods, most=5)["CAM"]["images"] == 5
    faint = scored(lab, methods, most=12, contrast=0.1)["CAM"]
    assert faint["images"] == 12
    assert faint["pxap"] != run.rows["CAM"]["pxap"]


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


def test_photographs_have_no_dials(lab, monkeypatch):
    monkeypatch.setattr(lab, "drawn", False)
    with pytest.raises(ValueError, match="contrast of critters: only the drawn world has dials"):
        scored(lab, {}, contrast=0.1)


def test_the_table_has_a_row_a_method_and_says_the_rule(run):
    table = run.table("Twelve images")
    assert [row[0] for row in table.cells] == ["CAM", "again"]
    assert table.caption.startswith("Twelve images: thresholds from one split, numbers from another")


def test_what_a_cut_map_covers_is_recall_and_precision(lab):
    heat, mask = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    mask[0, :2] = 1  # eight pixels of object
    mask[0, 3, 3] = 255
    heat[0, 0] = heat[0, 3] = 1.0  # four on it; three beside it, and one that does not count
    rows = {"M": {"thresholds": {"iou": 0.5}}}
    made = Comparison(lab, rows, torch.zeros(1, 3, 4, 4), torch.ones(1, 1), mask, {"M": heat})
    assert made.covered("M", 0) == (0.5, 4 / 7)
    assert "the map's mean is 0.50 on the object and 0.43 on the ground" in made._text("M", [0])


def test_a_curtain_hangs_between_two_methods(run):
    control = run.curtain("CAM", "again", images=(0, 2))
    assert "In image 3 the map&#x27;s mean is" in control._repr_html_()


def test_a_gallery_is_shown_with_its_text(run, monkeypatch):
    shown = []
    monkeypatch.setattr(comparison.figures, "show", lambda fig, alt, dpi: shown.append((fig, alt)))
    run.gallery(2)
    ((fig, alt),) = shown
    assert alt.startswith("Gallery of 2 images, each beside its maps by CAM, again, with the true outlines.")
    assert sum(bool(ax.images) for ax in fig.axes) == 6  # a plain image and two maps, twice


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


def test_a_recorded_method_is_shown_beside_those_of_the_run(run):
    heats = torch.zeros(3, 12, 12)
    heats[:, :6] = 1.0
    row = {"thresholds": {"iou": 0.4}, "pxap": 0.5}
    more = run.including("recorded", row, heats)
    assert list(more.rows) == ["CAM", "again", "recorded"]
    assert list(run.rows) == ["CAM", "again"]
    assert more.maps["recorded"].shape == (3, 96, 96)
    assert more.thresholds["recorded"] == 0.4
    assert more.maps["recorded"][0, :, 0].tolist() == sorted(more.maps["recorded"][0, :, 0].tolist(), reverse=True)
    assert more.maps["recorded"][0, [0, -1], 0].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="2 maps of recorded for 3 images"):
        run.including("recorded", row, heats[:2])
