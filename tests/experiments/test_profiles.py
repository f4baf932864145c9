"""Profiles: one table, read without torch."""

import subprocess
import sys

import pytest

from wsss_lib.experiments.profiles import PROFILES, profile


def test_they_grow_from_the_shortest_to_the_longest() -> None:
    assert list(PROFILES) == ["smoke", "book", "colab", "paper"]
    budgets = [each.budget for each in PROFILES.values()]
    assert budgets == [20, 120, 900, None]
    assert [each.budget_words for each in PROFILES.values()] == ["20 s", "2 min", "15 min", "no limit"]
    for each in PROFILES.values():
        assert (each.limit is None) == (each.budget is None)
        assert each.limit is None or each.limit > each.budget, "a cell is given up only when the budget is long spent"


def test_the_stored_outputs_leave_no_checkpoints() -> None:
    assert not any(each.keeps and each.offline for each in PROFILES.values())


def test_an_unknown_one_is_named() -> None:
    assert profile("book") is PROFILES["book"]
    with pytest.raises(ValueError, match="profile is 'bok', expected one of smoke, book, colab, paper"):
        profile("bok")


def test_reading_them_loads_nothing_heavy() -> None:
    program = "import sys, wsss_lib.experiments.profiles; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
