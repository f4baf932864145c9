"""Which column of a table holds what: taken by name where the name is certain, said by the caller where it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

_CERTAIN = {
    "image": ("image", "img"),
    "id": ("id", "image_id", "file_name", "filename"),
    "mask": ("mask",),
    "segments": ("segments",),
    "labels": ("labels", "label"),
    "boxes": ("boxes",),
    "box_labels": ("box_labels", "categories"),
    "crowd": ("is_crowd", "iscrowd"),
    "thing": ("is_thing",),
}
"""Names that mean one thing wherever they stand. ``boxes`` are corners in pixels, as torchvision has them."""
_EITHER = ("bbox", "bboxes")
"""Names of boxes that are corners in one table, and a corner with width and height in the next."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table; None for what it does not have.

    Attributes:
        image: Encoded images.
        id: Name or number of the image.
        mask: Encoded masks (indices, or VOC's colours).
        segments: Encoded pictures whose value k is the k-th of ``box_labels``.
        labels: Class or classes of the image.
        boxes: One box or several.
        box_labels: Their classes, numbers or names.
        crowd: Per segment or box, whether it is a crowd: ignored in the mask, no box.
        thing: Per segment or box, whether it is an object; the others are background, and have no box.
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

    @classmethod
    def of(
        cls, held: Sequence[str], given: Mapping[str, str | None] | None = None, boxes_are: str | None = None
    ) -> Columns:
        """The columns of a table.

        Args:
            held: Names of the columns that it has.
            given: What the caller says, for example ``{"mask": "annotation", "boxes": None}``; None leaves it out.
            boxes_are: The form of the boxes, where the caller says it.

        Raises:
            ValueError: A column is missing or uncertain; the message says how to name it.
        """
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"columns is {given!r:.80}: pass a dictionary, for example {{'image': {held[0]!r}}}")
        if twice := [name for name, count in Counter(held).items() if count > 1]:
            raise ValueError(f"two columns are called {twice[0]!r}: rename one")
        given = dict(given or {})
        if strange := set(given) - set(_CERTAIN):
            raise ValueError(f"columns names {sorted(strange)[0]!r}: choose among {', '.join(_CERTAIN)}")
        if absent := [c for c in given.values() if c is not None and c not in held]:
            raise ValueError(f"there is no column {absent[0]!r}: the table has {', '.join(held)}")
        roles = {
            role: given[role] if role in given else _certain(role, names, held) for role, names in _CERTAIN.items()
        }
        if roles["boxes"] is None and "boxes" not in given and (either := [name for name in _EITHER if name in held]):
            if boxes_are is None:
                raise ValueError(
                    f"the column {either[0]!r} may hold corners, or a corner with width and height: say which with "
                    "boxes_are='xyxy', 'xywh' or 'cxcywh', or leave it out with columns={'boxes': None}"
                )
            roles["boxes"] = either[0]
        if roles["image"] is None:
            raise ValueError(f"no column of images among {', '.join(held)}: name it with columns={{'image': …}}")
        if not any(roles[role] for role in ("labels", "mask", "box_labels")):
            raise ValueError(
                f"no labels, masks or boxes with classes among {', '.join(held)}: say which column holds them, for "
                "example columns={'labels': …} or columns={'mask': …}"
            )
        return cls(**roles)  # type: ignore[arg-type]  # the image's column is there

    def used(self) -> list[str]:
        """The names of all columns that are read."""
        return list(dict.fromkeys(name for name in self.described() if name))

    def described(self) -> list[str | None]:
        """The name of each role's column."""
        return [getattr(self, field.name) for field in fields(self)]


def _certain(role: str, names: Sequence[str], held: Sequence[str]) -> str | None:
    present = [name for name in names if name in held]
    if len(present) > 1 and role != "id":
        raise ValueError(
            f"the table has the columns {' and '.join(map(repr, present))}: name one with columns={{{role!r}: …}}"
        )
    return present[0] if present else None
