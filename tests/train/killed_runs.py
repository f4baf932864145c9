"""Train in processes that get killed: called as ``python killed_runs.py FOLDER SEED``, prints what came out as JSON.

Every attempt is a process of its own, forked from this one, which imports and never trains: forking spares each of them
the seconds that importing torch takes.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from train_kit import InThreePhases, Noisy, StackedToys, Taught, Toys, WarmingUp, jitter, weights

from wsss_lib.data.records import Batch
from wsss_lib.train import TrainConfig, checkpoint, fit

RUNS = {
    "sgd": TrainConfig(
        epochs=4, batch_size=3, gradient_accumulation=2, lr=0.1, nesterov=True, checkpoint_every=1, clip_norm=0.5
    ),
    "adamw": TrainConfig(
        steps=13, batch_size=4, lr=0.01, optimiser="adamw", schedule="cosine", warmup=3, checkpoint_every=2, seed=9
    ),
    "bf16": TrainConfig(epochs=3, batch_size=4, lr=0.05, mixed_precision="bf16", checkpoint_every=2),
    "warm-up": TrainConfig(steps=9, batch_size=4, lr=0.05, checkpoint_every=2),
    "phases": TrainConfig(steps=12, batch_size=4, lr=0.05, momentum=0.9, checkpoint_every=1),
    "teacher": TrainConfig(steps=9, batch_size=4, lr=0.01, optimiser="adamw", checkpoint_every=2),
}
METHODS = {"warm-up": WarmingUp, "phases": InThreePhases, "teacher": Taught}


class Fuse:
    """Kills this process at the n-th of the moments that matter."""

    def __init__(self, moments: int) -> None:
        self.left = moments

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def guard(self, call: Callable) -> Callable:
        def guarded(*args: object, **options: object) -> object:
            self.tick()  # just before
            result = call(*args, **options)
            self.tick()  # just after
            return result

        return guarded


def arm(moments: int) -> None:
    """Count forward passes, hooks and everything that touches the disk."""
    fuse = Fuse(moments)
    for module, names in ((os, ("fsync", "rename", "mkdir", "unlink", "rmdir")), (checkpoint, ("save_file",))):
        for name in names:
            setattr(module, name, fuse.guard(getattr(module, name)))
    for kind in METHODS.values():
        for hook in ("before_step", "after_step"):
            if hook in vars(kind):
                setattr(kind, hook, fuse.guard(vars(kind)[hook]))
    losses = Noisy.losses

    def ticking(self: Noisy, batch: Batch) -> dict:
        fuse.tick()
        terms = losses(self, batch)
        fuse.tick()
        return terms

    Noisy.losses = ticking  # type: ignore[method-assign]


def train(name: str, out_dir: Path | None, save_to: Path) -> None:
    config = RUNS[name]
    records = StackedToys(11) if name == "adamw" else Toys(11)
    method = METHODS.get(name, Noisy)()
    history = fit(method, records, config, out_dir=out_dir, transform=None if name == "adamw" else jitter)
    made = {"weights": weights(method), "loss": history.loss, "phases": history.phases}
    torch.save(made | {"resumed_at": history.resumed_at}, save_to)


def attempt(run: Callable[[], None], seconds: float | None = None) -> bool:
    """Run in a process of its own, killed after some seconds; whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)  # a zombie at worst: it is ours until waited for
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status != 0:
        raise SystemExit(f"an attempt failed by itself, status {status}")
    return True


def survive(name: str, folder: Path, draw: random.Random, report: dict) -> None:
    whole, out_dir = folder / f"{name}.whole", folder / name
    attempt(lambda: train(name, None, whole))
    kills, last = 0, folder / f"{name}.resumed"
    while True:
        # The first one burns into the second or third checkpoint (some 45 moments each); the others are anywhere.
        fuse = draw.randint(1, 70) if kills else draw.randint(110, 170)

        def run(fuse: int = fuse) -> None:
            arm(fuse)
            train(name, out_dir, last)

        by_clock = kills > 1 and draw.random() < 0.25
        finished = attempt(lambda: train(name, out_dir, last), 0.05 + 0.4 * draw.random()) if by_clock else attempt(run)
        if finished:
            break
        kills += 1
    expected, result = torch.load(whole, weights_only=True), torch.load(last, weights_only=True)
    report[name] = {
        "kills": kills,
        "resumed_at": result["resumed_at"],
        "same_weights": all(torch.equal(expected["weights"][k], result["weights"][k]) for k in expected["weights"]),
        "same_losses": expected["loss"] == result["loss"] and expected["phases"] == result["phases"],
        "left_over": [path.name for path in (out_dir / "checkpoints").glob(".*")],
        "steps": len(expected["loss"]),
    }


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # the first optimiser imports for seconds
    draw, report = random.Random(seed), {}
    for name in RUNS:
        survive(name, folder, draw, report)
    # The test of the test: one draw more or one update less must show.
    attempt(lambda: train("sgd", None, folder / "again"))
    RUNS["sgd"] = replace(RUNS["sgd"], seed=1)
    attempt(lambda: train("sgd", None, folder / "other"))
    again, other, first = (
        torch.load(folder / n, weights_only=True)["weights"] for n in ("again", "other", "sgd.whole")
    )
    report["repeatable"] = all(torch.equal(first[k], again[k]) for k in first)
    report["sensitive"] = not all(torch.equal(first[k], other[k]) for k in first)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
