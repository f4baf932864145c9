"""What every backbone offers: features at named stages, normalised inputs, batch norm that can be frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Images in, features at named stages out.

    Images are (N, 3, H, W) floats in [0, 1]; the mean and standard deviation that the weights expect are applied here,
    so that nobody has to remember them. A subclass implements :meth:`features`. Used in chapter 1.

    Attributes:
        name: ``"resnet50"``, ``"tiny_cnn"``, …
        stages: Names from shallow to deep; the last is the deepest.
        channels: Channels C of each stage.
        strides: Input pixels per grid cell of each stage. A grid side is the image side divided by the stride, rounded
            up in nets that pad (ResNet, MobileNet, tiny_cnn) and down in VGG16; a ViT demands multiples of its patch.
        built_by: Arguments of :func:`wsss_lib.backbones.backbone` that build another of its shape; None for one that
            was built otherwise.
    """

    mean: Tensor
    std: Tensor
    built_by: Mapping[str, Any] | None = None

    def __init__(
        self,
        name: str,
        channels: Mapping[str, int],
        strides: Mapping[str, int],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.name = name
        self.stages = tuple(channels)
        self.channels = dict(channels)
        self.strides = dict(strides)
        # Not persistent: they belong to the recipe, not to what was learnt.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, stages: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Compute the features of the stages asked for, and nothing beyond the deepest of them.

        Args:
            images: (N, 3, H, W) floats in [0, 1], not normalised.
            stages: Names out of ``self.stages``; ``None`` means the deepest alone.

        Returns:
            ``{stage: (N, C, h, w)}`` from shallow to deep.

        Raises:
            ValueError: Unknown stage, or images of another shape.
            TypeError: Images that are not floating point.
        """
        wanted = self.stages[-1:] if stages is None else tuple(stages)
        unknown = [stage for stage in wanted if stage not in self.stages]
        if unknown:
            raise ValueError(f"{self.name} has no stage {unknown[0]!r}; its stages are {', '.join(self.stages)}.")
        found: dict[str, Tensor] = {}
        if not wanted:
            return found
        for stage, features in self.features(self.normalise(images)):
            if stage in wanted:
                found[stage] = features
                if len(found) == len(set(wanted)):
                    break
        return found

    def features(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield (stage, (N, C, h, w)) from shallow to deep for images that :meth:`normalise` has already treated."""
        raise NotImplementedError

    def normalise(self, images: Tensor) -> Tensor:
        """Return (images − mean) / std; (N, 3, H, W) in [0, 1] → (N, 3, H, W) of mean about 0 and variance about 1.

        Raises:
            ValueError: Not (N, 3, H, W).
            TypeError: Not floating point.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"Images have shape {tuple(images.shape)}; expected (N, 3, H, W), one image is image[None]."
            )
        if not images.is_floating_point():
            raise TypeError(f"Images are {images.dtype}; expected floats in [0, 1]: divide 8-bit images by 255.")
        return (images - self.mean) / self.std


class StagedBackbone(Backbone):
    """A convolutional backbone: one ``nn.Sequential`` of units for each stage, run one after the other.

    The modules are reachable by name for hooks, for example ``backbone.get_submodule("blocks.layer4")``.
    """

    def __init__(
        self,
        name: str,
        blocks: Mapping[str, nn.Sequential],
        channels: Mapping[str, int],
        strides: Mapping[str, int],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__(name, channels, strides, mean, std)
        self.blocks = nn.ModuleDict(dict(blocks))

    def features(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        x = images
        for stage, block in self.blocks.items():
            x = block(x)  # (N, C, h, w)
            yield stage, x


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm as a fixed affine map: y = (x − running mean) / √(running variance + ε) · weight + bias.

    ``.train()`` does not wake it, the running statistics never move, and no gradient reaches weight or bias even where
    somebody sets ``requires_grad`` on all parameters. CAM, IRN and SEAM train with batch norm frozen at its ImageNet
    statistics; with batches of 16 or fewer, trainable batch norm costs several points of mIoU. Gradients still flow
    to the input. The state dict has the same keys as ``nn.BatchNorm2d``.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        super().train(False)
        return self

    def forward(self, input: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.detach()
        bias = None if self.bias is None else self.bias.detach()
        return F.batch_norm(input, self.running_mean, self.running_var, weight, bias, training=False, eps=self.eps)


def freeze_batch_norm(module: nn.Module) -> int:
    """Replace every ``nn.BatchNorm2d`` inside ``module`` by a :class:`FrozenBatchNorm2d` with the same tensors.

    Returns:
        How many were replaced; 0 for a network without batch norm (VGG16, a ViT).
    """
    count = 0
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d) and not isinstance(child, FrozenBatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps, child.momentum, child.affine)
            frozen.weight, frozen.bias = child.weight, child.bias
            for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(frozen, buffer, getattr(child, buffer))
            for parameter in frozen.parameters():
                parameter.requires_grad_(False)
            setattr(module, name, frozen.eval())
            count += 1
        else:
            count += freeze_batch_norm(child)
    return count
