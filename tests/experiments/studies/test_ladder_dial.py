"""Chapter 9's dial: the contrast of the images that are measured, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.experiments.studies import ladder_dial
from wsss_lib.experiments.studies.__main__ import STUDIES


def test_the_dial_turns_the_images_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], train=48, rest=16))
    monkeypatch.setattr(ladder_dial, "SEEDS", (0, 1))
    monkeypatch.setattr(ladder_dial, "CONTRAST", (0.1, 0.9))
    held = ladder_dial.dial("smoke")
    contrast = held["data"]["contrast"]
    assert contrast["settings"] == [0.1, 0.9]
    for rows in contrast["rows"].values():
        assert [len(row) for row in rows] == [2, 2]
        assert [row["threshold"] for row in rows[0]] == [row["threshold"] for row in rows[1]]
        assert rows[0][0]["miou"] != rows[1][0]["miou"]
    assert len(set(held["fingerprint"].values())) == 4
    assert STUDIES["ladder_dial"] is ladder_dial.dial
