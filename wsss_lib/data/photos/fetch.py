"""From the sources to a table on disk: the first source that is whole and right, or a sentence that names them all."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wsss_lib.data.photos.catalogue import DataSet, HubFiles, RemoteFile, Source, known
from wsss_lib.data.photos.download import DownloadError, Patience, download
from wsss_lib.data.photos.folders import home, tables
from wsss_lib.data.photos.hub import fetch_file, list_files
from wsss_lib.data.photos.layouts import LAYOUTS
from wsss_lib.data.photos.schema import write
from wsss_lib.files import read_json, sha256_of, write_atomically

_log = logging.getLogger(__name__)
_FAULTS = (DownloadError, ValueError, KeyError, OSError, tarfile.TarError, zipfile.BadZipFile)
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
        name: A data set of :data:`wsss_lib.data.photos.catalogue.DATA_SETS`.
        splits: Which; None for all.
        root: The folder of all data (see :func:`wsss_lib.data.photos.folders.home`).
        progress: Whether to show bars; None on a terminal and in a notebook.
        patience: How long to try each source.

    Returns:
        The files of each split.

    Raises:
        ValueError: Unknown data set or split.
        DataUnavailable: No source could serve a split, or there is no place for it.
    """
    data_set = known(name)
    wanted = list(data_set.splits if splits is None else splits)
    for split in wanted:
        known(name, split)
    folder = home(root) / name
    absent = [split for split in wanted if not tables(folder, split)]
    if absent and not data_set.sources:
        raise DataUnavailable(unavailable(data_set, absent[0], []))
    if absent:
        with _locked(folder):
            for split in absent:
                if not tables(folder, split):  # another process may have brought it meanwhile
                    _first_that_works(data_set, split, folder, progress, patience)
    return {split: tables(folder, split) for split in wanted}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder for this process alone; it is made where it is missing.

    Raises:
        DataUnavailable: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".busy").touch()
    except OSError as error:
        raise DataUnavailable(
            f"the data cannot be kept in {folder} ({error.strerror}): set WSSS_DATA to a folder that can be "
            "written, or pass it as root="
        ) from error
    lock = FileLock(folder / ".busy")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.warning("another process is fetching into %s: waiting until it ends", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
                raise DataUnavailable(
                    f"the disk is full, so that {data_set.name}/{split} could not be written to {folder}: make room, "
                    "or set WSSS_DATA to a folder on another disk, and start again; what has arrived is kept"
                ) from error
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
    lock = read_lock(folder)
    paths: list[Path] = []
    for part in source.splits[split]:
        if isinstance(part, HubFiles):
            for file in list_files(part, patience):
                paths.append(fetch_file(file, downloads, progress))
                lock["downloads"][file.url] = file.sha256
        else:
            paths.append(_from_host(part, downloads, lock, folder, progress, patience))
    _convert(data_set, source, split, paths, folder, lock, progress)
    for other, needed in source.splits.items():  # an archive often holds several splits: not to be fetched again
        if needed == source.splits[split] and not tables(folder, other):
            try:
                _convert(data_set, source, other, paths, folder, lock, progress)
            except _FAULTS as error:
                _log.warning("%s/%s, from the same files, failed: %s", data_set.name, other, error)
    shutil.rmtree(downloads)


def _from_host(
    file: RemoteFile, downloads: Path, lock: dict[str, Any], folder: Path, progress: bool | None,
    patience: Patience | None,
) -> Path:  # fmt: skip
    """An archive; where nobody published a SHA-256, the one of the first download binds all later ones."""
    expected = file.sha256 or lock["downloads"].get(file.url)
    try:
        path = download(replace(file, sha256=expected), downloads, patience=patience, progress=progress)
    except DownloadError as error:
        if expected and not file.sha256:
            raise DownloadError(
                f"{error}; that SHA-256 is from an earlier download, in {folder / 'lock.json'}"
            ) from error
        raise
    lock["downloads"][file.url] = expected or sha256_of(path)
    return path


def _convert(
    data_set: DataSet, source: Source, split: str, paths: list[Path], folder: Path, lock: dict[str, Any],
    progress: bool | None,
) -> None:  # fmt: skip
    """Write one split's table, and note what it is."""
    scratch = folder / "unpacked"
    table = folder / f"{split}.parquet"
    try:
        content = LAYOUTS[source.layout](paths, split, scratch)
        rows = write(content, table, total=data_set.splits[split], progress=progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    lock["tables"][split] = {"name": table.name, "rows": rows, "source": source.name, "sha256": sha256_of(table)}
    write_atomically(folder / "lock.json", json.dumps(lock, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_lock(folder: Path) -> dict[str, Any]:
    """What is noted beside the data: ``tables`` by split and ``downloads`` by address, without what is damaged."""
    try:
        lock = read_json(folder / "lock.json")
    except FileNotFoundError:
        lock = {}
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read and is begun anew: %s", folder / "lock.json", error)
        lock = {}
    noted = lock if isinstance(lock, dict) else {}
    kept, sums = (noted[key] if isinstance(noted.get(key), dict) else {} for key in ("tables", "downloads"))
    return {
        "tables": {split: table for split, table in kept.items() if isinstance(table, dict)},
        "downloads": {url: sha256 for url, sha256 in sums.items() if _is_sha256(sha256)},
    }


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
