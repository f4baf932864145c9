"""What SSC redraws images with: a decoder that sees class maps only, and a loss that compares how images look.

The decoder gets K numbers a cell. It can redraw the image only if they say where things begin and end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES_SEED = 6
"""Of the random features: the same ones in every run, whatever the run's seed."""


class Redrawing(nn.Module):
    """Class maps to images: a residual block on the maps' grid, then layers that double its sides.

    Two things differ from the released decoder. Layer norm over channels and pixels is torch's group norm with one
    group; there the standard deviation is unbiased, and ε is added to it, not to the variance. And pictures are padded
    with zeros, there with their mirror images.

    Args:
        classes: K.
        width: Channels on the maps' grid; each doubling keeps two thirds of them, 8 at least.
        doublings: How often the sides are doubled.
    """

    def __init__(self, classes: int, width: int = 24, doublings: int = 1) -> None:
        super().__init__()
        self.enter = nn.Sequential(*_convolution(classes, width), nn.ReLU())
        self.block = nn.Sequential(*_convolution(width, width), nn.ReLU(), *_convolution(width, width))
        self.enlarge = nn.Sequential()
        for _ in range(doublings):
            narrower = max(8, 2 * width // 3)
            self.enlarge.extend(
                [
                    nn.ConvTranspose2d(width, narrower, 4, stride=2, padding=1, bias=False),
                    nn.GroupNorm(narrower, narrower, affine=False),  # each channel by its own mean: instance norm
                    nn.ReLU(),
                    *_convolution(narrower, narrower),
                    nn.ReLU(),
                ]
            )
            width = narrower
        self.leave = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Images (N, 3, H, W) in (−1, 1) of class maps (N, K, h, w), signed; H = 2^doublings · h."""
        x = self.enter(maps)
        x = self.enlarge(x + self.block(x))
        return self.leave(x).tanh()


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """A 3 × 3 convolution, and layer norm over channels and pixels, whose scales begin between 0 and 1."""
    norm = nn.GroupNorm(1, outputs)
    nn.init.uniform_(norm.weight)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm


class RandomFeatures(nn.Module):
    """Features φ of images from 3 × 3 convolutions that are random and stay as they are.

    They stand for those of an ImageNet network (VGG-19 in the paper): edges and textures of three sizes, and no labels
    behind them. The weights are buffers, so that no optimiser sees them.

    Args:
        widths: Channels of each layer; from the second one on the sides are halved.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(FEATURES_SEED)
        self.names = tuple(f"layer{i + 1}" for i in range(len(widths)))
        for name, inputs, outputs in zip(self.names, (3, *widths), widths, strict=False):
            weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            self.register_buffer(name, weight)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The features of images (N, 3, H, W), about in [−1, 1], at each layer, after its ReLU."""
        features = []
        for i, name in enumerate(self.names):
            images = F.conv2d(images, getattr(self, name), stride=1 if i == 0 else 2, padding=1).relu()
            features.append(images)
        return features


def perceptual_loss(redrawn: Sequence[Tensor], original: Sequence[Tensor]) -> Tensor:
    """How differently two images look: L_p = mean over layers of ``Σ |φ_l(Î) − φ_l(I)| / Σ φ_l(I)``.

    Relative, because random layers have no common scale; the paper has fixed weights for its layers instead.

    Args:
        redrawn: φ(Î) of each layer, (N, C, h, w).
        original: φ(I), of the same shapes, ≥ 0; without gradient.

    Returns:
        Scalar ≥ 0: 0 for equal images, 1 for features that are all zero. Built in chapter 6.
    """
    each = [
        (a - b.detach()).abs().mean() / b.detach().abs().mean().clamp_min(1e-5)
        for a, b in zip(redrawn, original, strict=True)
    ]
    return torch.stack(each).mean()
