"""Show how far several chapters are: one line that is rewritten on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

EVERY = 15.0
"""Seconds between two lines where nothing can be rewritten, as in a CI log."""


def clock(seconds: float) -> str:
    """``63.2`` as ``1:03``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Chapters under way, each with cell k/n and elapsed time."""

    def __init__(self, tell: Callable[[str], None] = print, stream: TextIO | None = None) -> None:
        self._tell, self._stream = tell, stream or sys.stderr
        self._rewrites = self._stream.isatty()
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
        self._clear()

    def start(self, name: str) -> None:
        """A chapter's kernel is about to start."""
        with self._lock:
            self._state[name] = (time.monotonic(), 0, 0)
        if not self._rewrites:
            self._tell(f"{name}: started")

    def at(self, name: str, cell: int, of: int) -> None:
        """Cell ``cell`` of ``of`` has begun."""
        with self._lock:
            self._state[name] = (self._state[name][0], cell, of)

    def end(self, name: str, line: str) -> None:
        """The chapter is over; ``line`` says how."""
        with self._lock:
            self._state.pop(name, None)
            self._clear()
            self._tell(line)

    def line(self) -> str:
        """All chapters under way in one line."""
        now = time.monotonic()
        parts = [
            f"{name} cell {cell}/{of} {clock(now - since)}" if of else f"{name} kernel {clock(now - since)}"
            for name, (since, cell, of) in self._state.items()
        ]
        return "   ".join(parts)

    def _tick(self) -> None:
        while not self._stop.wait(0.5 if self._rewrites else EVERY):
            with self._lock:
                if self._rewrites:
                    self._stream.write(f"\r\x1b[K{self.line()}")
                    self._stream.flush()
                elif self._state:
                    self._tell(self.line())

    def _clear(self) -> None:
        if self._rewrites:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
