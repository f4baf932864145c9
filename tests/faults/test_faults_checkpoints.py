"""Checkpoints: what is damaged never pushes out what is intact, and what does not fit says so in a sentence."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_kit import check_refusal, refusal
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch, Records, Sample
from wsss_lib.train import TrainConfig, checkpoint, fit, restore

CONFIG = TrainConfig(steps=4, batch_size=4, checkpoint_every=1, lr=0.1, keep=2)


class Noise(Records):
    """Eight images of 8 × 8, two classes."""

    name, split, classes, fingerprint = "noise", "train", ("a", "b"), "f00d"

    def __init__(self) -> None:
        generator = Generator().manual_seed(7)
        self.pixels = torch.rand(8, 3, 8, 8, generator=generator)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        return {"image": self.pixels[index], "labels": torch.eye(2)[index % 2], "id": str(index)}


class Small(nn.Module):
    """One convolution and one linear layer."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.head = nn.Conv2d(3, 5, 3), nn.Linear(5, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).relu().mean((2, 3)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"classification": F.binary_cross_entropy_with_logits(self(batch["images"]), batch["labels"])}


def trained(folder: Path, config: TrainConfig = CONFIG) -> Small:
    method = Small()
    fit(method, Noise(), config, out_dir=folder, progress="none")
    return method


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("step_*"))


