"""Published numbers are shown with where they were read and why they cannot be compared."""

import pytest

from wsss_lib.experiments.published import LATER, TABLES, later, published, scored_later


@pytest.mark.parametrize("name", TABLES)
def test_every_table_names_its_source_and_its_difference(name):
    table = published(name)
    assert TABLES[name].read_in in table.caption
    assert "Not comparable with ours: " in table.caption
    shown = {cell for row in table.cells for cell in row[1:]}
    assert {f"{value:g}" for row in TABLES[name].rows.values() for value in row.values()} <= shown


def test_the_numbers_of_sat_are_the_papers():
    rows = {row[0].split(",")[1].strip(): row[1:] for row in published("sat").cells}
    assert rows == {"CUB-200": ["87.7", "98.45"], "ILSVRC": ["67.6", "73.13"]}


def test_a_method_without_checked_numbers_says_so():
    with pytest.raises(ValueError, match="could be checked"):
        published("eigen_cam")


@pytest.mark.parametrize("kind", LATER)
def test_later_methods_name_their_pretraining_and_where_they_were_read(kind):
    head, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in later(kind).splitlines()]
    headings, methods = LATER[kind]
    assert head == ["method", "supervision in its pretraining", *headings, "read in"]
    assert len(rule) == len(head)
    assert len({one.method for one in methods}) == len(methods)
    for cells, one in zip(rows, methods, strict=True):
        assert one.hidden
        assert one.scores
        assert set(one.scores) <= set(headings)
        assert cells[:2] == [one.method, one.hidden]
        assert cells[-1] == one.read_in
        shown = dict(zip(headings, cells[2:-1], strict=True))
        assert {name: float(text) for name, text in shown.items() if text != "–"} == one.scores


def test_a_score_of_a_later_method_is_looked_up_by_name():
    assert scored_later("masks", "DuPL", "VOC val") == 72.2
    assert scored_later("boxes", "Pro2SAM", "Top-1, ILSVRC") == 66.85


def test_what_could_not_be_checked_of_a_later_method_says_so():
    with pytest.raises(ValueError, match="could not be checked"):
        scored_later("masks", "WeCLIP+", "VOC val")
    with pytest.raises(ValueError, match="could not be checked"):
        scored_later("masks", "nobody", "VOC val")
    with pytest.raises(ValueError, match="masks, boxes"):
        later("points")
