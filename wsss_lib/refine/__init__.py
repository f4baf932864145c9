"""What makes a map keep to the edges of its image: superpixels, dense CRF, random walk; nothing to compile."""

from wsss_lib.refine.superpixels import WithSuperpixels, slic_superpixels, superpixel_mean

__all__ = ["WithSuperpixels", "slic_superpixels", "superpixel_mean"]
