"""The network behind the camera: convolutions of a panorama, whose first and last column are neighbours.

It comes with weights, as the paper's camera network comes with those of a detector in images (FCOS3D): on other drawn
scenes it has learnt which way an object looks, from boxes.
"""

from __future__ import annotations

from importlib.resources import files

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.worlds.lidar import COLUMNS, ROWS, column_of, row_of
from wsss_lib.methods.point_detr3d.sampling import square_grid

WIDTHS = (16, 24, 32, 32)
"""Channels of the four convolutions; the first and the third halve the grid."""
WEIGHTS = "panorama.safetensors"
"""The shipped weights: ``python -m wsss_lib.experiments.pretrain panorama`` makes them."""


class Circular(nn.Module):
    """A convolution of a panorama, 3 × 3, with batch norm and ReLU: columns go round, above and below is zero."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, width, h / stride, w / stride)."""
        wide = F.pad(F.pad(x, (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1))
        return torch.relu(self.norm(self.conv(wide)))


def picture_network(weights: bool = False) -> nn.Sequential:
    """The network: (N, 3, 24, 384) in [0, 1] to (N, 32, 6, 96).

    Args:
        weights: Whether it has the shipped ones; else they are random.
    """
    channels = (3, *WIDTHS)
    network = nn.Sequential(*(Circular(channels[i], channels[i + 1], 2 - i % 2) for i in range(4)))
    if weights:
        network.load_state_dict(load(files("wsss_lib.weights").joinpath(WEIGHTS).read_bytes()))
    return network


def rectangle(references: Tensor, extent: float, tall: float, steps: Tensor) -> Tensor:
    """Places in the picture, in columns and rows as shares of it.

    Args:
        references: (N, Q, 2) in metres on the ground.
        extent, tall: Metres of width and height of what stands there, seen at the reference's distance.
        steps: (N, Q, H, K, 2) or what broadcasts to it: places in its rectangle, from -½ to ½ across and down.

    Returns:
        (N, Q, H, K, 2) as (x, y); x may lie beyond 0 and 1, where the picture goes on.
    """
    distance = references.norm(dim=-1).clamp_min(1.0)  # (N, Q)
    middle = column_of(torch.atan2(references[..., 1], references[..., 0]))
    width = torch.atan2(torch.full_like(distance, extent / 2), distance) / torch.pi * COLUMNS
    upper = row_of(torch.full_like(distance, tall), distance)
    lower = row_of(torch.zeros_like(distance), distance)
    x = middle[:, :, None, None] + steps[..., 0] * width[:, :, None, None]
    y = ((upper + lower) / 2)[:, :, None, None] + steps[..., 1] * (lower - upper)[:, :, None, None]
    return torch.stack([x / COLUMNS, y / ROWS], -1)


def around(features: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Features (N, C, h, w) of a panorama repeated by half a turn at both ends, and the places (..., 2) in these."""
    half = features.shape[-1] // 2
    wide = torch.cat([features[..., -half:], features, features[..., :half]], -1)
    return wide, torch.stack([(places[..., 0] + 0.5) / 2, places[..., 1]], -1)


def mean_over_rectangle(features: Tensor, references: Tensor, extent: float, tall: float, side: int) -> Tensor:
    """The plain mean of features over what stands at references (N, Q, 2): (N, Q, C). What the network learns from."""
    places = rectangle(references, extent, tall, square_grid(side, 1.0, references))
    wide, at = around(features, places)
    return F.grid_sample(wide, 2 * at[:, :, 0] - 1, align_corners=False).mean(-1).transpose(1, 2)
