"""Reading, predicting and counting side by side: each waits for none of the others' work on a batch.

Two threads beside the one that predicts: what they do, decoding and counting, runs outside Python's lock. Batches keep
their order, and only one thread counts, so that sums come out the same, bit for bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")

AHEAD = 2
"""Batches that wait between two stages, at most: more would hold memory, and save no time."""


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in their order, the next ones read in a thread meanwhile; an error is raised where its item is due."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as thread:
        waiting: deque[Future[Any]] = deque()
        try:
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(thread.submit(next, source, end))
                item = waiting.popleft().result()
                if item is end:
                    return
                yield item
        finally:
            for future in waiting:
                future.cancel()


class Beside:
    """Calls a function in a thread, call by call in their order; within a ``with`` block, which waits for all of them.

    Args:
        function: What is called, without gradients.

    Raises:
        Exception: What a call raised, at one of the next calls or at the end of the block.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = torch.no_grad()(function)  # whether gradients are kept is a matter of each thread
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counting")
        self._waiting: deque[Future[Any]] = deque()

    def __call__(self, *arguments: Any) -> None:
        while len(self._waiting) >= AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._function, *arguments))

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._thread.shutdown(cancel_futures=True)
