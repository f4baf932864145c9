"""Checkpoints that are to be used, not trained on: what they say of themselves, and the weights beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_kit import refusal
from safetensors.torch import load_file, save_file
from test_faults_checkpoints import renewed, rewritten

from wsss_lib.backbones import backbone
from wsss_lib.data import load
from wsss_lib.localize.trained import load_trained
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig, fit

State = dict[str, torch.Tensor]
ABSENT = object()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a CAM over few channels, of six classes, after one update."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    config = TrainConfig(steps=1, epochs=None, batch_size=4, lr=1e-3, device="cpu", keep=1)
    method = registry.build("cam", backbone("tiny_cnn", widths=(4, 6, 8, 10)), 6)
    fit(method, load("critters", split="train", count=4), config, out_dir=folder, progress="none")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def newest(run: Path) -> Path:
    return sorted((run / "checkpoints").glob("step_*"))[-1]


def describing(field: str, value: Any) -> Callable[[dict[str, Any]], object]:
    if value is ABSENT:
        return lambda state: state["method"].pop(field)
    return lambda state: state["method"].update({field: value})


ODD = (3, "x", [1], [None], {"a": 1}, float("nan"), True, -1)
SAYS_NOTHING = (None, [], {}, "", ABSENT)
DESCRIPTIONS = [
    *((field, value) for field in ("name", "classes", "backbone", "image_size") for value in (*ODD, *SAYS_NOTHING)),
    *(("settings", value) for value in ODD),
    *(("classes", value) for value in ([""], ["a"], ["a"] * 7)),
    *(("image_size", value) for value in ([0, 96], [96], [96, 96, 3], [96.5, 96], [True, 96], [-32, 32])),
    *(("name", value) for value in ("seam", "point-detr3d", "CAM ", "../cam")),
    *(("backbone", value) for value in ({"name": "resnet5"}, {"name": 3}, {"name": "tiny_cnn", "widths": "x"})),
    ("settings", {"loss": "other"}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), DESCRIPTIONS)
def test_a_checkpoint_that_says_something_else_of_itself(run: Path, field: str, value: Any) -> None:
    rewritten(newest(run), describing(field, value))
    refusal(lambda: load_trained(run), str(run))


@pytest.mark.parametrize("value", [None, [], {}, 3, "x", [1], ABSENT])
def test_a_checkpoint_that_says_nothing_of_itself(run: Path, value: Any) -> None:
    rewritten(newest(run), lambda state: state.pop("method") if value is ABSENT else state.update(method=value))
    refusal(lambda: load_trained(run), str(run), "expected named fields|does not say")


def first(state: State) -> str:
    return sorted(state)[0]


def each(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], object]:
    return lambda state: state.update({name: change(value) for name, value in state.items()})


WEIGHTS: dict[str, tuple[Callable[[State], object], str]] = {
    "NaN": (lambda state: state[first(state)].mul_(float("nan")), "NaN"),
    "infinity": (lambda state: state[first(state)].add_(float("inf")), "infinity"),
    "small integers": (each(lambda value: value.to(torch.int8)), "int8, expected torch.float32"),
    "truths": (each(lambda value: value.bool()), "bool, expected torch.float32"),
    "complex numbers": (each(lambda value: value.to(torch.complex64)), "complex64, expected torch.float32"),
    "decimals for a count": (
        lambda state: state.update({name: value.float() for name, value in state.items() if not value.ndim}),
        "float32, expected torch.int64",
    ),
    "one tensor less": (lambda state: state.pop("head.weight"), "lacks head.weight"),
    "one tensor more": (lambda state: state.update(extra=torch.ones(1)), "holds extra"),
    "other names": (lambda state: state.update({f"module.{k}": state.pop(k) for k in list(state)}), "lacks"),
    "none": (lambda state: state.clear(), "lacks"),
    "a single number": (lambda state: state.update({first(state): torch.tensor(1.0)}), r"shape \(\)"),
    "a class more": (lambda state: state.update({"head.weight": torch.ones(7, 10)}), r"shape \(7, 10\)"),
    "an axis more": (lambda state: state.update({"head.weight": torch.ones(6, 10, 1, 1)}), r"shape \(6, 10, 1, 1\)"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_not_the_methods_are_refused(run: Path, name: str) -> None:
    change, cause = WEIGHTS[name]
    file = newest(run) / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    renewed(newest(run))
    refusal(lambda: load_trained(run), cause)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken(run: Path, kind: torch.dtype) -> None:
    file = newest(run) / "model.safetensors"
    save_file({k: v.to(kind) if v.is_floating_point() else v for k, v in load_file(file).items()}, file)
    renewed(newest(run))
    method, _ = load_trained(run)
    assert {value.dtype for value in method.parameters()} == {torch.float32}


FILES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a web page": lambda path: path.write_text("<html>404</html>"),
    "a head without end": lambda path: path.write_bytes(b"\xff" * 8 + b"{}"),
    "a head that is no JSON": lambda path: path.write_bytes((4).to_bytes(8, "little") + b"{{{{"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "a pickle": lambda path: torch.save({"a": torch.ones(1)}, path),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_weights_that_is_none_is_refused_by_name(run: Path, name: str) -> None:
    FILES[name](newest(run) / "model.safetensors")
    (newest(run) / "SHA256SUMS").unlink()
    lines = [line for line in sums(newest(run)) if "model" not in line or name not in ("a folder", "gone")]
    (newest(run) / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    refusal(lambda: load_trained(run), "model.safetensors", "cannot be read as a file of tensors")


def sums(folder: Path) -> list[str]:
    from wsss_lib.files import sha256_of

    return [f"{sha256_of(file)}  {file.name}" for file in sorted(folder.iterdir()) if file.is_file()]


@pytest.mark.parametrize("content", ["", "{", "null", "[]", '"x"', "3", "\0", "[" * 100_000, '{"format": 2}'])
def test_a_state_that_is_none_is_refused_by_name(run: Path, content: str) -> None:
    (newest(run) / "state.json").write_text(content)
    renewed(newest(run))
    refusal(lambda: load_trained(run), "state.json|format")


@pytest.mark.parametrize("folder", ["", 3, None, "a\0b", "x" * 5000, "no where"])
def test_what_is_no_folder_of_a_run_is_refused(folder: Any) -> None:
    refusal(lambda: load_trained(folder), "out_dir|checkpoint")


def test_a_folder_of_a_run_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    refusal(lambda: load_trained(tmp_path / "run"), "which is a file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "checkpoints").write_text("x")
    refusal(lambda: load_trained(tmp_path / "other"), "no intact checkpoint")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change", [json.dumps, str.upper, lambda text: text.replace("  ", "\t"), lambda text: text[9:]]
)
def test_sums_that_are_not_those_of_the_files(run: Path, change: Callable[[str], str]) -> None:
    path = newest(run) / "SHA256SUMS"
    path.write_text(change(path.read_text()))
    refusal(lambda: load_trained(run), "no intact checkpoint")
