"""What a row of a table says of its image: its classes, its mask, its boxes; what contradicts itself is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_lib.data.photos.boxes import FORMS, corners, is_number
from wsss_lib.data.photos.columns import Columns
from wsss_lib.data.photos.convert import ImageSource, content
from wsss_lib.data.photos.labels import Classes, several
from wsss_lib.data.photos.masks import check_labels, check_values, from_segments, present, stored_mask
from wsss_lib.data.records import IGNORE

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Forms:
    """What a table does not say of its cells, and only its owner knows.

    Attributes:
        labels_are: ``"numbers"`` or ``"multi-hot"``, where lists of 0 and 1 may be either.
        boxes_are: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``; None for corners.
        normalised: Whether boxes are fractions of the image's sides; None for pixels, and refuses what looks otherwise.
        drawn_on: Whether masks and boxes of an image with an EXIF orientation were drawn on its pixels as ``"stored"``
            or ``"upright"``; None refuses them where the sizes do not tell.
        white: The value that is white in grey images of more than 8 bits.
    """

    labels_are: str | None = None
    boxes_are: str | None = None
    normalised: bool | None = None
    drawn_on: str | None = None
    white: float | None = None

    def __post_init__(self) -> None:
        if self.boxes_are not in (None, *FORMS):
            raise ValueError(f"boxes_are is {self.boxes_are!r}: choose among {', '.join(FORMS)}")
        if self.drawn_on not in (None, "stored", "upright"):
            raise ValueError(f"drawn_on is {self.drawn_on!r}: choose 'stored' or 'upright'")
        if self.normalised not in (None, True, False):
            raise ValueError(f"normalised is {self.normalised!r}: choose True for fractions, or False for pixels")
        if self.white is not None and not (is_number(self.white) and 0 < self.white < math.inf):
            raise ValueError(f"white is {self.white!r}: expected the largest value of the images, for example 4095")


@dataclass(frozen=True)
class Annotations:
    """Reads rows of one table.

    Attributes:
        columns: Which column holds what.
        classes: How its cells name classes.
        forms: What else its owner says.
        folder: Where paths in its cells start; None if cells hold content.
    """

    columns: Columns
    classes: Classes
    forms: Forms
    folder: Path | None = None

    def __post_init__(self) -> None:
        if (self.columns.mask or self.columns.segments) and len(self.classes.names) >= IGNORE:
            raise ValueError(
                f"a mask can number {IGNORE - 1} classes, but there are {len(self.classes.names)}: leave the masks out "
                "with columns={'mask': None}, or keep fewer classes"
            )

    def source(self, cell: Any) -> ImageSource:
        """An image cell as something that can be decoded."""
        return self.folder / cell if self.folder is not None and isinstance(cell, str) else content(cell)

    def label_columns(self) -> list[str]:
        """What must be read to know the image labels."""
        columns = self.columns
        if columns.labels:
            return [columns.labels]
        wanted = (columns.box_labels, columns.thing, columns.crowd) if columns.box_labels else (columns.mask,)
        return [column for column in wanted if column]

    def says_labels(self) -> bool:
        """Whether the labels are known without decoding a mask."""
        return bool(self.columns.labels or self.columns.box_labels)

    def labels_of(self, row: Row, file: int, mask: tuple[NDArray[np.uint8], int] | None) -> list[int]:
        """The 0-based classes in the image, ascending; of the label column, else of the boxes, else of the mask.

        Args:
            row: The row.
            file: Which of the table's files it is from.
            mask: What :meth:`mask_of` gives for the row; used where nothing else says the labels.

        Raises:
            ValueError: The row names a class that does not exist, or says nothing of its image.
        """
        columns = self.columns
        if columns.labels:
            return self.classes.of_image(row[columns.labels], file)
        if columns.box_labels:
            pairs = zip(self._box_classes(row, file), self._flags(row, columns.crowd, False), strict=True)
            return sorted({kind for kind, crowd in pairs if kind is not None and not crowd})
        if mask is None:
            raise ValueError("its mask is missing, and the table has no labels: add them, or leave the row out")
        return present(mask[0])

    def mask_of(self, row: Row, file: int) -> tuple[NDArray[np.uint8], int] | None:
        """The mask of a row.

        Returns:
            The mask, (H, W) uint8 as stored, and its EXIF orientation; None where the row has no mask.

        Raises:
            ValueError: The mask holds a value that is no class, or contradicts the labels.
        """
        columns = self.columns
        column = columns.mask or columns.segments
        cell = row[column] if column else None
        if cell is None or (isinstance(cell, Mapping) and cell.get("bytes") is None and cell.get("path") is None):
            return None
        mask, orientation = stored_mask(self.source(cell))
        if not columns.mask:
            kinds = self._box_classes(row, file)
            crowds = self._flags(row, columns.crowd, False)
            values = [0 if k is None else IGNORE if c else k + 1 for k, c in zip(kinds, crowds, strict=True)]
            mask = from_segments(mask, values)
            if columns.labels:
                check_labels(mask, self.classes.of_image(row[columns.labels], file), self.classes.names)
            return mask, orientation
        numbering = self.classes.numbering[file]
        check_values(mask, len(self.classes.names if numbering is None else numbering))
        if numbering is not None:
            place = np.zeros(256, np.uint8)
            place[1 : len(numbering) + 1] = np.array(numbering) + 1
            place[IGNORE] = IGNORE
            mask = place[mask]
        says = "labels" if columns.labels else "box_labels"
        labels = self.labels_of(row, file, None) if self.says_labels() else None
        check_labels(mask, labels, self.classes.names, says)
        return mask, orientation

    def boxes_of(self, row: Row, file: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Boxes (M, 4) float32 xyxy and their classes (M,) int64, objects only; none where the row has none.

        Args:
            row: The row.
            file: Which of the table's files it is from.
            height: Of the image that the boxes were drawn on.
            width: Of the image that the boxes were drawn on.

        Raises:
            ValueError: A box is impossible or has no class, or its class is not among the image's labels.
        """
        columns = self.columns
        boxes = corners(row[str(columns.boxes)] or [], height, width, self.forms.boxes_are, self.forms.normalised)
        labels = self.classes.of_image(row[columns.labels], file) if columns.labels else None
        kinds: list[int | None]
        if columns.box_labels:
            kinds, crowds = self._box_classes(row, file), self._flags(row, columns.crowd, False)
        else:
            if len(labels or []) != 1 and len(boxes):
                raise ValueError("its boxes have no classes: name their column with columns={'box_labels': …}")
            kinds, crowds = [*(labels or [])] * len(boxes), [False] * len(boxes)
        if len(kinds) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes have {len(kinds)} classes: one each is expected")
        kept = [i for i, (kind, crowd) in enumerate(zip(kinds, crowds, strict=True)) if kind is not None and not crowd]
        classes = [k for i in kept if (k := kinds[i]) is not None]
        if labels is not None and (more := set(classes) - set(labels)):
            raise ValueError(
                f"a box shows {self.classes.names[min(more)]!r}, which the labels do not name: correct one of them"
            )
        return boxes[kept], torch.tensor(classes, dtype=torch.int64)

    def turn_of(self, orientation: int, size: tuple[int, int], mask: tuple[tuple[int, int], int] | None) -> int:
        """The orientation by which masks and boxes are turned beside an image that EXIF turns: its own, or 1.

        Args:
            orientation: The image's, not 1.
            size: (height, width) of the image as stored.
            mask: The mask's size and EXIF orientation, where there is one.

        Raises:
            ValueError: Nobody says it.
        """
        if mask is not None and mask[1] == orientation:
            return orientation
        if self.forms.drawn_on is not None:
            return orientation if self.forms.drawn_on == "stored" else 1
        if mask is not None and orientation >= 5 and size[0] != size[1]:  # the sides change places
            return orientation if mask[0] == size else 1
        raise ValueError(
            f"its image has the EXIF orientation {orientation}, and it is not certain whether its annotations were "
            "drawn on the pixels as stored or upright: say drawn_on='stored' or drawn_on='upright', or save the images "
            "upright"
        )

    def _box_classes(self, row: Row, file: int) -> list[int | None]:
        """Class of each box or segment; None for stuff, which has no class among the names."""
        values = several(row[str(self.columns.box_labels)])
        things = self._flags(row, self.columns.thing, True)
        return [self.classes.number(v, file) if thing else None for v, thing in zip(values, things, strict=True)]

    def _flags(self, row: Row, column: str | None, otherwise: bool) -> list[bool]:
        count = len(several(row[str(self.columns.box_labels)]))
        if column is None:
            return [otherwise] * count
        flags = several(row[column])
        if len(flags) != count:
            raise ValueError(f"{column!r} has {len(flags)} entries for {count} classes of boxes: one each is expected")
        if strange := [flag for flag in flags if flag not in (0, 1)]:
            raise ValueError(f"{column!r} holds {strange[0]!r:.80}: expected true or false for each box")
        return [bool(flag) for flag in flags]
