"""Which tests reach a line, and do they notice a change of it? Each trial is a process of its own, begun warm.

The first run of a room's tests records, by coverage.py, which test executes which lines of the library. A change is
then tried by the tests that reach it, those of the cheapest file first, until one fails. The parent imports torch and
the like once, and every trial is a fork of it. It imports nothing of the library: each fork does, as it is by then.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and NumPy: a fork has no threads of its parent

import coverage
import hypothesis
import pytest

WARM = (
    "accelerate", "datasets", "matplotlib.pyplot", "scipy.ndimage", "skimage.measure", "timm", "torch", "torchvision",
)  # fmt: skip
"""What most tests import, beside pytest and Hypothesis."""
PATIENCE = (15.0, 5.0)
"""A test stands still after so many seconds, and so many times what it and its fixtures took in the first run."""
COLLECTING = 120
"""Seconds after which the import of the library or of the tests stands still."""
PROCESSES = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})
"""Audit events of a test that starts a process: what is executed there, the parent's coverage does not see."""
SAID = "said.txt"
"""What the latest trial printed, in the copy."""
IMPORT = ""
"""Coverage's name for what no test executes, but the import of the library."""


def warm() -> None:
    """Import what most tests import, so that no trial has to."""
    for name in WARM:
        importlib.import_module(name)


@dataclass
class Reach:
    """What a first run of tests has shown.

    Attributes:
        seconds: By test, what it took.
        lines: By file (relative to the copy) and line, the tests that execute it; :data:`IMPORT` among them where an
            import does.
        processes: Tests that start a process, which may execute anything.
        longest: By test, what it takes where it is the one that makes the fixtures which it shares with others.
    """

    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]]
    processes: set[str]
    longest: dict[str, float]

    def tests(self, path: Path, lines: Iterable[int], at_import: bool) -> list[str]:
        """The tests that may notice a change of these lines, in the order in which they are best run.

        What an import executes may reach any test, so all are named, those first that execute anything of the file.
        """
        of_file = self.lines.get(path.as_posix(), {})
        nearest = set[str]().union(*(of_file.get(line, set()) for line in lines))
        groups = [nearest - self.processes]
        if at_import or IMPORT in nearest:
            groups += [set[str]().union(*of_file.values()) - self.processes, set(self.seconds) - self.processes]
        groups.append(self.processes)
        ordered: dict[str, None] = {}
        for group in groups:
            ordered |= dict.fromkeys(self._cheapest(group - {IMPORT} - set(ordered)))
        return list(ordered)

    def _cheapest(self, tests: set[str]) -> list[str]:
        """In files, for what the tests of a file share is made once; the cheapest file and test first."""
        of_file: dict[str, float] = defaultdict(float)
        for test in tests:
            of_file[_file(test)] += self.seconds[test]
        return sorted(tests, key=lambda test: (of_file[_file(test)], _file(test), self.seconds[test], test))


def _file(test: str) -> str:
    return test.partition("::")[0]


def explore(folder: Path, room: str) -> Reach | None:
    """Run the tests of a room in a copy of the project.

    Args:
        folder: The copy; the first run also compiles what the trials import.
        room: A folder of ``wsss_lib`` and of ``tests``.

    Returns:
        What each test reaches, or None where one fails.
    """
    kept = folder / "reach.json"

    def work() -> int:
        recorder = Recorder(folder, folder / "wsss_lib" / room)
        code = _pytest([f"tests/{room}"], recorder)
        kept.write_text(json.dumps(recorder.result()), encoding="utf-8")
        return code

    if apart(folder, work):
        return None
    known = json.loads(kept.read_text(encoding="utf-8"))
    names = known["names"]
    lines = {
        path: {int(line): {names[number] for number in numbers} for line, numbers in of.items()}
        for path, of in known["lines"].items()
    }
    return Reach(known["seconds"], lines, set(known["processes"]), known["longest"])


