"""Drives: recorded streets with points of a laser scanner, pictures and boxes in 3D, read from their own files.

Boxes are (M, 7) in the frame of the scanner: centre x (ahead), y (left), z (up), length, width, height in metres, and
the yaw in radians, from x towards y.
"""

from wsss_lib.data.drives.geometry import Camera, corners3d, projected_boxes
from wsss_lib.data.drives.kitti import Kitti
from wsss_lib.data.drives.nuscenes import NuScenes

__all__ = ["Camera", "Kitti", "NuScenes", "corners3d", "projected_boxes"]
