"""Where real data lie: the folder, the tables of a split in it, and the note of what they are.

::

    WSSS_DATA/            or ~/.cache/wsss_lib
      voc2012/
        train.parquet     as `prepare` writes it, or your own copy: train.parquet, train-00000-of-00002.parquet, …
        lock.json         where it came from, with the SHA-256 of what was fetched and of what was written
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wsss_lib.data.photos.download import checksum

_ALIASES = {"val": ("val", "validation"), "validation": ("validation", "val")}


def home(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of all data: ``root``, else the environment's ``WSSS_DATA``, else ``~/.cache/wsss_lib``."""
    if root is not None:
        return Path(root).expanduser()
    if set_by_user := os.environ.get("WSSS_DATA"):
        return Path(set_by_user).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsss_lib"


def locate(name: str, splits: Iterable[str], root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of one data set.

    ``root`` may be the folder of all data or that of this one; ``WSSS_DATA`` is always the folder of all, or one data
    set would be taken for another.
    """
    own = home(root) / name
    if root is not None and not any(whole(own, s) for s in splits) and any(whole(home(root), s) for s in splits):
        return home(root)
    return own


def whole(folder: Path, split: str) -> list[Path]:
    """As :func:`tables`, but a split of which parts are missing counts as absent."""
    try:
        return tables(folder, split)
    except FileNotFoundError:
        return []


def tables(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split in a folder, in order.

    Known layouts: ``train.parquet``, ``train-0.parquet``, ``train-00000-of-00002[-hash].parquet``, each also in a
    folder ``data``, and ``train/0000.parquet``, also in ``default``; ``val`` and ``validation`` mean the same.

    Args:
        folder: Where to look.
        split: Its name.

    Returns:
        The files; empty if there are none.

    Raises:
        FileNotFoundError: Some parts of a split in parts are missing.
    """
    for alias in _ALIASES.get(split, (split,)):
        named = re.compile(rf"{re.escape(alias)}(-\d+(-of-(?P<parts>\d+)(-[0-9a-f]+)?)?)?\.parquet")
        for place in (folder, folder / "data"):
            found = sorted(p for p in place.glob("*.parquet") if named.fullmatch(p.name))
            if found:
                _check_parts(found, [m["parts"] for p in found if (m := named.fullmatch(p.name))])
                return found
        for place in (folder / alias, folder / "default" / alias):
            if found := sorted(place.glob("*.parquet")):
                return found
    return []


def _check_parts(found: Sequence[Path], parts: Sequence[str | None]) -> None:
    expected = {int(p) for p in parts if p is not None}
    if len(expected) > 1 or (expected and expected != {len(found)}):
        raise FileNotFoundError(
            f"{found[0].parent} has {len(found)} files of a split in {max(expected)} parts "
            f"({', '.join(p.name for p in found[:4])}{', …' if len(found) > 4 else ''}): add the missing ones"
        )


def splits_in(folder: Path) -> list[str]:
    """Names of the splits that a folder seems to hold, for messages."""
    found = {
        re.sub(r"(-\d+.*)?\.parquet$", "", p.name) for p in (*folder.glob("*.parquet"), *folder.glob("data/*.parquet"))
    }
    found |= {p.parent.name for p in (*folder.glob("*/*.parquet"), *folder.glob("default/*/*.parquet"))} - {"data"}
    return sorted(found)


def read_lock(folder: Path) -> dict[str, Any]:
    """What is noted beside the data: ``tables`` by split and ``downloads`` by address."""
    path = folder / "lock.json"
    lock = json.loads(path.read_text()) if path.exists() else {}
    return {"tables": lock.get("tables", {}), "downloads": lock.get("downloads", {})}


def write_lock(folder: Path, lock: dict[str, Any]) -> None:
    """Note it, in one step."""
    part = folder / "lock.json.part"
    part.write_text(json.dumps(lock, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    os.replace(part, folder / "lock.json")


def stamp(path: Path) -> dict[str, Any]:
    """SHA-256 of a file, with the size and time by which one sees later that it has not been touched."""
    stat = path.stat()
    return {"sha256": checksum(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def sha256_of(path: Path) -> str:
    """SHA-256 of a table; from the lock beside it where that is still true, else computed."""
    stat = path.stat()
    for noted in read_lock(path.parent)["tables"].values():
        if noted.get("name") == path.name and (noted.get("size"), noted.get("mtime_ns")) == (
            stat.st_size,
            stat.st_mtime_ns,
        ):
            return str(noted["sha256"])
    return checksum(path)
