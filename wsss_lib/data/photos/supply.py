"""From the sources to tables on disk, and what is known of each data set; behind ``wsss data list|show|prepare``."""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import requests
from filelock import FileLock

from wsss_lib.data.photos import store
from wsss_lib.data.photos.download import DownloadError, Patience, RemoteFile, checksum, fetch
from wsss_lib.data.photos.readers import READERS
from wsss_lib.data.photos.sources import DATA_SETS, HUB, DataSet, HubFolder, Source
from wsss_lib.data.photos.tables import write

_log = logging.getLogger(__name__)
_FAULTS = (DownloadError, ValueError, KeyError, OSError, tarfile.TarError, zipfile.BadZipFile, pa.ArrowException)
"""What a bad source can cause; the next one is tried then, and all faults are reported if none is left."""


class DataUnavailable(RuntimeError):
    """No source could serve a split; the message names each, and how to use a copy of one's own."""


def prepare(
    name: str, splits: Iterable[str] | None = None, root: str | os.PathLike[str] | None = None, *,
    progress: bool | None = None, patience: Patience | None = None,
) -> dict[str, list[Path]]:  # fmt: skip
    """Fetch a data set and write it as tables of one schema; what is there already is left alone.

    Sources are tried in order. Whatever is fetched must have its checksum, and the table the published number of
    images, before it gets its name. Two processes may call this at once; the second waits.

    Args:
        name: A data set of :data:`wsss_lib.data.photos.sources.DATA_SETS`.
        splits: Which; None for all.
        root: The folder of all data (see :func:`wsss_lib.data.photos.store.home`).
        progress: Whether to show bars; None on a terminal and in a notebook.
        patience: How long to try each source.

    Returns:
        The files of each split.

    Raises:
        ValueError: Unknown data set or split.
        DataUnavailable: No source could serve a split.
    """
    data_set = known(name)
    wanted = [check_split(data_set, split) for split in (data_set.splits if splits is None else splits)]
    folder = store.home(root) / name
    if not data_set.sources and (absent := [split for split in wanted if not store.tables(folder, split)]):
        raise DataUnavailable(unavailable(data_set, absent[0], []))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".busy"):
        for split in wanted:
            if not store.tables(folder, split):
                _first_that_works(data_set, split, folder, progress, patience)
    return {split: store.tables(folder, split) for split in wanted}


