"""What makes a map keep to the edges of its image: superpixels, dense CRF, random walk; nothing to compile."""

from wsss_lib.refine.crf import CRFSettings, dense_crf, scores_of_masks
from wsss_lib.refine.superpixels import WithSuperpixels, slic_superpixels, superpixel_mean

__all__ = ["CRFSettings", "WithSuperpixels", "dense_crf", "scores_of_masks", "slic_superpixels", "superpixel_mean"]
