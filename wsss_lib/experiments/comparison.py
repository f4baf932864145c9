"""Methods of one run side by side: their scores, their maps of the same images, and how a page shows both.

    run = compare(lab, {"CAM": cam, "BAS": bas})
    run.gallery()                       # a plain image, then a map of each method, with the true outline
    run.table("This run, one seed")     # the honest rows
    run.curtain("CAM", "BAS")           # two maps of the same images, one pulled aside over the other
    scored(lab, {"CAM": cam}, most=150, contrast=0.3)  # the honest rows, of fewer images and with a dial turned
    at_four_scales(lab, {"CAM": cam})   # the honest rows of maps summed over scales and mirror images

In an honest row, thresholds come from the split that chooses, and numbers from the one that is reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from wsss_lib import explore, figures, maps
from wsss_lib.data.records import IGNORE, Records
from wsss_lib.evaluate import MapMeasurement, measure, scores
from wsss_lib.experiments import results
from wsss_lib.experiments.recorded import COLUMNS, Row, Rows, honest_table
from wsss_lib.experiments.workbench import Workbench

CUT = "iou"
"""Whose threshold a map is cut at in figures: the one that was chosen for the IoU of object against background."""

PHOTOGRAPHS = {key: COLUMNS[key] for key in ("miou", "iou", "max_box_acc_v2", "pxap", "mean_ap")}
"""Scores of photographs and their headings, in the order of a table."""


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` measured.

    Attributes:
        lab: The workbench that measured.
        rows: The honest row of each method.
        images, labels, masks: (N, 3, H, W), (N, K) and (N, H, W) of the images that are shown.
        maps: By method, the map of each image's classes, (N, H, W) in [0, 1].
        measured: By method, what was counted on the split that chooses and on the one that is reported: the curves over
            the threshold, from which the rows follow.
    """

    lab: Workbench
    rows: Mapping[str, Row]
    images: Tensor
    labels: Tensor
    masks: Tensor
    maps: Mapping[str, Tensor]
    measured: Mapping[str, tuple[MapMeasurement, MapMeasurement]] = field(default_factory=dict)

    @property
    def thresholds(self) -> dict[str, float]:
        """Of each method, chosen on the split that chooses."""
        return {name: row["thresholds"][CUT] for name, row in self.rows.items() if CUT in row.get("thresholds", {})}

    def including(self, name: str, row: Row, heats: Tensor) -> Comparison:
        """The same comparison with one method more, whose row and maps were recorded elsewhere.

        Args:
            name: Of the method.
            row: Its honest row.
            heats: Its maps of the images that are shown, (N, h, w) in [0, 1]; they are enlarged to the images' size.

        Raises:
            ValueError: Another number of maps than of images.
        """
        if heats.shape[0] != self.images.shape[0]:
            raise ValueError(f"{len(heats)} maps of {name} for {len(self.images)} images: pass a map for each image")
        enlarged = maps.resize(heats[:, None], (self.images.shape[-2], self.images.shape[-1]))[:, 0]
        return replace(self, rows={**self.rows, name: row}, maps={**self.maps, name: enlarged.to(self.images.device)})

    def gallery(self, count: int = 4, *, start: int = 0, names: Sequence[str] | None = None, dpi: int = 84) -> None:
        """Display some images: plain, then under the map of each method, cut at its own threshold."""
        part = slice(start, start + count)
        chosen = {name: self.maps[name][part] for name in names or self.maps}
        cuts = {name: cut for name, cut in self.thresholds.items() if name in chosen} or None
        fig, alt = figures.gallery(self.images[part], chosen, self.masks[part], threshold=cuts)
        figures.show(fig, alt=alt, dpi=dpi)

    def table(self, caption: str, columns: Mapping[str, str] | None = None) -> figures.Table:
        """The honest rows."""
        return honest_table(self.rows, columns, caption=caption)

    def covered(self, name: str, index: int) -> tuple[float, float]:
        """Recall and precision of a method's cut map on one image.

        Returns:
            The share of the object that is kept, and the share of what is kept that is object, in [0, 1]; NaN where
            there is no object, or nothing is kept.
        """
        kept = self.maps[name][index] > self.thresholds[name]
        mask = self.masks[index]
        filled, counted = (mask > 0) & (mask != IGNORE), mask != IGNORE
        hit = (kept & filled).sum().double()
        return float(hit / filled.sum()), float(hit / (kept & counted).sum())

    def curtain(self, left: str, right: str, images: Sequence[int] = (0, 1), *, title: str | None = None) -> Any:
        """Two methods' maps of the same images, one pulled aside over the other, as the last line of a cell."""

        def pictures(name: str) -> list[Any]:
            cut, heats = self.thresholds[name], self.maps[name]
            return [explore.picture(self.images[i], heats[i], threshold=cut, truth=self.masks[i]) for i in images]

        alts = (self._text(left, images), self._text(right, images))
        return explore.curtain(pictures(left), pictures(right), (left, right), alt=alts, title=title)

    def _text(self, name: str, images: Sequence[int]) -> str:
        """For a reader who cannot see them; means, because shares above a threshold flip where two nearly tie."""
        each = []
        for i in images:
            heat, mask = self.maps[name][i].double(), self.masks[i]
            on, beside = (heat[place].mean() for place in ((mask > 0) & (mask != IGNORE), mask == 0))
            each.append(f"In image {i + 1} the map's mean is {on:.2f} on the object and {beside:.2f} on the ground.")
        return f"The maps of {name} over {len(images)} images, true outlines solid. {' '.join(each)}"


