"""Masks of whole data sets: shard by shard, by one process or many, each shard exactly once.

A process takes every n-th of the shards that are not done, streams its rows, and writes one Parquet file for each,
under its final name only when it is complete. Who is stopped loses the shard at hand, and nothing else; called again,
by as many processes or others, it goes on. Masks do not depend on how many processes there are: a batch holds rows of
one shard, and they are the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from wsss_lib.data.photos.convert import content, open_image
from wsss_lib.evaluate.threads import read_ahead
from wsss_lib.files import made_folder, named_path, writing
from wsss_lib.localize.mask_maker import Item, MaskMaker
from wsss_lib.localize.shards import Shard, ShardError, chunks, made_of, shards_of, stating
from wsss_lib.localize.trained import load_trained, side_of
from wsss_lib.methods import registry
from wsss_lib.train.machine import choose_device, processes

POOL = 16
"""Batches' worth of rows that are held at once, so that images of one shape meet in a batch."""


@dataclass(frozen=True)
class Extraction:
    """What was done by this process.

    Attributes:
        shards: How many of the data set.
        done_before: How many of them were done already.
        written: Names of those that this process has written.
        rows: In these.
        failures: A sentence for each row of these that got no mask.
    """

    shards: int
    done_before: int
    written: tuple[str, ...]
    rows: int
    failures: tuple[str, ...]


def extract_maps(
    data: str | Path,
    out: str | Path,
    *,
    checkpoint: str | Path,
    method: str | None = None,
    split: str | None = None,
    image: str = "image",
    labels: str | None = None,
    threshold: float = 0.2,
    multi_scale: bool = False,
    batch_size: int = 16,
    device: str | None = None,
    say: Any = None,
) -> Extraction:
    """Write the masks of a data set, shard by shard; started by a launcher, its processes share the shards.

    Args:
        data: See :func:`wsss_lib.localize.shards.shards_of`.
        out: Folder of the results: for each shard a Parquet file of its name with the columns ``id``, ``mask`` (palette
            PNG at the image's size, upright), ``labels``, ``scores`` (of all classes) and ``error``.
        checkpoint: What ``fit`` was given as ``out_dir``.
        method: None for the checkpoint's; or one that explains it, such as ``"eigencam"``.
        split: See :func:`wsss_lib.localize.shards.shards_of`.
        image: Column of the encoded images.
        labels: Column of the classes that are known to be in an image, by number or name; None: those that the
            classifier finds likely.
        threshold: As for :class:`MaskMaker`.
        multi_scale: As for :class:`MaskMaker`.
        batch_size: Images at once.
        device: None: a GPU if there is one; each process of a launcher has its own.
        say: Is called with a line for each shard.

    Returns:
        What this process did.

    Raises:
        FileNotFoundError: No shards, or no checkpoint.
        ShardError: A shard without such a column, or that is no Parquet; the others are done before.
        ValueError: A place where nothing can be written, or what the method refuses.
    """
    for option, column in (("image", image), ("labels", labels)):
        if not isinstance(column, str) and (option == "image" or column is not None):
            raise ValueError(f"{option} is {column!r:.80}, expected the name of a column: name one")
    shards, folder = shards_of(data, split), named_path(out, "the folder of the results")
    if any(
        isinstance(shard.source, Path) and shard.source.resolve() == (folder / shard.name).resolve() for shard in shards
    ):
        raise ValueError(f"{folder} is where the data lie, and would be written over: choose another folder")
    here = choose_device(device or "auto")
    state = processes(here)
    rank, count, here = (0, 1, here) if state is None else (state.process_index, state.num_processes, state.device)
    trained, described = load_trained(checkpoint)
    looking = trained if method in (None, described["name"]) else registry.explain(method, trained)
    maker = MaskMaker(
        looking.to(here),
        described["classes"],
        trained.to(here),
        threshold=threshold,
        multi_scale=multi_scale,
        short_side=side_of(described),
        batch_size=batch_size,
    )
    about = {
        "method": method or described["name"],
        "weights_sha256": described["weights_sha256"],
        "classes": list(described["classes"]),
        "threshold": threshold,
        "multi_scale": multi_scale,
        "columns": [image, labels],
        "batch_size": batch_size,
    }
    left = [shard for shard in shards if made_of(folder / shard.name) != about | {"source": shard.identity}]
    _check_places(folder, left)
    if state is not None:
        state.wait_for_everyone()  # all have looked before the first one writes, so that all count the same
    written, rows, failures, unread = [], 0, [], []
    for shard in left[rank::count]:
        try:
            number, sentences = _extract(shard, folder / shard.name, maker, about, image, labels)
        except ShardError as error:
            unread.append(error)
            continue
        written.append(shard.name)
        rows += number
        failures += [f"{shard.label}: {sentence}" for sentence in sentences]
        if say is not None:
            say(f"{shard.name}: {number} images")
    if state is not None:
        state.wait_for_everyone()
    if len(unread) > 1:
        raise ShardError(f"{unread[0]}; {len(unread) - 1} more of {len(shards)} shards cannot be read") from unread[0]
    if unread:
        raise unread[0]
    return Extraction(len(shards), len(shards) - len(left), tuple(written), rows, tuple(failures))


