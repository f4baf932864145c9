"""Checkpoints that survive being killed: safetensors and JSON, complete or not there at all.

On disk, ``<out_dir>/checkpoints/step_00000120/`` holds

- ``model.safetensors``: parameters and buffers, by their names in ``method.state_dict()``,
- ``optimiser.safetensors``: ``"<parameter>/<quantity>"``, for example ``"head.weight/momentum_buffer"``,
- ``random_0.safetensors``, ``random_0.json``: the random generators of process 0 (and one pair for each other process),
- ``state.json``: format, step, settings, what was trained on what, loss scale, history, versions,
- ``SHA256SUMS``: of all of them, in the format of ``sha256sum``.

A checkpoint is written into a temporary folder, every file of it is flushed to the disk, and the folder gets its name
by one rename. Whoever reads it checks the sums first.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wsss_lib import files
from wsss_lib.train import state

SUMS = "SHA256SUMS"
FORMAT = 2
"""Of what a checkpoint holds and how; counted up when an older reader would misread a newer one."""
FIELDS: dict[str, type | tuple[type, ...]] = {
    "step": int,
    "run": dict,
    "circumstances": dict,
    "loss_scale": (dict, type(None)),
    "history": dict,
}
"""What ``state.json`` holds besides its format, and of which type."""


@dataclass(frozen=True)
class Checkpoint:
    """An intact checkpoint on disk."""

    folder: Path
    step: int

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file, copied: the file may be deleted while they are in use.

        Raises:
            ValueError: It holds none.
        """
        path = self.folder / f"{name}.safetensors"
        try:
            return {key: value.clone() for key, value in load_file(path).items()}
        except (OSError, SafetensorError) as error:  # whoever damaged it has made its digest anew, or left it out
            raise ValueError(
                f"{path} cannot be read as a file of tensors ({error}): start again with resume=False"
            ) from error

    def json(self, name: str) -> dict[str, Any]:
        """The content of a JSON file."""
        path = self.folder / f"{name}.json"
        try:
            content = files.read_json(path)
        except ValueError as error:  # whoever damaged it has made its digest anew
            raise ValueError(f"{path} is not JSON ({error}): start again with resume=False") from error
        if not isinstance(content, dict):
            raise ValueError(
                f"{path} holds a {type(content).__name__}, expected named fields: start again with resume=False"
            )
        return content

    def state(self) -> dict[str, Any]:
        """The content of ``state.json``.

        Raises:
            ValueError: It has another format than this version's, lacks a field, or holds something else in it.
        """
        content = self.json("state")
        remedy = "choose another out_dir, or start again with resume=False, which removes the checkpoints there"
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{self.folder} has format {content.get('format', 1)}, and this version of wsss_lib reads and writes "
                f"format {FORMAT}: install the version that wrote it, {remedy}"
            )
        if absent := [name for name in FIELDS if name not in content]:
            raise ValueError(f"state.json in {self.folder} lacks {', '.join(absent)}, so no run can go on: {remedy}")
        if other := [name for name, kind in FIELDS.items() if not isinstance(content[name], kind)]:
            raise ValueError(
                f"state.json in {self.folder} holds a {type(content[other[0]]).__name__} as {other[0]}, so no run can "
                f"go on: {remedy}"
            )
        return content

    def has(self, name: str) -> bool:
        """Whether there is a JSON file of this name."""
        return (self.folder / f"{name}.json").exists()


def root_of(out_dir: str | Path) -> Path:
    """The folder in which a run's checkpoints lie.

    Raises:
        ValueError: ``out_dir`` is a file, or empty.
    """
    folder = files.named_path(out_dir, "out_dir")
    if folder.is_file():
        raise ValueError(
            f"out_dir is {out_dir}, which is a file, expected a folder for checkpoints: name another place"
        )
    return folder / "checkpoints"


def steps(root: Path) -> list[int]:
    """The steps of which there are checkpoints, intact or not, the newest first."""
    numbers = (path.name.removeprefix("step_") for path in root.glob("step_*"))
    return sorted((int(step) for step in numbers if step.isdigit()), reverse=True)


def newest(root: Path) -> Checkpoint | None:
    """The newest intact checkpoint, None if there is none; each damaged one that is passed over is warned of."""
    for step in steps(root):
        folder = _folder(root, step)
        wrong = fault(folder)
        if wrong is None:
            return Checkpoint(folder, step)
        warnings.warn(f"the checkpoint {folder} is damaged ({wrong}): falling back to the one before", stacklevel=2)
    return None


