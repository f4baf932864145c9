"""Lidar: drawn street scenes of cars and pedestrians, as points of a laser scanner and a panorama of a camera.

Objects stand on flat ground around the sensors. Returns become fewer with the square of the distance, the picture does
not. Every object has a click: a point near its centre, with its class. A share of the scenes has boxes as well.
"""

from wsss_lib.data.worlds.lidar.dataset import DRAWN, HiddenBoxes, Lidar, ReplacedBoxes, SpinScene, labelled_count
from wsss_lib.data.worlds.lidar.panorama import COLUMNS, EYE, ROWS, column_of, row_of
from wsss_lib.data.worlds.lidar.world import CLASSES, HALF, MEAN_SIZES, LidarWorld

__all__ = [
    "CLASSES", "COLUMNS", "DRAWN", "EYE", "HALF", "MEAN_SIZES", "ROWS", "HiddenBoxes", "Lidar", "LidarWorld",
    "ReplacedBoxes", "SpinScene", "column_of", "labelled_count", "row_of",
]  # fmt: skip
