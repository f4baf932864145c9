"""Records: images with what is known of them, the same whether drawn, read from Parquet or photographed.

A record is a dictionary of fields; :mod:`~wsss_lib.data.fields` says what each is and how it is batched.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wsss_lib.data.fields import FIELDS, IGNORE, Batch, Field, Sample, collate, register_field, to_device
from wsss_lib.files import sha256_of_text

__all__ = [
    "FIELDS", "IGNORE", "Batch", "Field", "Records", "Sample", "batches", "check_same_classes", "collate", "positions",
    "record_number", "register_field", "to_device", "unpadded_batches",
]  # fmt: skip


class Records(Dataset[Sample]):
    """A split of a data set as a sequence of :class:`Sample`.

    Subclasses set the attributes and implement ``__len__`` and ``__getitem__``; those that can, override ``labels`` and
    ``batch`` by something faster.

    Attributes:
        name: The data set, for example ``"critters"`` or ``"voc2012"``.
        split: ``"train"``, ``"val"``, …
        classes: Names of the K foreground classes; class k has mask value k + 1.
        fingerprint: Hexadecimal SHA-256 that changes when the content does; it goes into every result's provenance.
        image_size: Height and width that all images have; None where they differ or nobody knows.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    fingerprint: str
    image_size: tuple[int, int] | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError

    @property
    def images_fingerprint(self) -> str:
        """The fingerprint of the images alone; what is added to them, such as superpixels, changes nothing."""
        return self.fingerprint

    @property
    def labels(self) -> Tensor:
        """All image labels, (len(self), K) float32 multi-hot. Subclasses that can, answer without decoding images."""
        return torch.stack([self[i]["labels"] for i in range(len(self))])

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        """Several samples at once.

        Args:
            indices: M of them, as :meth:`subset` takes them.

        Returns:
            The batch of these samples in this order; see :func:`collate`.
        """
        return collate([self[i] for i in positions(indices, len(self))])

    def subset(self, indices: Iterable[int] | Tensor) -> Records:
        """Some of the records, in the order asked for, as records of their own.

        Args:
            indices: Whole numbers from 0, or one Boolean for each record: those that are True. A list, tensor or array.

        Raises:
            ValueError: Neither whole numbers nor Booleans, or another number of Booleans than records.
            IndexError: A number outside the records. Negative ones are refused: they do not count from the end.
        """
        return _Subset(self, positions(indices, len(self)))


class _Subset(Records):
    def __init__(self, parent: Records, indices: list[int]) -> None:
        self.parent, self.indices = parent, indices
        self.name, self.split, self.classes = parent.name, parent.split, parent.classes
        self.image_size = parent.image_size
        self.fingerprint = sha256_of_text(parent.fingerprint + repr(indices))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.parent[self.indices[record_number(index, len(self), f"a part of {self.name}/{self.split}")]]

    @property
    def images_fingerprint(self) -> str:
        return sha256_of_text(self.parent.images_fingerprint + repr(self.indices))

    @property
    def labels(self) -> Tensor:
        return self.parent.labels[self.indices]

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        return self.parent.batch([self.indices[i] for i in positions(indices, len(self))])


def positions(indices: Iterable[int] | Tensor, count: int) -> list[int]:
    """Which of ``count`` records are meant by whole numbers from 0, or by one Boolean each; see ``Records.subset``."""
    if not hasattr(indices, "shape") and (isinstance(indices, slice) or not isinstance(indices, Iterable)):
        raise ValueError(f"indices are {indices!r}, expected a list of whole numbers: pass range(…), or [one number]")
    if hasattr(indices, "__array__") and not isinstance(indices, Tensor):  # a column of pandas has labels of its own
        indices = np.array(indices)
    listed = indices if hasattr(indices, "shape") else list(indices)
    kinds = {isinstance(i, bool) for i in listed} if isinstance(listed, list) else set()
    if len(kinds) > 1:
        raise ValueError(f"indices are {listed!r:.80}, numbers and Booleans mixed: pass one or the other")
    try:
        at = torch.as_tensor(listed)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"indices are {listed!r:.80}, expected a list of whole numbers, or one Boolean for each record: look up "
            "the positions of what you mean first"
        ) from error
    if at.dim() == 1 and not at.numel():
        return []
    if at.dim() != 1 or at.is_floating_point() or at.is_complex():
        raise ValueError(
            f"indices are {at.dtype} of shape {tuple(at.shape)}, expected a list of whole numbers, or one Boolean for "
            "each record: round numbers yourself, and compare scores with a threshold first"
        )
    if at.dtype == torch.bool:
        if len(at) != count:
            raise ValueError(f"{len(at)} Booleans cannot select from {count} records: pass one for each")
        return at.nonzero().flatten().tolist()
    chosen: list[int] = at.tolist()
    if at.dtype == torch.uint8 and len(at) == count > 2 and set(chosen) <= {0, 1}:
        raise ValueError(
            f"indices are {count} bytes, all 0 or 1, one for each record: pass Booleans for a selection, or int64 for "
            "positions"
        )
    outside = [i for i in chosen if not 0 <= i < count]
    if outside:
        raise IndexError(f"indices {outside[:5]} are outside 0..{count - 1}: choose indices of these {count} records")
    return chosen


