"""Train a small network without labels: features of neighbouring places agree, under changes of colour, flip and noise.

    python -m wsss_lib.experiments.pretrain tiny_cnn_unlabelled

Each image is seen twice. A place of one view must recognise a place beside it in the other view, among the places of
all images. The labels of the records are never read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones import Backbone, backbone
from wsss_lib.data.records import Batch
from wsss_lib.data.worlds.critters import NURSERY, Critters, World
from wsss_lib.files import cache_folder, writing
from wsss_lib.modes import evaluating
from wsss_lib.train import TrainConfig, fit

NAME = "tiny_cnn_unlabelled"
UNLABELLED_WORLD = World(species=NURSERY, scale=(0.35, 0.90), cooccurrence=0.5, companion_size=2.0)
"""Species that no chapter uses, at many sizes, with and without their habitat objects."""
RECIPE = TrainConfig(
    epochs=4, batch_size=24, optimiser="adamw", lr=3e-3, weight_decay=1e-2, schedule="cosine", drop_last=True
)
"""How it is trained."""


class Neighbours(nn.Module):
    """A backbone that learns which places lie beside each other.

    Args:
        backbone: Its deepest stage is learnt.
        dim: Of the space in which places are compared; the layers behind the backbone are dropped afterwards.
        places: Of each image, drawn anew in each update.
        reach: A neighbour lies at most so many cells away, in each direction.
        temperature: Of the softmax over all places.

    Source: the loss is InfoNCE (van den Oord et al. 2018); the choice of places is ours.
    """

    needs = ("images",)

    def __init__(
        self, backbone: Backbone, dim: int = 32, places: int = 48, reach: int = 2, temperature: float = 0.2
    ) -> None:
        super().__init__()
        self.backbone, self.places, self.reach, self.temperature = backbone, places, reach, temperature
        channels = backbone.channels[backbone.stages[-1]]
        self.head = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, dim, 1))

    def planes(self, images: Tensor) -> Tensor:
        """Where places are compared, (N, dim, h, w), of length 1 at each."""
        return F.normalize(self.head(self.backbone(images)[self.backbone.stages[-1]]), dim=1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """How badly a place recognises its neighbour in the other view, among all places; and the other way round."""
        images = batch["images"]
        mirror = torch.rand((), device=images.device) < 0.5
        other = jittered(images)
        other = torch.where(mirror, other.flip(3), other)
        one, two = self.planes(torch.cat([jittered(images), other])).chunk(2)
        two = torch.where(mirror, two.flip(3), two)
        n, _, h, w = one.shape
        rows = torch.randint(h, (n, self.places), device=images.device)
        columns = torch.randint(w, (n, self.places), device=images.device)
        near = torch.randint(-self.reach, self.reach + 1, (2, n, self.places), device=images.device)
        asked = taken(one, rows, columns)  # (N P, D)
        answers = taken(two, (rows + near[0]).clamp(0, h - 1), (columns + near[1]).clamp(0, w - 1))
        likeness = asked @ answers.T / self.temperature  # (N P, N P)
        right = torch.arange(len(likeness), device=likeness.device)
        return {"neighbours": (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right)) / 2}


def taken(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """What planes (N, D, h, w) hold at places (N, P), as (N P, D)."""
    at = (rows * planes.shape[3] + columns)[:, None].expand(-1, planes.shape[1], -1)
    return planes.flatten(2).gather(2, at).transpose(1, 2).flatten(0, 1)


def jittered(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) in [0, 1] with other colours, brightness and noise, in the same range."""
    shape = (len(images), 3, 1, 1)
    gain = 0.8 + 0.4 * torch.rand(shape, device=images.device)
    shift = 0.16 * torch.rand(shape, device=images.device) - 0.08
    noise = 0.06 * torch.rand((len(images), 1, 1, 1), device=images.device) * torch.randn_like(images)
    return (images * gain + shift + noise).clamp(0, 1)


def pretrain(out: Path, count: int = 2000, epochs: int | None = None, seed: int = 0) -> float:
    """Train the network and save its backbone.

    Args:
        out: Where the safetensors file goes.
        count: Training images.
        epochs: Passes through them; None for :data:`RECIPE`'s.
        seed: Decides weights, order and views.

    Returns:
        Share of the places in 24 other images that recognise their own place in the other view, in [0, 1].
    """
    torch.manual_seed(seed)
    method = Neighbours(backbone("tiny_cnn"))
    config = replace(RECIPE, seed=seed, epochs=epochs or RECIPE.epochs)
    train = Critters(UNLABELLED_WORLD, "train", count, cache_folder())
    fit(method, train, config, out_dir=Path("runs") / f"pretrain-{NAME}", progress="lines")
    score = recognised(method, Critters(UNLABELLED_WORLD, "test", 24, cache_folder()).batch(range(24))["images"])
    state = {key: value.contiguous() for key, value in method.backbone.state_dict().items()}
    with writing(out) as partial:
        save_file(state, partial, metadata={"recognised": f"{score:.4f}", "world": repr(UNLABELLED_WORLD)})
    return score


@torch.no_grad()
def recognised(method: Neighbours, images: Tensor) -> float:
    """Share of every sixteenth place of images that are most alike their own place in another view."""
    with evaluating(method):
        planes = torch.stack([method.planes(images), method.planes(jittered(images))])
    h, w = planes.shape[3:]
    y, x = torch.meshgrid(torch.arange(0, h, 4), torch.arange(0, w, 4), indexing="ij")
    one, two = planes[:, :, :, y.flatten(), x.flatten()].transpose(2, 3).flatten(1, 2)  # (N P, D) each
    return float(((one @ two.T).argmax(1) == torch.arange(len(one))).double().mean())
