"""What makes a map keep to the edges of its image: superpixels, dense CRF, random walk; nothing to compile."""

from wsss_lib.refine.affinity import affinity_loss, boundary_affinities, feature_affinities, pair_offsets
from wsss_lib.refine.crf import CRFSettings, dense_crf, scores_of_masks
from wsss_lib.refine.superpixels import WithSuperpixels, slic_superpixels, superpixel_mean
from wsss_lib.refine.walk import random_walk, table_bytes

__all__ = [
    "CRFSettings",
    "WithSuperpixels",
    "affinity_loss",
    "boundary_affinities",
    "dense_crf",
    "feature_affinities",
    "pair_offsets",
    "random_walk",
    "scores_of_masks",
    "slic_superpixels",
    "superpixel_mean",
    "table_bytes",
]
