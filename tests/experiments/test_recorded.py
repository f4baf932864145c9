"""Recorded rows: paired differences, tables that say what is absent, dials of several studies."""

import json
import re
from pathlib import Path

import pytest

from wsss_lib.experiments import recorded as library
from wsss_lib.experiments import results
from wsss_lib.experiments.recorded import SETTLED, Rows, gap, honest_table, recorded, recorded_dial

CHAPTERS = sorted((Path(__file__).parents[2] / "book/chapters").glob("*.ipynb"))
SAID = re.compile(r"[+\-−]?(\d+)\.(\d+) ± (\d+)\.(\d+)\*{0,2} \((settled|not settled)\)")

ROWS = {
    "CAM": [{"pxap": 0.5, "miou": 0.4}, {"pxap": 0.6, "miou": 0.4}, {"pxap": 0.7, "miou": 0.4}],
    "BAS": [{"pxap": 0.7, "miou": 0.6}, {"pxap": 0.8, "miou": 0.5}, {"pxap": 0.9, "miou": 0.1}],
}


def test_a_difference_is_paired_by_seed():
    difference = Rows(ROWS).gap("BAS", "CAM", "pxap")
    assert difference.mean == pytest.approx(0.2)
    assert difference.sd == pytest.approx(0.0, abs=1e-12)  # each seed gains alike, though the rows spread by 0.1


@pytest.mark.parametrize(
    ("values", "settled"),
    [([0.1, 0.2, 0.3], False), ([0.11, 0.2, 0.29], True), ([-0.11, -0.2, -0.29], True), ([0.0, 0.2, -0.2], False)],
)
def test_settled_is_more_than_two_standard_deviations_in_either_direction(values, settled):
    difference = gap(values, [0.0, 0.0, 0.0])  # 0.2 ± 0.1 is exactly two, and does not exceed them
    assert difference.settled is settled
    assert str(difference).endswith("(settled)" if settled else "(not settled)")


def test_a_difference_is_told_with_as_many_decimals_as_are_asked_for():
    difference = gap([0.001, 0.002, 0.003], [0.0, 0.0, 0.0])
    assert difference.text(3) == "+0.002 ± 0.001 (not settled)"
    assert difference.text(2) == "0.00 ± 0.00 (not settled)"  # a rounded zero has no sign


def test_a_difference_keeps_its_sign():
    assert str(gap([0.001, 0.002, 0.003], [0.0, 0.0, 0.0])) == "+0.002 ± 0.001 (not settled)"
    assert str(gap([-0.001], [0.0])) == "-0.001 (one seed)"
    assert str(gap([-0.003, 0.005, -0.011], [0.0, 0.0, 0.0])) == "-0.003 ± 0.008 (not settled)"
    assert str(gap([0.1, 0.2], [0.1, 0.2])) == "0.00 ± 0.00 (not settled)"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.30, 0.20, 0.25], "+0.25 ± 0.05 (settled)"),
        ([0.004, 0.008, 0.012], "+0.008 ± 0.004 (not settled)"),  # 0.01 ± 0.00 would be settled
        ([0.011, 0.019, 0.027], "+0.019 ± 0.008 (settled)"),  # 0.02 ± 0.01 would not be
        ([0.1, 0.1, 0.1], "+0.10 ± 0.00 (settled)"),
    ],
)
def test_rounded_numbers_do_not_contradict_the_verdict(values, text):
    assert str(gap(values, [0.0, 0.0, 0.0])) == text


def contradicted(text: str) -> list[str]:
    """Differences of a text whose printed digits do not fit the verdict printed behind them."""
    wrong = []
    for said in SAID.finditer(text):
        mean, sd = int(said[1] + said[2]), int(said[3] + said[4])
        if (mean > SETTLED * sd) != (said[5] == "settled"):
            wrong.append(said[0])
    return wrong