def restore(method: nn.Module, out_dir: str | Path) -> int:
    """Load the weights of the newest intact checkpoint of a run, to use the method rather than train it on.

    Args:
        method: A method of the same shape as the one trained.
        out_dir: What ``fit`` was given.

    Returns:
        The step of the checkpoint.

    Raises:
        FileNotFoundError: The folder holds no intact checkpoint.
        ValueError: It is one of another method, or of another number of classes.
    """
    checkpoint = newest(root_of(out_dir))
    if checkpoint is None:
        raise FileNotFoundError(
            f"{root_of(out_dir)} holds no intact checkpoint: train first with fit(…, out_dir={str(out_dir)!r})"
        )
    state.load(method, checkpoint.tensors("model"), str(checkpoint.folder))
    return checkpoint.step


def begin(root: Path, step: int) -> Path:
    """An empty temporary folder for the checkpoint of ``step``."""
    root.mkdir(parents=True, exist_ok=True)
    sweep(root)
    folder = temporary(root, step)
    folder.mkdir()
    return folder


def sweep(root: Path) -> None:
    """Remove what killed processes left half written or half removed."""
    for left in [*root.glob(".writing_*"), *root.glob(".old_*")]:
        shutil.rmtree(left)


def temporary(root: Path, step: int) -> Path:
    """Where :func:`begin` puts the checkpoint of ``step``."""
    return root / f".writing_{step:08d}"


def put_tensors(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write ``<name>.safetensors`` and flush it to the disk.

    Raises:
        TypeError: A value is not a tensor.
    """
    for key, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{key} in the state of the method is a {type(value).__name__}, and checkpoints hold tensors only: "
                "keep it in a buffer (register_buffer) instead of get_extra_state"
            )
    with files.writing(folder / f"{name}.safetensors") as partial:
        # Cloned, because safetensors refuses tensors that share memory, as tied weights do; and contiguous, because it
        # refuses the others, as those in channels-last order are.
        save_file({key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}, partial)
        files.flush(partial)


def put_json(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write ``<name>.json`` and flush it to the disk."""
    _put_text(folder / f"{name}.json", json.dumps(content, indent=1))


def put_state(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``state.json``: the format, and the :data:`FIELDS`."""
    put_json(folder, "state", {"format": FORMAT} | dict(content))


def commit(root: Path, step: int, keep: int) -> None:
    """The temporary folder becomes the checkpoint of ``step``; those older than the ``keep`` newest intact ones go.

    From here on it is complete: before the rename it does not exist for readers, and the rename is one operation of the
    file system. A damaged one, whatever its number, takes no good one's place.
    """
    folder, final = temporary(root, step), _folder(root, step)
    lines = [f"{files.sha256_of(path)}  {path.name}" for path in sorted(folder.iterdir())]
    _put_text(folder / SUMS, "\n".join(lines) + "\n")
    files.flush(folder)
    if final.exists():  # a damaged one, or the run would have gone on from it
        _remove(final)
    os.rename(folder, final)
    files.flush(root)
    intact = 0
    for other in steps(root):
        if intact >= keep:
            _remove(_folder(root, other))
        else:  # the one just written need not be read again
            intact += other == step or fault(_folder(root, other)) is None


def clear(root: Path) -> None:
    """Remove all checkpoints."""
    for step in steps(root):
        _remove(_folder(root, step))


def _folder(root: Path, step: int) -> Path:
    return root / f"step_{step:08d}"


def _remove(folder: Path) -> None:
    # Renamed first: a process killed halfway through the removal must not leave half a checkpoint under a good name.
    away = folder.with_name(f".old_{folder.name}")
    if away.exists():
        shutil.rmtree(away)
    os.rename(folder, away)
    shutil.rmtree(away)


def fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, None if nothing is."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        if not all("  " in line for line in lines):
            return f"{SUMS} is cut or damaged"
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        wrong = [name for name, digest in sums.items() if files.sha256_of(folder / name) != digest]
    except (OSError, ValueError) as error:
        return str(error)
    if "state.json" not in sums:
        return f"{SUMS} does not list state.json"
    return f"{', '.join(wrong)} differs from its SHA-256" if wrong else None


def _put_text(path: Path, text: str) -> None:
    with files.writing(path) as partial:
        partial.write_text(text, encoding="utf-8")
        files.flush(partial)


def finite(method: nn.Module, step: int) -> None:
    """Refuse weights that are not numbers, before they overwrite a checkpoint that is good.

    Raises:
        FloatingPointError: A parameter is not finite.
    """
    for name, parameter in method.named_parameters():
        if not torch.isfinite(parameter).all():
            raise FloatingPointError(
                f"the parameter {name} is not finite after update {step} although the loss was: lower lr, set "
                "clip_norm, or look for a division by zero in the gradient of the losses"
            )
