"""Methods that turn image labels into maps, one file per paper.

Each is a :class:`~wsss_lib.methods.contract.Method`: ``predict(images)`` gives raw maps and logits,
``localize(images, labels=None)`` maps (N, K, h, w) in [0, 1], and, if it is trained, ``losses(batch)`` named scalars.
Read a file alone, from top to bottom; :mod:`wsss_lib.methods.registry` knows them by name. A system that answers
another question than where (which box a sentence means, say) is a :class:`~wsss_lib.methods.learner.Learner`.
"""

from wsss_lib.methods.bas import BAS, BASConfig
from wsss_lib.methods.cam import CAM, CAMConfig
from wsss_lib.methods.contract import Method, Prediction
from wsss_lib.methods.dtmr import DTMR, DTMRConfig
from wsss_lib.methods.eigen_cam import EigenCAM, EigenCAMConfig
from wsss_lib.methods.esol import ESOL, ESOLConfig
from wsss_lib.methods.gradcam import GradCAM, GradCAMPlusPlus
from wsss_lib.methods.grounder import GroundeR, GroundeRConfig
from wsss_lib.methods.learner import Learner, Phase, Progress, Settings
from wsss_lib.methods.point_detr3d import CenterPoint, CenterPointConfig, PointDETR3D, PointDETR3DConfig
from wsss_lib.methods.sat import SAT, SATConfig
from wsss_lib.methods.seam import SEAM, SEAMConfig
from wsss_lib.methods.ssc import SSC, SSCConfig
from wsss_lib.methods.ts_cam import TSCAM, ClassToken, TSCAMConfig

__all__ = [
    "BAS",
    "CAM",
    "DTMR",
    "ESOL",
    "SAT",
    "SEAM",
    "SSC",
    "TSCAM",
    "BASConfig",
    "CAMConfig",
    "CenterPoint",
    "CenterPointConfig",
    "ClassToken",
    "DTMRConfig",
    "ESOLConfig",
    "EigenCAM",
    "EigenCAMConfig",
    "GradCAM",
    "GradCAMPlusPlus",
    "GroundeR",
    "GroundeRConfig",
    "Learner",
    "Method",
    "Phase",
    "PointDETR3D",
    "PointDETR3DConfig",
    "Prediction",
    "Progress",
    "SATConfig",
    "SEAMConfig",
    "SSCConfig",
    "Settings",
    "TSCAMConfig",
]
