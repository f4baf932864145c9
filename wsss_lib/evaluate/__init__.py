"""Choose on one split, report another."""

from wsss_lib.evaluate.maps import THRESHOLDS, Measured, measure, scores

__all__ = ["THRESHOLDS", "Measured", "measure", "scores"]
