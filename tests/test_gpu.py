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


def test_nothing_to_compare_is_no_agreement(script: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        script["furthest"]({"maps": torch.ones(2)}, {})


def test_all_that_the_reference_says_is_compared(script: dict[str, Any]) -> None:
    reference = {"maps": torch.tensor([1.0, 2.0]), "loss area": torch.tensor(0.5)}
    assert script["furthest"](reference, reference) == 0
    assert script["furthest"](reference | {"maps": torch.tensor([1.0, 2.5])}, reference) == 0.25
    assert script["furthest"](reference | {"loss area": torch.tensor(torch.nan)}, reference) == float("inf")
    with pytest.raises(KeyError):
        script["furthest"]({"maps": reference["maps"]}, reference)


def test_losses_with_a_random_draw_are_left_out(script: dict[str, Any]) -> None:
    class Noisy(torch.nn.Module):
        def losses(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"plain": batch["images"].mean(), "noise": torch.rand(())}

    assert script["drawn"](Noisy(), {"images": torch.ones(1, 3, 2, 2)}) == {"loss noise"}