def test_a_contradiction_is_seen():
    assert not contradicted("+0.25 ± 0.05 (settled), **−0.008 ± 0.004** (not settled), -0.10 ± 0.00 (settled)")
    assert contradicted("**+0.01 ± 0.00** (not settled)") == ["+0.01 ± 0.00** (not settled)"]
    assert contradicted("−0.02 ± 0.01 (settled)") == ["−0.02 ± 0.01 (settled)"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_no_chapter_prints_a_difference_against_its_verdict(chapter):
    outputs = [cell.get("outputs", []) for cell in json.loads(chapter.read_text())["cells"]]
    assert contradicted(json.dumps(outputs, ensure_ascii=False)) == []


def test_one_seed_settles_nothing():
    assert not gap([0.9], [0.1]).settled
    assert str(gap([0.9], [0.1])) == "+0.80 (one seed)"


def test_seeds_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="3 and 2 numbers"):
        gap([1.0, 2.0, 3.0], [1.0, 2.0])


def test_a_table_has_the_rows_asked_for_and_says_what_nobody_measured():
    table = Rows(ROWS).table(
        {"CAM": "plain", "BAS": "masks", "SAT": ""}, note="kind", minus=("BAS", "CAM"), caption="x"
    )
    assert table.header == ["method", "kind", "seeds mIoU", "PxAP"]
    assert table.cells[0] == ["CAM", "plain", "0.40 ± 0.00", "0.60 ± 0.10"]
    assert table.cells[2] == ["SAT", "", "not measured yet", "not measured yet"]
    assert table.cells[3] == ["BAS minus CAM", "", "0.000 ± 0.265", "+0.200 ± 0.000"]


def test_a_table_has_as_many_decimals_as_asked_for():
    table = Rows(ROWS).table(["CAM"], caption="x", digits=3)
    assert table.cells == [["CAM", "0.400 ± 0.000", "0.600 ± 0.100"]]


def test_a_table_of_differences_stars_what_is_settled():
    rows = Rows({"CAM": [{"x": 0.1}, {"x": 0.2}], "BAS": [{"x": 0.4}, {"x": 0.5}], "SAT": [{"x": 0.5}, {"x": 0.1}]})
    table = rows.differences([("BAS", "CAM"), ("SAT", "CAM")], {"x": "score"}, caption="Two seeds")
    assert table.header == ["difference", "score"]
    assert table.cells == [["BAS minus CAM", "+0.300 ± 0.000 *"], ["SAT minus CAM", "+0.150 ± 0.354"]]
    assert table.caption == "Two seeds (*: settled)"


def test_a_table_of_differences_has_as_many_decimals_in_each_cell():
    ones = [{"x": 0.0}, {"x": 0.0}, {"x": 0.0}]
    rows = Rows({"CAM": ones, "BAS": [{"x": 0.004}, {"x": 0.008}, {"x": 0.0118}], "SAT": [{"x": -0.2}] * 3})
    table = rows.differences([("BAS", "CAM"), ("SAT", "CAM")], {"x": "score"}, caption="x")
    assert [cells[1] for cells in table.cells] == ["+0.0079 ± 0.0039 *", "-0.2000 ± 0.0000 *"]


def test_an_unknown_row_names_those_that_are_there():
    with pytest.raises(KeyError, match="choose from CAM, BAS"):
        Rows(ROWS)["SEAM"]


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """A folder of results in place of the project's."""
    monkeypatch.setattr(results, "_folders", lambda: [tmp_path])

    def write(name, data):
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name, "data": data, "provenance": {}}))

    return write


def test_studies_are_read_together_and_absent_ones_are_listed(studies):
    studies("one", {"rows": {"CAM": ROWS["CAM"]}})
    studies("two", {"rows": {"BAS": ROWS["BAS"]}})
    rows = recorded("one", "two", "three")
    assert list(rows) == ["CAM", "BAS"]
    assert rows.absent == ("three",)
    assert rows.mean("CAM", "pxap") == pytest.approx(0.6)


