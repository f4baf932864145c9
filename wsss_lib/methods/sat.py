"""SAT: a token of its own asks where, so that the class token no longer has to answer two questions.

Wu et al., *Spatial-Aware Token for Weakly Supervised Object Localization*, ICCV 2023. Built in chapter 4.

One learned token joins the sequence of a vision transformer. In the last blocks its queries q_loc weigh the keys of all
tokens, and what weighs little is dimmed for everybody (section 3; H heads of width d, j runs over tokens):

    E^h_ij = q^h_i · k^h_j / √d                    attention logits, as ever
    g_j    = σ(1/H Σ_h E^h_loc,j)                  the gate: a sigmoid, so one cell's gain is not another's loss
    o^h_i  = Σ_j softmax_j(E^h_ij) g_j v^h_j       not renormalised: what is dimmed is missing
    M      = mean over those blocks of g at the patches, on the grid

Classification must succeed through the gate. Two losses say what a gate should look like: the batch's mean area is λ,
and each cell of the smoothed map is near 0 or near 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from timm.layers import DropPath
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.data.records import Batch
from wsss_lib.methods.cam import global_average_pool
from wsss_lib.methods.contract import Method, Normalisation, Prediction, Settings
from wsss_lib.methods.losses import multilabel_soft_margin, softmax_cross_entropy
from wsss_lib.methods.registry import register
from wsss_lib.methods.transformers import check_transformer, whole_patches
from wsss_lib.modes import evaluating

if TYPE_CHECKING:
    from wsss_lib.backbones import TransformerBackbone


@dataclass(frozen=True)
class SATConfig(Settings):
    """Settings of :class:`SAT`; the defaults are the book's.

    Attributes:
        prior: λ, the share of an image that objects cover on average: what the world is like, not what the method is.
        blocks: How many of the last blocks are gated.
        area_weight: Weight of the area loss; 0 leaves it out.
        norm_weight: Weight of the normalisation loss; 0 leaves it out.
        area: ``"batch"``: the batch's mean area shall be λ (the paper's). ``"image"``: that of every image, a deviation
            for where images that are all on and images that are all off meet the batch's mean.
        loss: ``"multilabel"`` where an image may show several classes, ``"softmax"`` where it shows exactly one.
        renormalise: Divide gated attention by its row sums. Breaks the method (a constant gate becomes invisible); it
            is here to be tried.
        drop_path: Stochastic depth of the last block; the first has 0, those between are interpolated.
    """

    prior: float = 0.20
    blocks: int = 6
    area_weight: float = 1.0
    norm_weight: float = 1.0
    area: Literal["batch", "image"] = "batch"
    loss: Literal["multilabel", "softmax"] = "multilabel"
    renormalise: bool = False
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.prior < 1:
            raise ValueError(f"prior is {self.prior}, expected a share between 0 and 1: the objects' mean area")
        if self.blocks < 1:
            raise ValueError(f"blocks is {self.blocks}, expected at least 1: a map comes from a gated block")
        if min(self.area_weight, self.norm_weight, self.drop_path) < 0 or self.drop_path >= 1:
            raise ValueError(
                f"area_weight is {self.area_weight}, norm_weight {self.norm_weight}, drop_path {self.drop_path}, "
                "expected 0 or more, and drop_path below 1: set a term to 0 to leave it out"
            )

    @classmethod
    def paper(cls) -> SATConfig:
        """Wu et al. 2023 on CUB-200-2011, released code: three of DeiT-S's twelve blocks, λ = 0.25 (ImageNet: 0.35)."""
        return cls(prior=0.25, blocks=3, loss="softmax", drop_path=0.1)


class GatedPass(NamedTuple):
    """What one forward pass of :class:`SAT` gives.

    Attributes:
        logits: (N, K), the mean of ``scores`` over the grid.
        maps: M, (N, 1, h, w) in (0, 1).
        gates: Each gated block's g, (N, T) in (0, 1): class token, patches in raster order, spatial token.
        scores: (N, K, h, w), what the classifier says of each patch.
    """

    logits: Tensor
    maps: Tensor
    gates: list[Tensor]
    scores: Tensor


def spatial_gate(queries: Tensor, keys: Tensor) -> Tensor:
    """How much the spatial token lets through of each token: g_j = σ(1/H Σ_h q^h_loc · k^h_j / √d).

    The logits are averaged over the heads, then squashed; squashing first would blur.

    Args:
        queries: (N, H, T, d), the spatial token last.
        keys: (N, H, T, d).

    Returns:
        (N, T) in (0, 1). Wu et al. 2023, section 3. Built in chapter 4.
    """
    logits = (queries[:, :, -1:] * queries.shape[-1] ** -0.5 @ keys.mT).squeeze(2)  # (N, H, T)
    return logits.mean(dim=1).sigmoid()  # (N, T)


