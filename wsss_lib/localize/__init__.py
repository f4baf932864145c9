"""What is where in a person's own photographs: the work behind ``wsss localize``.

An ImageNet classifier names what it sees, a method without training says where, and each photo gets an overlay, a map
and a JSON file with boxes in the photo's own pixels. The settings are the plainest of the field: one pass at a
shorter side of 320 px, the network's own stride, a box around the largest component of what exceeds 20 % of the map's
maximum (Zhou et al. 2016).
"""

from wsss_lib.localize.localizer import METHODS, SHORT_SIDE, ClassifierLocalizer, PhotoLocalizer, PhotoMaps
from wsss_lib.localize.photos import Failure, open_photo
from wsss_lib.localize.report import PhotosFailed, localize_images

__all__ = [
    "METHODS",
    "SHORT_SIDE",
    "ClassifierLocalizer",
    "Failure",
    "PhotoLocalizer",
    "PhotoMaps",
    "PhotosFailed",
    "localize_images",
    "open_photo",
]