def test_a_difference_is_of_one_study_where_it_holds_both(studies):
    studies("first", {"rows": {"CAM": [{"x": 0.5}, {"x": 0.7}], "BAS": [{"x": 0.6}, {"x": 0.9}]}})
    studies("other", {"rows": {"CAM": [{"x": 0.4}, {"x": 0.4}], "SAT": [{"x": 0.5}, {"x": 0.5}]}})
    for rows in (recorded("first", "other"), recorded("other", "first")):
        assert rows.gap("BAS", "CAM", "x").mean == pytest.approx(0.15)  # not with the other study's CAM
        assert rows.gap("SAT", "CAM", "x").mean == pytest.approx(0.1)
        assert rows.gap("CAM", "SAT", "x").mean == pytest.approx(-0.1)
        assert rows.gap("BAS", "SAT", "x").mean == pytest.approx(0.25)  # no study has both
        table = rows.table(["SAT"], {"x": "score"}, minus=("SAT", "CAM"), caption="x")
        assert table.cells[-1] == ["SAT minus CAM", "+0.100 ± 0.000"]
    assert recorded("first", "other").mean("CAM", "x") == pytest.approx(0.4)  # what is shown is the last one's


def test_a_difference_of_rows_that_nobody_recorded_names_those_that_are_there(studies):
    studies("one", {"rows": {"CAM": ROWS["CAM"]}})
    with pytest.raises(KeyError, match="choose from CAM"):
        recorded("one").gap("CAM", "BAS", "pxap")


def test_a_dial_joins_what_several_studies_measured(studies):
    studies("a", {"evidence": {"settings": [0.0, 1.0], "cam": [ROWS["CAM"], ROWS["CAM"]]}})
    studies("b", {"evidence": {"settings": [0.0, 1.0], "bas": [ROWS["BAS"], ROWS["CAM"]]}})
    dial = recorded_dial("evidence", {"CAM": ("a", "cam"), "BAS": ("b", "bas"), "SAT": ("c", "sat")})
    assert list(dial.rows) == ["CAM", "BAS"]
    assert dial.series("pxap")["BAS"] == [[0.7, 0.5], [0.8, 0.6], [0.9, 0.7]]  # a line a seed
    assert [round(each.mean, 6) for each in dial.gaps("BAS", "CAM", "pxap")] == [0.2, 0.0]
    assert dial.table("BAS", "CAM", ["pxap"]).cells == [["0.00", "+0.200 ± 0.000"], ["1.00", "0.000 ± 0.000"]]
    assert recorded_dial("evidence", {"SAT": ("c", "sat")}) is None


def test_dials_at_other_settings_are_not_compared(studies):
    studies("a", {"evidence": {"settings": [0.0, 1.0], "cam": []}})
    studies("b", {"evidence": {"settings": [0.0, 0.5], "bas": []}})
    with pytest.raises(ValueError, match="measure it again"):
        recorded_dial("evidence", {"CAM": ("a", "cam"), "BAS": ("b", "bas")})


def test_the_row_of_a_run_says_the_rule_of_its_thresholds():
    table = honest_table({"CAM": {"miou": 0.5, "thresholds": {}}, "Eigen-CAM": {"iou": 0.25}}, caption="This run")
    assert table.header == ["method", library.COLUMNS["miou"], library.COLUMNS["iou"]]
    assert table.cells == [["CAM", "0.50", "–"], ["Eigen-CAM", "–", "0.25"]]
    assert table.caption == "This run: thresholds from one split, numbers from another"
    boxes = honest_table({"CAM": {"max_box_acc_v2": 0.5}}, caption="This run")
    assert boxes.caption.endswith("numbers from another (MaxBoxAccV2: the best threshold of the reported images)")


def test_the_book_s_own_records_are_read():
    rows = recorded("methods", "bas", "bas_ablation")
    assert {"CAM", "BAS"} <= set(rows)
    assert rows.gap("BAS", "CAM", "pxap").settled
    sources = {"CAM": ("dials", "cam"), "BAS": ("bas_dial", "bas")}
    assert recorded_dial("body_evidence", sources).gaps("BAS", "CAM", "pxap")
    assert recorded_dial("body_evidence", {"SAT": ("sat_dial", "SAT")}).series("pxap")["SAT"]
