"""Numbers that the papers published, and that could be checked: where each was read, and why it is not ours to compare.

A number is here only if it was read in the paper, in its authors' code repository or in their published tables;
or in the tables of later papers, where its table says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    "dtmr": Published(
        {
            "accuracy, RefCOCO": {"DTMR": 39.21},
            "accuracy, RefCOCO+": {"DTMR": 39.18},
            "accuracy, RefCOCOg": {"DTMR": 43.24},
        },
        read_in="the abstract of Sun et al. 2021",
        unlike="these are photographs with sentences by people, and proposals and features of a detector that was "
        "trained on boxes of COCO",
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
    "mars": Published(
        {
            "mIoU of the network, VOC val, IRNet's labels": {"base": 63.5, "MARS": 69.8, "full supervision": 76.3},
            "mIoU of the network, VOC val, SEAM's labels": {"base": 64.5, "MARS": 70.8, "full supervision": 78.1},
            "mIoU of the network, VOC val, AdvCAM's labels": {"base": 68.1, "MARS": 70.3, "full supervision": 78.0},
            "mIoU of the network, VOC val, RS+EPM's labels": {"base": 74.4, "MARS": 77.7, "full supervision": 80.6},
            "mIoU of the network, COCO val, RS+EPM's labels": {"base": 46.4, "MARS": 49.4, "full supervision": 61.8},
        },
        read_in="Jo et al. 2023",
        unlike="these are large networks, refined labels, features of STEGO, and other data",
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


@dataclass(frozen=True)
class Later:
    """A method that came after those of the book, and the supervision that its pretrained parts bring along.

    Attributes:
        method: Its name.
        hidden: What its parts were trained with before they met the image labels.
        scores: By heading, in per cent.
        read_in: Where the numbers stand.
    """

    method: str
    hidden: str
    scores: Mapping[str, float] = field(default_factory=dict)
    read_in: str = "its paper"


_LABELS = "labels of ImageNet"
_DUPL = "the paper of DuPL"
MASKS = ("VOC val", "VOC test", "COCO val")
"""Where the mIoU of a segmentation network is measured."""
BOXES = ("Top-1, CUB-200", "GT-known, CUB-200", "Top-1, ILSVRC", "GT-known, ILSVRC")
"""Scores of one box an image; Top-1 asks for the class too."""
LATER: dict[str, tuple[tuple[str, ...], tuple[Later, ...]]] = {
    "masks": (
        MASKS,
        (
            Later("ToCo", f"{_LABELS}-1k", dict(zip(MASKS, (69.8, 70.5, 41.3), strict=True)), _DUPL),
            Later("DuPL", f"{_LABELS}-1k", dict(zip(MASKS, (72.2, 71.6, 43.5), strict=True))),
            Later("DuPL, more labels", f"{_LABELS}-21k", dict(zip(MASKS, (73.3, 72.8, 44.6), strict=True))),
            Later("its network, with the masks of VOC", f"{_LABELS}-1k", {MASKS[0]: 80.5}, _DUPL),
            Later("the same, more labels", f"{_LABELS}-21k", {MASKS[0]: 82.3}, _DUPL),
            Later(
                "CLIP-ES", f"captions (CLIP); {_LABELS}", dict(zip(MASKS, (71.1, 71.4, 45.4), strict=True)), "its code"
            ),
            Later(
                "CLIP-ES, network trained on masks first",
                "captions (CLIP); masks of COCO",
                dict(zip(MASKS[:2], (73.8, 73.9), strict=True)),
                "its code",
            ),
            Later("ExCEL", "captions (CLIP)", dict(zip(MASKS, (78.4, 78.5, 50.3), strict=True)), "its code"),
            Later(
                "WeCLIP+",
                "captions (CLIP); images alone (DINO)",
                dict(zip(MASKS[1:], (83.9, 56.3), strict=True)),
                "its abstract",
            ),
            Later(
                "FMA-WSSS",
                f"captions (CLIP); masks (SAM); {_LABELS}-21k",
                dict(zip(MASKS, (83.1, 81.6, 55.4), strict=True)),
                "its code",
            ),
        ),
    ),
    "boxes": (
        BOXES,
        (
            Later("BAS, ResNet-50", _LABELS, dict(zip(BOXES, (76.75, 95.41, 57.46, 72.0), strict=True)), "its code"),
            Later(
                "SAT, DeiT-S",
                _LABELS,
                dict(zip(BOXES, (80.96, 98.45, 60.15, 73.13), strict=True)),
                "a figure in its code",
            ),
            Later(
                "GenPromp",
                f"captions (Stable Diffusion); {_LABELS}",
                dict(zip(BOXES, (87.0, 98.0, 65.2, 75.0), strict=True)),
                "its code",
            ),
            Later("Pro2SAM", "masks (SAM)", {BOXES[0]: 84.03, BOXES[2]: 66.85}, "its abstract"),
        ),
    ),
}
"""By what a method is asked for: the scores, and the methods. A score that could not be checked is left out."""


def later(kind: str) -> str:
    """What came after the methods of the book: published scores in per cent, and the supervision in pretraining.

    Args:
        kind: A key of :data:`LATER`.

    Returns:
        A table in Markdown, whose words wrap on a narrow page.

    Raises:
        ValueError: No such kind.
    """
    if kind not in LATER:
        raise ValueError(f"no later methods for {kind!r}: choose from {', '.join(LATER)}")
    headings, methods = LATER[kind]
    lines = [["method", "supervision in its pretraining", *headings, "read in"]]
    lines += [[":--", ":--", *["--:"] * len(headings), ":--"]]
    for one in methods:
        scores = [f"{one.scores[name]:g}" if name in one.scores else "–" for name in headings]
        lines.append([one.method, one.hidden, *scores, one.read_in])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def scored_later(kind: str, method: str, heading: str) -> float:
    """One published score of a later method, in per cent.

    Raises:
        ValueError: No such method, or its score could not be checked.
    """
    held = {one.method: one.scores for one in LATER[kind][1]}
    if heading not in held.get(method, {}):
        raise ValueError(f"{heading!r} of {method!r} could not be checked: choose from {', '.join(held)}")
    return held[method][heading]
