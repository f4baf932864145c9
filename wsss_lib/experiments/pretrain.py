"""Train the backbones that ship with the package, on species that no chapter uses.

    python -m wsss_lib.experiments.pretrain tiny_cnn
    python -m wsss_lib.experiments.pretrain tiny_vit     # starts from the convolutions of the first
    python -m wsss_lib.experiments.pretrain tiny_cnn_unlabelled     # see wsss_lib.experiments.unlabelled
    python -m wsss_lib.experiments.pretrain panorama     # see wsss_lib.experiments.panorama

That is how practice works: features are learnt on a large set of other classes first (ImageNet), and a method is
trained on top of them. Takes about ten minutes on one core (``tiny_vit``: twenty); the same machine gives the same
bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wsss_lib.backbones import TransformerBackbone, backbone, vit
from wsss_lib.backbones.weights import SHIPPED
from wsss_lib.data.records import Batch
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.data.worlds.critters import NURSERY, Critters, World
from wsss_lib.experiments import panorama, unlabelled
from wsss_lib.files import cache_folder, writing
from wsss_lib.methods.cam import CAM, CAMConfig
from wsss_lib.methods.losses import softmax_cross_entropy
from wsss_lib.modes import evaluating
from wsss_lib.train import TrainConfig, fit

NURSERY_WORLD = World(species=NURSERY, scale=(0.45, 1.0))
"""Twenty-four species of the nursery, at more sizes than the chapters show."""


class TwoQuestions(nn.Module):
    """A transformer that must name the species twice: from its class token, and from the mean of its patch tokens.

    DeiT is asked the first only; the second makes what a patch token holds readable where the patch is.

    Args:
        backbone: The transformer.
        classes: K.
    """

    def __init__(self, backbone: TransformerBackbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        dim = backbone.channels["norm"]
        self.from_class, self.from_patches = nn.Linear(dim, classes), nn.Linear(dim, classes)

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of both kinds."""
        tokens = self.backbone.tokens(images)  # (N, 1 + hw, D)
        return self.from_class(tokens[:, 0]), self.from_patches(tokens[:, 1:].mean(dim=1))

    def forward(self, images: Tensor) -> Tensor:
        """The class token's logits (N, K)."""
        return self.answers(images)[0]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of both answers."""
        one, other = self.answers(batch["images"])
        labels = batch["labels"]
        return {"class": softmax_cross_entropy(one, labels), "patches": softmax_cross_entropy(other, labels)}


def learner(name: str) -> tuple[nn.Module, TrainConfig]:
    """What is trained for a backbone, fresh weights from torch's generator, and how."""
    if name == "tiny_vit":
        net = backbone(name)
        assert isinstance(net, TransformerBackbone)
        stem = backbone("tiny_cnn", weights="shipped")
        for convolution, stage in zip(net.vit.patch_embed.proj, vit.STEM, strict=False):
            convolution.load_state_dict(stem.get_submodule(f"blocks.{stage}").state_dict())
        recipe = TrainConfig(epochs=5, batch_size=64, optimiser="adamw", lr=1e-3, schedule="cosine", warmup=100)
        return TwoQuestions(net, len(NURSERY)), replace(recipe, weight_decay=0.03)
    method = CAM(backbone(name), len(NURSERY), CAMConfig(loss="softmax", bias=True))
    return method, TrainConfig(epochs=12, optimiser="adamw", lr=3e-3, weight_decay=1e-2, schedule="cosine", warmup=200)


def pretrain(name: str, out: Path, count: int = 8000, epochs: int | None = None, seed: int = 0) -> float:
    """Train a backbone as a classifier of the nursery's species and save it without the head.

    Args:
        name: A tiny backbone.
        out: Where the safetensors file goes.
        count: Training images.
        epochs: Passes through them; None for the recipe's own.
        seed: Decides weights, order and flips.

    Returns:
        Accuracy on 400 images that were not trained on, in [0, 1].
    """
    torch.manual_seed(seed)
    method, recipe = learner(name)
    config = replace(recipe, seed=seed, epochs=epochs or recipe.epochs)
    train = Critters(NURSERY_WORLD, "train", count, cache_folder())
    fit(method, train, config, out_dir=Path("runs") / f"pretrain-{name}", transform=RandomFlip(), progress="lines")
    held_out = Critters(NURSERY_WORLD, "test", 400, cache_folder())
    right = 0
    with torch.no_grad(), evaluating(method):
        for start in range(0, len(held_out), 50):
            batch = held_out.batch(range(start, start + 50))
            right += int((method(batch["images"]).argmax(1) == batch["labels"].argmax(1)).sum())
    state = {key: value.contiguous() for key, value in method.get_submodule("backbone").state_dict().items()}
    with writing(out) as partial:
        save_file(state, partial, metadata={"accuracy": f"{right / len(held_out):.4f}", "world": repr(NURSERY_WORLD)})
    return right / len(held_out)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m wsss_lib.experiments.pretrain", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("name", choices=("tiny_cnn", "tiny_vit", unlabelled.NAME, panorama.NAME), help="which network")
    parser.add_argument("--out", type=Path, help="safetensors file (default: the package's own)")
    parser.add_argument("--count", type=int, help="training images or scenes (default: the recipe's)")
    parser.add_argument("--epochs", type=int, help="passes through them (default: the recipe's own)")
    given = parser.parse_args()
    out = given.out or SHIPPED / f"{given.name}.safetensors"
    if given.name == unlabelled.NAME:
        share = unlabelled.pretrain(out, given.count or 2000, given.epochs)
        print(f"{out.name}: {share:.1%} of the places in 24 other images recognise themselves in another view")
        return
    if given.name == panorama.NAME:
        share = panorama.pretrain(out, given.count or 1000)
        print(f"{out.name}: front and rear are told apart for {share:.1%} of the cars of 100 other scenes")
        return
    accuracy = pretrain(given.name, out, given.count or 8000, given.epochs)
    print(f"{out.name}: accuracy {accuracy:.3f} on 400 images of species it was trained on")


if __name__ == "__main__":
    main()
