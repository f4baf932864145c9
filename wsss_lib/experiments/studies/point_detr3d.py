"""Chapter 11's measurements: teachers by distance, students by what they were taught with, shares of labels, density.

Every network of a seed sees the same 400 scenes, of which the first share has boxes; all have clicks. Teachers are
trained on the scenes with boxes and measured on the clicks of ``test``; students learn from the boxes, or from these
and the teacher's boxes of all other scenes, and are measured on ``test``. Nothing is chosen on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wsss_lib.data.records import Records
from wsss_lib.data.worlds.lidar import MEAN_SIZES, HiddenBoxes, ReplacedBoxes, labelled_count
from wsss_lib.data.worlds.lidar.dataset import COUNTS
from wsss_lib.experiments.studies.common import Row, Study, by_seed
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.point_detr3d import PointDETR3D, boxes_of, class_mean_boxes
from wsss_lib.metrics import QualityByDistance

EDGES = (4.0, 10.0, 17.0, 25.0)
"""Metres between the bins of distance."""
OVERLAP = (0.5, 0.25)
"""IoU in space from which a box is right, of cars and of pedestrians: KITTI's loose pair."""
SHARE = 0.05
"""Of the scenes, that have boxes, where nothing else is said."""
SHARES = (0.02, 0.10, 0.20)
"""Of the sweep, a study each; 5 % stands in the comparison."""
DENSITIES = (100.0, 300.0, 1000.0, 3000.0, 10000.0)
"""Settings of the dial: mean returns of a car at 1 m."""
GUIDED = 0.1
"""Weight of the point-guided loss, the released one."""

TEACHERS: dict[str, dict[str, Any]] = {
    "lidar + camera, learned reference": {"reference": "learned"},
    "lidar, explicit reference": {"camera": False},
    "lidar + camera, explicit reference": {},
}
"""Settings that differ from the book's."""
BLIND = "lidar, learned reference"
"""The fourth of the two by two; no student learns from it, so it has a study of its own."""
PLAIN, FULL = "lidar, explicit reference", "lidar + camera, explicit reference"
MEAN = "class-mean box at the click"
SUPERVISED = "all scenes with boxes"


def scenes(lab: Workbench) -> Records:
    """The training scenes of a run: at most as many as the world has by default."""
    return lab.train_on.subset(range(min(len(lab.train_on), COUNTS["train"])))


def lab_of(lab: Workbench) -> Workbench:
    """The same lab, with as many scenes as chapter 11 takes."""
    lab.limit("report", most=COUNTS["test"])
    lab.limit("choose", most=20)
    return lab


def teacher_of(lab: Workbench, records: Records, **settings: Any) -> PointDETR3D:
    """A teacher of the lab, trained on records with boxes."""
    teacher: PointDETR3D = channels_last(
        lab.build("point-detr3d", registry.entry("point-detr3d").configured(**settings))
    )
    lab.fit(teacher, records)
    return teacher


def student_of(lab: Workbench, records: Records, **settings: Any) -> Any:
    """A student of the lab, trained on records with boxes, be they drawn or made."""
    student = channels_last(lab.build("centerpoint", registry.entry("centerpoint").configured(**settings)))
    lab.fit(student, records)
    return student


def mean_boxes(records: Records) -> list[Tensor]:
    """The class-mean box at every click, of each scene."""
    sizes = torch.tensor(MEAN_SIZES)
    samples = (records[i] for i in range(len(records)))
    return [class_mean_boxes(s["clicks"], s["box3d_labels"], sizes) for s in samples]


