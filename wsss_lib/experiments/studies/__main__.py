"""The studies' command line; see the package's docstring."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from wsss_lib.experiments import results
from wsss_lib.experiments.studies import (
    bas,
    coco,
    dtmr,
    dtmr_coco,
    english,
    esol,
    ladder,
    ladder_dial,
    ladder_mars,
    mars,
    mars_companions,
    point_detr3d,
    sat,
    sat_spread,
    seam,
    spine,
    ssc,
    supervision,
    together,
)
from wsss_lib.experiments.studies.common import SEEDS, Study
from wsss_lib.memory import keep_freed

MODULES = (
    spine,
    bas,
    sat,
    sat_spread,
    seam,
    ssc,
    esol,
    mars,
    mars_companions,
    ladder,
    ladder_dial,
    ladder_mars,
    dtmr,
    point_detr3d,
    together,
    supervision,
    coco,
    dtmr_coco,
    english,
)
STUDIES: dict[str, Study] = {name: study for module in MODULES for name, study in module.STUDIES.items()}
"""Every study by name; a module of this package brings its own."""
NOTE = "thresholds chosen on val, numbers from test, image labels given"


def main(argv: Sequence[str] | None = None) -> int:
    """Run studies and record them."""
    parser = argparse.ArgumentParser(
        prog="python -m wsss_lib.experiments.studies", description="Measure, and write to results/."
    )
    parser.add_argument("names", nargs="+", choices=tuple(STUDIES), help="which studies")
    parser.add_argument("--profile", choices=("book", "smoke"), default="book", help="smoke: small, not recorded")
    given = parser.parse_args(argv)
    keep_freed()
    for name in given.names:
        began = time.monotonic()
        measured = STUDIES[name](given.profile)
        if given.profile == "book":
            results.record(
                name,
                measured["data"],
                command=f"python -m wsss_lib.experiments.studies {name}",
                fingerprint=measured["fingerprint"],
                seeds=SEEDS,
                wall_seconds=time.monotonic() - began,
                note=measured.get("note", NOTE),
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
