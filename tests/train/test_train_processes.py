"""Runs that are killed, and runs in two processes: with real processes, on the loopback."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from train_kit import Plain, Toys, farthest, identical, jitter, weights

from wsss_lib.train import fit

HERE = Path(__file__).parent


def run(*arguments: str | Path) -> str:
    """Run a script of this folder in a fresh interpreter with one thread."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    if sys.platform == "linux":  # else gloo looks the machine's name up, which not every container knows
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_killed_at_random_moments_the_weights_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    seed = int(os.environ.get("WSSS_KILL_SEED", random.randrange(10**6)))  # printed below, to repeat a failure
    report = json.loads(run(HERE / "killed_runs.py", tmp_path, str(seed)).splitlines()[-1])
    print(f"WSSS_KILL_SEED={seed}", report)
    assert report.pop("repeatable"), "the same run twice already differs"
    assert report.pop("sensitive"), "another seed gives the same weights: the comparison is blind"
    assert set(report) == {"sgd", "adamw", "bf16", "warm-up", "phases", "teacher"}
    for name, run_report in report.items():
        assert run_report["same_weights"], name
        assert run_report["same_losses"], name
        assert run_report["left_over"] == [], name
        assert run_report["kills"] >= 2, name
        assert any(0 < step < run_report["steps"] for step in run_report["resumed_at"]), name


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("two")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    run(*launcher, HERE / "many_processes.py", folder)
    return [torch.load(folder / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("scene", ["uneven", "lonely", "accumulated", "unused", "phases"])
def test_two_processes_train_what_one_does(two: list[dict], scene: str) -> None:
    import many_processes

    images, config = many_processes.SCENES[scene]
    one = many_processes.METHODS.get(scene, Plain)()
    history = fit(one, Toys(images), config, transform=jitter if scene == "unused" else None)
    assert identical(two[0][scene]["weights"], two[1][scene]["weights"]), "the processes hold the same weights"
    assert two[0][scene]["loss"] == two[1][scene]["loss"]
    assert farthest(weights(one), two[0][scene]["weights"]) < 1e-6
    assert two[0][scene]["loss"] == pytest.approx(history.loss, rel=1e-5)


def test_two_processes_go_on_bit_for_bit(two: list[dict]) -> None:
    for report in two:
        assert report["died"]
        assert report["resumed_at"] == [3]
        assert identical(report["whole"], report["resumed"])
        assert {"random_0.json", "random_1.json", "random_1.safetensors"} < set(report["files"])


def test_all_processes_stop_together(two: list[dict]) -> None:
    for report in two:
        assert "the loss term 'size' is nan in update" in report["diverged"]
        assert "batch_size 1 counts all 2 processes together" in report["too_many"]
