"""Where real data lie: the folder of a data set, the files of a split in it, and what of all is on this machine.

::

    WSSS_DATA/            or ~/.cache/wsss_lib
      voc2012/
        train.parquet     as `prepare` writes it, or your own copy: train.parquet, train-00000-of-00002.parquet, …
        lock.json         where it came from, with the SHA-256 of what was fetched and of what was written
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_lib.data.photos.catalogue import DATA_SETS, DataSet, known
from wsss_lib.data.photos.listings import CSV_SUFFIXES, class_folders
from wsss_lib.files import named_path

_log = logging.getLogger(__name__)
_ALIASES = {"val": ("val", "validation"), "validation": ("validation", "val")}
_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing", "aug")
"""Names that a folder of images has for its split, not for a class."""


def home(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of all data: ``root``, else the environment's ``WSSS_DATA``, else ``~/.cache/wsss_lib``."""
    if root is not None:
        return named_path(root, "root")
    if set_by_user := os.environ.get("WSSS_DATA"):
        return Path(set_by_user).expanduser()
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "wsss_lib"
    try:
        return Path.home() / ".cache" / "wsss_lib"
    except RuntimeError:  # a user without a home directory, as in many containers
        place = Path(tempfile.gettempdir()) / "wsss_lib"
        _log.warning("there is no home directory, so data are kept in %s: set WSSS_DATA to another folder", place)
        return place


def locate(name: str, splits: Iterable[str], root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of one data set.

    ``root`` may be the folder of all data or that of this one; ``WSSS_DATA`` is always the folder of all, or one data
    set would be taken for another.
    """
    below = home(root) / name
    if (
        root is not None
        and not any(complete(below, s) for s in splits)
        and any(complete(home(root), s) for s in splits)
    ):
        return home(root)
    return below


def complete(folder: Path, split: str) -> list[Path]:
    """As :func:`tables`, but a split of which parts are missing counts as absent."""
    try:
        return tables(folder, split)
    except (FileNotFoundError, ValueError):
        return []


def tables(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split in a folder, in order.

    Known layouts: ``train.parquet``, ``train-0.parquet``, ``train-00000-of-00002[-hash].parquet``, each also in a
    folder ``data``, and ``train/0000.parquet``, also in ``default``; ``val`` and ``validation`` mean the same. Hidden
    files, dangling links and folders are passed over.

    Args:
        folder: Where to look.
        split: Its name.

    Returns:
        The files; empty if there are none.

    Raises:
        FileNotFoundError: Some parts of a split in parts are missing.
        ValueError: The split is there in one file and in parts.
    """
    for alias in _ALIASES.get(split, (split,)):
        named = re.compile(rf"{re.escape(alias)}(-(?P<number>\d+)(-of-(?P<parts>\d+)(-[0-9a-f]+)?)?)?\.parquet")
        for place in (folder, folder / "data"):
            matches = [match for path in _parquet_files(place) if (match := named.fullmatch(path.name))]
            if matches:
                return [place / match.string for match in _in_order(matches, place)]
        for place in (folder / alias, folder / "default" / alias):
            if files := _parquet_files(place):
                return files
    return []


def listing(folder: Path, split: str | None) -> Path | None:
    """The CSV of a split in a folder, or the folder that has a folder of images for each class; None without either.

    Args:
        folder: Where to look.
        split: Its name; None for a folder of class folders that is not split.
    """
    for alias in _ALIASES.get(split or "train", (split or "train",)):
        for suffix in CSV_SUFFIXES:
            if (path := folder / f"{alias}{suffix}").is_file():
                return path
        if (place := folder / alias).is_dir() and class_folders(place):
            return place
    classes = {place.name.lower() for place in class_folders(folder)} if split in (None, "train") else set()
    return folder if classes and not classes & set(_SPLITS) else None


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.is_file() and not path.name.startswith("."))


def _in_order(matches: Sequence[re.Match[str]], place: Path) -> list[re.Match[str]]:
    """The parts of a split by their numbers, or its one file; the groups of a match are ``number`` and ``parts``."""
    names = [match.string for match in matches]
    listed = f"({', '.join(names[:4])}{', …' if len(names) > 4 else ''})"
    numbered = [match for match in matches if match["number"]]
    if len(numbered) not in (0, len(matches)):
        raise ValueError(f"{place} has a split in one file and in parts {listed}: move one of the two away")
    numbered.sort(key=lambda match: int(match["number"]))
    numbers = [int(match["number"]) for match in numbered]
    expected = {int(match["parts"]) for match in numbered if match["parts"]}
    gaps = numbers != list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False
    if gaps or expected - {len(numbers)}:
        parts = f" in {max(expected)} parts" if expected else ""
        raise FileNotFoundError(f"{place} has {len(numbers)} files of a split{parts} {listed}: add the missing ones")
    return numbered or list(matches)


def splits_in(folder: Path) -> list[str]:
    """Names of the splits that a folder seems to hold."""
    here = [*_parquet_files(folder), *_parquet_files(folder / "data")]
    names = {re.sub(r"(-\d+.*)?\.parquet$", "", path.name) for path in here}
    visible = [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]
    names |= {path.stem for path in visible if path.suffix in CSV_SUFFIXES and path.is_file()}
    for place in [path for path in (*visible, *sorted(folder.glob("default/*"))) if path.is_dir()]:
        if _parquet_files(place) or (place.name.lower() in _SPLITS and class_folders(place)):
            names.add(place.name)
    return sorted(names - {"data"})


@dataclass(frozen=True)
class Description:
    """A data set, and what of it is on this machine.

    Attributes:
        data_set: What is known of it.
        folder: Where its tables are looked for.
        present: The files of each split that is there.
    """

    data_set: DataSet
    folder: Path
    present: Mapping[str, tuple[Path, ...]]

    def __str__(self) -> str:
        d = self.data_set
        lines = [
            f"{d.name}: {d.title}",
            f"  {d.number_of_classes} classes; {', '.join(d.has)}",
            f"  {d.home}",
            "  splits:",
        ]
        for split, images in d.splits.items():
            here = (
                "on disk"
                if split in self.present
                else f"{d.gigabytes[split]:.1f} GB to fetch"
                if d.sources
                else "absent"
            )
            lines.append(f"    {split:<10} {images:>9,} images, {here}")
        lines += ["  sources:", *(f"    {s.name}: {', '.join(s.splits)}" for s in d.sources)] if d.sources else []
        return "\n".join([*lines, f"  folder: {self.folder}", f"  licence: {d.licence}", f"  note: {d.note}"])


def describe(name: str, root: str | os.PathLike[str] | None = None) -> Description:
    """All that is known of a data set, and what of it is on disk.

    Raises:
        ValueError: Unknown data set.
    """
    data_set = known(name)
    folder = locate(name, data_set.splits, root)
    files = {split: tuple(complete(folder, split)) for split in data_set.splits}
    return Description(data_set, folder, {split: held for split, held in files.items() if held})


def catalogue(root: str | os.PathLike[str] | None = None) -> list[Description]:
    """Every data set that is known by name, described."""
    return [describe(name, root) for name in DATA_SETS]