def gated_attention(queries: Tensor, keys: Tensor, values: Tensor, gate: Tensor, renormalise: bool = False) -> Tensor:
    """Attention in which token j is dimmed by g_j for everybody who looks at it.

    (softmax(E) ⊙ g) V = softmax(E) (g ⊙ V): to dim a column of the attention is to dim a value, so the T × T matrix
    need not be written out, and fused kernels stay in use.

    Args:
        queries, keys, values: (N, H, T, d).
        gate: (N, T) in [0, 1].
        renormalise: Divide by the row sums Σ_j softmax(E)_ij g_j, as nobody should.

    Returns:
        (N, H, T, d). Wu et al. 2023, section 3. Built in chapter 4.
    """
    dim = gate[:, None, :, None]  # (N, 1, T, 1)
    if not renormalise:
        return F.scaled_dot_product_attention(queries, keys, values * dim)  # (N, H, T, d)
    rows = F.scaled_dot_product_attention(queries, keys, dim.expand_as(values))  # (N, H, T, d): the row sums
    return F.scaled_dot_product_attention(queries, keys, values * dim) / rows.clamp_min(1e-6)


def gated_block(block: Block, tokens: Tensor, renormalise: bool = False) -> tuple[Tensor, Tensor]:
    """A transformer block whose attention is gated by the last token; its weights are the block's own.

    Args:
        block: timm's.
        tokens: (N, T, D), the spatial token last.
        renormalise: As :func:`gated_attention` takes it.

    Returns:
        Tokens (N, T, D) and the gate (N, T). Built in chapter 4.
    """
    attention: Any = block.attn
    projected = attention.qkv(block.norm1(tokens)).unflatten(2, (3, attention.num_heads, -1))  # (N, T, 3, H, d)
    queries, keys, values = projected.permute(2, 0, 3, 1, 4)  # each (N, H, T, d)
    queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    gate = spatial_gate(queries, keys)  # (N, T)
    mixed = gated_attention(queries, keys, values, gate, renormalise).transpose(1, 2).flatten(2)  # (N, T, D)
    tokens = tokens + block.drop_path1(block.ls1(attention.proj_drop(attention.proj(mixed))))
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens)))), gate


def batch_area_loss(maps: Tensor, prior: float) -> Tensor:
    """``|1/N Σ_b ⟨M_b⟩ − λ|``: the batch's mean area is λ, a single image may have any.

    Args:
        maps: (N, 1, h, w) in [0, 1].
        prior: λ.

    Returns:
        Scalar ≥ 0. Wu et al. 2023, section 3, as the released code has it. Built in chapter 4.
    """
    return (maps.mean() - prior).abs()


def image_area_loss(maps: Tensor, prior: float) -> Tensor:
    """``1/N Σ_b |⟨M_b⟩ − λ|``: every image has the area λ. Not in the paper. Arguments as :func:`batch_area_loss`.

    Built in chapter 4.
    """
    return (maps.mean(dim=(1, 2, 3)) - prior).abs().mean()


def smoothing_filter() -> Tensor:
    """The fixed 3 × 3 filter k of the normalisation loss, (1, 1, 3, 3), sum 1.

    Probabilities of three bins of a Gaussian (edges ±8.17 and ±2.72), their outer product, its square root: the
    released code's filter of width 3 for a range of six standard deviations.
    Built in chapter 4.
    """
    edges = torch.linspace(-49 / 6, 49 / 6, 4, dtype=torch.float64)  # 6 + (2 · 6 + 1) / (2 · 3) s.d.
    row = torch.special.ndtr(edges).diff().sqrt()  # (3,): .0569, .9968, .0569
    kernel = row[:, None] * row
    return (kernel / kernel.sum()).float()[None, None]


def normalisation_loss(maps: Tensor) -> Tensor:
    """1/N Σ_b ⟨M*_b (1 − M*_b)⟩ with M* = k * M: each cell of the smoothed map shall be near 0 or near 1.

    Zeros pad the border, so a map of ones costs a little there.

    Args:
        maps: (N, 1, h, w) in [0, 1].

    Returns:
        Scalar in [0, 1/4]. For a single 1 in the middle of 3 × 3 zeros it is 0.0381. Wu et al. 2023, section 3.
        Built in chapter 4.
    """
    smooth = F.conv2d(maps, smoothing_filter().to(maps), padding=1)  # (N, 1, h, w)
    return (smooth * (1 - smooth)).mean()