def damage(folder: Path) -> None:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def test_damaged_ones_with_higher_numbers_do_not_push_out_good_ones(tmp_path: Path) -> None:
    trained(tmp_path)
    for step in (50, 60, 70):
        shutil.copytree(tmp_path / "checkpoints" / "step_00000004", tmp_path / "checkpoints" / f"step_{step:08d}")
        damage(tmp_path / "checkpoints" / f"step_{step:08d}")
    longer = TrainConfig(steps=6, batch_size=4, checkpoint_every=1, lr=0.1, keep=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(Small(), Noise(), longer, out_dir=tmp_path, resume=False, progress="none")
        assert restore(Small(), tmp_path) == 6


def test_keep_counts_intact_ones_only(tmp_path: Path) -> None:
    trained(tmp_path)
    root = tmp_path / "checkpoints"
    for step in (3, 4):
        damage(root / f"step_{step:08d}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        newest = checkpoint.newest(root)
    assert newest is None or newest.step not in (3, 4)


FIELDS = ("step", "run", "history", "circumstances")


@pytest.mark.parametrize("field", FIELDS)
def test_a_state_file_that_lacks_a_field(tmp_path: Path, field: str) -> None:
    trained(tmp_path)
    for step in folders(tmp_path):
        rewritten(tmp_path / "checkpoints" / step, lambda state: state.pop(field))
    said(lambda: fit(Small(), Noise(), CONFIG, out_dir=tmp_path, progress="none"), field, "state.json|checkpoint")


OTHERS: dict[str, Any] = {
    "a run that is a list": ("run", []),
    "a run that names nothing": ("run", {}),
    "a run of no method": ("run", {"method": None}),
    "a run of a method in a word": ("run", {"method": {"frozen": "none"}}),
    "a history that is a number": ("history", 3),
    "a history of no steps": ("history", {}),
    "a history of more": ("history", {"steps_per_epoch": 2, "weather": []}),
    "circumstances that are none": ("circumstances", None),
    "a scale that is a number": ("loss_scale", 1.0),
    "a step in a word": ("step", "four"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_state_file_that_holds_something_else(tmp_path: Path, name: str) -> None:
    field, value = OTHERS[name]
    trained(tmp_path)
    for step in folders(tmp_path):
        rewritten(tmp_path / "checkpoints" / step, lambda state: state.update({field: value}))
    refusal(lambda: fit(Small(), Noise(), CONFIG, out_dir=tmp_path, progress="none"), "step_00000004", field)


def rewritten(folder: Path, change: Callable[[dict], object]) -> None:
    """Change the state and renew the sums, as a person or another version might."""
    state = json.loads((folder / "state.json").read_text())
    change(state)
    (folder / "state.json").write_text(json.dumps(state))
    renewed(folder)


def renewed(folder: Path) -> None:
    """Sums that fit what lies in the folder."""
    from wsss_lib.files import sha256_of

    lines = [f"{sha256_of(f)}  {f.name}" for f in sorted(folder.iterdir()) if f.name != checkpoint.SUMS]
    (folder / checkpoint.SUMS).write_text("\n".join(lines) + "\n")


def said(action: Callable[[], object], *patterns: str) -> None:
    """Refused in a sentence, or passed over in a warning that is one."""
    import re

    with warnings.catch_warnings(record=True) as spoken:
        warnings.simplefilter("always")
        try:
            action()
        except Exception as error:
            check_refusal(error, *patterns)
            return
    texts = " ".join(str(w.message) for w in spoken)
    assert all(re.search(pattern, texts) for pattern in patterns), texts or "accepted without a word"


def test_a_format_of_another_version(tmp_path: Path) -> None:
    trained(tmp_path)
    newest = tmp_path / "checkpoints" / folders(tmp_path)[-1]
    assert isinstance(json.loads((newest / "state.json").read_text())["format"], int)
    for step in folders(tmp_path):
        rewritten(tmp_path / "checkpoints" / step, lambda state: state.update(format=10**6))
    said(lambda: fit(Small(), Noise(), CONFIG, out_dir=tmp_path, progress="none"), "format", "1000000")


def test_another_number_of_classes(tmp_path: Path) -> None:
    trained(tmp_path)
    refusal(lambda: restore(Small(classes=3), tmp_path), r"head", r"\b2\b|\(2", r"\b3\b|\(3")


def test_weights_of_a_compiled_model(tmp_path: Path) -> None:
    trained(tmp_path)
    compiled = torch.compile(Small(), backend="eager")
    message = said_or_done(lambda: restore(compiled, tmp_path))
    assert message is None or "_orig_mod" in message or "compile" in message


def said_or_done(action: Callable[[], object]) -> str | None:
    try:
        action()
    except Exception as error:
        return check_refusal(error)
    return None


def test_a_compiled_model_trains_into_a_checkpoint_that_the_plain_one_reads(tmp_path: Path) -> None:
    compiled = torch.compile(Small(), backend="eager")
    message = said_or_done(lambda: fit(compiled, Noise(), CONFIG, out_dir=tmp_path, progress="none"))
    if message is None:
        assert restore(Small(), tmp_path) == 4


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    refusal(lambda: restore(Small(), tmp_path / "nowhere"), "nowhere", "fit")


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    """The second one, begun while the first is at work, is refused and harms nothing."""
    messages: list[str] = []

    class Intruder(Small):
        def losses(self, batch: Batch) -> dict[str, Tensor]:
            if not messages:
                messages.append("")
                messages[0] = refusal(
                    lambda: fit(Small(), Noise(), CONFIG, out_dir=tmp_path, progress="none"), "another|trains|lock"
                )
            return super().losses(batch)

    fit(Intruder(), Noise(), CONFIG, out_dir=tmp_path, progress="none")
    assert restore(Small(), tmp_path) == 4
    assert messages[0]


def test_tensors_that_are_not_contiguous_and_tied_ones_are_written(tmp_path: Path) -> None:
    class Turned(Small):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).t())
            self.again = self.head

    method = Turned()
    fit(method, Noise(), CONFIG, out_dir=tmp_path, progress="none")
    fresh = Turned()
    fresh.turned.zero_()
    restore(fresh, tmp_path)
    assert torch.equal(fresh.turned, torch.arange(6.0).reshape(2, 3).t())


def test_every_generator_follows_the_seed() -> None:
    """Draws of torch, NumPy and ``random`` differ between seeds and agree within one."""
    import random

    class Drawing(Small):
        drawn: list[tuple[float, float, float]]

        def losses(self, batch: Batch) -> dict[str, Tensor]:
            numbers = (float(torch.rand(())), float(np.random.rand()), random.random())  # noqa: NPY002
            self.drawn = [*getattr(self, "drawn", []), numbers]
            return super().losses(batch)

    def draws(seed: int) -> list[tuple[float, float, float]]:
        method = Drawing()
        fit(method, Noise(), TrainConfig(steps=2, batch_size=4, seed=seed), progress="none")
        return method.drawn

    assert draws(1) == draws(1)
    for one, other in zip(draws(1)[0], draws(2)[0], strict=True):
        assert one != other


def test_a_state_file_that_holds_a_list(tmp_path: Path) -> None:
    trained(tmp_path)
    for step in folders(tmp_path):
        folder = tmp_path / "checkpoints" / step
        (folder / "state.json").write_text("[]")
        renewed(folder)
    said(lambda: fit(Small(), Noise(), CONFIG, out_dir=tmp_path, progress="none"), "state.json", "list")


def test_weights_that_are_no_numbers_are_not_taken_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    trained(tmp_path)
    for step in folders(tmp_path):
        folder = tmp_path / "checkpoints" / step
        tensors = load_file(folder / "model.safetensors")
        save_file({k: v * float("nan") for k, v in tensors.items()}, folder / "model.safetensors")
        renewed(folder)
    refusal(lambda: restore(Small(), tmp_path), "NaN")
    refusal(lambda: fit(Small(), Noise(), CONFIG, out_dir=tmp_path, progress="none"), "NaN")


def test_sums_that_were_cut_are_said_in_words(tmp_path: Path) -> None:
    trained(tmp_path)
    for step in folders(tmp_path):
        (tmp_path / "checkpoints" / step / checkpoint.SUMS).write_text("0123")
    said(lambda: checkpoint.newest(tmp_path / "checkpoints"), "is cut or damaged")
