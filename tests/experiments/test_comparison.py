"""Methods of one run side by side: their rows and their maps."""

import pytest
import torch

from wsss_lib.experiments import comparison
from wsss_lib.experiments.comparison import Comparison, scored


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


def test_images_without_masks_cannot_be_compared(lab, monkeypatch):
    without = {key: value for key, value in lab.examples(2).items() if key != "masks"}
    monkeypatch.setattr(lab, "examples", lambda count: without)
    with pytest.raises(ValueError, match="critters/test has no masks, which choose thresholds"):
        comparison.compare(lab, {"CAM": lab.classifier()})


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
