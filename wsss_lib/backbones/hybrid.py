"""A transformer that reads the features of a convolutional network in place of patches of pixels.

The hybrid of Dosovitskiy et al. (*An Image is Worth 16x16 Words*, ICLR 2021, section 3.1): one cell of the last grid is
one token. A transformer on pixels needs more images than most people have; here the convolutions bring what ImageNet
taught them, and only the transformer is new.
"""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from wsss_lib.backbones.base import Backbone, StagedBackbone
from wsss_lib.backbones.vit import TransformerBackbone, fresh_vit

NAME = "hybrid_vit"
TOKENS = "tokens"
"""The last stage of a stem."""
OPTIONS = ("stem", "stage", "dim", "depth", "heads", "mlp_ratio", "image_size")


class HybridBackbone(TransformerBackbone):
    """A ViT behind a convolutional stem; for a method it is a transformer like any other. Used in chapter 4.

    A patch is a cell of the stem's grid. The stem can be frozen and computed once, as a convolutional backbone can:
    from then on images, or the features of its trunk in their place, are taken.

    Attributes:
        stem: The convolutional network up to some stage, and behind it ``tokens``, the 1 × 1 convolution that makes
            tokens of features. It normalises.
    """

    def __init__(self, stem: StagedBackbone, vit: VisionTransformer) -> None:
        super().__init__(NAME, vit, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        vit.patch_embed.proj = nn.Identity()
        self.stem = stem

    def normalise(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], or features of the stem's trunk, as they are: the stem normalises."""
        return images if self.stem.takes_as_features(images) else super().normalise(images)

    def size_of(self, images: Tensor) -> tuple[int, int]:
        """(h, w) of the grid of images (N, 3, H, W), or of features of the stem's trunk."""
        if self.stem.takes_as_features(images):
            return images.shape[-2], images.shape[-1]
        return super().size_of(images)

    def cells(self, normalised: Tensor) -> Tensor:
        """The stem's tokens, (N, D, h, w)."""
        return self.stem(normalised)[TOKENS]


def stem_of(net: StagedBackbone, stage: str, dim: int) -> StagedBackbone:
    """A network up to ``stage``, whose modules it shares, and a new stage ``tokens`` of width ``dim`` behind it.

    Raises:
        ValueError: No such stage.
    """
    if stage not in net.stages:
        raise ValueError(f"{net.name} has no stage {stage!r}; its stages are {', '.join(net.stages)}.")
    kept = net.stages[: net.stages.index(stage) + 1]
    blocks = {name: nn.Sequential(*net.blocks[name].children()) for name in kept}
    blocks[TOKENS] = nn.Sequential(nn.Conv2d(net.channels[stage], dim, 1))
    return StagedBackbone(
        net.name,
        blocks,
        channels={name: net.channels[name] for name in kept} | {TOKENS: dim},
        strides={name: net.strides[name] for name in kept} | {TOKENS: net.strides[stage]},
        mean=net.mean.flatten().tolist(),
        std=net.std.flatten().tolist(),
        channels_last=net.channels_last,
    )


def hybrid_vit(
    net: Backbone,
    stage: str | None = None,
    dim: int = 128,
    depth: int = 4,
    heads: int = 4,
    mlp_ratio: float = 2.0,
    image_size: int = 256,
) -> HybridBackbone:
    """Build a transformer behind a convolutional network.

    Its blocks have random weights, from torch's generator; positions start as sines and cosines.

    Args:
        net: The convolutional network, a :class:`StagedBackbone`.
        stage: Whose features the tokens are made of; None: the deepest.
        dim: Width D of a token.
        depth: Number of blocks.
        heads: Attention heads; must divide ``dim``.
        mlp_ratio: Hidden width of a block's MLP over ``dim``.
        image_size: Side, in pixels, at which position embeddings are not interpolated.

    Raises:
        ValueError: ``net`` has no stages of convolutions or no such stage, ``dim`` is not a multiple of ``heads`` and
            of 4, or ``image_size`` not one of the stage's stride.
    """
    if not isinstance(net, StagedBackbone):
        raise ValueError(f"{type(net).__name__} has no stages of convolutions: choose a convolutional network.")
    stem = stem_of(net, net.stages[-1] if stage is None else stage, dim)
    stride = stem.strides[TOKENS]
    if image_size % stride:
        raise ValueError(f"An image side of {image_size} px is not a multiple of {stride} px, the stride of the stem.")
    vit = fresh_vit(image_size, stride, dim, depth, heads, mlp_ratio)
    return HybridBackbone(stem, vit)
