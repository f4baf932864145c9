"""Which column of a table holds what, and how its cells are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_lib.data.photos.masks import content, from_segments, mask_array, present
from wsss_lib.data.photos.names import COCO, VOC
from wsss_lib.data.records import IGNORE

if TYPE_CHECKING:
    import datasets

_USUAL = {
    "image": ("image", "img"),
    "id": ("id", "image_id", "file_name", "filename"),
    "mask": ("mask", "segmentation_mask", "annotation"),
    "segments": ("segments",),
    "labels": ("labels", "label"),
    "boxes": ("boxes", "bboxes", "bbox"),
    "box_labels": ("box_labels", "categories", "category"),
    "crowd": ("is_crowd", "iscrowd"),
    "thing": ("is_thing",),
}
"""Names under which tables keep these, the first that is there is taken."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table; None for what it does not have.

    Attributes:
        image: Encoded images.
        id: Name or number of the image.
        mask: Encoded masks (indices, or VOC's colours).
        segments: Encoded pictures whose value k is the k-th of ``box_labels``.
        labels: Class or classes of the image, numbers or names.
        boxes: xyxy boxes, one or several.
        box_labels: Their classes, numbers or names.
        crowd: Per segment or box, whether it is a crowd: ignored in the mask, no box.
        thing: Per segment or box, whether it is an object; the others are background, and have no box.
        names: All classes of the table.
    """

    image: str
    id: str | None
    mask: str | None
    segments: str | None
    labels: str | None
    boxes: str | None
    box_labels: str | None
    crowd: str | None
    thing: str | None
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, table: datasets.Dataset, names: Sequence[str] | None = None, given: Mapping[str, str] | None = None
    ) -> Columns:
        """Find them.

        Args:
            table: The table.
            names: Names of its classes, where it does not say them.
            given: What is called unusually, for example ``{"mask": "annotation"}``.

        Raises:
            ValueError: A column is missing, or the classes have no names.
        """
        given = dict(given or {})
        if strange := set(given) - set(_USUAL):
            raise ValueError(f"columns names {sorted(strange)[0]!r}: choose among {', '.join(_USUAL)}")
        if absent := [c for c in given.values() if c not in table.column_names]:
            raise ValueError(f"there is no column {absent[0]!r}: the table has {', '.join(table.column_names)}")
        found: dict[str, Any] = {
            field: given.get(field) or next((c for c in usual if c in table.column_names), None)
            for field, usual in _USUAL.items()
        }
        if found["image"] is None:
            raise ValueError(
                f"no column of images among {', '.join(table.column_names)}: name it with columns={{'image': …}}"
            )
        if not any(found[f] for f in ("labels", "mask", "box_labels")):
            raise ValueError(
                f"no labels, masks or boxes with classes among {', '.join(table.column_names)}: name one with columns="
            )
        columns = cls(**found, names=())
        return cls(**found, names=columns._class_names(table, names))

    def described(self) -> list[Any]:
        """What identifies the reading, for a fingerprint."""
        return [getattr(self, f.name) for f in fields(self)]

    def _class_names(self, table: datasets.Dataset, names: Sequence[str] | None) -> tuple[str, ...]:
        for column in (self.labels, self.box_labels):
            if column and (said := _said(table.features[column])):
                return said
        words: set[Any] = set()
        for column in (self.labels, self.box_labels):
            if column:
                cells = table.select_columns([c for c in (column, self.thing) if c])[:]
                for i, cell in enumerate(cells[column]):
                    things = cells[self.thing][i] if self.thing else None
                    words |= {w for w, thing in zip(_several(cell), things or _always(cell), strict=True) if thing}
        spelt = bool(words) and all(isinstance(w, str) for w in words)
        if names:
            if spelt and (strange := sorted(words - set(names))):
                raise ValueError(f"the table has the class {strange[0]!r}, which is not among {', '.join(names)}")
            return tuple(names)
        if spelt:
            return next((known for known in (VOC, COCO) if words <= set(known)), tuple(sorted(words)))
        raise ValueError(
            "the table does not say how its classes are called: pass names=, in the order of their numbers"
        )

    def identity(self, row: Mapping[str, Any], otherwise: str) -> str:
        """The record's id."""
        return str(row[self.id]) if self.id else otherwise

    def says_labels(self) -> bool:
        """Whether the labels are known without decoding a mask."""
        return self.labels is not None or self.box_labels is not None

    def label_columns(self) -> list[str]:
        """What must be read to know the labels."""
        if self.labels:
            return [self.labels]
        wanted = (self.box_labels, self.thing, self.crowd) if self.box_labels else (self.mask,)
        return [column for column in wanted if column]

    def multi_hot(self, row: Mapping[str, Any], mask: Tensor | None) -> Tensor:
        """Image labels, (K,) float32; of the label column, else of the boxes, else of the mask (H, W)."""
        hot = torch.zeros(len(self.names))
        if self.labels:
            shown = [self._number(value) for value in _several(row[self.labels])]
        elif self.box_labels:
            shown = [
                c for c, use in zip(self._box_classes(row), self._objects(row), strict=True) if use and c is not None
            ]
        else:
            assert mask is not None, "a table has labels, classes of boxes, or masks"
            shown = present(mask.to(torch.uint8).numpy())
        hot[shown] = 1
        return hot

    def mask_of(self, row: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The mask, (H, W) uint8.

        Raises:
            ValueError: It holds a value that is no class.
        """
        if self.mask:
            mask = mask_array(content(row[self.mask]))
            wrong = mask[(mask > len(self.names)) & (mask != IGNORE)]
            if wrong.size:
                raise ValueError(f"the mask holds {wrong[0]}, but there are {len(self.names)} classes (and 255)")
            return mask
        things = self._flags(row, self.thing, True)
        values = [
            0 if not thing or kind is None else IGNORE if crowd else kind + 1
            for kind, thing, crowd in zip(
                self._box_classes(row), things, self._flags(row, self.crowd, False), strict=True
            )
        ]
        return from_segments(mask_array(content(row[str(self.segments)])), values)

    def boxes_of(self, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Boxes (M, 4) float32 xyxy and their classes (M,) int64, objects only.

        Raises:
            ValueError: The boxes have no classes.
        """
        cells = row[str(self.boxes)] or []
        flat = [cells] if len(cells) and not isinstance(cells[0], Sequence) else cells  # one box, or several
        boxes = torch.tensor([list(map(float, box)) for box in flat]).reshape(-1, 4)
        if self.box_labels:
            kinds = self._box_classes(row)
            use = [u and k is not None for u, k in zip(self._objects(row), kinds, strict=True)]
        else:
            shown = [self._number(value) for value in _several(row[self.labels])] if self.labels else []
            if len(shown) != 1 and len(boxes):
                raise ValueError("the boxes have no classes: name their column with columns={'box_labels': …}")
            kinds, use = [shown[0]] * len(boxes) if shown else [], [True] * len(boxes)
        if len(kinds) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes have {len(kinds)} classes: one each is expected")
        kept = torch.tensor(use, dtype=torch.bool)
        classes = torch.tensor([0 if k is None else k for k in kinds], dtype=torch.int64)
        return boxes[kept], classes[kept]

    def _box_classes(self, row: Mapping[str, Any]) -> list[int | None]:
        """Class of each box or segment; None for stuff, which has no class among ``names``."""
        things = self._flags(row, self.thing, True)
        values = _several(row[str(self.box_labels)])
        return [self._number(value) if thing else None for value, thing in zip(values, things, strict=True)]

    def _objects(self, row: Mapping[str, Any]) -> list[bool]:
        return [not crowd for crowd in self._flags(row, self.crowd, False)]

    def _flags(self, row: Mapping[str, Any], column: str | None, otherwise: bool) -> list[bool]:
        if column:
            return [bool(flag) for flag in _several(row[column])]
        return [otherwise] * len(_several(row[str(self.box_labels)]))

    def _number(self, value: Any) -> int:
        if isinstance(value, str):
            if value not in self.names:
                raise ValueError(f"there is no class {value!r} among {', '.join(self.names)}")
            return self.names.index(value)
        if not 0 <= int(value) < len(self.names):
            raise ValueError(f"there is no class {value}: {len(self.names)} classes are numbered from 0")
        return int(value)


def _said(feature: Any) -> tuple[str, ...] | None:
    """Class names of a column, if its type says them."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    names = getattr(feature, "names", None)
    return tuple(names) if names else None


def _several(cell: Any) -> list[Any]:
    if cell is None:
        return []
    return list(cell) if isinstance(cell, list | tuple) else [cell]


def _always(cell: Any) -> list[bool]:
    return [True] * len(_several(cell))
