"""Choose on one split, report another."""

from wsss_lib.evaluate.boxes3d import Boxes3DMeasurement, measure_boxes3d
from wsss_lib.evaluate.grounding import GroundingMeasurement, measure_grounding
from wsss_lib.evaluate.maps import THRESHOLDS, MapMeasurement, measure
from wsss_lib.evaluate.masks import MaskMeasurement, measure_masks
from wsss_lib.evaluate.protocol import Measurement, count, scores

__all__ = [
    "THRESHOLDS",
    "Boxes3DMeasurement",
    "GroundingMeasurement",
    "MapMeasurement",
    "MaskMeasurement",
    "Measurement",
    "count",
    "measure",
    "measure_boxes3d",
    "measure_grounding",
    "measure_masks",
    "scores",
]
