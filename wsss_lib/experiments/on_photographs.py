"""The section *On photographs* of a chapter: rows over seeds and scales, recorded by the chapter's own run, and shown.

::

    first = {**run.rows, **at_four_scales(lab, {"CAM": cam})}  # of the run's own seed
    rows = over_seeds(lab, first, measured) if not lab.drawn else None  # and of two further seeds
    photographs("01_cam_voc", run, rows)     # records them if the run is on photographs, and shows what is recorded
    real, about = of_photographs("01_cam_voc", lab)
    of_four_scales(real, "BAS", lab)         # what four scales change, in a sentence

A run on drawn images records nothing, and shows what a run on photographs has recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from torch import nn

from wsss_lib import figures, maps
from wsss_lib.experiments import results
from wsss_lib.experiments.comparison import Comparison
from wsss_lib.experiments.recorded import COLUMNS, Row, Rows, gap, recorded
from wsss_lib.experiments.workbench import Workbench

PHOTOGRAPHS = {key: COLUMNS[key] for key in ("miou", "iou", "max_box_acc_v2", "pxap", "mean_ap")}
"""Scores of photographs and their headings, in the order of a table."""

ASKED = {"miou": "the mIoU of seeds", "max_box_acc_v2": "MaxBoxAccV2", "pxap": "PxAP"}
"""Scores of photographs that a sentence compares, and what it calls them."""


def at_four_scales(lab: Workbench, methods: Mapping[str, nn.Module]) -> dict[str, Row]:
    """The honest rows of methods whose maps are summed over four scales and mirror images, as published seeds are.

    On photographs that is fifteen times the pixels of one scale. The threshold is chosen on maps that are summed alike.

    Args:
        lab: Its splits choose and report.
        methods: By name, with raw maps. They are put into evaluation mode.

    Returns:
        By name, ``"CAM, four scales"`` for ``"CAM"``.
    """
    return {
        f"{name}, four scales": lab.scores(method.eval(), scales=maps.SCALES, flip=True)
        for name, method in methods.items()
    }


def of_four_scales(real: Rows, name: str, lab: Workbench, *, digits: int = 2) -> str:
    """What four scales change in the seeds of a method, in sentences for a page; empty where nobody measured it.

    Args:
        real: Rows with that of the method and, of :func:`at_four_scales`, its own at four scales.
        name: The method.
        lab: Of the run. The rows of CAM that are recorded (chapter 1) are set beside recorded ones alone, which are of
            the same recipe and seeds, and not beside those of a run on photographs of one's own.
        digits: Decimals, at least.
    """
    four, of_cam = f"{name}, four scales", "CAM, four scales"
    if four not in real:
        return ""
    change = real.gap(four, name, "miou")
    said = (
        "The row *four scales* sums maps of four sizes and their mirror images, as in [chapter 1](01_cam), and has "
        f"thresholds of its own. It changes the mIoU of {name}'s seeds by **{change.text(change.digits(digits))}**."
    )
    if not lab.drawn:
        return said
    beside = recorded("01_cam_voc")
    leads = [
        f"{title} {lead.text(lead.digits(digits))}"
        for key, title in ASKED.items()
        for lead in [gap(real.values_of(four, key), beside.values_of(of_cam, key))]
    ]
    beside_cam = (
        f"CAM at four scales is chapter 1's, by the same recipe and seeds. {name} minus CAM, both at four scales:"
    )
    return f"{said} {beside_cam} **{', '.join(leads)}**."


def over_seeds(
    lab: Workbench, first: Mapping[str, Row], measured: Callable[[Workbench], Mapping[str, Row]], seeds: int = 3
) -> dict[str, list[Row]]:
    """The rows of a run on photographs, and of the same run with the seeds that follow: a list by method.

    Args:
        lab: Of the run.
        first: The run's own rows.
        measured: Trains and measures on the bench that it is given; called for each seed but the run's.
        seeds: How many in all.
    """
    rows = {name: [row] for name, row in first.items()}
    for seed in range(lab.seed + 1, lab.seed + seeds):
        for name, row in measured(lab.seeded(seed)).items():
            rows.setdefault(name, []).append(row)
    return rows


def record_name(study: str, lab: Workbench) -> str:
    """Under which name a run is recorded: ``study``, and over another network than the recorded one its name besides.

    So no two networks are taken for one: ``"01_cam_voc"`` and ``"01_cam_voc_mobilenet_v2"``.
    """
    held = results.read(study)["data"].get("backbone") if study in results.names() else None
    if lab.drawn or held in (None, lab.backbone_name):
        return study
    return f"{study}_{re.sub('[^a-z0-9_-]', '_', lab.backbone_name.lower())}"


def of_photographs(study: str, lab: Workbench) -> tuple[Rows, dict[str, Any]]:
    """What :func:`photographs` shows: of a run on photographs its own rows and settings, else the recorded ones."""
    if lab.drawn:
        data = results.read(study)["data"]
    else:
        path = lab.out_dir / f"{record_name(study, lab)}.json"
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
    return Rows(data["rows"]), data


def photographs(
    study: str,
    run: Comparison | Workbench,
    rows: Mapping[str, Sequence[Row]] | None = None,
    *,
    how: str = "image labels given, no CRF",
    note: str = "",
    columns: Mapping[str, str] = PHOTOGRAPHS,
    digits: int = 2,
    **about: Any,
) -> figures.Table:
    """The section *On photographs* of a chapter: record this run if it is on photographs, then show what is recorded.

    Args:
        study: Name of the result, such as ``"03_bas_voc"``. A run on photographs is written to the lab's ``out_dir``,
            by its :func:`record_name`.
        run: The comparison that the chapter measured; or, where there are ``rows``, the lab that measured them.
        rows: What is recorded, one row a seed, see :func:`over_seeds`; None: the rows of ``run``.
        how: What every number has in common.
        note: By which rule, beyond the protocol.
        columns: Key of a score to its heading; scores that nothing has are left out.
        digits: Decimals of the table's scores.
        about: Settings worth recording; a dataclass is taken apart.

    Returns:
        One column a score, mean ± s.d. over the seeds: the rows of this run if it is on photographs, else the recorded
        ones; or a row that says that nobody has measured them.
    """
    lab, measured = (run, {}) if isinstance(run, Workbench) else (run.lab, run.rows)
    if lab.drawn:
        if study not in results.names():
            return figures.table([{"method": "not measured yet"}], caption=f"Photographs: {study} is not recorded")
        print("This run is on critters; the table is a recorded one, of photographs.")
        title, data = "PASCAL VOC 2012, animals and people", results.read(study)["data"]
    else:
        title = f"This run, {lab.report_on.name}"
        data = {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in about.items()
        }
        kept = rows or {name: [row] for name, row in measured.items()}
        data |= {"rows": {name: [dict(row) for row in each] for name, each in kept.items()}, "side": lab.side}
        data |= {"trained_on": len(lab.train_on), "train": len(lab.choose_on), "val": len(lab.report_on)}
        data |= {"backbone": lab.backbone_name, "recipe": lab.recipe().deciding()}
        chapter = study.rpartition("_")[0]
        path = results.record(
            record_name(study, lab),
            data,
            command=f"wsss run {chapter} --profile {lab.profile} -p data=<folder> -p backbone={lab.backbone_name}",
            fingerprint={"train": lab.choose_on.fingerprint, "val": lab.report_on.fingerprint},
            seeds=range(lab.seed, lab.seed + max(map(len, kept.values()))),
            folder=lab.out_dir,
            note=f"thresholds chosen on train, numbers from val, {how}; {note}".rstrip("; "),
        )
        print("written:", path.name)
    number = max(map(len, data["rows"].values()))
    seeds = "one seed" if number == 1 else f"{number} seeds, mean ± s.d."
    caption = f"{title}: thresholds from {data['train']} images of train, numbers from {data['val']} of val; {seeds}"
    held = {key for each in data["rows"].values() for row in each for key in row}
    return Rows(data["rows"]).table(
        columns={key: heading for key, heading in columns.items() if key in held}, caption=caption, digits=digits
    )
