"""Chapter 1's times on photographs: each run finds what the one before it left, and measures the same rows."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.methods.cam import CAM

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_the_second_run_finds_features_and_the_third_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("WSSS_CACHE", str(tmp_path / "cache"))
    script = runpy.run_path(str(FOLDER / "photographs.py"))
    for file, count in (("aug", 4), ("train", 3), ("val", 3)):
        drawn = Critters(World(size=40, species=("fenn", "lopi")), file, count).to_datasets()
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(tmp_path / f"{file}.parquet"))

    def files() -> set[Path]:
        return {path for path in tmp_path.rglob("*") if path.is_file()}

    rows, made = [], []
    for turn, folder in script["TURNS"].items():
        if turn == "kept":
            monkeypatch.setattr(CAM, "losses", lambda *_: pytest.fail("it trained again"))
        before = files()
        script["seconds_of"](str(tmp_path), str(tmp_path / folder))
        rows.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
        made.append({path.relative_to(tmp_path).parts[0] for path in files() - before})
    assert made == [{"1", "cache"}, {"2"}, set()]
    for key in ("images", "miou", "mean_ap", "pxap", "fingerprint"):
        assert rows[0][key] == rows[1][key] == rows[2][key]
    assert rows[0]["images"] == [4, 3, 3]
