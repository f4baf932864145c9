"""From the frame of a scanner into a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """A camera as a scanner sees it.

    Attributes:
        matrix: (3, 4) float64, from (x, y, z, 1) in metres to (u·d, v·d, d): columns and rows in pixels times the depth
            d, and the depth in metres.
        size: Height and width of the picture in pixels.
    """

    matrix: Tensor
    size: tuple[int, int]

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Where points (..., 3) lie in the picture: (..., 2) as x and y in pixels, and depths (...) in metres.

        A point behind the camera has a depth below zero, and no place that means anything.
        """
        homogeneous = torch.cat([points.double(), torch.ones_like(points[..., :1], dtype=torch.float64)], -1)
        at = homogeneous @ self.matrix.double().T
        return at[..., :2] / at[..., 2:].clamp_min(1e-5), at[..., 2]


def corners3d(boxes: Tensor) -> Tensor:
    """The eight corners of boxes (..., 7), lower ones first: (..., 8, 3) in metres."""
    signs = boxes.new_tensor([[x, y, z] for z in (-1, 1) for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))]) / 2
    x, y, z = (signs * boxes[..., None, 3:6]).unbind(-1)  # (..., 8)
    cos, sin = boxes[..., 6:7].cos(), boxes[..., 6:7].sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], -1) + boxes[..., None, :3]


def projected_boxes(boxes: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """The rectangles that boxes (M, 7) fill in a picture.

    Returns:
        (M, 4) float64 xyxy pixels, the tight rectangle of the corners, cut at the picture's border; and (M,) whether
        the whole box lies before the camera, and a part of it in the picture.
    """
    at, depth = camera.project(corners3d(boxes))
    low, high = at.amin(-2), at.amax(-2)
    height, width = camera.size
    border = low.new_tensor([width, height])
    cut = torch.cat([low.clamp_min(0).minimum(border), high.clamp_min(0).minimum(border)], -1)
    inside = (cut[:, 2:] > cut[:, :2]).all(-1)
    return cut, inside & (depth > 1e-5).all(-1)
