"""What is done to a map: normalise, resize, sum over scales, score the background, seed, threshold, box.

Everything takes and returns batches on the maps' device. The order in which a chapter meets the pieces is the order
of the files: :mod:`scores <wsss_lib.maps.scores>` (a map stays a map), :mod:`masks <wsss_lib.maps.masks>` (a map
becomes a mask), :mod:`boxes <wsss_lib.maps.boxes>` (a mask becomes a box) and, for metrics that need the boxes of
every threshold at once, :mod:`tree <wsss_lib.maps.tree>`.
"""

from wsss_lib.maps.boxes import BOX_CORNERS, WHICH, boxes, polygon_areas
from wsss_lib.maps.masks import (
    background_constant,
    background_power,
    equivalent_power,
    equivalent_threshold,
    seeds,
    threshold_mask,
    with_background,
)
from wsss_lib.maps.scores import SCALES, keep_labels, multi_scale, normalise, resize, wsolevaluation_map
from wsss_lib.maps.tree import BoxIntervals, box_intervals, interval_max

__all__ = [
    "BOX_CORNERS",
    "SCALES",
    "WHICH",
    "BoxIntervals",
    "background_constant",
    "background_power",
    "box_intervals",
    "boxes",
    "equivalent_power",
    "equivalent_threshold",
    "interval_max",
    "keep_labels",
    "multi_scale",
    "normalise",
    "polygon_areas",
    "resize",
    "seeds",
    "threshold_mask",
    "with_background",
    "wsolevaluation_map",
]
