"""Weights that are no numbers are refused where they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fault_kit import refusal
from safetensors.torch import save_file
from torch import Tensor

from wsss_lib import backbones

State = dict[str, Tensor]


def first(state: State, ending: str) -> str:
    return next(name for name in state if name.endswith(ending) and state[name].is_floating_point())


def spoilt(value: float, ending: str = "weight") -> Callable[[State], None]:
    def spoil(state: State) -> None:
        state[first(state, ending)].view(-1)[3] = value

    return spoil


def integers(state: State) -> None:
    name = first(state, "weight")
    state[name] = (state[name] * 100).to(torch.int8)


def doubled(state: State) -> None:
    state.update({name: value.bool() if value.ndim > 1 else value for name, value in state.items()})


def one_less(state: State) -> None:
    state.pop(first(state, "weight"))


SPOILT: dict[str, tuple[Callable[[State], None], str]] = {
    "NaN": (spoilt(float("nan")), r"NaN|not finite|no number|not a number"),
    "infinite": (spoilt(float("inf")), r"infinite|not finite"),
    "a negative variance": (spoilt(-0.5, "running_var"), r"variance|negative"),
    "a variance that is NaN": (spoilt(float("nan"), "running_var"), r"NaN|not finite|variance"),
    "integers": (integers, r"int8|integer"),
    "Booleans": (doubled, r"bool"),
    "one tensor less": (one_less, r"missing"),
    "one tensor more": (lambda state: state.update(extra=torch.ones(1)), r"extra"),
    "another shape": (lambda state: state.update({first(state, "weight"): torch.ones(2)}), r"shape"),
}


def written(folder: Path, spoil: Callable[[State], None]) -> Path:
    torch.manual_seed(0)
    state = {k: v.clone() for k, v in backbones.backbone("tiny_cnn", weights=None).state_dict().items()}
    spoil(state)
    save_file(state, folder / "tiny_cnn.safetensors")
    return folder / "tiny_cnn.safetensors"


@pytest.mark.parametrize("name", SPOILT)
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, name: str) -> None:
    spoil, cause = SPOILT[name]
    path = written(tmp_path, spoil)
    refusal(lambda: backbones.backbone("tiny_cnn", weights=path), cause)


def test_good_ones_load_from_a_file_and_from_its_folder(tmp_path: Path) -> None:
    path = written(tmp_path, lambda state: None)
    one, other = (backbones.backbone("tiny_cnn", weights=where) for where in (path, tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


FILES = {"empty": b"", "a web page": b"<html>404</html>", "a pointer": b"version https://git-lfs.github.com/spec/v1\n"}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_no_tensors_are_refused(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"tiny_cnn.{suffix}"
    path.write_bytes(FILES[name])
    refusal(lambda: backbones.backbone("tiny_cnn", weights=path), "tiny_cnn")
