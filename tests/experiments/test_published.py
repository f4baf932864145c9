"""Published numbers are shown with where they were read and why they cannot be compared."""

import pytest

from wsss_lib.experiments.published import TABLES, published


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
