"""`make gpu`: without a GPU it says so, and its code runs on a CPU in small."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture
def script() -> Iterator[dict[str, Any]]:
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    yield runpy.run_path(str(SCRIPT))
    for backend, value in zip(backends, before, strict=True):
        backend.allow_tf32 = value


def test_without_a_gpu_it_says_so(
    script: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    script["main"]([])
    assert capsys.readouterr().out == (
        "There is no CUDA GPU here, so nothing was measured: run `make gpu` on a machine with one.\n"
    )


def test_in_small_on_a_cpu(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    script["main"](["--device", "cpu", "--only", "cam", "--only", "dtmr"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[:2] for row in rows] == [["CAM", "fp32"], ["CAM", "bf16"], ["DTMR", "fp32"], ["DTMR", "bf16"]]
    assert [float(row[2]) for row in rows[::2]] == [0, 0]  # of itself
    assert float(rows[1][2]) > 0


def test_what_differs_is_an_error(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(script["main"].__globals__, "agreement", lambda *_: 0.5)
    with pytest.raises(
        SystemExit, match="further from the CPU than the tolerance: cam in fp32, cam in bf16; no finite"
    ):
        script["main"](["--device", "cpu", "--only", "cam"])


def test_time_that_is_up_is_said(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    script["main"](["--device", "cpu", "--only", "cam", "--minutes", "0"])
    assert "Not measured for want of time: cam in fp32, cam in bf16" in capsys.readouterr().out
