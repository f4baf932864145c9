from __future__ import annotations

import pytest
import torch
from torch import nn

from wsss_lib.backbones import ImageNetClassifier, StagedBackbone


@pytest.fixture
def probe() -> ImageNetClassifier:
    """A network whose right answer is known: two features, redness and blueness, on a grid of 8 px."""
    look = nn.Conv2d(3, 2, 1)
    look.weight.data = torch.tensor([[1.0, -1, 0], [0, -1, 1]])[:, :, None, None]
    look.bias.data.fill_(-0.1)
    stage = nn.Sequential(nn.AvgPool2d(8), look, nn.ReLU())
    net = StagedBackbone("probe", {"last": stage}, {"last": 2}, {"last": 8}, mean=(0, 0, 0), std=(1, 1, 1))
    linear = nn.Linear(2, 4)
    linear.weight.data = torch.tensor([[9.0, -9], [-9, 9], [0, 0], [0, 0]])
    linear.bias.data = torch.tensor([0.0, 0, -9, -9])
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.9), linear)
    return ImageNetClassifier(net, head, categories=("red thing", "blue thing", "crane", "crane"))
