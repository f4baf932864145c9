"""Which images come when, and with which draws: a function of (seed, epoch, index) and of nothing else.

That is what makes a resumed run exact: it need not replay what came before, and neither worker processes nor the
number of training processes change what an image looks like.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Generator, nn
from torch.utils.data import DataLoader, Dataset

from wsss_lib.data.records import Batch, Records, Sample, collate
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.train.config import Plan, TrainConfig

Transform = Callable[[Sample], Sample] | Callable[[Sample, Generator], Sample]
"""``transform(sample)``, or ``transform(sample, generator)`` for one that draws: from ``generator`` alone.

One that draws from a global generator instead resumes exactly as long as there is one process and no worker.
"""

Key = tuple[int, list[int]]
"""An epoch, and the indices of the records that make a batch of it."""


def derive(*parts: int | str) -> int:
    """A 63-bit seed out of several values, the same on every machine, unlike for neighbouring ones."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch's order: ``batches(…, shuffle=True, seed=epoch_seed(seed, epoch))`` runs in the loop's."""
    return derive(seed, "order", epoch)


def epoch_order(seed: int, epoch: int, records: int) -> list[int]:
    """The permutation of epoch ``epoch`` (0-based)."""
    return torch.randperm(records, generator=Generator().manual_seed(epoch_seed(seed, epoch))).tolist()


def micro_batches(indices: list[int], batch_size: int) -> list[list[int]]:
    """An update's images, cut into forward passes; only the last may be smaller."""
    return [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]


def share(indices: list[int], process: int, processes: int) -> tuple[list[int], int]:
    """A process's share of a forward pass, and how many images of it count.

    The shares are contiguous and differ by one image at most. Where there are fewer images than processes, some get no
    share; they run the images all the same, because every process must take part in the exchange of the gradients, and
    their result counts zero.
    """
    low, high = (len(indices) * p // processes for p in (process, process + 1))
    return (indices[low:high], high - low) if high > low else (indices, 0)


class Reader(Dataset[Batch]):
    """Batches by epoch and indices, with an image's own generator for its random transform.

    Args:
        records: What to read; by whole batches if there is no transform.
        transform: See :data:`Transform`.
        seed: Of the run.
    """

    def __init__(self, records: Records, transform: Transform | None, seed: int) -> None:
        self.records, self.transform, self.seed = records, transform, seed
        self.draws = transform is not None and _takes_generator(transform)

    def __getitem__(self, key: Key) -> Batch:
        epoch, indices = key
        if self.transform is None:
            return self.records.batch(indices)
        if type(self.transform) is RandomFlip and self.records.image_size is not None:
            # Read and mirrored as a whole, which takes a third of the time; a class derived from it may do otherwise.
            return self.transform.whole(self.records.batch(indices), [self._generator(epoch, i) for i in indices])
        transform = cast(Callable[..., Sample], self.transform)
        samples = []
        for index in indices:
            draws = (self._generator(epoch, index),) if self.draws else ()
            samples.append(transform(self.records[index], *draws))
        return collate(samples)

    def _generator(self, epoch: int, index: int) -> Generator:
        return Generator().manual_seed(derive(self.seed, "transform", epoch, index))

    def image_size(self) -> tuple[int, int] | None:
        """(height, width) in pixels of the first image as the method sees it, or as the trunk before it saw it; None of
        records without images."""
        first = self[0, [0]]
        if "images" not in first:
            return None
        _, channels, height, width = first["images"].shape
        return (height, width) if channels == 3 else self.records.image_size or (height, width)


def stream(
    reader: Reader, config: TrainConfig, plan: Plan, start: int, process: int, processes: int
) -> Iterator[tuple[Batch, int, int]]:
    """The forward passes of a process, from update ``start`` to the end of the run.

    Yields:
        The batch (on the CPU), how many of its images count, and how many images all processes' shares have together.

    Raises:
        ValueError: Worker processes are asked for that cannot be given the records or the transform.
    """

    if config.workers:
        _picklable(reader, config.workers)

    def passes() -> Iterator[tuple[Key, int, int]]:
        order: list[int] = []
        for step in range(start, plan.steps):
            epoch, within = divmod(step, plan.steps_per_epoch)
            if not order or within == 0:
                order = epoch_order(config.seed, epoch, len(reader.records))[: plan.records]
            for indices in micro_batches(order[within * plan.step_size :][: plan.step_size], config.batch_size):
                mine, counted = share(indices, process, processes)
                yield (epoch, mine), counted, len(indices)

    loader: DataLoader[Batch] = DataLoader(
        reader,
        sampler=(key for key, _, _ in passes()),
        batch_size=None,
        num_workers=config.workers,
        collate_fn=_unchanged,
        generator=Generator(),  # else each pass through the loader would draw from the global one
    )
    for batch, (_, counted, together) in zip(loader, passes(), strict=True):
        yield batch, counted, together


class _Nowhere:
    """A file that forgets."""

    def write(self, data: bytes) -> int:
        return len(data)


def _picklable(reader: Reader, workers: int) -> None:
    """Refuse what worker processes could not be sent, where they do not inherit the memory of this one."""
    method = torch.multiprocessing.get_start_method()
    if method == "fork":
        return
    for name, value in (("transform", reader.transform), ("records", reader.records)):
        try:
            pickle.Pickler(_Nowhere()).dump(value)
        except Exception as error:
            raise ValueError(
                f"workers is {workers}, and worker processes are started by {method!r} here, which cannot send them "
                f"the {name} ({error}): make a lambda or an inner function one of a module, or set workers=0"
            ) from error


def _unchanged(batch: Any) -> Any:
    return batch


def _takes_generator(transform: Callable[..., Any]) -> bool:
    """Whether a transform has a second positional parameter that it needs, or that is called ``generator``."""
    call = transform.forward if isinstance(transform, nn.Module) else transform
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except ValueError:  # a builtin without a signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 and (positional[1].default is positional[1].empty or positional[1].name == "generator")
