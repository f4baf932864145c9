"""Settings and parameters outside their range: one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_kit import refusal
from test_faults_checkpoints import Noise, Small

from wsss_lib import backbones
from wsss_lib.cli import main
from wsss_lib.data import load
from wsss_lib.data.worlds.critters import World
from wsss_lib.experiments import Workbench
from wsss_lib.localize import localize_images
from wsss_lib.methods.cam import CAM
from wsss_lib.train import TrainConfig, fit, restore

NO_SEEDS: list[Any] = [-1, 2**63, 2**64, 1.5, "7", None, float("nan")]


@pytest.mark.parametrize("seed", NO_SEEDS)
def test_a_seed_is_a_whole_number_from_0_to_the_largest(seed: Any) -> None:
    refusal(lambda: World(seed=seed), "seed")
    refusal(lambda: load("critters", split="val", count=1, seed=seed), "seed")
    refusal(lambda: fit(Small(), Noise(), TrainConfig(steps=1, seed=seed), progress="none"), "seed")


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
def test_every_other_seed_works(seed: int) -> None:
    load("critters", split="val", count=1, seed=seed)
    fit(Small(), Noise(), TrainConfig(steps=1, batch_size=4, seed=seed), progress="none")


@pytest.mark.parametrize("count", [0, -1, 1.5, "3"])
def test_a_count_is_positive_and_whole(count: Any) -> None:
    refusal(lambda: load("critters", split="val", count=count), "count")


def test_gradients_that_are_switched_off_are_said() -> None:
    with torch.no_grad():
        refusal(lambda: fit(Small(), Noise(), TrainConfig(steps=1, batch_size=4), progress="none"), "grad")
    with torch.inference_mode():
        refusal(lambda: fit(Small(), Noise(), TrainConfig(steps=1, batch_size=4), progress="none"), "grad|inference")


@pytest.mark.parametrize("classes", [0, -1, 2.5, "2", True])
def test_a_number_of_classes_is_positive_and_whole(classes: Any) -> None:
    refusal(lambda: CAM(backbones.backbone("tiny_cnn", weights=None), classes), "num_classes")


SETTINGS: list[tuple[str, Any]] = [
    *(("lr", value) for value in ("x", None, True, float("nan"))),
    *(("weight_decay", value) for value in ("x", -1.0)),
    *(("momentum", value) for value in ("x", True)),
    *(("steps", value) for value in (True, "3")),
    *(("batch_size", value) for value in (2.5, None)),
    *(("warmup", value) for value in (True, "1")),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_of_training_is_a_number_in_its_range(name: str, value: Any) -> None:
    refusal(lambda: TrainConfig(**{"steps": 1, name: value}), name)


@pytest.mark.parametrize("kind", [list, np.asarray])
def test_what_is_no_tensor_is_said(kind: Callable[[Any], Any]) -> None:
    method = CAM(backbones.backbone("tiny_cnn", weights=None), 2)
    refusal(lambda: method.localize(kind(torch.rand(1, 3, 32, 32))), "tensor")
    refusal(lambda: method.localize(torch.rand(1, 3, 32, 32), kind(torch.ones(1, 2))), "tensor")


def test_a_left_over_world_size_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    refusal(lambda: fit(Small(), Noise(), TrainConfig(steps=1, batch_size=4), progress="none"), "WORLD_SIZE")


def test_a_world_size_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "abc")
    refusal(lambda: fit(Small(), Noise(), TrainConfig(steps=1, batch_size=4), progress="none"), "WORLD_SIZE", "abc")


NO_FOLDERS: dict[str, Callable[[], Any]] = {
    "fit": lambda: fit(Small(), Noise(), TrainConfig(steps=1, batch_size=4), out_dir="", progress="none"),
    "restore": lambda: restore(Small(), ""),
    "a workbench": lambda: Workbench(out_dir=""),
    "weights": lambda: backbones.backbone("tiny_cnn", weights=""),
    "results of photographs": lambda: localize_images(["a.png"], out=""),
}


@pytest.mark.parametrize("name", NO_FOLDERS)
def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    refusal(NO_FOLDERS[name], "empty")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["localize", ""],
        ["localize", "a.png", "--out", ""],
        ["localize", "a.png", "--weights", ""],
        ["localize", "a.png", "--checkpoint", ""],
        ["data", "show", "voc2012", "--root", ""],
        ["run", "cam", "--out", ""],
        ["edition", "--student", ""],
        ["run", "cam", "-p", "data="],
        ["data", "show", ""],
        ["data", "prepare", ""],
    ],
)
def test_an_empty_word_on_the_command_line_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.setattr("press.project.find_root", lambda: root)
    monkeypatch.chdir(tmp_path)
    try:
        code: Any = main(arguments)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert "Traceback" not in said
    assert "empty" in said or "'' is no known data set" in said
    assert list(tmp_path.iterdir()) == []
