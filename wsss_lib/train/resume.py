"""Saving a run and taking it up again: which state belongs to it, and whether it is the same run at all."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import safetensors
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim import Optimizer

from wsss_lib.data.records import Records
from wsss_lib.files import sha256_of_text
from wsss_lib.train import checkpoint, random_state
from wsss_lib.train.config import TrainConfig
from wsss_lib.train.history import History
from wsss_lib.train.machine import Machine
from wsss_lib.train.optimiser import read_state, write_state
from wsss_lib.train.order import Transform, derive
from wsss_lib.train.phases import phases_of
from wsss_lib.train.state import load, original, plain_name, tensors_of


def identify(method: nn.Module, records: Records, config: TrainConfig, transform: Transform | None) -> dict[str, Any]:
    """What makes a run this run, as JSON holds it: two runs that share it, begun alike, end with the same weights.

    Weights that will be trained are not in it: fresh ones need not be drawn twice, as a checkpoint replaces them.
    """
    settings: Any = getattr(method, "config", None)
    shapes = {name: list(value.shape) for name, value in tensors_of(method).items() if hasattr(value, "shape")}
    identity = {
        "settings": config.deciding(),
        "method": {
            "class": type(original(method)).__qualname__,
            "config": dataclasses.asdict(settings) if _is_settings(settings) else None,
            "phases": [dataclasses.asdict(phase) for phase in phases_of(method)],
            "shapes": shapes,
            "frozen": _frozen(method),
        },
        "records": {key: getattr(records, key, None) for key in ("name", "split", "fingerprint")}
        | {"images": len(records)},
        "transform": _describe(transform),
    }
    return json.loads(json.dumps(identity, default=_describe))


def circumstances(machine: Machine) -> dict[str, Any]:
    """What may change the rounding: the same run elsewhere is the same within a tolerance, not bit for bit."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "accelerate": accelerate.__version__,
        "safetensors": safetensors.__version__,
        "device": machine.device.type,
        "processes": machine.count,
        "threads": torch.get_num_threads(),
    }


