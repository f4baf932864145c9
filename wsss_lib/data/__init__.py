"""Images with labels, masks and boxes: drawn, known by name, or one's own.

``load("critters", split="train")`` draws the world; ``load("voc2012", split="val")`` takes photographs that the
library knows where to find; ``load("folder_or_file.parquet")`` takes one's own. All give :class:`Records`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

from wsss_lib.data.records import IGNORE, Batch, Records, Sample, batches, collate, to_device
from wsss_lib.data.worlds.drawn import WORLDS, drawn_world
from wsss_lib.files import named_path

__all__ = [
    "IGNORE", "Batch", "DataUnavailable", "Records", "Sample", "Table", "batches", "catalogue", "collate", "describe",
    "load", "prepare", "splits", "to_device",
]  # fmt: skip

_LATER = {
    "DataUnavailable": "photos.fetch", "Table": "photos.table", "catalogue": "photos.folders",
    "describe": "photos.folders", "prepare": "photos.fetch",
}  # fmt: skip
"""Where names live that are imported when they are first used: what draws critters need not know about archives."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)


def load(
    what: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], split: str | None = None, **options: Any
) -> Records:
    """Records of a split.

    Args:
        what: ``"critters"``; a data set by name (``"voc2012"``, ``"cub200"``, ``"pets"``, ``"coco2014"``,
            ``"refcoco"``, ``"imagenet"``); or one's own: a Parquet file, several, a pattern with ``*``, a CSV of image
            paths, or a folder with a file per split, or with a folder of images per class.
        split: ``"train"`` if None; for a file, only a name.
        options: For critters the dials of the world. Otherwise ``size``, ``classes``, ``others``, ``keep_empty``,
            ``names``, ``columns`` (see :class:`wsss_lib.data.photos.table.Table`), and what a table does not say of its
            cells: ``labels_are``, ``boxes_are``, ``normalised``, ``drawn_on``, ``white`` (see
            :class:`wsss_lib.data.photos.annotations.Forms`). By name also ``root``, ``download`` (see
            :func:`wsss_lib.data.photos.load.load_known`).

    Returns:
        The records.

    Raises:
        TypeError: ``what`` is neither a name nor a path.
        ValueError: Unknown name, split or option.
        FileNotFoundError: There is no such file.
        DataUnavailable: No source could serve the split; the message says how to use a copy of one's own.
    """
    _check(what, split)
    if isinstance(what, str) and what in WORLDS:
        records: Records = drawn_world(what).load(split or "train", **options)
        return records
    from wsss_lib.data.photos.catalogue import DATA_SETS
    from wsss_lib.data.photos.load import load_files, load_known

    if isinstance(what, str) and what in DATA_SETS:
        return load_known(what, split or "train", **options)
    if isinstance(what, str) and _is_a_word(what) and not os.path.exists(what):
        names = [*WORLDS, *DATA_SETS]
        near = difflib.get_close_matches(what, names, n=1)
        raise ValueError(
            f"{what!r:.200} is neither a known data set nor a file"
            f"{f' (did you mean {near[0]!r}?)' if near else ''}: choose one of {', '.join(names)}, or pass a path"
        )
    return load_files(what, split, **options)


def splits(what: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that :func:`load` can be asked for.

    Args:
        what: As for :func:`load`; of a folder, what its files' names say.

    Returns:
        Names, for example ``("train", "val", "aug")``; of a single file none.
    """
    _check(what)
    if isinstance(what, str) and what in WORLDS:
        return tuple(drawn_world(what).counts)
    from wsss_lib.data.photos.catalogue import DATA_SETS
    from wsss_lib.data.photos.folders import complete, listing, splits_in

    if isinstance(what, str) and what in DATA_SETS:
        return tuple(DATA_SETS[what].splits)
    folder = named_path(what)
    names = splits_in(folder) if folder.is_dir() else []
    return tuple(name for name in names if complete(folder, name) or listing(folder, name))


def _check(what: Any, split: str | None = None) -> None:
    """Refuse what names no data, and a split that is no name.

    Raises:
        TypeError: Data that are in memory already, or nothing.
        ValueError: An empty name or path, or a split that is none.
    """
    parts = list(what) if isinstance(what, list | tuple) else [what]
    if strange := [part for part in parts if not isinstance(part, str | os.PathLike)]:
        raise TypeError(
            f"what is of type {type(strange[0]).__name__}, expected the name of a data set or a path: "
            "write data that are in memory to a Parquet file first"
        )
    if not parts or not all(os.fspath(part) for part in parts):
        raise ValueError("what is empty: name a data set, a file or a folder; the current folder is '.'")
    if split is not None and (not isinstance(split, str) or not split or split == ".." or "/" in split):
        raise ValueError(f"split is {split!r}, expected a name such as 'train': leave it out for that one")


def _is_a_word(what: str) -> bool:
    return not any(mark in what for mark in ("/", os.sep, "*", ".parquet", ".csv", ".tsv"))
