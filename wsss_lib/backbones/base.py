"""What every backbone offers: features at named stages, normalised inputs, batch norm that can be frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

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

    @property
    def deepest_grid(self) -> tuple[str, ...]:
        """The stages on the deepest stage's grid, from shallow to deep."""
        return tuple(stage for stage in self.stages if self.strides[stage] == self.strides[self.stages[-1]])

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
        outputs: dict[str, Tensor] = {}
        if not wanted:
            return outputs
        for stage, features in self.features(self.normalise(images)):
            if stage in wanted:
                outputs[stage] = features
                if len(outputs) == len(set(wanted)):
                    break
        return outputs

    def features(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield (stage, (N, C, h, w)) from shallow to deep for images that :meth:`normalise` has already treated."""
        raise NotImplementedError

    def normalise(self, images: Tensor) -> Tensor:
        """Return (images − mean) / std; (N, 3, H, W) in [0, 1] → (N, 3, H, W) of mean about 0 and variance about 1.

        Raises:
            ValueError: Not (N, 3, H, W).
            TypeError: No tensor, or not floating point.
        """
        if not isinstance(images, Tensor):
            raise TypeError(
                f"Images are of type {type(images).__name__}; expected a tensor: torch.as_tensor makes one."
            )
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

    Attributes:
        trunk: The stages that :meth:`freeze` froze, from shallow to deep.
        channels_last: Whether tensors lie in memory pixel by pixel, which is faster for depthwise convolutions.
    """

    trunk: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        blocks: Mapping[str, nn.Sequential],
        channels: Mapping[str, int],
        strides: Mapping[str, int],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channels_last: bool = False,
    ) -> None:
        super().__init__(name, channels, strides, mean, std)
        self.blocks = nn.ModuleDict(dict(blocks))
        self.channels_last = channels_last

    def freeze(self, stage: str) -> None:
        """Freeze the stages up to ``stage``, the *trunk*: no gradients, fixed batch norm, always in evaluation mode.

        What a trunk makes of an image never changes, so it may be computed once. From now on, :meth:`forward` takes
        the features of ``stage`` in place of images too, and runs what is behind it. Used in
        :mod:`wsss_lib.train.features`.

        Args:
            stage: One of the stages, but not the deepest.

        Raises:
            ValueError: No such stage, or one that has three channels, as images have.
        """
        if stage not in self.stages[:-1] or self.channels[stage] == 3:
            possible = [name for name in self.stages[:-1] if self.channels[name] != 3]
            raise ValueError(f"{self.name} cannot be frozen up to {stage!r}: choose one of {', '.join(possible)}.")
        self.trunk = self.stages[: self.stages.index(stage) + 1]
        for name in self.trunk:
            freeze_batch_norm(self.blocks[name])
            self.blocks[name].requires_grad_(False).eval()

    def train(self, mode: bool = True) -> StagedBackbone:
        super().train(mode)
        for name in self.trunk:
            self.blocks[name].eval()
        return self

    def forward(self, images: Tensor, stages: Sequence[str] | None = None) -> dict[str, Tensor]:
        """As :meth:`Backbone.forward`, for images or for features of the last stage of the trunk."""
        early = [stage for stage in stages or () if stage in self.trunk[:-1]]
        if early and self.takes_as_features(images):
            raise ValueError(
                f"{self.name} was given features of {self.trunk[-1]}, which do not tell those of {early[0]} before it: "
                "give it images, or freeze fewer stages."
            )
        return super().forward(images, stages)

    def features(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        x, blocks = images, list(self.blocks.items())
        if self.takes_as_features(images):
            blocks = blocks[len(self.trunk) :]
            yield self.trunk[-1], x
        for stage, block in blocks:
            x = block(x)  # (N, C, h, w)
            yield stage, x

    def normalise(self, images: Tensor) -> Tensor:
        """As :meth:`Backbone.normalise`; features of the trunk stay as they are."""
        x = images if self.takes_as_features(images) else super().normalise(images)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x

    def takes_as_features(self, images: Tensor) -> bool:
        """Whether (N, C, h, w) are features of the frozen trunk, and no images."""
        return bool(self.trunk) and images.ndim == 4 and images.shape[1] == self.channels[self.trunk[-1]]


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
        mean, variance = self.running_mean, self.running_var
        if mean is None or variance is None or weight is None or bias is None or not _as_product(input, variance):
            return F.batch_norm(input, mean, variance, weight, bias, training=False, eps=self.eps)
        # The same map, of which the gradient is one product; that of batch norm takes twice as long on a CPU. It is
        # taken without a gradient too: what is computed with and without one must agree to the last digit.
        scale = weight * (variance + self.eps).rsqrt()  # (C,)
        shift = bias - mean * scale
        return torch.addcmul(shift.view(1, -1, 1, 1), input, scale.view(1, -1, 1, 1))  # (N, C, h, w)


def _as_product(input: Tensor, statistic: Tensor) -> bool:
    """Whether these are images on a CPU, in 32 bits or more, where other roundings do not matter."""
    precise = input.dtype == statistic.dtype and input.dtype.itemsize >= 4
    return input.dim() == 4 and input.device.type == "cpu" and precise


class FrozenBatchNormAct2d(FrozenBatchNorm2d):
    """A frozen batch norm with what timm's ``BatchNormAct2d`` does behind it: dropout (usually none) and activation."""

    def __init__(self, norm: BatchNormAct2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self.drop, self.act = norm.drop, norm.act

    def train(self, mode: bool = True) -> FrozenBatchNormAct2d:
        super().train(mode)
        self.drop.train(mode)
        self.act.train(mode)
        return self

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


def freeze_batch_norm(module: nn.Module) -> int:
    """Replace every batch norm over images inside ``module`` by a frozen one with the same tensors.

    Knows ``nn.BatchNorm2d``, ``nn.SyncBatchNorm`` and timm's ``BatchNormAct2d``, whose activation stays.

    Returns:
        How many were replaced; 0 for a network without batch norm (VGG16, a ViT).

    Raises:
        TypeError: A batch norm of another kind, or one without running statistics, or ``module`` is one itself.
    """
    if isinstance(module, _BatchNorm):
        raise TypeError(f"{type(module).__name__} cannot replace itself by a frozen one: pass the network around it")
    count = 0
    for name, child in module.named_children():
        if not isinstance(child, _BatchNorm):
            count += freeze_batch_norm(child)
        elif not isinstance(child, FrozenBatchNorm2d):
            setattr(module, name, _frozen(child))
            count += 1
    return count


def _frozen(norm: _BatchNorm) -> FrozenBatchNorm2d:
    if type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm):
        frozen = FrozenBatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine)
    elif type(norm) is BatchNormAct2d:
        frozen = FrozenBatchNormAct2d(norm)
    else:
        raise TypeError(
            f"{type(norm).__name__} is a batch norm that cannot be frozen here, expected nn.BatchNorm2d or timm's "
            "BatchNormAct2d: what else it does would be lost; keep it in evaluation mode instead"
        )
    if norm.running_mean is None:
        raise TypeError(f"{type(norm).__name__} keeps no running statistics, which freezing needs: leave it as it is")
    frozen.weight, frozen.bias = norm.weight, norm.bias
    for buffer in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(frozen, buffer, getattr(norm, buffer))
    for parameter in frozen.parameters(recurse=False):
        parameter.requires_grad_(False)
    return frozen.eval()


def without_inplace(module: nn.Module) -> None:
    """Let no activation overwrite what a hook, Grad-CAM's for one, has just kept of the layer before it."""
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            setattr(layer, "inplace", False)  # noqa: B010 (to type checkers an attribute of a module is a tensor)
