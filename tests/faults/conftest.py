"""Every test of faults has a watch, a cache of its own, and no network."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import strategies

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


INPUTS = pytest.StashKey[Counter[str]]()
"""By the file of tests: how many odd inputs it has tried, an example of ``hypothesis`` or a case of a test each."""


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note how many inputs a test has tried; what it notes travels with its report, from whichever process."""
    strategies.TRIED[0] = 0
    yield
    request.node.user_properties.append(("inputs", strategies.TRIED[0] or 1))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[INPUTS] = Counter()
    config.pluginmanager.register(Tally(config.stash[INPUTS]))


class Tally:
    """Adds up what the tests have noted, and tells it at the end."""

    def __init__(self, inputs: Counter[str]) -> None:
        self.inputs = inputs

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown" and report.passed:
            room = Path(report.nodeid.partition("::")[0]).stem.removeprefix("test_faults_")
            tried = sum(value for name, value in report.user_properties if name == "inputs")
            if tried:
                self.inputs[room] += tried

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.inputs:
            rooms = ", ".join(f"{room} {count}" for room, count in sorted(self.inputs.items()))
            terminalreporter.write_line(f"{self.inputs.total()} odd inputs: {rooms}")
