"""From pseudo-labels to a segmentation network: masks as records, affinities, debiasing, the network, its average."""

from wsss_lib.segment.affinity import AffinityConfig, AffinityNet
from wsss_lib.segment.averaging import Teacher
from wsss_lib.segment.debiasing import CentredFeatures, Clusters, DebiasConfig, cluster, debias
from wsss_lib.segment.losses import pixel_loss
from wsss_lib.segment.mars import MARS, MARSConfig
from wsss_lib.segment.network import Segmenter, SegmenterConfig, only_given
from wsss_lib.segment.pseudo_labels import Provenance, PseudoLabels, certain_labels

__all__ = [
    "MARS",
    "AffinityConfig",
    "AffinityNet",
    "CentredFeatures",
    "Clusters",
    "DebiasConfig",
    "MARSConfig",
    "Provenance",
    "PseudoLabels",
    "Segmenter",
    "SegmenterConfig",
    "Teacher",
    "certain_labels",
    "cluster",
    "debias",
    "only_given",
    "pixel_loss",
]
