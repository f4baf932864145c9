"""Methods of one run side by side: their scores, their maps of the same images, and how a page shows both.

    run = compare(lab, {"CAM": cam, "BAS": bas})
    run.gallery()                       # a plain image, then a map of each method, with the true outline
    run.table("This run, one seed")     # the honest rows
    run.curtain("CAM", "BAS")           # two maps of the same images, one pulled aside over the other
    scored(lab, {"CAM": cam}, most=150, contrast=0.3)  # the honest rows, of fewer images and with a dial turned

In an honest row, thresholds come from the split that chooses, and numbers from the one that is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from wsss_lib import explore, figures, maps
from wsss_lib.data.records import IGNORE, Records
from wsss_lib.evaluate import MapMeasurement, measure, scores
from wsss_lib.experiments.recorded import Row, honest_table
from wsss_lib.experiments.workbench import Workbench

CUT = "iou"
"""Whose threshold a map is cut at in figures: the one that was chosen for the IoU of object against background."""


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

    Raises:
        ValueError: The images that are reported have no masks.
    """
    batch = lab.examples(images)
    if "masks" not in batch:
        raise ValueError(
            f"{lab.report_on.name}/{lab.report_on.split} has no masks, which choose thresholds and score maps: "
            "add a column of masks, see the page on your own photographs"
        )
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
