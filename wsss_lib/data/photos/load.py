"""A split by the name of its data set, or from files of one's own, as a table."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsss_lib.data.photos.catalogue import known
from wsss_lib.data.photos.fetch import DataUnavailable, prepare, unavailable
from wsss_lib.data.photos.folders import complete, listing, locate, splits_in, tables
from wsss_lib.data.photos.referring import SpokenTable
from wsss_lib.data.photos.table import Table
from wsss_lib.files import named_path


def load_known(
    name: str, split: str, *, root: str | os.PathLike[str] | None = None, download: bool = True, **options: Any
) -> Table:
    """A split of a data set that is known by name.

    Args:
        name: One of :data:`wsss_lib.data.photos.catalogue.DATA_SETS`.
        split: One of its splits.
        root: A folder with a copy: its tables are taken, and nothing is fetched. None looks in ``WSSS_DATA``, else in
            ``~/.cache/wsss_lib``, and fetches what is missing.
        download: Whether to fetch what is missing.
        options: As for :class:`Table`.

    Raises:
        ValueError: Unknown data set or split, or ``root`` holds something else.
        DataUnavailable: The split is not there and could not be fetched.
    """
    data_set = known(name, split)
    folder = locate(name, data_set.splits, root)
    files = tables(folder, split)
    if not files and (root is not None or not download):
        held = ", ".join(splits_in(folder)) or "no Parquet files"
        raise DataUnavailable(unavailable(data_set, split, [f"{folder} (it holds {held})"]))
    if not files:
        files = prepare(name, [split])[split]
    if data_set.classes:
        options.setdefault("names", data_set.classes)
    options.setdefault("drawn_on", "stored")  # publishers count the pixels of their files
    siblings = {other: parts for other in data_set.splits if (parts := complete(folder, other))}
    kind = SpokenTable if "sentences" in data_set.has else Table
    return kind(files, name=name, split=split, siblings=siblings, **options)


def load_files(
    where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], split: str | None = None, **options: Any
) -> Table:
    """Records of files of one's own.

    Args:
        where: A Parquet file, several, a pattern with ``*``, or a CSV of image paths; or a folder: with a Parquet file
            (or numbered parts), a CSV, or a folder of class folders per split, or with class folders alone.
        split: For a folder, which of its splits (``"train"`` if None); otherwise only a name.
        options: As for :class:`Table`.

    Raises:
        FileNotFoundError: There is no such file, or the folder has no such split.
        ValueError: A file is named twice.
    """
    if isinstance(where, str | os.PathLike):
        path = named_path(where)
        if os.path.isdir(path):
            return _load_folder(path, split, options)
        pattern = str(path).replace("[", "[[]")  # only * and ? stand for others
        files = [path] if os.path.isfile(path) else [Path(p) for p in sorted(glob.glob(pattern)) if os.path.isfile(p)]
    else:
        files = [named_path(each) for each in where]
    missing = [file for file in files if not os.path.isfile(file)]
    if missing or not files:
        raise FileNotFoundError(f"there is no file {str(missing[0] if missing else where)[:200]}: check the path")
    if len({os.path.realpath(file) for file in files}) < len(files):
        raise ValueError(f"one file is named twice among {', '.join(map(str, files))}: name each once")
    return Table(files, name=files[0].resolve().parent.name, split=split or files[0].stem, **options)


def _load_folder(folder: Path, split: str | None, options: dict[str, Any]) -> Table:
    chosen = _files_of(folder, split)
    others = splits_in(folder)
    if not chosen:
        held = f"it holds {', '.join(others)}: choose one of these with split=" if others else (
            "it holds no Parquet files, no CSV, and no folder of images for each class; images need a folder named as "
            "their class, or a CSV with the columns image and label"
        )  # fmt: skip
        raise FileNotFoundError(f"{folder} has no split {split or 'train'!r}; {held}")
    siblings = {other: files for other in others if (files := _files_of(folder, other, whole=True))}
    return Table(chosen, name=folder.resolve().name, split=split or "train", siblings=siblings, **options)


def _files_of(folder: Path, split: str | None, whole: bool = False) -> list[Path]:
    files = (complete if whole else tables)(folder, split or "train")
    listed = None if files else listing(folder, split)
    return files or ([listed] if listed else [])