def quality(boxes: Sequence[Tensor], records: Records) -> Row:
    """IoU and axis error by distance, of cars; the mean IoU of cars and of pedestrians; which way cars point."""
    cars, every = QualityByDistance(EDGES), {k: QualityByDistance((0.0, 40.0)) for k in range(len(records.classes))}
    ahead: list[Tensor] = []
    for i, made in enumerate(boxes):
        sample = records[i]
        for k, total in every.items():
            member = sample["box3d_labels"] == k
            total.update(made[member], sample["boxes3d"][member])
        member = sample["box3d_labels"] == 0
        cars.update(made[member], sample["boxes3d"][member])
        ahead.append((made[member, 6] - sample["boxes3d"][member, 6]).cos() > 0)
    names = {f"iou_{name}": every[k].iou()[0] for k, name in enumerate(records.classes)}
    by_bin = {f"iou_{i}": value for i, value in enumerate(cars.iou())}
    by_bin |= {f"axis_{i}": value for i, value in enumerate(cars.axis_error())}
    return names | by_bin | {"ahead": float(torch.cat(ahead).double().mean())}


def taught(records: Records, boxes: Sequence[Tensor], known: int) -> Records:
    """The scenes, the first ``known`` with their own boxes and all others with those that were made."""
    return ReplacedBoxes(records, {i: boxes[i] for i in range(known, len(records))})


def detected(lab: Workbench, student: Any) -> Row:
    """mAP over centre distances, errors, SPNDS and IoU-AP of a student on the split that is reported."""
    numbers = lab.measure(student, overlap=OVERLAP).numbers({})
    return {key: value for key, value in numbers.items() if not key.startswith("ap_")}


def teachers_of(lab: Workbench, train: Records) -> Iterator[tuple[str, Row, list[Tensor] | None]]:
    """Each teacher's row, and its boxes of the training scenes where a student learns from them."""
    test, known = lab.report_on, labelled_count(len(train), SHARE)
    hidden = HiddenBoxes(train)
    parts = [lab.split("test", density=density).subset(range(min(50, len(test)))) for density in DENSITIES]
    yield MEAN, quality(mean_boxes(test), test), mean_boxes(train)
    for name, settings in TEACHERS.items():
        teacher = teacher_of(lab, train.subset(range(known)), **settings)
        row = quality(boxes_of(teacher, test), test)
        if name in (PLAIN, FULL):
            # The teacher was trained at the world's own density.
            thinned = [quality(boxes_of(teacher, part), part)["iou_car"] for part in parts]
            yield name, row | {"density": thinned}, boxes_of(teacher, hidden)
        else:
            yield name, row, None


def rows_of(lab: Workbench) -> Iterator[tuple[str, Row]]:
    """All rows of a seed: teachers, then students."""
    train = scenes(lab_of(lab))
    known = labelled_count(len(train), SHARE)
    made: dict[str, list[Tensor]] = {}
    for name, row, boxes in teachers_of(lab, train):
        if boxes is not None:
            made[name] = boxes
            row["pseudo_iou"] = quality(boxes[known:], train.subset(range(known, len(train))))["iou_car"]
        yield f"teacher: {name}", row
    few = train.subset(range(known))
    kinds: Mapping[str, tuple[Records, dict[str, Any]]] = {
        "boxes only": (few, {}),
        f"+ {MEAN}": (taught(train, made[MEAN], known), {}),
        f"+ boxes of {PLAIN}": (taught(train, made[PLAIN], known), {}),
        f"+ boxes of {FULL}": (taught(train, made[FULL], known), {}),
        "+ point-guided": (taught(train, made[FULL], known), {"guided": GUIDED}),
        SUPERVISED: (train, {}),
    }
    for name, (records, settings) in kinds.items():
        yield f"student: {name}", detected(lab, student_of(lab, records, **settings))


def comparison(profile: str) -> dict[str, Any]:
    """Teachers and students at 5 % of boxes, and what is left of the teachers where returns are few."""
    rows, prints = by_seed("point_detr3d", profile, rows_of, data="lidar")
    data = {"edges": EDGES, "overlap": OVERLAP, "share": SHARE, "densities": DENSITIES, "guided": GUIDED}
    return {"data": data | {"scenes": COUNTS["train"], "rows": rows}, "fingerprint": prints, "note": NOTE}