@register("sat", title="SAT", settings=SATConfig, chapter=4, backbone="tiny_vit")
class SAT(Method):
    """A vision transformer with a spatial token: patch tokens classify, the gate of the last blocks is the map.

    Args:
        backbone: A transformer of :func:`wsss_lib.backbones.backbone`, pretrained: the token draws on what is there.
        num_classes: K.
        config: The settings.

    Attributes:
        spatial, position: The token and its position embedding, (1, 1, D) each.
        head: A 3 × 3 convolution from patch tokens to class scores; their mean over the grid is the logit (TS-CAM's).

    Raises:
        ValueError: A backbone without tokens, or fewer blocks than are to be gated.
    """

    normalisation: Normalisation = "minmax"
    decays_scales = False
    backbone: TransformerBackbone

    def __init__(self, backbone: TransformerBackbone, num_classes: int, config: SATConfig | None = None) -> None:
        super().__init__(backbone, num_classes)
        self.config = config or SATConfig()
        check_transformer(backbone, "SAT", self.config.blocks)
        dim = backbone.channels[backbone.stages[-1]]
        self.spatial = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.head = nn.Conv2d(dim, num_classes, 3, padding=1)
        if self.config.drop_path:
            rates = torch.linspace(0, self.config.drop_path, len(backbone.layers)).tolist()
            for block, rate in zip(backbone.layers, rates, strict=True):
                block.drop_path1, block.drop_path2 = DropPath(rate), DropPath(rate)

    def see(self, images: Tensor) -> GatedPass:
        """One pass over images (N, 3, H, W) in [0, 1]: logits, map, gates and patch scores."""
        sequence, size = self.backbone.embed(self.backbone.normalise(whole_patches(images, self.backbone.patch)))
        token = (self.spatial + self.position).expand(len(images), -1, -1)
        sequence = torch.cat([sequence, token], dim=1)  # (N, T, D) with T = 1 + hw + 1
        blocks, gates = self.backbone.layers, []
        for block in blocks[: -self.config.blocks]:
            sequence = block(sequence)
        for block in blocks[-self.config.blocks :]:
            sequence, gate = gated_block(block, sequence, self.config.renormalise)
            gates.append(gate)  # (N, T)
        maps = torch.stack(gates).mean(dim=0)[:, None, 1:-1].unflatten(2, size)  # (N, 1, h, w)
        patches = self.backbone.last_norm(sequence)[:, 1:-1]  # (N, hw, D): neither class nor spatial token
        scores = self.head(self.backbone.grid(patches, size))  # (N, K, h, w)
        return GatedPass(global_average_pool(scores), maps, gates, scores)

    def predict(self, images: Tensor) -> Prediction:
        """M (N, 1, h, w) in (0, 1), which knows no class, and logits (N, K).

        Sides that are no multiples of the patch are stretched to the nearest ones.
        """
        gated = self.see(images)
        return Prediction(gated.maps, gated.logits)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``classification``, ``area`` and ``normalisation``, weighted, of a batch with ``images`` and ``labels``."""
        images, labels = self.supervision(batch)
        c, gated = self.config, self.see(images)
        classify = multilabel_soft_margin if c.loss == "multilabel" else softmax_cross_entropy
        area = batch_area_loss if c.area == "batch" else image_area_loss
        return {
            "classification": classify(gated.logits, labels),
            "area": c.area_weight * area(gated.maps, c.prior),
            "normalisation": c.norm_weight * normalisation_loss(gated.maps),
        }

    @torch.no_grad()
    def area_spread(self, images: Tensor) -> dict[str, float]:
        """Mean and standard deviation over images (N, 3, H, W) of the map's area ⟨M_b⟩: the detector of a collapse.

        A share λ of images all on and the others all off meets the area loss; the deviation is then √(λ (1 − λ)).

        Returns:
            ``area``, ``area_sd`` and ``worst``, the deviation of a full collapse.
        """
        with evaluating(self):
            areas = self.see(images).maps.mean(dim=(1, 2, 3))  # (N,)
        worst = math.sqrt(self.config.prior * (1 - self.config.prior))
        return {"area": float(areas.mean()), "area_sd": float(areas.std(unbiased=False)), "worst": worst}