def differences(then: Any, now: Any, path: str = "") -> list[str]:
    """``"settings.lr is 0.01, in the checkpoint it is 0.1"`` for each value in which two nested dictionaries differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = list(dict.fromkeys([*then, *now]))
        return [line for key in keys for line in differences(then.get(key), now.get(key), f"{path}.{key}".lstrip("."))]
    return [] if then == now else [f"{path} is {_shown(now)}, in the checkpoint it is {_shown(then)}"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _sentence(different: list[str]) -> str:
    return "; ".join(different[:3]) + (f"; and {len(different) - 3} more" if len(different) > 3 else "")


@contextmanager
def locked(out_dir: Path, machine: Machine) -> Iterator[None]:
    """Keep every other run out of a folder; the lock goes with the process, however it ends.

    Raises:
        RuntimeError: Another process trains there.
    """
    path = out_dir / "checkpoints.lock"
    lock, taken = None, False
    if machine.is_main:
        out_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            taken = True
        except (NotImplementedError, OSError) as error:  # file systems without locks: a Drive, some networks
            warnings.warn(f"{out_dir} cannot be locked ({error}): let no two runs train there at once", stacklevel=3)
    if machine.any(taken):
        raise RuntimeError(
            f"another run trains in {out_dir}, as the lock {path.name} there says: wait until it ends, or give this "
            "one an out_dir of its own"
        )
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


@dataclass
class Run:
    """Everything whose state a checkpoint holds."""

    method: nn.Module
    optimiser: Optimizer
    machine: Machine
    config: TrainConfig
    identity: dict[str, Any]
    description: dict[str, Any]
    root: Path

    def save(self, step: int, history: History) -> None:
        """Write the checkpoint after ``step`` updates. All processes call this; each writes its random generators.

        Raises:
            FloatingPointError: A parameter is not finite.
        """
        checkpoint.finite(self.method, step)
        machine = self.machine
        if machine.is_main:
            folder = checkpoint.begin(self.root, step)
            checkpoint.put_tensors(folder, "model", tensors_of(self.method))
            checkpoint.put_tensors(folder, "optimiser", read_state(self.optimiser, self.method))
            state = {
                "step": step,
                "epoch": step // history.steps_per_epoch,
                "run": self.identity,
                "method": self.description,
                "circumstances": circumstances(machine),
                "rates": [group["lr"] for group in self.optimiser.param_groups],  # to read; the step decides them
                "loss_scale": machine.scaler.state_dict() if machine.scaler is not None else None,
                "history": history.to_dict(),
            }
            checkpoint.put_state(folder, state)
        machine.wait()
        folder = checkpoint.temporary(self.root, step)
        tensors, plain = random_state.read(machine.device)
        checkpoint.put_tensors(folder, f"random_{machine.index}", tensors)
        checkpoint.put_json(folder, f"random_{machine.index}", plain)
        machine.wait()
        if machine.is_main:
            checkpoint.commit(self.root, step, self.config.keep)
        machine.wait()

    def load(self) -> History | None:
        """Go back to the newest intact checkpoint; None if there is none.

        Raises:
            ValueError: The checkpoints are those of another run.
        """
        machine = self.machine
        if machine.is_main:
            checkpoint.sweep(self.root)
        with warnings.catch_warnings():
            if not machine.is_main:
                warnings.simplefilter("ignore")  # once is enough
            newest = checkpoint.newest(self.root)
            if newest is None:
                if checkpoint.steps(self.root):
                    warnings.warn(f"no checkpoint in {self.root} is intact: the run starts at step 0", stacklevel=3)
                return None
            state, tensors = newest.state(), newest.tensors("model")
            begun = state["run"]
            # Frozen parameters that a hook moved, as a teacher's are, come from the checkpoint like the trained ones.
            frozen = {name: value for name, value in _frozen_in(begun).items() if name in tensors}
            moved = {name for name, value in frozen.items() if digest(tensors[name]) != value}
            if different := differences(_without(begun, moved), _without(self.identity, moved)):
                raise ValueError(
                    f"{newest.folder} belongs to another run: {_sentence(different)}; restore these settings, choose "
                    "another out_dir, or start again with resume=False, which removes the checkpoints there"
                )
            if different := differences(state["circumstances"], circumstances(machine)):
                warnings.warn(
                    f"the run goes on under other circumstances, so that its weights may differ in their rounding from "
                    f"those of an unbroken one: {_sentence(different)}",
                    stacklevel=3,
                )
        load(self.method, tensors, str(newest.folder))
        write_state(self.optimiser, self.method, newest.tensors("optimiser"))
        if machine.scaler is not None and state["loss_scale"] is not None:
            machine.scaler.load_state_dict(state["loss_scale"])
        name = f"random_{machine.index}"
        if newest.has(name):
            random_state.write(machine.device, newest.tensors(name), newest.json(name))
        else:  # more processes than before
            self.seed(newest.step)
        history = History.from_dict(state["history"], str(newest.folder))
        history.resumed_at.append(newest.step)
        return history

    def seed(self, step: int = 0) -> None:
        """Seed this process's global generators by the run's seed."""
        value = derive(self.config.seed, "process", self.machine.index, step)
        random_state.seed(self.machine.device, value)

    def forget(self) -> None:
        """Remove the checkpoints in the folder."""
        if self.machine.is_main:
            checkpoint.clear(self.root)
        self.machine.wait()


def digest(tensor: Tensor) -> str:
    """Twelve digits that tell a tensor's bits."""
    return sha256_of_text(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())[:12]


def _frozen(method: nn.Module) -> dict[str, str]:
    """The parameters that no optimiser trains, and their values: a pretrained backbone must be the same one."""
    return {plain_name(name): digest(p) for name, p in method.named_parameters() if not p.requires_grad}


def _frozen_in(run: dict[str, Any]) -> dict[str, str]:
    """What :func:`_frozen` said of the method of a run; nothing where the file that tells of it was changed."""
    method = run.get("method")
    frozen = method.get("frozen") if isinstance(method, dict) else None
    return frozen if isinstance(frozen, dict) else {}


def _without(run: dict[str, Any], moved: set[str]) -> dict[str, Any]:
    """An identity but for some of its frozen parameters."""
    frozen = {name: value for name, value in _frozen_in(run).items() if name not in moved}
    return run | {"method": run["method"] | {"frozen": frozen}} if moved else run


def _is_settings(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _describe(value: Any) -> Any:
    """A value as JSON holds it, the same in the next process: no memory addresses, objects by their attributes."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_describe(item) for item in value]
    if name := getattr(value, "__qualname__", None):  # functions and classes
        return str(name)
    if type(value).__repr__ is object.__repr__:
        return {"class": type(value).__qualname__} | {key: _describe(item) for key, item in vars(value).items()}
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
