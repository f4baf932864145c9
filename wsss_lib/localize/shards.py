"""Shards of a data set: Parquet files that are streamed row by row, here or from the Hub, and never held as a whole.

What is made of a shard is one Parquet file too, and says in its schema what it was made of. So whether a shard is done
is asked of the disk alone: by whoever comes next, on whichever machine.
"""

from __future__ import annotations

import glob
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from wsss_lib.data.photos.catalogue import HubFiles
from wsss_lib.data.photos.hub import HubFile, fetch_file, list_files
from wsss_lib.files import named_path, sha256_of_text

if TYPE_CHECKING:  # importing datasets takes seconds: only where it is used
    import datasets

_KEY = b"wsss_maps"
_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class ShardError(ValueError):
    """A shard that cannot be read; the others may be good."""


@dataclass(frozen=True)
class Shard:
    """A Parquet file of a data set.

    Attributes:
        name: Of what is made of it, a relative path that no other shard has.
        source: The file; on the Hub: what is fetched when its turn comes.
        identity: Changes with its content. Of a file here: size and SHA-256 of its footer, which says where each
            column lies and how long it is; of one on the Hub: the SHA-256 that it states.
    """

    name: str
    source: Path | HubFile
    identity: str

    @property
    def label(self) -> str:
        """How a message calls it."""
        return self.source.url if isinstance(self.source, HubFile) else str(self.source)

    @contextmanager
    def rows(self) -> Iterator[datasets.IterableDataset]:
        """Its rows, streamed, images left encoded; a file of the Hub is here within the block only.

        Raises:
            ShardError: It cannot be read as Parquet.
            DownloadError: It cannot be fetched.
        """
        if isinstance(self.source, HubFile):
            with tempfile.TemporaryDirectory(prefix="wsss-shard-") as folder:
                yield _streamed(fetch_file(self.source, Path(folder), progress=False), self.label)
        else:
            yield _streamed(self.source, self.label)


def shards_of(data: str | Path, split: str | None = None) -> list[Shard]:
    """The shards of a data set, by name.

    Args:
        data: A Parquet file, a folder of them (with its folders), a pattern with ``*``, or the name of a data set on
            the Hub (``owner/name``).
        split: Of a data set on the Hub (None: ``"train"``); in a folder, only files whose name begins with it.

    Raises:
        FileNotFoundError: There are none.
        ValueError: One of them is no file, or the split is no word.
        DownloadError: The Hub has no such data set or split, or does not answer.
    """
    path = named_path(data, "the data")
    if split is not None and (not isinstance(split, str) or not split):
        raise ValueError(f"the split is {split!r:.80}, expected what the names of its files begin with: leave it out")
    if path.is_dir():
        # Hidden files are parts of downloads, or being written.
        files = [
            file
            for file in sorted(path.rglob("*.parquet"))
            if not any(part.startswith(".") for part in file.relative_to(path).parts)
            and (split is None or file.name.startswith(split))
            and (file.is_symlink() or not file.is_dir())
        ]
        names = [file.relative_to(path).as_posix() for file in files]
    elif path.is_file():
        files, names = [path], [path.name]
    else:
        files = [Path(each) for each in sorted(glob.glob(str(path)))]
        names = [f"{at:05d}-{file.name}" for at, file in enumerate(files)]
        if not files and _ON_HUB.fullmatch(os.fspath(data)):
            return _on_hub(os.fspath(data), split or "train")
    if not files:
        of_split = f" whose name begins with {split!r}" if split else ""
        raise FileNotFoundError(
            f"{data} holds no Parquet file{of_split}: name a folder of *.parquet, a file, or a data set of the Hub as "
            "owner/name"
        )
    return [Shard(name, file, _identity(file)) for name, file in zip(names, files, strict=True)]


def chunks(rows: datasets.IterableDataset, size: int, label: str) -> Iterator[list[dict[str, Any]]]:
    """The rows in lists of at most ``size``; ``label`` is how a message calls them.

    Raises:
        ShardError: They cannot be read to their end.
    """
    pieces = iter(rows.iter(batch_size=size))
    while True:
        try:
            columns = next(pieces, None)
        except Exception as error:  # of pyarrow or datasets, whose kinds differ between versions
            cause = _first_line(error)
            raise ShardError(f"{label} cannot be read to its end ({cause}): write or fetch it anew") from error
        if columns is None:
            return
        count = len(next(iter(columns.values())))
        yield [{name: values[i] for name, values in columns.items()} for i in range(count)]


def made_of(path: Path) -> dict[str, Any] | None:
    """What a file of maps says that it was made of; None where it is absent, damaged or no such file."""
    if not path.is_file():  # reading a pipe would wait for ever
        return None
    try:
        about = (pq.read_schema(path).metadata or {}).get(_KEY)
        return None if about is None else json.loads(about)
    except (OSError, ValueError):  # what pyarrow raises for a file that is no Parquet is a ValueError
        return None


def stating(metadata: Mapping[bytes, bytes] | None, about: Mapping[str, Any]) -> dict[bytes, bytes]:
    """The metadata of a schema, and what the file is made of."""
    return dict(metadata or {}) | {_KEY: json.dumps(about, sort_keys=True).encode()}


def _identity(file: Path) -> str:
    """Of a file here; one that is no Parquet is told of when its rows are read.

    Raises:
        ValueError: It is no file, or may not be opened.
    """
    if not os.path.isfile(file):
        kind = "a link to what is not there" if file.is_symlink() else "no file"
        raise ValueError(f"{file} is {kind}: remove it, or write or fetch it anew")
    size = file.stat().st_size
    with file.open("rb") as opened:
        opened.seek(max(0, size - 8))
        length = int.from_bytes(opened.read(4), "little")
        opened.seek(max(0, size - 8 - length))
        return sha256_of_text(f"{size}:".encode() + opened.read())


def _on_hub(name: str, split: str) -> list[Shard]:
    of_split = re.compile(rf"(?:^|[/_.-]){re.escape(split)}(?:[/_.-]|$)")
    files = [file for file in list_files(HubFiles(name, "main", "*.parquet")) if of_split.search(file.path)]
    if not files:
        raise FileNotFoundError(f"{name} has no Parquet file of a split {split!r} on the Hub: name another split")
    return [Shard(file.path, file, file.sha256) for file in files]


def _streamed(file: Path, label: str) -> datasets.IterableDataset:
    import datasets

    try:
        about = pq.ParquetFile(file)  # first, for datasets tells of its failures on the console too
        columns, rows = about.schema_arrow.names, about.metadata.num_rows
    except (OSError, ValueError) as error:  # what pyarrow raises for a file that is no Parquet is a ValueError
        raise ShardError(f"{label} cannot be read as Parquet ({_first_line(error)}): write or fetch it anew") from error
    if doubled := sorted({name for name in columns if columns.count(name) > 1}):
        raise ShardError(f"{label} has two columns {doubled[0]!r}: rename one")
    try:
        stream = datasets.load_dataset("parquet", data_files=[str(file)], split="train", streaming=True)
        features = stream.features
    except Exception as error:  # of pyarrow or datasets, whose kinds differ between versions
        raise ShardError(f"{label} cannot be read as Parquet ({_first_line(error)}): write or fetch it anew") from error
    for name, feature in (features or {}).items():
        if isinstance(feature, datasets.Image):
            stream = stream.cast_column(name, datasets.Image(decode=False))
    return stream if rows else stream.take(0)  # datasets cannot read a file without rows


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
