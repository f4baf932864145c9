"""Point-DETR3D: a teacher that turns clicks into boxes in 3D, and a detector that learns from these boxes.

Gao et al., *Point-DETR3D: Leveraging Imagery Data with Spatial Point Prior for Weakly Semi-supervised 3D Object
Detection*, AAAI 2024. Built in chapter 11. Read in this order: :mod:`.coding` (what a network says of a box),
:mod:`.sampling` (where it reads), :mod:`.teacher`, :mod:`.student`, :mod:`.views` (two views of a scene).
"""

from wsss_lib.methods.point_detr3d.student import CenterPoint, CenterPointConfig
from wsss_lib.methods.point_detr3d.teacher import PointDETR3D, PointDETR3DConfig, boxes_of, class_mean_boxes

__all__ = ["CenterPoint", "CenterPointConfig", "PointDETR3D", "PointDETR3DConfig", "boxes_of", "class_mean_boxes"]
