"""The maps that a vision transformer has without a token for them: chapter 4's baselines, on SAT's own backbone.

    ClassToken   the class token classifies; the map is how strongly it looks at each patch (softmax attention)
    TSCAM        the patch tokens classify; the map is their class scores times that attention

Gao et al., *TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object Localization*, ICCV 2021. Used in
chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from wsss_lib.data.records import Batch
from wsss_lib.methods.cam import global_average_pool
from wsss_lib.methods.contract import Method, Normalisation, Prediction, Settings
from wsss_lib.methods.losses import multilabel_soft_margin, softmax_cross_entropy
from wsss_lib.methods.registry import register
from wsss_lib.methods.transformers import check_transformer, whole_patches

if TYPE_CHECKING:
    from wsss_lib.backbones import TransformerBackbone


@dataclass(frozen=True)
class TSCAMConfig(Settings):
    """Settings of :class:`TSCAM` and :class:`ClassToken`; the defaults are the book's.

    Attributes:
        blocks: How many of the last blocks' attention is averaged; None: all of them, as TS-CAM does.
        coupled: Whether :class:`TSCAM` multiplies its scores by the attention.
        loss: ``"multilabel"`` where an image may show several classes, ``"softmax"`` where it shows exactly one.
    """

    blocks: int | None = None
    coupled: bool = True
    loss: Literal["multilabel", "softmax"] = "multilabel"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"blocks is {self.blocks}, expected at least 1, or None for all: attention is averaged")

    @classmethod
    def paper(cls) -> TSCAMConfig:
        """Gao et al. 2021: all blocks, coupled, one class an image."""
        return cls(loss="softmax")


def class_attention(attention: list[Tensor], size: tuple[int, int], blocks: int | None = None) -> Tensor:
    """How strongly the class token looks at each patch, averaged over heads and blocks.

    Args:
        attention: Each block's softmax attention (N, H, 1 + hw, 1 + hw), as ``TransformerBackbone.attention`` gives it.
        size: (h, w).
        blocks: How many of the last blocks; None for all.

    Returns:
        (N, 1, h, w) ≥ 0, with a sum below 1: the rest goes to the class token itself. Used in chapter 4.
    """
    used = attention if blocks is None else attention[-blocks:]
    rows = torch.stack([block[:, :, 0, 1:].mean(dim=1) for block in used])  # (blocks, N, hw)
    return rows.mean(dim=0)[:, None].unflatten(2, size)  # (N, 1, h, w)


@register("class-token", title="class-token attention", settings=TSCAMConfig, chapter=4, backbone="tiny_vit")
class ClassToken(Method):
    """The plain vision transformer: a linear layer on the class token, whose attention is the map.

    Args:
        backbone: A transformer of :func:`wsss_lib.backbones.backbone`.
        num_classes: K.
        config: The settings.

    Raises:
        ValueError: A backbone without tokens.
    """

    normalisation: Normalisation = "minmax"
    decays_scales = False
    backbone: TransformerBackbone

    def __init__(self, backbone: TransformerBackbone, num_classes: int, config: TSCAMConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or TSCAMConfig()
        check_transformer(backbone, type(self).__name__, self.config.blocks or 1)
        self.head = self.make_head(backbone.channels[backbone.stages[-1]], num_classes)

    def make_head(self, dim: int, num_classes: int) -> nn.Module:
        """The layer that turns tokens of width ``dim`` into class scores."""
        return nn.Linear(dim, num_classes)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens after the last norm (N, 1 + hw, D), class token first, and :func:`class_attention` (N, 1, h, w).

        Images (N, 3, H, W) in [0, 1]; sides that are no multiples of the patch are stretched to the nearest ones.
        """
        images = whole_patches(images, self.backbone.patch)
        tokens, attention = self.backbone.attend(images)
        return tokens, class_attention(attention, self.backbone.size_of(images), self.config.blocks)

    def attention_map(self, images: Tensor) -> Tensor:
        """:func:`class_attention` of images, (N, 1, h, w)."""
        return self.look(images)[1]

    def predict(self, images: Tensor) -> Prediction:
        """Where the class token looks, (N, 1, h, w) ≥ 0, the same for every class; and logits (N, K)."""
        tokens, attention = self.look(images)
        return Prediction(attention, self.head(tokens[:, 0]))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) in [0, 1], without the attention: training needs none."""
        return self.head(self.backbone.tokens(whole_patches(images, self.backbone.patch))[:, 0])  # (N, K)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``{"classification": scalar}`` of a batch with ``images`` and ``labels``."""
        images, labels = self.supervision(batch)
        loss = multilabel_soft_margin if self.config.loss == "multilabel" else softmax_cross_entropy
        return {"classification": loss(self(images), labels)}


@register("ts-cam", title="TS-CAM", settings=TSCAMConfig, chapter=4, backbone="tiny_vit")
class TSCAM(ClassToken):
    """Patch tokens classify through a 3 × 3 convolution and average pooling; scores and attention meet in the map.

    Arguments as for :class:`ClassToken`. The attention is that of a class token which no loss touches here: it is what
    pretraining left. ``localize`` stretches each product from its minimum to its maximum on the grid of patches; the
    released code resizes the product to the image first, and stretches then.
    """

    def make_head(self, dim: int, num_classes: int) -> nn.Module:
        """A 3 × 3 convolution over the grid of patch tokens."""
        return nn.Conv2d(dim, num_classes, 3, padding=1)

    def scores(self, images: Tensor) -> Tensor:
        """The patch tokens' class scores (N, K, h, w), signed; their mean over the grid is the logit."""
        return self.head(self.backbone(whole_patches(images, self.backbone.patch))["norm"])

    def predict(self, images: Tensor) -> Prediction:
        """Class scores times class-token attention (if ``coupled``), (N, K, h, w); and logits (N, K)."""
        tokens, attention = self.look(images)
        scores = self.head(self.backbone.grid(tokens[:, 1:], (attention.shape[2], attention.shape[3])))  # (N, K, h, w)
        return Prediction(scores * attention if self.config.coupled else scores, global_average_pool(scores))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) in [0, 1], without the attention: training needs none."""
        return global_average_pool(self.scores(images))