def record_number(index: int, count: int, what: str) -> int:
    """Which of ``count`` records a whole number means; negative ones count from the end.

    Args:
        index: The number.
        count: Of the records.
        what: How a message calls the records.

    Raises:
        TypeError: No whole number; several records are chosen with ``subset``.
        IndexError: There is no such record; a loop over the records ends with it.
    """
    try:
        number = operator.index(index)
    except TypeError:
        number = None
    if number is None or isinstance(index, bool):
        raise TypeError(f"record {index!r:.80} of {what}: expected a whole number; choose several with subset([…])")
    if not -count <= number < count:
        raise IndexError(f"record {number} of {what}: there are {count}")
    return number % count


def check_same_classes(lists: Mapping[str, Sequence[str]]) -> None:
    """Refuse class lists that differ: classes are compared by their numbers.

    Args:
        lists: By the name of what each belongs to, for example ``{"voc2012/train": records.classes, …}``.

    Raises:
        ValueError: Two lists differ, in their names or in the order of them.
    """
    (first, expected), *others = ((name, tuple(classes)) for name, classes in lists.items())
    for name, classes in others:
        if classes == expected:
            continue
        only = [sorted(set(a) - set(b))[:5] for a, b in ((expected, classes), (classes, expected))]
        if any(only):
            how = f"other classes ({first} alone has {only[0]}, {name} alone {only[1]})"
        else:
            i = next(i for i, pair in enumerate(zip(expected, classes, strict=False)) if pair[0] != pair[1])
            how = f"the same classes in another order (class {i} is {expected[i]!r}, or {classes[i]!r})"
        raise ValueError(
            f"{first} and {name} have {how}, and classes are compared by number: load both with one list, "
            "load(…, classes=[…]), or build the method on that list"
        )


def batches(
    records: Records,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    transform: Callable[[Sample], Sample] | None = None,
    device: str | torch.device | None = None,
) -> Iterator[Batch]:
    """Run once through the records, in order or shuffled by ``seed``.

    Args:
        records: What to read.
        batch_size: Samples per batch; the last one may be smaller.
        shuffle: Whether to permute the records, with a generator of its own (the global one is not touched).
        seed: Decides the permutation.
        transform: Applied to each sample before stacking, for example a resize.
        device: Where the tensors go; None leaves them.

    Yields:
        Batches.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(records), generator=generator).tolist() if shuffle else list(range(len(records)))
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        batch = collate([transform(records[i]) for i in chunk]) if transform else records.batch(chunk)
        yield to_device(batch, device)


def unpadded_batches(records: Records, batch_size: int) -> Iterator[Batch]:
    """Run once through the records in order, in batches of neighbours whose images have one size: nothing is padded."""
    if records.image_size is not None:
        yield from batches(records, batch_size)
        return
    pending: list[Sample] = []
    for index in range(len(records)):
        sample = records[index]
        if pending and (len(pending) == batch_size or _image_shape(pending[0]) != _image_shape(sample)):
            yield collate(pending)
            pending = []
        pending.append(sample)
    if pending:
        yield collate(pending)


def _image_shape(sample: Sample) -> tuple[int, ...]:
    """Of its image; () of a sample without."""
    return tuple(sample["image"].shape) if "image" in sample else ()
