"""Train the backbones that ship with the package, on species that no chapter uses.

    python -m wsss_lib.pretrain tiny_cnn

That is how practice works: features are learnt on a large set of other classes first (ImageNet), and a method is
trained on top of them. Takes about ten minutes on one core; the same machine gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from wsss_lib.backbones import backbone
from wsss_lib.backbones.weights import SHIPPED
from wsss_lib.data.critters import NURSERY, Critters, World, cache_folder
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.methods.cam import CAM, CAMConfig
from wsss_lib.train import TrainConfig, fit

NURSERY_WORLD = World(species=NURSERY, scale=(0.45, 1.0))
"""Twenty-four species of the nursery, at more sizes than the chapters show."""


def pretrain(name: str, out: Path, count: int = 8000, epochs: int = 12, seed: int = 0) -> float:
    """Train a backbone as a classifier of the nursery's species and save it without the head.

    Args:
        name: A tiny backbone.
        out: Where the safetensors file goes.
        count: Training images.
        epochs: Passes through them.
        seed: Decides weights, order and flips.

    Returns:
        Accuracy on 400 images that were not trained on, in [0, 1].
    """
    torch.manual_seed(seed)
    method = CAM(backbone(name), len(NURSERY), CAMConfig(loss="softmax", bias=True))
    config = TrainConfig(
        epochs=epochs, optimiser="adamw", lr=3e-3, weight_decay=1e-2, schedule="cosine", warmup=200, seed=seed
    )
    train = Critters(NURSERY_WORLD, "train", count, cache_folder())
    fit(method, train, config, out_dir=Path("runs") / f"pretrain-{name}", transform=RandomFlip(), progress="lines")
    held_out = Critters(NURSERY_WORLD, "test", 400, cache_folder())
    method.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(held_out), 50):
            batch = held_out.batch(range(start, start + 50))
            right += int((method(batch["images"]).argmax(1) == batch["labels"].argmax(1)).sum())
    out.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in method.backbone.state_dict().items()}
    partial = out.with_suffix(".partial")
    save_file(state, partial, metadata={"accuracy": f"{right / len(held_out):.4f}", "world": repr(NURSERY_WORLD)})
    os.replace(partial, out)
    return right / len(held_out)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m wsss_lib.pretrain", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", choices=("tiny_cnn",), help="which backbone")
    parser.add_argument("--out", type=Path, help="safetensors file (default: the package's own)")
    parser.add_argument("--count", type=int, default=8000, help="training images")
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    out = given.out or SHIPPED / f"{given.name}.safetensors"
    accuracy = pretrain(given.name, out, given.count, given.epochs)
    print(f"{out.name}: accuracy {accuracy:.3f} on 400 images of species it was trained on")


if __name__ == "__main__":
    main()
