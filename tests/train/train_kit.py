"""Small records and methods that draw from every source of randomness there is."""

import copy
import random

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch, Records, Sample, collate
from wsss_lib.methods.contract import Phase, Progress


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


class WarmingUp(Noisy):
    """A loss that comes in over the first updates; its weight is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(()))

    def before_step(self, progress: Progress) -> None:
        self.weight.fill_(min(1.0, progress.step / 4))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return super().losses(batch) | {"size": self.weight * self.head.weight.square().sum()}


class InThreePhases(Noisy):
    """Learns; then goes uphill with its convolution alone, for two updates at most; then learns with its head alone."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("uphill", torch.zeros((), dtype=torch.int64))
        self.seen: list[Progress] = []

    def parameter_groups(self, lr: float) -> list[dict]:
        return [
            {"name": name, "params": list(part.parameters())}
            for name, part in (("body", self.conv), ("norm", self.norm), ("head", self.head))
        ]

    def phases(self) -> list[Phase]:
        return [
            Phase("learn", 0.4),
            Phase("climb", 0.3, trains=("body",), maximises=True, lr=0.5),
            Phase("settle", 0.3, trains=("head", "norm")),
        ]

    def before_step(self, progress: Progress) -> None:
        self.seen.append(progress)

    def after_step(self, progress: Progress) -> bool:
        if progress.phase == "climb":
            self.uphill += 1
        return progress.phase == "climb" and int(self.uphill) == 2


class Taught(Noisy):
    """Has a teacher: the moving average of itself, whose answers it is to give."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.ModuleList([copy.deepcopy(self.conv), copy.deepcopy(self.head)]).requires_grad_(False)

    def after_step(self, progress: Progress) -> None:
        for mine, theirs in zip((self.conv, self.head), self.teacher, strict=True):
            for new, average in zip(mine.parameters(), theirs.parameters(), strict=True):
                average.lerp_(new, 0.1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        conv, head = self.teacher
        answer = head(conv(batch["images"]).relu().mean((2, 3))).sigmoid()
        return super().losses(batch) | {"agree": F.binary_cross_entropy_with_logits(self(batch["images"]), answer)}


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


__all__ = [
    "InThreePhases",
    "Noisy",
    "Plain",
    "StackedToys",
    "Taught",
    "Toys",
    "WarmingUp",
    "collate",
    "farthest",
    "identical",
    "jitter",
    "weights",
]
