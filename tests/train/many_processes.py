"""Train in several processes: ``torchrun --nproc-per-node 2 many_processes.py FOLDER`` (or by itself, for one)."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from train_kit import Noisy, Plain, Toys, jitter, weights

from wsss_lib.data.records import Batch
from wsss_lib.methods.contract import Phase, Progress
from wsss_lib.train import TrainConfig, fit

SCENES = {
    # 11 images: batches of 4, 4, 3, so shares of 2+2, 2+2 and 1+2.
    "uneven": (11, TrainConfig(epochs=3, batch_size=4, lr=0.1, device="cpu")),
    # 9 images: the last batch has one image, and one process nothing to count.
    "lonely": (9, TrainConfig(epochs=3, batch_size=4, lr=0.1, device="cpu")),
    # 21 images, updates of 3 × 4: passes of 4, 4, 4 and 4, 4, 1; AdamW would hide a factor on the gradient.
    "accumulated": (
        21,
        TrainConfig(epochs=2, batch_size=4, gradient_accumulation=3, lr=0.1, device="cpu"),
    ),
    # AdamW, random transforms, and a layer that no loss reaches.
    "unused": (10, TrainConfig(epochs=2, batch_size=5, optimiser="adamw", lr=0.01, device="cpu")),
    # Three phases, of which one goes uphill with some parameters only, and is ended early by one process alone.
    "phases": (11, TrainConfig(steps=9, batch_size=4, lr=0.1, device="cpu")),
}


class Unused(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Linear(2, 2)


class Staged(Plain):
    def parameter_groups(self, lr: float) -> list[dict]:
        return [{"name": name, "params": list(self.get_submodule(name).parameters())} for name in ("conv", "head")]

    def phases(self) -> tuple[Phase, ...]:
        return Phase("a", 0.4), Phase("b", 0.3, trains=("conv",), maximises=True), Phase("c", 0.3, trains=("head",))

    def after_step(self, progress: Progress) -> bool:
        last = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 1
        return last and (progress.phase, progress.phase_step) == ("b", 0)


METHODS = {"unused": Unused, "phases": Staged}


class Diverging(Plain):
    """Its loss is no number for the image "0"; only the process that has this image sees it."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().losses(batch)
        return {**terms, "size": terms["size"] * (torch.nan if "0" in batch["ids"] else 1.0)}


class Death(Exception):
    pass


def main(folder: Path) -> dict:
    report: dict = {}
    for name, (images, config) in SCENES.items():
        method = METHODS.get(name, Plain)()
        history = fit(method, Toys(images), config, transform=jitter if name == "unused" else None)
        report[name] = {"weights": weights(method), "loss": history.loss}

    # Dropout draws differ between the processes, so each one's generators must come back.
    config = TrainConfig(epochs=3, batch_size=4, lr=0.1, device="cpu")
    whole = Noisy()
    fit(whole, Toys(11), config)
    report["whole"] = weights(whole)
    calls = []

    def dying(method: nn.Module) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise Death
        return {}

    broken = Noisy()
    try:
        fit(broken, Toys(11), config, out_dir=folder / "run", validate=dying)
    except Death:
        report["died"] = True
    resumed = Noisy()
    history = fit(resumed, Toys(11), config, out_dir=folder / "run")
    report["resumed"], report["resumed_at"] = weights(resumed), history.resumed_at
    report["files"] = sorted(path.name for path in next((folder / "run/checkpoints").glob("step_*")).iterdir())

    for name, method, settings in (
        ("diverged", Diverging(), config),
        ("too_many", Plain(), TrainConfig(epochs=1, batch_size=1, device="cpu")),
    ):
        try:
            fit(method, Toys(11), settings)
            report[name] = "no error"
        except (FloatingPointError, ValueError) as error:
            report[name] = str(error)
    return report


if __name__ == "__main__":
    torch.set_num_threads(1)
    result = main(Path(sys.argv[1]))
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    torch.save(result, Path(sys.argv[1]) / f"rank_{rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
