"""Every test of faults has a watch, a cache of its own, and no network."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

WATCH = 120
"""Seconds after which a test counts as hung; on a machine with nothing else to do each takes a few."""


@pytest.fixture(autouse=True)
def watch() -> Iterator[None]:
    """Whatever hangs fails, and says where it stood."""

    def ring(*_: object) -> None:
        raise AssertionError(f"nothing happened for {WATCH} s: this input hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, WATCH)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that a test draws, fetches or converts lands in the user's folders."""
    home = tmp_path / "home"
    for name in ("WSSS_DATA", "WSSS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home
