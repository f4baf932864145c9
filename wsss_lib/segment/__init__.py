"""From pseudo-labels to a segmentation network: masks as records, affinities, the network, its moving average."""

from wsss_lib.segment.affinity import AffinityConfig, AffinityNet
from wsss_lib.segment.averaging import Teacher
from wsss_lib.segment.losses import pixel_loss
from wsss_lib.segment.network import Segmenter, SegmenterConfig
from wsss_lib.segment.pseudo_labels import Provenance, PseudoLabels, certain_labels

__all__ = [
    "AffinityConfig",
    "AffinityNet",
    "Provenance",
    "PseudoLabels",
    "Segmenter",
    "SegmenterConfig",
    "Teacher",
    "certain_labels",
    "pixel_loss",
]