def _check_places(folder: Path, shards: Sequence[Shard]) -> None:
    """See that the results can be written.

    Raises:
        ValueError: The folder cannot be made, or something that is no file has the name of a result.
    """
    made_folder(folder)
    for shard in shards:
        if (folder / shard.name).exists() and not (folder / shard.name).is_file():
            raise ValueError(f"{folder / shard.name} is no file, and a result is to be called so: move it away")


def _extract(
    shard: Shard, target: Path, maker: MaskMaker, about: dict[str, Any], image: str, labels: str | None
) -> tuple[int, list[str]]:
    """Write one shard; how many rows it has, and a sentence for each that got no mask."""
    import datasets

    label = datasets.ClassLabel(names=list(maker.classes))
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "mask": datasets.Image(),
            "labels": datasets.List(label),
            "scores": datasets.List(datasets.Value("float32")),
            "error": datasets.Value("string"),
        }
    )
    arrow = features.arrow_schema
    arrow = arrow.with_metadata(stating(arrow.metadata, about | {"source": shard.identity}))
    number, sentences = 0, []
    with writing(target) as partial, pq.ParquetWriter(partial, arrow, compression="snappy") as writer:
        for items in read_ahead(_read(shard, maker, image, labels)):
            maker.fill(items)
            columns = {name: [_cell(name, item) for item in items] for name in arrow.names}
            writer.write_table(pa.table(columns, schema=arrow))
            number += len(items)
            sentences += [f"row {item.id}: {item.error}" for item in items if item.error is not None]
    return number, sentences


def _read(shard: Shard, maker: MaskMaker, image: str, labels: str | None) -> Iterator[list[Item]]:
    """The rows, decoded, some batches at a time; a row that cannot be read says so."""
    with shard.rows() as rows:
        yield from _items(rows, shard.label, maker, image, labels)


def _items(rows: Any, label: str, maker: MaskMaker, image: str, labels: str | None) -> Iterator[list[Item]]:
    held = rows.features or {}
    for column in (image, labels):
        if column is not None and column not in held:
            raise ShardError(
                f"{label} has no column {column!r}, it has {', '.join(held)}: name the right one by image= or labels="
            )
    names = _class_names(held.get(labels)) if labels is not None else None
    position = 0
    for some in chunks(rows, POOL * maker.batch_size, label):
        items = []
        for row in some:
            item = Item(str(row["id"]) if row.get("id") is not None else str(position))
            position += 1
            try:
                pixels = open_image(content(row[image]))  # (3, H, W)
                if labels is not None:
                    item.labels = _numbers(row[labels], names, maker.classes)
                item.photo = Image.fromarray(pixels.mul_(255).round_().byte().permute(1, 2, 0).numpy())
            except (ValueError, OSError) as error:
                item.error = str(error)
            items.append(item)
        yield items


def _class_names(feature: Any) -> list[str] | None:
    """What the type of a column calls its numbers; None where it does not say."""
    while feature is not None and hasattr(feature, "feature"):
        feature = feature.feature
    return getattr(feature, "names", None)


def _numbers(cell: Any, names: list[str] | None, classes: Sequence[str]) -> list[int]:
    """The classes of a row as the method numbers them.

    Raises:
        ValueError: One that the method does not know, or a row of 0 and 1 for each class.
    """
    values = cell if isinstance(cell, list | tuple) else [] if cell is None else [cell]
    hot = len(values) == len(classes) > 2 and all(value in (0, 1) for value in values)
    if hot or any(isinstance(value, bool | np.bool_) for value in values):
        raise ValueError(f"its classes are {cell!r:.80}: list the numbers or names of those that are there")
    numbers = []
    for value in values:
        within = isinstance(value, int) and 0 <= value < len(classes if names is None else names)
        name = names[value] if within and names is not None else value
        if isinstance(name, str) and name in classes:
            numbers.append(classes.index(name))
        elif within and name == value:
            numbers.append(value)
        else:
            raise ValueError(f"the method knows no class {name!r:.80}: it knows {', '.join(classes)}")
    return sorted(set(numbers))


def _cell(name: str, item: Item) -> Any:
    if name == "mask":
        return None if item.mask is None else {"bytes": item.mask, "path": None}
    value = getattr(item, name)
    return [] if value is None and name in ("labels", "scores") else value