def passes(folder: Path, tests: list[str], longest: dict[str, float]) -> bool:
    """Whether tests pass in a copy of the project: none fails, and none stands still.

    Args:
        folder: The copy.
        tests: By their names, in order; the first that fails is the last that runs.
        longest: What each test of the room may take; one that is not named here is new, and runs too.
    """
    files = list(dict.fromkeys(_file(test) for test in tests))
    code = apart(folder, lambda: _pytest(files, Selection(tests, longest)))
    return code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def apart(folder: Path, work: Callable[[], int]) -> int:
    """What a work returns that is done by a process of its own, which sees the copy in place of the project.

    Args:
        folder: The copy.
        work: What to do; what it prints goes to :data:`SAID`.

    Returns:
        An exit code: 1 where the work raises, the negative signal where one ended it.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setsid()  # its own group: tests start processes too
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            original = Path(__file__).resolve().parents[1]
            sys.path[:] = [str(folder), *(p for p in sys.path if Path(p) not in (original, original / "tests"))]
            os.environ["PYTHONPATH"] = str(folder)
            code = work()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def _pytest(files: list[str], plugin: object) -> int:
    # The same examples each time, and none made small: a failure is enough.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("judge", phases=phases, database=None, derandomize=True, deadline=None)
    hypothesis.settings.load_profile("judge")
    options = ["-x", "-q", "--tb=line", "-m", "not shared"]
    absent = [f"-pno:{name}" for name in ("cacheprovider", "nbval", "xdist")]
    return int(pytest.main([*options, *absent, *files], plugins=[plugin]))


class Selection:
    """A plugin of pytest: only these tests, in this order, and an end to what stands still."""

    def __init__(self, tests: list[str], longest: dict[str, float]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}
        self.longest = longest
        sys.dont_write_bytecode = True  # a change may keep a file's size and second, all that Python looks at
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        self.wait(COLLECTING)

    @staticmethod
    def wait(seconds: float) -> None:
        """No handler in Python: the signal also ends what stands still in C."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        new = [item for item in items if item.nodeid not in self.longest]
        chosen = [item for item in items if item.nodeid in self.places]
        items[:] = [*sorted(chosen, key=lambda item: self.places[item.nodeid]), *new]

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        least, times = PATIENCE
        self.wait(least + times * self.longest.get(item.nodeid, 0))


class Recorder:
    """A plugin of pytest: which test, or which fixture that tests share, executes which lines."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder.resolve()
        self.current = [IMPORT]
        self.seconds: dict[str, float] = defaultdict(float)
        self.made: dict[str, float] = {}  # what a shared fixture took
        self.users: dict[str, set[str]] = {}  # of a shared fixture
        self.started: set[str] = set()
        sys.addaudithook(lambda event, _: self.started.add(self.current[-1]) if event in PROCESSES else None)
        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, messages=False, include=[f"{library.resolve()}/*"]
        )
        self.coverage.start()

    @contextlib.contextmanager
    def counting_for(self, name: str) -> Generator[None]:
        self.current.append(name)
        self.coverage.switch_context(name)
        yield
        self.current.pop()
        self.coverage.switch_context(self.current[-1])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                for definition in definitions:
                    self.users.setdefault(_shared(definition), set()).add(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        for module in [module for name, module in sys.modules.items() if name.startswith("wsss_lib")]:
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):  # who reads it would seem to execute nothing
                    value.cache_clear()
        with self.counting_for(item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        if fixturedef.scope == "function":
            return (yield)
        began, name = time.monotonic(), _shared(fixturedef)
        with self.counting_for(name):
            made = yield
        self.made[name] = max(self.made.get(name, 0), time.monotonic() - began)
        return made

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def result(self) -> dict[str, Any]:
        """As :class:`Reach`, in what JSON can hold; tests as numbers, for the same ones stand at many lines."""
        self.coverage.stop()
        data = self.coverage.get_data()
        names = [IMPORT, *self.seconds]
        numbers = {name: {number} for number, name in enumerate(names)}
        numbers |= {name: {number for user in users for number in numbers[user]} for name, users in self.users.items()}
        lines = {
            Path(path).relative_to(self.folder).as_posix(): {
                line: sorted(set[int]().union(*(numbers[name] for name in reached)))
                for line, reached in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        processes = sorted({names[number] for name in self.started for number in numbers[name]} - {IMPORT})
        longest = {
            test: taken + sum(self.made.get(name, 0) for name, users in self.users.items() if test in users)
            for test, taken in self.seconds.items()
        }
        return {
            "names": names, "seconds": self.seconds, "lines": lines, "processes": processes, "longest": longest,
        }  # fmt: skip


def _shared(definition: pytest.FixtureDef[Any]) -> str:
    return f"{definition.baseid}::fixture {definition.argname}"
