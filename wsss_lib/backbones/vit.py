"""Vision transformers whose patch tokens come back as a grid: DeiT through timm, and a tiny one.

A transformer keeps one token for each patch from the first block to the last, so the grid has the patch's stride at
every stage and there is no stride to control.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timm import create_model
from timm.layers import build_sincos2d_pos_embed, resample_abs_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from wsss_lib.backbones.base import Backbone
from wsss_lib.backbones.tiny import TINY_MEAN, TINY_STD, tiny_cnn

DEIT = {"deit_tiny": "deit_tiny_patch16_224", "deit_small": "deit_small_patch16_224"}
NAMES = tuple(DEIT)
STEM = ("stage1", "stage2", "stage3")
"""Stages of ``tiny_cnn`` from which ``tiny_vit`` cuts its patches."""


class TransformerBackbone(Backbone):
    """A ViT with one class token in front, its stages the outputs of its blocks and of the last LayerNorm.

    Stages are ``block1`` … ``block12`` and ``norm``. ``forward`` gives patch tokens only, (N, C, h, w) in raster order;
    :meth:`tokens` gives the sequence with the class token, :meth:`attention` who looked at whom. For a method that
    changes the transformer itself (SAT, chapter 4) the pieces are apart: :meth:`embed` makes the sequence, ``.layers``
    holds the blocks, ``.last_norm`` ends it, :meth:`grid` turns patch tokens back into a map. Used in chapter 4.

    Attributes:
        vit: timm's ``VisionTransformer``; hooks find its layers as ``vit.blocks.0.norm1``, ``vit.blocks.0.attn``, …
        patch: Side of a patch in pixels.
    """

    def __init__(self, name: str, vit: VisionTransformer, **normalisation: Any) -> None:
        patch = int(vit.patch_embed.patch_size[0])
        stages = [f"block{i}" for i in range(1, len(vit.blocks) + 1)] + ["norm"]
        super().__init__(name, dict.fromkeys(stages, vit.embed_dim), dict.fromkeys(stages, patch), **normalisation)
        vit.head = nn.Identity()
        self.vit, self.patch = vit, patch

    @property
    def layers(self) -> list[Block]:
        """The transformer blocks from first to last; each maps (N, 1 + hw, D) to the same shape."""
        return [layer for layer in self.vit.blocks if isinstance(layer, Block)]

    @property
    def last_norm(self) -> nn.Module:
        """The LayerNorm after the last block."""
        return self.vit.norm

    def features(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        sequence, size = self.embed(images)
        for number, layer in enumerate(self.layers, start=1):
            sequence = layer(sequence)
            yield f"block{number}", self.grid(sequence[:, 1:], size)
        yield "norm", self.grid(self.last_norm(sequence)[:, 1:], size)

    def embed(self, normalised: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Turn normalised images into the sequence that enters the first block.

        Position embeddings are interpolated (bicubic) to the grid of this image, the class token keeps its own.

        Args:
            normalised: (N, 3, H, W) from :meth:`normalise`.

        Returns:
            The sequence (N, 1 + hw, D), class token first, and (h, w).

        Raises:
            ValueError: A side is not a multiple of the patch.
        """
        cells = self.cells(normalised)  # (N, D, h, w)
        size = (cells.shape[-2], cells.shape[-1])
        patches = self.vit.patch_embed.norm(cells.flatten(2).transpose(1, 2))  # (N, hw, D)
        assert self.vit.cls_token is not None
        token = self.vit.cls_token.expand(len(patches), -1, -1)  # (N, 1, D)
        positions = resample_abs_pos_embed(
            self.vit.pos_embed, new_size=list(size), old_size=list(self.vit.patch_embed.grid_size), num_prefix_tokens=1
        )  # (1, 1 + hw, D)
        sequence = self.vit.pos_drop(torch.cat([token, patches], dim=1) + positions)
        return self.vit.norm_pre(sequence), size

    def cells(self, normalised: Tensor) -> Tensor:
        """What the patches of normalised images become before a class token and positions are added, (N, D, h, w).

        Raises:
            ValueError: A side is not a multiple of the patch.
        """
        height, width = normalised.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"Images are {height} × {width} px, but {self.name} cuts patches of {self.patch} px: "
                f"resize or pad both sides to multiples of {self.patch}."
            )
        return self.vit.patch_embed.proj(normalised)

    def size_of(self, images: Tensor) -> tuple[int, int]:
        """(h, w) of the grid of patches of images (N, 3, H, W)."""
        return images.shape[-2] // self.patch, images.shape[-1] // self.patch

    def tokens(self, images: Tensor) -> Tensor:
        """Return the sequence after the last LayerNorm, (N, 1 + hw, D): the class token, then patches in raster order.

        Args:
            images: (N, 3, H, W) floats in [0, 1].
        """
        sequence, _ = self.embed(self.normalise(images))
        for layer in self.layers:
            sequence = layer(sequence)
        return self.last_norm(sequence)

    def attend(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return :meth:`tokens` and :meth:`attention` of images (N, 3, H, W) in [0, 1], in one pass."""
        sequence, _ = self.embed(self.normalise(images))
        weights = []
        for layer in self.layers:
            weights.append(_attention(layer.attn, layer.norm1(sequence)))
            sequence = layer(sequence)
        return self.last_norm(sequence), weights

    def attention(self, images: Tensor) -> list[Tensor]:
        """Return each block's softmax attention, (N, heads, 1 + hw, 1 + hw): rows are queries, and sum to 1.

        The class token's view of the patches is ``attention[:, :, 0, 1:]``. It is computed beside the blocks from
        their own weights, so fused attention kernels stay in use. Each block's takes N · heads · (1 + hw)² floats.

        Args:
            images: (N, 3, H, W) floats in [0, 1].
        """
        return self.attend(images)[1]

    def class_attention(self, images: Tensor) -> Tensor:
        """Return how strongly the class token looks at each patch in the last block, (N, heads, h, w) in [0, 1]."""
        return self.attention(images)[-1][:, :, 0, 1:].unflatten(2, self.size_of(images))

    @staticmethod
    def grid(patches: Tensor, size: tuple[int, int]) -> Tensor:
        """Turn patch tokens (N, hw, D) into a map (N, D, h, w) for ``size`` = (h, w)."""
        return patches.transpose(1, 2).unflatten(2, size)


def _attention(attention: Any, x: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √d) of a timm attention layer for its normed input (N, T, D) → (N, heads, T, T)."""
    queries, keys, _ = (
        attention.qkv(x).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    )  # each (N, heads, T, d)
    queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    return (queries * queries.shape[-1] ** -0.5 @ keys.transpose(-2, -1)).softmax(dim=-1)


def build(name: str) -> VisionTransformer:
    """Return timm's classifier for ``"deit_tiny"`` or ``"deit_small"``, 1000 classes, patch 16, random weights."""
    vit = create_model(DEIT[name], pretrained=False)
    assert isinstance(vit, VisionTransformer)
    return vit


def fresh_vit(image_size: int, patch: int, dim: int, depth: int, heads: int, mlp_ratio: float) -> VisionTransformer:
    """A ViT without a head: random weights, from torch's generator, and positions that start as sines and cosines.

    Raises:
        ValueError: ``dim`` is not a multiple of ``heads`` and of 4.
    """
    if dim % heads or dim % 4:
        raise ValueError(
            f"A width of {dim} cannot be shared by {heads} heads and four kinds of waves: choose a multiple of {heads} "
            "and of 4."
        )
    vit = VisionTransformer(
        img_size=image_size,
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        mlp_ratio=mlp_ratio,
        num_classes=0,
        global_pool="token",
        weight_init="jax",
    )
    assert vit.pos_embed is not None
    with torch.no_grad():
        grid = list(vit.patch_embed.grid_size)
        vit.pos_embed[:, 1:] = 0.5 * build_sincos2d_pos_embed(grid, dim, interleave_sin_cos=True)
    return vit


def tiny_vit(
    dim: int = 64, depth: int = 6, heads: int = 4, patch: int = 8, mlp_ratio: float = 2.0, image_size: int = 96
) -> TransformerBackbone:
    """Build the small transformer of chapter 4: 12 × 12 patches at 96 px, 0.2 million parameters.

    Its patches are cut not from the image but from the third stage of ``tiny_cnn`` (stride 4, 15 px of field of view):
    the *hybrid* of Dosovitskiy et al. (ICLR 2021, section 3.1). With patches of bare pixels, twenty minutes on one core
    do not lift a transformer far above chance; a few convolutions first, and it learns in the time that a laptop has.
    Positions start as sines and cosines. MLPs are half as wide as usual (ratio 2, not 4): they would take most of the
    time.

    Args:
        dim: Width D of a token.
        depth: Number of blocks.
        heads: Attention heads; must divide ``dim``.
        patch: Side of a patch in pixels, a multiple of 4.
        mlp_ratio: Hidden width of a block's MLP over ``dim``.
        image_size: Side, in pixels, at which position embeddings are not interpolated.

    Raises:
        ValueError: ``dim`` is not a multiple of ``heads`` and of 4, ``image_size`` not one of ``patch``, or ``patch``
            not one of the convolutions' stride.
    """
    if image_size % patch:
        raise ValueError(f"An image side of {image_size} px is not a multiple of the patch, {patch} px.")
    cnn = tiny_cnn()
    stem, stride = [cnn.blocks[stage] for stage in STEM], cnn.strides[STEM[-1]]
    if patch % stride:
        raise ValueError(f"A patch of {patch} px is not a multiple of {stride} px, the stride of the convolutions.")
    vit = fresh_vit(image_size, patch, dim, depth, heads, mlp_ratio)
    cells = patch // stride
    vit.patch_embed.proj = nn.Sequential(*stem, nn.Conv2d(cnn.channels[STEM[-1]], dim, cells, cells))
    return TransformerBackbone("tiny_vit", vit, mean=TINY_MEAN, std=TINY_STD)
