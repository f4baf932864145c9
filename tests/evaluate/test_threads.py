"""Reading and counting beside the network: the order stays, errors arrive, nothing piles up or is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from wsss_lib.evaluate.threads import AHEAD, Beside, read_ahead


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_items_keep_their_order_and_are_read_meanwhile() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for i in range(9):
            read.append(i)
            yield i

    ahead = read_ahead(items())
    assert next(ahead) == 0
    for _ in range(200):
        if len(read) > 1:
            break
        time.sleep(0.01)
    assert 1 < len(read) <= 1 + AHEAD
    assert list(ahead) == list(range(1, 9))
    assert list(read_ahead([])) == []


def test_an_error_of_reading_is_raised_where_its_item_is_due() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise OSError("the disk is gone")

    ahead = read_ahead(items())
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_who_stops_early_leaves_no_thread() -> None:
    before = threads()
    ahead = read_ahead(iter(range(1000)))
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]

    def stopped() -> None:
        with Beside(lambda i: None) as beside:
            beside(1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert threads() == before


def test_calls_keep_their_order_and_are_all_made() -> None:
    calls: list[int] = []

    def slow(i: int) -> None:
        time.sleep(0.002 * (i % 3))
        calls.append(i)
        assert not torch.is_grad_enabled()

    with torch.enable_grad(), Beside(slow) as beside:
        for i in range(20):
            beside(i)
            assert i - len(calls) <= AHEAD + 1  # those that wait, and the one that runs
    assert calls == list(range(20))


@pytest.mark.parametrize("after", [0, 5])
def test_an_error_of_counting_is_raised(after: int) -> None:
    counted: list[int] = []

    def count(i: int) -> None:
        counted.append(i)
        if i == 1:
            raise ValueError("no such class")

    def everything() -> None:
        with Beside(count) as beside:
            for i in range(2 + after):
                beside(i)

    with pytest.raises(ValueError, match="no such class"):
        everything()
    assert len(counted) <= 2 + AHEAD
