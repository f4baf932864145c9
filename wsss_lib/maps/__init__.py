"""What is done to a map: normalise, resize, sum over scales, score the background, seed, threshold, box.

Everything takes and returns batches on the maps' device. The order in which a chapter meets the pieces is the order
of the files: :mod:`scores <wsss_lib.maps.scores>` (a map stays a map), :mod:`masks <wsss_lib.maps.masks>` (a map
becomes a mask) and :mod:`components <wsss_lib.maps.components>` (a mask becomes boxes).
"""

from wsss_lib.maps.components import BOX_CORNERS, WHICH, boxes, polygon_areas
from wsss_lib.maps.masks import (
    background_constant,
    background_power,
    confident_seeds,
    equivalent_power,
    equivalent_threshold,
    likeliest,
    seeds,
    threshold_mask,
    with_background,
)
from wsss_lib.maps.scores import SCALES, keep_labels, multi_scale, normalise, resize, wsolevaluation_map

__all__ = [
    "BOX_CORNERS",
    "SCALES",
    "WHICH",
    "background_constant",
    "background_power",
    "boxes",
    "confident_seeds",
    "equivalent_power",
    "equivalent_threshold",
    "keep_labels",
    "likeliest",
    "multi_scale",
    "normalise",
    "polygon_areas",
    "resize",
    "seeds",
    "threshold_mask",
    "with_background",
    "wsolevaluation_map",
]
