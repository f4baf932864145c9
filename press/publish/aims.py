"""How fast the library was meant to be beside others, and what was measured: the rows of one table.

The aims were set before anything was measured. Where one is missed, its row says why, or how much is possible at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from press.publish import recorded_rows

FORWARD = "the forward pass alone"


@dataclass(frozen=True)
class Aim:
    """How many times as long as the library a peer is to take.

    Attributes:
        result: Name of the recorded result.
        contest: Name of the contest in it.
        peer: Who is to take longer.
        times: By which factor at least.
        what: What the table calls the contest; empty: as it is named.
        reason: Why it may be missed, where nothing in the same contest says it.
    """

    result: str
    contest: str
    peer: str
    times: float
    what: str = ""
    reason: str = ""


STRIDE_16, STAGE = "ResNet-50, stride 16: 2048 × 14 × 14", "ResNet-50, stage of 512 channels: 512 × 28 × 28"
GRIDS = ("7 × 7, 224 px", "14 × 14, 224 px", "12 × 12, 96 px")
WALK, ONE_PASS, PRODUCTS = "another algorithm", "one pass for all", "mostly the same products"
"""Reasons in short; the page has them at length."""
UPDATES = (
    *(f"SEAM, {net}, {side} px" for net in ("ResNet-18", "their ResNet-38") for side in (224, 448)),
    "BAS, ResNet-50, 224 px",
    *(f"SAT, DeiT-{size}, 224 px" for size in ("tiny", "small")),
)
AIMS = (
    *(
        Aim("bench_cams", name, peer, times)
        for name in ("Grad-CAM", "Grad-CAM++")
        for peer, times in (("pytorch-grad-cam", 4), ("torch-cam", 1.5))
    ),
    Aim("bench_cams", "CAM, 20 classes", FORWARD, 0.99),
    Aim("bench_cams", STRIDE_16, "pytorch-grad-cam", 100, f"Eigen-CAM's projection, {STRIDE_16}"),
    Aim("bench_cams", STAGE, "pytorch-grad-cam", 40, f"Eigen-CAM's projection, {STAGE}"),
    *(
        Aim("bench_metrics", f"MaxBoxAccV2, a grid of {grid}, {number} thresholds", "the benchmark's loop", times)
        for number, times in ((100, 3), (1000, 20))
        for grid in GRIDS
    ),
    Aim("bench_metrics", "PxAP, 1000 maps, 224 px", "the benchmark's histogram", 2),
    Aim(
        "bench_metrics",
        "mIoU curve, 60 thresholds, 6 classes, 224 px",
        "a pass for each threshold",
        85,
        reason=ONE_PASS,
    ),
    *(Aim("bench_refine", name, "pydensecrf", 1, f"dense CRF, settings of {name}") for name in ("psa", "DeepLab")),
    *(Aim("bench_refine", name, "scikit-image", 1, f"random walk, {name}", WALK) for name in ("40 × 40", "80 × 80")),
    *(Aim("bench_authors", name, "the authors' code", 1.5, f"an update, {name}", PRODUCTS) for name in UPDATES),
)


def rows(documents: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row for each aim of which the recorded results, given by name, have the contest."""
    contests = {name: dict(recorded_rows.contests(document["data"])) for name, document in documents.items()}
    return [
        {
            "contest": aim.what or aim.contest,
            "beside": aim.peer,
            "aim": f"{aim.times:g} ×",
            "measured": f"{speed[aim.peer]['times_ours']:.3g} ×",
            "least and most": f"{speed[aim.peer]['least']:.3g} – {speed[aim.peer]['most']:.3g}",
            "reached": _reached(aim, speed),
        }
        for aim in AIMS
        if (speed := contests.get(aim.result, {}).get(aim.contest)) and aim.peer in speed
    ]


def _reached(aim: Aim, speed: Mapping[str, Any]) -> str:
    measured = speed[aim.peer]["times_ours"]
    if measured >= aim.times:
        return "yes"
    if forward := speed.get(FORWARD, {}).get("times_ours"):
        # Nobody who needs the forward pass is faster than it; that it took longer than ours is noise.
        return f"no: at most {measured / min(forward, 1):.3g} ×"
    return f"no: {aim.reason}" if aim.reason else "no"