def full_size(method: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The map of the images' own classes at the size of the images: (N, 3, H, W) and (N, K) to (N, H, W) in [0, 1]."""
    size = (images.shape[-2], images.shape[-1])
    with torch.no_grad():
        return maps.resize(method.localize(images, labels), size).amax(dim=1)  # type: ignore[operator]


def compare(lab: Workbench, methods: Mapping[str, nn.Module], *, images: int = 8, **options: Any) -> Comparison:
    """Measure trained methods by one protocol, and localise the same few images with each.

    Args:
        lab: Its splits choose and report.
        methods: By the name that tables and figures print. They are put into evaluation mode.
        images: How many are kept to be shown.
        options: Of :func:`wsss_lib.evaluate.measure`, such as ``scales``.
    """
    batch = lab.examples(images)
    shown, labels, masks = (batch[key].to(lab.device) for key in ("images", "labels", "masks"))
    measured = {
        name: (lab.measure(method.eval(), "choose", **options), lab.measure(method, "report", **options))
        for name, method in methods.items()
    }
    rows = {name: scores(choose, report) for name, (choose, report) in measured.items()}
    heats = {name: full_size(method, shown, labels) for name, method in methods.items()}
    return Comparison(lab, rows, shown, labels, masks, heats, measured)


def scored(
    lab: Workbench, methods: Mapping[str, Any], *, most: int | None = None, **dials: Any
) -> dict[str, dict[str, Any]]:
    """The honest rows of trained methods but for boxes, of a part of the images, or of a world with some dials turned.

    Args:
        lab: Its splits choose and report; with ``dials``, the same splits with these dials turned.
        methods: By name: methods, or anything with ``localize(images, labels)``.
        most: The first so many images of each split; None for all.
        dials: Of the drawn world.

    Raises:
        ValueError: Dials of photographs.
    """
    if dials and not lab.drawn:
        raise ValueError(f"{', '.join(dials)} of {lab.data}: only the drawn world has dials, leave them out")
    choose_on: Records = lab.split("val", **dials) if dials else lab.choose_on
    report_on: Records = lab.split("test", **dials) if dials else lab.report_on
    parts = [records.subset(range(len(records))[:most]) for records in (choose_on, report_on)]
    return {
        name: scores(*(measure(method, part, score_boxes=False, device=lab.device) for part in parts))
        for name, method in methods.items()
    }


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
