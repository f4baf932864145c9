"""Real photographs as records, from Parquet tables: the same fields as the drawn world.

A table is read with ``datasets`` (Parquet only, no script of anybody's is run); images are decoded when they are asked
for, labels without decoding any.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wsss_lib.data.photos import store
from wsss_lib.data.photos.columns import Columns
from wsss_lib.data.photos.masks import boxes_from_mask, content, image_tensor
from wsss_lib.data.photos.supply import DataUnavailable, check_split, known, prepare, unavailable
from wsss_lib.data.records import IGNORE, Records, Sample
from wsss_lib.data.transforms import Resize

if TYPE_CHECKING:  # importing datasets takes seconds: only where it is used
    import datasets


class Table(Records):
    """A split in Parquet.

    Sample fields: ``image``, ``labels`` and ``id`` always; ``mask`` where the table has masks; ``boxes`` and
    ``box_labels`` where it has boxes, or masks to draw them around (then one box per class present, see
    :func:`wsss_lib.data.photos.masks.boxes_from_mask`).

    Args:
        files: The Parquet files, in order.
        name: Of the data set.
        split: Of the split.
        size: None keeps each image's size; a number makes it the longer side; (height, width) makes exactly that.
        classes: Keep only these classes, in this order, and only images that show one of them.
        others: What pixels of the classes that are not kept become: ``"background"`` or ``"ignore"``.
        keep_empty: Keep images that show none of ``classes`` as well.
        names: Names of the classes in the table, where it does not say them itself.
        columns: Which column holds what, where the names are unusual, for example ``{"mask": "annotation"}``.

    Attributes:
        dataset: The ``datasets.Dataset`` behind it, with all columns; row ``rows[i]`` is record ``i``.
        rows: Positions in ``dataset`` of the records.

    Raises:
        ValueError: The table does not fit the options; the message says what it holds.
    """

    dataset: datasets.Dataset
    rows: list[int]

    def __init__(
        self, files: Sequence[Path], *, name: str, split: str, size: int | tuple[int, int] | None = None,
        classes: Sequence[str] | None = None, others: str = "background", keep_empty: bool = False,
        names: Sequence[str] | None = None, columns: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        if others not in ("background", "ignore"):
            raise ValueError(f"others is {others!r}: choose 'background' or 'ignore'")
        self.name, self.split = name, split
        self.dataset = _read(files)
        self._columns = Columns.of(self.dataset, names=names, given=columns)
        every = self._columns.names
        self.classes = every if classes is None else _chosen(classes, every)
        self._resize = None if size is None else Resize(size)
        self._keep = torch.tensor([every.index(c) for c in self.classes])
        self._values = _mask_values(len(every), self._keep, IGNORE if others == "ignore" else 0)
        self.rows = list(range(len(self.dataset)))
        self._labels: Tensor | None = None
        if classes is not None and not keep_empty:
            shown = self._all_labels()[:, self._keep]
            self.rows = shown.any(1).nonzero().squeeze(1).tolist()
            self._labels = shown[self.rows]
        options = [size, list(self.classes), others, keep_empty, self._columns.described()]
        content_ids = [store.sha256_of(file) for file in files]
        self.fingerprint = hashlib.sha256(json.dumps([content_ids, options]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {self.name}/{self.split}: there are {len(self)}")
        position = self.rows[index]
        row, read = self.dataset[position], self._columns
        sample: Sample = {
            "image": image_tensor(content(row[read.image])),
            "id": read.identity(row, f"{self.split}-{position:05d}"),
        }
        mask = None
        if read.mask or read.segments:
            mask = torch.from_numpy(self._decode_mask(row, position)).long()
            if mask.shape != sample["image"].shape[-2:]:
                raise ValueError(
                    f"row {position} of {self.name}/{self.split}: the image is {tuple(sample['image'].shape[-2:])}, "
                    f"its mask {tuple(mask.shape)}: they must have one size"
                )
        sample["labels"] = read.multi_hot(row, mask)[self._keep]
        if read.boxes:
            boxes, box_labels = read.boxes_of(row)
            place = torch.full((len(read.names),), -1)
            place[self._keep] = torch.arange(len(self._keep))
            kept = place[box_labels] >= 0
            sample["boxes"], sample["box_labels"] = boxes[kept], place[box_labels][kept]
        if mask is not None:
            sample["mask"] = self._values[mask]
            if not read.boxes:
                sample["boxes"], sample["box_labels"] = boxes_from_mask(sample["mask"])
        return sample if self._resize is None else self._resize(sample)

    def _decode_mask(self, row: dict[str, Any], position: int) -> Any:
        try:
            return self._columns.mask_of(row)
        except ValueError as error:
            raise ValueError(f"row {position} of {self.name}/{self.split}: {error}") from error

    @property
    def labels(self) -> Tensor:
        """All image labels, (len(self), K) float32 multi-hot, without decoding an image.

        A table without a column of labels is read for its masks, once.
        """
        if self._labels is None:
            self._labels = self._all_labels()[self.rows][:, self._keep]
        return self._labels

    def _all_labels(self) -> Tensor:
        read = self._columns
        needed = self.dataset.select_columns(read.label_columns())
        hot = torch.zeros(len(needed), len(read.names))
        for position, row in enumerate(needed):
            mask = None if read.says_labels() else torch.from_numpy(self._decode_mask(row, position)).long()
            hot[position] = read.multi_hot(row, mask)
        return hot


def load_known(
    name: str, split: str, *, root: str | os.PathLike[str] | None = None, download: bool = True, **options: Any
) -> Table:
    """A split of a data set that is known by name.

    Args:
        name: One of :data:`wsss_lib.data.photos.sources.DATA_SETS`.
        split: One of its splits.
        root: A folder with a copy: its tables are taken, and nothing is fetched. None looks in ``WSSS_DATA``, else in
            ``~/.cache/wsss_lib``, and fetches what is missing.
        download: Whether to fetch what is missing.
        options: As for :class:`Table`.

    Raises:
        ValueError: Unknown data set or split, or ``root`` holds something else.
        DataUnavailable: The split is not there and could not be fetched.
    """
    data_set = known(name)
    check_split(data_set, split)
    folder = store.locate(name, data_set.splits, root)
    files = store.tables(folder, split)
    if not files and (root is not None or not download):
        held = ", ".join(store.splits_in(folder)) or "no Parquet files"
        raise DataUnavailable(unavailable(data_set, split, [f"{folder} (it holds {held})"]))
    if not files:
        files = prepare(name, [split])[split]
    if data_set.classes:
        options.setdefault("names", data_set.classes)
    table = Table(files, name=name, split=split, **options)
    said = table._columns.names
    if data_set.classes and said != data_set.classes:
        raise ValueError(
            f"{files[0]} is no table of {name}: its classes are {', '.join(said[:4])}, …; load it by its path"
        )
    return table


def load_files(
    where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], split: str | None = None, **options: Any
) -> Table:
    """Records of Parquet files of one's own.

    Args:
        where: A Parquet file, several, a pattern with ``*``, or a folder with a file (or numbered parts) per split.
        split: For a folder, which of its splits (``"train"`` if None); otherwise only a name.
        options: As for :class:`Table`.

    Raises:
        FileNotFoundError: There is no such file, or the folder has no such split.
    """
    if isinstance(where, str | os.PathLike):
        path = Path(where).expanduser()
        if path.is_dir():
            split = split or "train"
            files = store.tables(path, split)
            if not files:
                held = ", ".join(store.splits_in(path)) or "no Parquet files"
                raise FileNotFoundError(
                    f"{path} has no split {split!r}; it holds {held}: choose one of these with split="
                )
            return Table(files, name=path.name, split=split, **options)
        files = [path] if path.is_file() else [Path(found) for found in sorted(glob.glob(str(path)))]
    else:
        files = [Path(each).expanduser() for each in where]
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise FileNotFoundError(f"there is no file {missing[0] if missing else where}: check the path")
    return Table(files, name=files[0].parent.name, split=split or files[0].stem, **options)


def _chosen(classes: Sequence[str], every: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [c for c in classes if c not in every]:
        raise ValueError(f"there is no class {unknown[0]!r}: choose among {', '.join(every)}")
    if len(set(classes)) != len(classes) or not classes:
        raise ValueError(f"classes must be named once each, at least one; got {list(classes)}")
    return tuple(classes)


def _mask_values(count: int, keep: Tensor, others: int) -> Tensor:
    """What each value of a stored mask becomes, (256,), or more where there are more classes (and hence no masks)."""
    values = torch.zeros(max(IGNORE, count) + 1, dtype=torch.int64)
    values[1 : count + 1] = others
    values[keep + 1] = torch.arange(1, len(keep) + 1)
    values[IGNORE] = IGNORE
    return values


def _read(files: Sequence[Path]) -> datasets.Dataset:
    """The tables as one memory-mapped dataset, images left encoded."""
    import datasets

    with _quiet(datasets):
        table = datasets.load_dataset("parquet", data_files=[str(file) for file in files], split="train")
    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """No progress bar of ``datasets`` for a matter of seconds; the reader's own setting comes back."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
