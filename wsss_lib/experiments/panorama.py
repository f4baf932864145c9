"""Train the camera's network of chapter 11, on drawn scenes that no chapter uses.

    python -m wsss_lib.experiments.pretrain panorama

The paper's camera network comes with the weights of FCOS3D, which has learnt from boxes in 3D. Ours comes with what it
learns here, from the boxes of other scenes: what each object is, and which way it looks. It takes about a minute.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch
from wsss_lib.data.worlds.lidar import Lidar, LidarWorld, SpinScene
from wsss_lib.files import writing
from wsss_lib.methods.point_detr3d.coding import padded
from wsss_lib.methods.point_detr3d.picture import WIDTHS, mean_over_rectangle, picture_network
from wsss_lib.modes import evaluating
from wsss_lib.train import TrainConfig, fit

NAME = "panorama"
"""Of the network, on the command line and in the package."""
SPLIT = "nursery"
"""Scenes of the lidar's world that no chapter uses."""


class Headings(nn.Module):
    """The camera's network of chapter 11, asked for each object what it is and which way it looks, from its picture.

    What it says is linear in the mean of the features over the object, so that a reader of such means can use them.
    """

    needs = ("panoramas", "boxes3d", "box3d_labels")

    def __init__(self) -> None:
        super().__init__()
        self.network = picture_network()
        self.head = nn.Linear(WIDTHS[-1], 5)

    def said(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """A logit of "pedestrian" and four numbers for sine and cosine of the angle to the ray and of twice it
        (N, Q, 5); what is right; which are real (N, Q)."""
        boxes, real = padded(batch["boxes3d"], fill=1.0)
        labels, _ = padded(batch["box3d_labels"])
        read = mean_over_rectangle(self.network(batch["panoramas"]), boxes[..., :2], 5.0, 2.5, 7)
        angle = boxes[..., 6] - torch.atan2(boxes[..., 1], boxes[..., 0])
        right = torch.stack([labels.to(boxes), angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()], -1)
        return self.head(read), right, real

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the class; mean L1 of the angles of cars, for a drawn pedestrian looks alike from all
        sides."""
        said, right, real = self.said(batch)
        kind = F.binary_cross_entropy_with_logits(said[..., 0], right[..., 0], reduction="none")
        cars = real & (right[..., 0] == 0)
        apart = (said[..., 1:] - right[..., 1:]).abs().mean(-1)
        return {
            "class": (kind * real).sum() / real.sum().clamp_min(1),
            "angle": (apart * cars).sum() / cars.sum().clamp_min(1),
        }


def pretrain(out: Path, count: int = 1000, steps: int = 1600, seed: int = 0) -> float:
    """Train the camera's network of chapter 11 and save it without the head.

    Args:
        out: Where the safetensors file goes.
        count: Training scenes.
        steps: Updates.
        seed: Decides weights, order and turns.

    Returns:
        Share of the cars of 100 other scenes for which it tells front from rear, in [0, 1].
    """
    torch.manual_seed(seed)
    method = Headings()
    train = Lidar(LidarWorld(), SPLIT, count)
    recipe = TrainConfig(steps=steps, batch_size=8, optimiser="adamw", lr=3e-3, weight_decay=1e-2, schedule="cosine")
    fit(method, train, replace(recipe, seed=seed), transform=SpinScene(), progress="lines")
    held_out = Lidar(LidarWorld(), f"{SPLIT}, held out", 100)
    with torch.no_grad(), evaluating(method):
        said, right, real = method.said(held_out.batch(range(100)))
    cars = real & (right[..., 0] == 0)
    same = float(((said[..., 2] > 0) == (right[..., 2] > 0))[cars].double().mean())
    state = {key: value.contiguous() for key, value in method.network.state_dict().items()}
    with writing(out) as partial:
        save_file(state, partial, metadata={"front_or_rear": f"{same:.4f}", "world": repr(LidarWorld())})
    return same