def at_share(share: float) -> Study:
    """The study of students where another share of the scenes has boxes: boxes only, and with a teacher's."""

    def rows(lab: Workbench) -> Iterator[tuple[str, Row]]:
        train = scenes(lab_of(lab))
        known = labelled_count(len(train), share)
        few = train.subset(range(known))
        yield "boxes only", detected(lab, student_of(lab, few))
        boxes = boxes_of(teacher_of(lab, few), HiddenBoxes(train))
        row = detected(lab, student_of(lab, taught(train, boxes, known)))
        yield (
            "+ teacher's boxes",
            row | {"pseudo_iou": quality(boxes[known:], train.subset(range(known, len(train))))["iou_car"]},
        )

    def study(profile: str) -> dict[str, Any]:
        made, prints = by_seed(f"share {share:g}", profile, rows, data="lidar")
        return {"data": {"share": share, "rows": made}, "fingerprint": prints, "note": NOTE}

    return study


def mean_students(profile: str) -> dict[str, Any]:
    """Students of true boxes and of class-mean boxes at the clicks of all other scenes, at each share of the sweep."""

    def rows(lab: Workbench) -> Iterator[tuple[str, Row]]:
        train = scenes(lab_of(lab))
        boxes = mean_boxes(train)
        for share in SHARES:
            known = labelled_count(len(train), share)
            yield f"{share:g}", detected(lab, student_of(lab, taught(train, boxes, known)))

    made, prints = by_seed("mean boxes", profile, rows, data="lidar")
    return {"data": {"shares": SHARES, "rows": made}, "fingerprint": prints, "note": NOTE}


def exact(profile: str) -> dict[str, Any]:
    """Students at 5 % of boxes whose other scenes have clicks at the very centres of the objects.

    The teacher is the one of the comparison: it learns from clicks of the world's own noise, and only then meets exact
    ones.
    """

    def rows(lab: Workbench) -> Iterator[tuple[str, Row]]:
        train = scenes(lab_of(lab))
        known = labelled_count(len(train), SHARE)
        centred = lab.split("train", click_noise=0.0).subset(range(len(train)))
        test = lab.split("test", click_noise=0.0).subset(range(len(lab.report_on)))
        teacher = teacher_of(lab, train.subset(range(known)))
        yield f"teacher: {MEAN}", quality(mean_boxes(test), test)
        yield f"teacher: {FULL}", quality(boxes_of(teacher, test), test)
        made = {f"+ {MEAN}": mean_boxes(centred), f"+ boxes of {FULL}": boxes_of(teacher, HiddenBoxes(centred))}
        for name, boxes in made.items():
            yield f"student: {name}", detected(lab, student_of(lab, taught(train, boxes, known)))

    made, prints = by_seed("exact clicks", profile, rows, data="lidar")
    data = {"share": SHARE, "edges": EDGES, "click_noise": 0.0, "rows": made}
    return {"data": data, "fingerprint": prints, "note": f"{NOTE}; made boxes at clicks without noise"}


def reference(profile: str) -> dict[str, Any]:
    """The teacher that learns where to look and has no camera, at 5 % of boxes."""

    def rows(lab: Workbench) -> Iterator[tuple[str, Row]]:
        train = scenes(lab_of(lab))
        few = train.subset(range(labelled_count(len(train), SHARE)))
        teacher = teacher_of(lab, few, camera=False, reference="learned")
        yield f"teacher: {BLIND}", quality(boxes_of(teacher, lab.report_on), lab.report_on)

    made, prints = by_seed(BLIND, profile, rows, data="lidar")
    return {"data": {"share": SHARE, "edges": EDGES, "rows": made}, "fingerprint": prints, "note": NOTE}


NOTE = (
    "clicks of all training scenes are given, boxes of a share of them; teachers measured on test with its clicks, "
    "students on test from points alone; nothing is chosen on test"
)
STUDIES: dict[str, Study] = {
    "point_detr3d": comparison,
    "point_detr3d_reference": reference,
    "point_detr3d_mean": mean_students,
    "point_detr3d_exact": exact,
} | {f"point_detr3d_{round(100 * share):02d}": at_share(share) for share in SHARES}
