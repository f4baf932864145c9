"""Small records and methods that draw from every source of randomness there is."""

import random

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch, Records, Sample, collate


class Toys(Records):
    """Coloured noise of 3 classes, 8×8 pixels."""

    name, split, classes = "toys", "train", ("red", "green", "blue")

    def __init__(self, images: int, fingerprint: str = "f00d") -> None:
        generator = Generator().manual_seed(7)
        self.pixels = torch.rand(images, 3, 8, 8, generator=generator)
        self.multi_hot = (torch.rand(images, 3, generator=generator) < 0.4).float()
        self.pixels += 0.5 * self.multi_hot[:, :, None, None]
        self.fingerprint = fingerprint
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        return {"image": self.pixels[index], "labels": self.multi_hot[index], "id": str(index)}


class StackedToys(Toys):
    """The same, offering whole batches."""

    def batch(self, indices: list[int]) -> Batch:
        self.read += indices
        return {
            "images": self.pixels[indices],
            "labels": self.multi_hot[indices],
            "sizes": [(8, 8)] * len(indices),
            "ids": [str(i) for i in indices],
        }


class Plain(nn.Module):
    """No batch norm and no draws: a loss that is a mean over images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.head = nn.Conv2d(3, 5, 3), nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).relu().mean((2, 3)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = self(batch["images"])
        return {
            "classification": F.binary_cross_entropy_with_logits(logits, batch["labels"]),
            "size": 0.01 * logits.square().mean(),
        }


class Noisy(Plain):
    """Batch norm, dropout, and draws from Python's and NumPy's global generators."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(5)
        self.calls = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        x = self.norm(self.conv(batch["images"])).relu()
        x = F.dropout2d(x, 0.3, self.training).mean((2, 3))
        scale = 1 + 0.2 * random.random() + 0.2 * float(np.random.rand())  # noqa: NPY002
        self.calls += 1
        return {"classification": F.binary_cross_entropy_with_logits(self.head(x) * scale, batch["labels"])}


def jitter(sample: Sample, generator: Generator) -> Sample:
    """A random mirror and a random brightness."""
    image = sample["image"].flip(-1) if torch.rand((), generator=generator) < 0.5 else sample["image"]
    return {**sample, "image": image * (0.8 + 0.4 * torch.rand((), generator=generator))}


def weights(method: nn.Module) -> dict[str, Tensor]:
    """A copy of parameters and buffers."""
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


def identical(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def farthest(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest absolute difference of any weight."""
    return max(float((a[name] - b[name]).abs().max()) for name in a)


__all__ = ["Noisy", "Plain", "StackedToys", "Toys", "collate", "farthest", "identical", "jitter", "weights"]
