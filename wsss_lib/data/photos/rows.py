"""The rows of a table where they lie, in Parquet files.

Parquet is read in place, a group of rows at a time, and nothing is copied to a cache that might be full, locked or out
of date. An open file goes on giving the rows that it had, even when another takes its name.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from wsss_lib.files import sha256_of

_KEPT = 256 << 20
"""Bytes of decoded row groups that a table keeps in memory."""
ClassNames = tuple[str, ...] | None


class Rows(Protocol):
    """What a table can be asked for.

    Attributes:
        files: The files it consists of.
        columns: The names of its columns.
        folder: Where the paths in its cells start; None if its cells hold content.
    """

    files: tuple[Path, ...]
    columns: tuple[str, ...]
    folder: Path | None

    def __len__(self) -> int: ...

    def row(self, position: int, columns: Sequence[str]) -> dict[str, Any]:
        """Some columns of a row."""

    def cells(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Some columns of all rows, in order."""

    def file_of(self, position: int) -> int:
        """Which of ``files`` a row is from."""

    def class_names(self, column: str) -> list[ClassNames]:
        """For each file the class names that the type of a column states."""

    def digests(self, columns: Sequence[str]) -> list[str]:
        """SHA-256 of the content, file by file; of what paths in ``columns`` lead to as well."""


class ParquetRows:
    """Rows of Parquet files, one after another.

    Args:
        files: The files; all must have the columns of the first.

    Raises:
        ValueError: A file is no Parquet, is damaged, holds no rows, or has other columns.
    """

    folder: Path | None = None

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._open()
        self.columns = tuple(self._parts[0].schema_arrow.names)
        for file, part in zip(self.files, self._parts, strict=True):
            if lacking := set(self.columns) ^ set(part.schema_arrow.names):
                raise ValueError(
                    f"{file} and {self.files[0]} are parts of one table, but only one has the column "
                    f"{sorted(lacking)[0]!r}: write both with the same columns, or load them one by one"
                )
        if not len(self):
            raise ValueError(f"{', '.join(map(str, self.files))} holds no rows: write or download the table anew")

    def _open(self) -> None:
        self._handles = [_opened(file) for file in self.files]
        self._stamps = [_stamp(file) for file in self.files]
        self._parts = [_parquet(file, handle) for file, handle in zip(self.files, self._handles, strict=True)]
        groups = [(f, g) for f, part in enumerate(self._parts) for g in range(part.num_row_groups)]
        counts = [self._parts[f].metadata.row_group(g).num_rows for f, g in groups]
        self._groups = groups
        self._starts = [0, *accumulate(counts)]
        self._kept: OrderedDict[tuple[int, tuple[str, ...]], pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files: another process opens them itself, if they are still the same."""
        return {"files": self.files, "columns": self.columns, "stamps": [_stamp(file) for file in self.files]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.files, self.columns = state["files"], state["columns"]
        for file, then in zip(self.files, state["stamps"], strict=True):
            if not file.is_file() or _stamp(file) != then:
                raise ValueError(f"{file} was replaced or removed after it had been loaded: load it again")
        self._open()

    def __len__(self) -> int:
        return self._starts[-1]

    def file_of(self, position: int) -> int:
        return self._groups[self._group(position)][0]

    def row(self, position: int, columns: Sequence[str]) -> dict[str, Any]:
        group = self._group(position)
        self._unchanged(self._groups[group][0])
        rows = self._read(group, tuple(columns)).slice(position - self._starts[group], 1).to_pylist()
        return dict(rows[0])

    def cells(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        for number, (file, part) in enumerate(zip(self.files, self._parts, strict=True)):
            self._unchanged(number)
            with _explained(file):
                for batch in part.iter_batches(batch_size=64, columns=list(columns), use_threads=False):
                    yield from batch.to_pylist()

    def class_names(self, column: str) -> list[ClassNames]:
        return [_stated(part.schema_arrow, column) for part in self._parts]

    def digests(self, columns: Sequence[str]) -> list[str]:
        for number in range(len(self.files)):
            self._unchanged(number)
        return [sha256_of(handle) for handle in self._handles]

    def _unchanged(self, number: int) -> None:
        """Refuse a file that was written over in place: labels that are known and rows still to come would not agree.

        One that was replaced or removed goes on being read as it was, from the open file.
        """
        file, then = self.files[number], self._stamps[number]
        try:
            now = _stamp(file)
        except OSError:
            return
        if now[0] == then[0] and now != then:
            raise ValueError(f"{file} was written over after it had been loaded: load it again")

    def _group(self, position: int) -> int:
        return bisect_right(self._starts, position) - 1

    def _read(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        key = (group, columns)
        if key not in self._kept:
            file, number = self._groups[group]
            with _explained(self.files[file]):
                self._kept[key] = self._parts[file].read_row_group(number, columns=list(columns), use_threads=False)
            while len(self._kept) > 1 and sum(table.nbytes for table in self._kept.values()) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def records_of(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Some columns of all rows of Parquet files, in order.

    Raises:
        ValueError: A column is missing; the message says which there are.
    """
    rows = ParquetRows(files)
    if missing := set(columns) - set(rows.columns):
        raise ValueError(f"{files[0].name} has no column {sorted(missing)}: it has {', '.join(rows.columns)}")
    return rows.cells(columns)


def _opened(file: Path) -> pa.NativeFile:
    try:
        return pa.OSFile(str(file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {file}: check the path") from error


def _parquet(file: Path, handle: pa.NativeFile) -> pq.ParquetFile:
    if not handle.size():
        raise ValueError(f"{file} is empty: write or download it anew")
    with _explained(file):
        return pq.ParquetFile(handle)


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Errors of Arrow in a sentence that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        cause = " ".join(str(error).split())
        raise ValueError(
            f"{file} is damaged or no Parquet table ({cause}): write or download it anew; a CSV ends in .csv or .tsv"
        ) from error


def _stamp(file: Path) -> tuple[int, ...]:
    """What changes when another file takes the name; the last number is not in anybody's hands."""
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _stated(schema: pa.Schema, column: str) -> ClassNames:
    """The names of a ``ClassLabel`` column, from what ``datasets`` notes in the file; None for any other column."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = noted.get("info", {}).get("features", {}).get(column)
        while isinstance(feature, list) or (isinstance(feature, dict) and "feature" in feature):
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        names = feature.get("names") if isinstance(feature, dict) else None
    except (ValueError, AttributeError, IndexError):  # a note of another program, which says nothing of classes
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        return None
    return tuple(map(str, names))