def known(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in DATA_SETS:
        raise ValueError(f"{name!r} is no known data set: choose one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def check_split(data_set: DataSet, split: str) -> str:
    """``split``, if the data set has it.

    Raises:
        ValueError: It has not.
    """
    if split not in data_set.splits:
        raise ValueError(f"{data_set.name} has no split {split!r}: choose one of {', '.join(data_set.splits)}")
    return split


def _table(folder: Path, split: str) -> Path:
    return folder / f"{split}.parquet"


def _first_that_works(
    data_set: DataSet, split: str, folder: Path, progress: bool | None, patience: Patience | None
) -> None:
    failed: list[str] = []
    last: Exception | None = None
    for source in data_set.sources:
        if split not in source.splits:
            continue
        if offline := [v for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(v, "0") not in ("0", "")]:
            failed.append(f"{source.name} (not asked, because {offline[0]} is set)")
            continue
        try:
            _from_source(data_set, source, split, folder, progress, patience)
            if failed:
                _log.warning("%s/%s is from %s, after %s", data_set.name, split, source.name, "; ".join(failed))
            return
        except _FAULTS as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            failed.append(f"{source.name} ({error})")
            last = error
    raise DataUnavailable(unavailable(data_set, split, failed)) from last


def unavailable(data_set: DataSet, split: str, failed: list[str]) -> str:
    """The sentence that says what was tried, and how to point at a copy of one's own."""
    tried = (
        f"could not be had; tried {'; '.join(failed)}"
        if failed
        else f"is not fetched by this library ({data_set.note})"
    )
    return (
        f"{data_set.name}/{split} {tried}. With a copy of your own, pass root=FOLDER, a folder that holds "
        f"{split}.parquet or its parts, or set WSSS_DATA to a folder that holds {data_set.name}/{split}.parquet"
    )


def _from_source(
    data_set: DataSet, source: Source, split: str, folder: Path, progress: bool | None, patience: Patience | None
) -> None:
    downloads = folder / "downloads"
    lock = store.read_lock(folder)
    files = resolve(source.splits[split])
    paths = []
    for file in files:
        expected = file.sha256 or lock["downloads"].get(file.url)
        try:
            path = fetch(replace(file, sha256=expected), downloads, patience=patience, progress=progress)
        except DownloadError as error:
            if expected and not file.sha256:
                raise DownloadError(
                    f"{error}; that SHA-256 is from an earlier download, in {folder / 'lock.json'}"
                ) from error
            raise
        lock["downloads"][file.url] = expected or checksum(path)
        paths.append(path)
    lock["tables"][split] = _convert(data_set, source, split, paths, folder, progress)
    store.write_lock(folder, lock)
    for other, needed in source.splits.items():  # an archive often holds several splits: not to be fetched again
        if needed == source.splits[split] and not store.tables(folder, other):
            try:
                lock["tables"][other] = _convert(data_set, source, other, paths, folder, progress)
                store.write_lock(folder, lock)
            except _FAULTS as error:
                _log.warning("%s/%s, from the same files, failed: %s", data_set.name, other, error)
    shutil.rmtree(downloads)


def _convert(
    data_set: DataSet, source: Source, split: str, paths: list[Path], folder: Path, progress: bool | None
) -> dict[str, Any]:
    """Write one split's table, and say what it is."""
    scratch = folder / "unpacked"
    unchecked = folder / f"{split}.unchecked"
    try:
        images = data_set.splits[split]
        rows = write(READERS[source.reader](paths, split, scratch), unchecked, total=images, progress=progress)
        if rows != images:
            raise ValueError(f"{rows} images instead of {images}")
        os.replace(unchecked, _table(folder, split))
    finally:
        unchecked.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
    return {
        "name": _table(folder, split).name,
        "rows": rows,
        "source": source.name,
        **store.stamp(_table(folder, split)),
    }


def resolve(files: Iterable[RemoteFile | HubFolder]) -> list[RemoteFile]:
    """The files to fetch: folders of the Hub listed, and the Hub's address as the environment wants it.

    Raises:
        DownloadError: The Hub could not list a folder.
    """
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    resolved: list[RemoteFile] = []
    for file in files:
        if isinstance(file, HubFolder):
            resolved += _listed(file, hub)
        else:
            resolved.append(replace(file, url=file.url.replace(HUB, hub, 1)))
    return resolved


def _listed(folder: HubFolder, hub: str) -> list[RemoteFile]:
    """Ask the Hub for the files, the commit they belong to, and the SHA-256 that it keeps of each."""
    address = f"{hub}/api/datasets/{folder.repository}/revision/{folder.revision}?blobs=true"
    try:
        answer = requests.get(address, timeout=(10, 60))
        answer.raise_for_status()
        info = answer.json()
        found = [s for s in info["siblings"] if fnmatch.fnmatch(s["rfilename"], folder.pattern)]
        files = [
            RemoteFile(
                f"{hub}/datasets/{folder.repository}/resolve/{info['sha']}/{s['rfilename']}",
                Path(s["rfilename"]).name, sha256=s["lfs"]["sha256"], size=s["size"],
            )
            for s in sorted(found, key=lambda s: str(s["rfilename"]))
        ]  # fmt: skip
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        raise DownloadError(f"{address} could not be listed ({type(error).__name__})") from error
    if not files:
        raise DownloadError(f"{folder.repository} has no files {folder.pattern} at {folder.revision}")
    return files


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
    folder = store.locate(name, data_set.splits, root)
    return Description(
        data_set, folder, {s: tuple(found) for s in data_set.splits if (found := store.whole(folder, s))}
    )


def catalogue(root: str | os.PathLike[str] | None = None) -> list[Description]:
    """Every data set that is known by name, described."""
    return [describe(name, root) for name in DATA_SETS]
