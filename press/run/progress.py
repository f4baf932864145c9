"""Show how far several chapters are: a line when one starts and ends, and now and then one about all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

EVERY = 15.0
"""Seconds between two lines about the chapters under way."""


def clock(seconds: float) -> str:
    """``63.2`` as ``1:03``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Chapters under way, each with cell k/n and elapsed time."""

    def __init__(self, tell: Callable[[str], None] = print) -> None:
        self._tell = tell
        self._state: dict[str, tuple[float, int, int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def start(self, name: str) -> None:
        """A chapter's kernel is about to start."""
        with self._lock:
            self._state[name] = (time.monotonic(), 0, 0)
            self._tell(f"{name}: started")

    def at(self, name: str, cell: int, of: int) -> None:
        """Cell ``cell`` of ``of`` has begun."""
        with self._lock:
            self._state[name] = (self._state[name][0], cell, of)

    def end(self, name: str, line: str) -> None:
        """The chapter is over; ``line`` says how."""
        with self._lock:
            self._state.pop(name, None)
            self._tell(line)

    def _tick(self) -> None:
        while not self._stop.wait(EVERY):
            now = time.monotonic()
            with self._lock:
                parts = [f"{name} cell {k}/{n} {clock(now - since)}" for name, (since, k, n) in self._state.items()]
                if parts:
                    self._tell("   ".join(parts))
