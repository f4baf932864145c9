"""Numbers that the papers published, and that could be checked: where each was read, and why it is not ours to compare.

A number is here only if it was read in the paper, in its authors' code repository or in their published tables;
or in the tables of later papers, where its table says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsss_lib import figures


@dataclass(frozen=True)
class Published:
    """A table of published numbers.

    Attributes:
        rows: By the name of the score, for each method its value in per cent.
        read_in: Where the numbers stand.
        unlike: In what they differ from the book's measurements.
    """

    rows: Mapping[str, Mapping[str, float]]
    read_in: str
    unlike: str


TABLES = {
    "cam": Published(
        {
            "top-5 localisation error, ILSVRC (lower is better)": {"CAM": 37.1, "trained on boxes": 34.2},
            "GT-known localisation, CUB-200, ResNet-50": {"CAM": 57.35},
            "GT-known localisation, ILSVRC, ResNet-50": {"CAM": 51.86},
            "mIoU of seeds, PASCAL VOC train": {"CAM": 48.3},
        },
        read_in="Zhou et al. 2016 (first row), Wu et al. 2022 and Ahn et al. 2019 (last row)",
        unlike="all classes, other networks and splits; seeds with several scales and flip",
    ),
    "bas": Published(
        {
            "GT-known localisation, CUB-200, ResNet-50": {"CAM": 57.35, "BAS": 95.13},
            "GT-known localisation, ILSVRC, ResNet-50": {"CAM": 51.86, "BAS": 71.77},
            "mIoU of seeds, PASCAL VOC train": {"CAM": 48.3, "BAS": 57.7},
        },
        read_in="Wu et al. 2022 and the code of Zhai et al. 2023",
        unlike="these are scores on all classes of the data and on other splits, at thresholds chosen on the reported "
        "images; the seeds are a sum of mask and CAM, averaged over image sizes and mirror images",
    ),
    "sat": Published(
        {
            "GT-known localisation, CUB-200, DeiT-S": {"TS-CAM": 87.70, "SAT": 98.45},
            "GT-known localisation, ILSVRC, DeiT-S": {"TS-CAM": 67.60, "SAT": 73.13},
        },
        read_in="Wu et al. 2023",
        unlike="other data; threshold and checkpoint chosen on the reported images",
    ),
    "seam": Published(
        {"mIoU of seeds, PASCAL VOC train": {"SEAM": 55.4}},
        read_in="Wang et al. 2020",
        unlike="20 classes, a ResNet-38, several scales and flip",
    ),
    "ssc": Published(
        {
            "mIoU of the segmentation network, PASCAL VOC 2012": {"SSC": 72.7},
            "mIoU of the segmentation network, COCO 2014": {"SSC": 47.0},
        },
        read_in="the abstract of Chen et al. 2024",
        unlike="these are masks of two segmentation networks that teach each other, trained on refined maps",
    ),
    "esol": Published(
        {
            "mIoU of the network, PASCAL VOC val": {"ESOL": 69.9},
            "mIoU of the network, PASCAL VOC test": {"ESOL": 69.3},
            "mIoU of the network, COCO 2014 val": {"ESOL": 42.6},
        },
        read_in="the tables of two later papers (LPCAM, CVPR 2023, and DuPL, CVPR 2024)",
        unlike="these are scores of a segmentation network trained on refined labels, with more classes, and for VOC "
        "pretrained on COCO",
    ),
}


def published(name: str) -> figures.Table:
    """The published numbers of a method, in per cent.

    Args:
        name: Of the method, in the registry's spelling: a key of :data:`TABLES`.

    Raises:
        ValueError: None of them could be checked.
    """
    if name not in TABLES:
        raise ValueError(f"no published number of {name!r} could be checked: choose from {', '.join(TABLES)}")
    table = TABLES[name]
    methods = list(dict.fromkeys(method for row in table.rows.values() for method in row))
    rows: list[dict[str, str | None]] = [
        {"published, per cent": score, **{m: f"{row[m]:g}" if m in row else None for m in methods}}
        for score, row in table.rows.items()
    ]
    return figures.table(rows, caption=f"Read in {table.read_in}. Not comparable with ours: {table.unlike}")
