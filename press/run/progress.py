"""Show how far several chapters are: a line when one starts and ends, and now and then one about all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

EVERY = 15.0
"""Seconds between two lines about the chapters under way."""


def clock(seconds: float) -> str:
    """``63.2`` as ``1:03``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Chapters under way, each with the cell that it has come to."""

    def __init__(self, tell: Callable[[str], None] = print) -> None:
        self._tell = tell
        self._under_way: dict[str, str] = {}
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def start(self, name: str) -> None:
        """A chapter's kernel is about to start."""
        with self._lock:
            self._tell(f"{name}: started")

    def at(self, name: str, message: Mapping[str, Any]) -> None:
        """A cell has begun: ``{"cell": 3, "of": 40}``; another message says nothing."""
        with self._lock:
            if "cell" in message:
                self._under_way[name] = f"{name} cell {message['cell']}/{message['of']}"
            if time.monotonic() - self._last > EVERY:
                self._last = time.monotonic()
                self._tell("   ".join(self._under_way.values()))

    def end(self, name: str, line: str) -> None:
        """The chapter is over; ``line`` says how."""
        with self._lock:
            self._under_way.pop(name, None)
            self._tell(line)
