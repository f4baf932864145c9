"""What an update of each method costs: the script's passes are those of the papers, and it runs in small."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    yield runpy.run_path(str(FOLDER / "bench_updates.py"))
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def rows(script: dict[str, Any]) -> dict[str, Any]:
    case = script["Case"](48, 2, {"tiny_cnn": script["CNN"], "tiny_vit": script["VIT"]})
    made: dict[str, Any] = script["update_rows"](case, 1)
    return made


def test_each_method_has_a_row_beside_the_first_of_its_network(rows: dict[str, Any]) -> None:
    ssc = ["SSC, warm-up", "SSC, aligning"]
    phases = [f"ESOL, phase {name}" for name in ("classify", "expand", "shrink")]
    assert list(rows) == ["CAM", "BAS", "SEAM", *ssc, *phases, "MARS", "TS-CAM", "SAT"]
    for name, row in rows.items():
        assert row["beside"] == ("TS-CAM" if name in ("TS-CAM", "SAT") else "CAM")
    for name in ("CAM", "TS-CAM"):
        assert [rows[name][key] for key in ("passes", "operations", "memory", "time")] == [1, 1, 1, 1]


def test_passes_are_what_the_papers_ask_for(rows: dict[str, Any]) -> None:
    passes = {name: row["passes"] for name, row in rows.items()}
    assert passes["SEAM"] == pytest.approx(1 + 0.5**2, rel=0.01)  # a second view of half the side
    assert passes["MARS"] == pytest.approx(4 / 3, rel=0.02)  # three parts forward and backward, one of the teacher
    assert passes["SSC, warm-up"] == passes["SSC, aligning"] == passes["SAT"] == 1
    assert 1 < passes["BAS"] < 5 / 3  # f₂ again, which is less than the network
    held = passes["ESOL, phase expand"]
    assert passes["ESOL, phase classify"] == pytest.approx(3 * held, rel=0.05)
    assert passes["ESOL, phase shrink"] == held


def test_operations_are_no_fewer_than_the_passes(rows: dict[str, Any]) -> None:
    for name, row in rows.items():
        assert row["operations"] > 0.99 * row["passes"], name
