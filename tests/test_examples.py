"""The examples: each trains a method in view, in at most 80 lines."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from wsss_lib.methods import registry

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
BASELINES = ("class-token", "grounder", "centerpoint")
"""What is trained only to be compared with."""
NETWORKS = ("mars",)
"""What learns from the masks of a classifier, which the example trains before."""


def test_every_trained_method_has_one() -> None:
    trained = {name.replace("-", "_") for name in registry.names() if registry.entry(name).trained}
    assert {path.stem for path in EXAMPLES} == trained.union(NETWORKS) - {name.replace("-", "_") for name in BASELINES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_trains_measures_and_draws(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 80
    assert "fit(" not in source, "the loop is in view"
    arguments = ["--images", "64", "--epochs", "2", "--picture", str(tmp_path / "maps.png")]
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    losses = re.findall(r"^epoch (\d): (\w+ \d+\.\d{3}(?:, \w+ \d+\.\d{3})*)$", printed, flags=re.MULTILINE)
    assert [epoch for epoch, _ in losses] == ["1", "2"] * (2 if path.stem in NETWORKS else 1)
    task = "network" if path.stem in NETWORKS else registry.entry(path.stem.replace("_", "-")).task
    if task == "grounding":
        shares = [float(share) for share in re.findall(r"^accuracy[^0-9]* (0\.\d{3})$", printed, flags=re.MULTILINE)]
        assert len(shares) > 1
        assert 0.1 < shares[0] < 1
    elif task == "boxes3d":
        mean, made = re.search(r"IoU of cars: (0\.\d{3}) at the click, (0\.\d{3}) with", printed).groups()
        assert 0.3 < float(mean) < 0.6
        assert 0.3 < float(made) < 1
    elif task == "network":
        mious = re.search(
            r"mIoU of the network (0\.\d{3}), of seeds of the same images, labels given, (0\.\d{3})", printed
        )
        assert all(0.1 < float(miou) < 1 for miou in mious.groups())
        assert 0 < float(re.search(r"^(\d+\.\d)% of the pixels lost", printed, flags=re.MULTILINE)[1]) < 100
    else:
        iou, miou = re.search(r"IoU of the object (0\.\d{3}), mIoU over classes (0\.\d{3})", printed).groups()
        assert 0.1 < float(iou) < 1
        assert 0.1 < float(miou) < 1
    assert Image.open(tmp_path / "maps.png").width > 400
