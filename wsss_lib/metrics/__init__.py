"""Metrics as the field defines them, with its traps handled by name.

Dataset-level mIoU with 255 ignored, thresholds chosen on one split and reported on another, box accuracies in their
published conventions. Everything adds up over chunks and processes (:class:`Accumulator`).
"""

from wsss_lib.metrics.accumulate import Accumulator, threshold_grid
from wsss_lib.metrics.boxes import box_iou, centre_crop_boxes, resize_boxes
from wsss_lib.metrics.boxes3d import Boxes3D, CentreDistance, spnds
from wsss_lib.metrics.classification import accuracy, average_precision, mean_average_precision, top_k_correct
from wsss_lib.metrics.equivariance import equivariance_error
from wsss_lib.metrics.foreground import (
    ForegroundSweep,
    MassShare,
    PixelAveragePrecision,
    centre_gaussian,
    foreground_iou,
    mass_share,
)
from wsss_lib.metrics.grounding import GroundingAccuracy
from wsss_lib.metrics.localisation import (
    CLASSIC,
    HALF_OPEN,
    MAX_BOX_ACC,
    MAX_BOX_ACC_V2,
    BoxProtocol,
    BoxSweep,
    best_overlaps,
    gt_known,
    localisation_accuracy,
    max_box_acc,
    max_box_acc_v2,
)
from wsss_lib.metrics.outside import distances_to_object, false_positives_by_distance
from wsss_lib.metrics.overlaps3d import OverlapPrecision, QualityByDistance, ground_iou, iou3d
from wsss_lib.metrics.segmentation import (
    ConfusionMatrix,
    MaskScores,
    ThresholdSweep,
    confusion,
    iou,
    mask_scores,
    mean_iou,
    mean_mask_scores,
    threshold_curve,
)
from wsss_lib.metrics.thresholds import Curve, Report, SameSplitError, Threshold, choose_threshold, report

__all__ = [
    "CLASSIC",
    "HALF_OPEN",
    "MAX_BOX_ACC",
    "MAX_BOX_ACC_V2",
    "Accumulator",
    "BoxProtocol",
    "BoxSweep",
    "Boxes3D",
    "CentreDistance",
    "ConfusionMatrix",
    "Curve",
    "ForegroundSweep",
    "GroundingAccuracy",
    "MaskScores",
    "MassShare",
    "OverlapPrecision",
    "PixelAveragePrecision",
    "QualityByDistance",
    "Report",
    "SameSplitError",
    "Threshold",
    "ThresholdSweep",
    "accuracy",
    "average_precision",
    "best_overlaps",
    "box_iou",
    "centre_crop_boxes",
    "centre_gaussian",
    "choose_threshold",
    "confusion",
    "distances_to_object",
    "equivariance_error",
    "false_positives_by_distance",
    "foreground_iou",
    "ground_iou",
    "gt_known",
    "iou",
    "iou3d",
    "localisation_accuracy",
    "mask_scores",
    "mass_share",
    "max_box_acc",
    "max_box_acc_v2",
    "mean_average_precision",
    "mean_iou",
    "mean_mask_scores",
    "report",
    "resize_boxes",
    "spnds",
    "threshold_curve",
    "threshold_grid",
    "top_k_correct",
]
