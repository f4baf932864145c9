"""Saving a run and taking it up again: which state belongs to it, and whether it is the same run at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import safetensors
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from wsss_lib.data.records import Records
from wsss_lib.train import checkpoint, random_state
from wsss_lib.train.config import TrainConfig
from wsss_lib.train.history import History
from wsss_lib.train.optimiser import read_state, write_state
from wsss_lib.train.order import Transform, derive


def identify(method: nn.Module, records: Records, config: TrainConfig, transform: Transform | None) -> dict[str, Any]:
    """What makes a run this run, as JSON holds it: two runs that share it, begun alike, end with the same weights.

    Weights that will be trained are not in it: fresh ones need not be drawn twice, as a checkpoint replaces them.
    """
    settings: Any = getattr(method, "config", None)
    shapes = {name: list(value.shape) for name, value in method.state_dict().items() if hasattr(value, "shape")}
    identity = {
        "settings": config.deciding(),
        "method": {
            "class": type(method).__qualname__,
            "config": dataclasses.asdict(settings) if _is_settings(settings) else None,
            "shapes": hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:12],
            "frozen": _frozen(method),
        },
        "records": {key: getattr(records, key, None) for key in ("name", "split", "fingerprint")}
        | {"images": len(records)},
        "transform": _describe(transform),
    }
    return json.loads(json.dumps(identity, default=_describe))


def circumstances(accelerator: Accelerator) -> dict[str, Any]:
    """What may change the rounding: the same run elsewhere is the same within a tolerance, not bit for bit."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "accelerate": accelerate.__version__,
        "safetensors": safetensors.__version__,
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
    }


def differences(then: Any, now: Any, path: str = "") -> list[str]:
    """``"settings.lr is 0.01, in the checkpoint it is 0.1"`` for each value in which two nested dictionaries differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = list(dict.fromkeys([*then, *now]))
        return [line for key in keys for line in differences(then.get(key), now.get(key), f"{path}.{key}".lstrip("."))]
    return [] if then == now else [f"{path} is {now!r}, in the checkpoint it is {then!r}"]


@dataclass
class Run:
    """Everything whose state a checkpoint holds."""

    method: nn.Module
    optimiser: Optimizer
    accelerator: Accelerator
    config: TrainConfig
    identity: dict[str, Any]
    root: Path

    def save(self, step: int, history: History) -> None:
        """Write the checkpoint after ``step`` updates. All processes call this; each writes its random generators.

        Raises:
            FloatingPointError: A parameter is not finite.
        """
        checkpoint.finite(self.method, step)
        accelerator = self.accelerator
        if accelerator.is_main_process:
            folder = checkpoint.begin(self.root, step)
            checkpoint.put_tensors(folder, "model", self.method.state_dict())
            checkpoint.put_tensors(folder, "optimiser", read_state(self.optimiser, self.method))
            state = {
                "step": step,
                "epoch": step // history.steps_per_epoch,
                "run": self.identity,
                "circumstances": circumstances(accelerator),
                "rates": [group["lr"] for group in self.optimiser.param_groups],  # to read; the step decides them
                "loss_scale": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
                "history": history.to_dict(),
            }
            checkpoint.put_json(folder, "state", state)
        accelerator.wait_for_everyone()
        folder = checkpoint.temporary(self.root, step)
        tensors, plain = random_state.read(accelerator.device)
        checkpoint.put_tensors(folder, f"random_{accelerator.process_index}", tensors)
        checkpoint.put_json(folder, f"random_{accelerator.process_index}", plain)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            checkpoint.commit(self.root, step, self.config.keep)
        accelerator.wait_for_everyone()

    def load(self) -> History | None:
        """Go back to the newest intact checkpoint; None if there is none.

        Raises:
            ValueError: The checkpoints are those of another run.
        """
        accelerator = self.accelerator
        if accelerator.is_main_process:
            checkpoint.sweep(self.root)
        with warnings.catch_warnings():
            if not accelerator.is_main_process:
                warnings.simplefilter("ignore")  # once is enough
            found = checkpoint.newest(self.root)
            if found is None:
                if checkpoint.steps(self.root):
                    warnings.warn(f"no checkpoint in {self.root} is intact: the run starts at step 0", stacklevel=3)
                return None
            state = found.json("state")
            if different := differences(state["run"], self.identity):
                raise ValueError(
                    f"{found.folder} belongs to another run: {'; '.join(different)}; restore these settings, choose "
                    "another out_dir, or start again with resume=False, which removes the checkpoints there"
                )
            if different := differences(state["circumstances"], circumstances(accelerator)):
                warnings.warn(
                    f"the run goes on under other circumstances, so that its weights may differ in their rounding from "
                    f"those of an unbroken one: {'; '.join(different)}",
                    stacklevel=3,
                )
        self.method.load_state_dict(found.tensors("model"))
        write_state(self.optimiser, self.method, found.tensors("optimiser"))
        if accelerator.scaler is not None and state["loss_scale"] is not None:
            accelerator.scaler.load_state_dict(state["loss_scale"])
        name = f"random_{accelerator.process_index}"
        if found.has(name):
            random_state.write(accelerator.device, found.tensors(name), found.json(name))
        else:  # more processes than before
            self.seed(found.step)
        history = History.from_dict(state["history"])
        history.resumed_at.append(found.step)
        return history

    def seed(self, step: int = 0) -> None:
        """Seed this process's global generators by the run's seed."""
        value = derive(self.config.seed, "process", self.accelerator.process_index, step)
        random_state.seed(self.accelerator.device, value)

    def forget(self) -> None:
        """Remove the checkpoints in the folder."""
        if self.accelerator.is_main_process:
            checkpoint.clear(self.root)
        self.accelerator.wait_for_everyone()


def _frozen(method: nn.Module) -> str | None:
    """Which parameters are not trained, and their values: a pretrained backbone must be the same one."""
    digest, count = hashlib.sha256(), 0
    for name, parameter in method.named_parameters():
        if not parameter.requires_grad:
            count += 1
            digest.update(f"{name}\0".encode())
            digest.update(parameter.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return f"{count} parameters, {digest.hexdigest()[:12]}" if count else None


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
