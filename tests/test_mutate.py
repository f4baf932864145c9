"""The mutation script makes programs, each different in one place, and says which of them a test notices."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import judge
import mutate
import pytest

SOURCE = '''"""A module: 1 + 1."""
LIMIT: int = 3

def share(part: float, whole: float = 1.0) -> float:
    """Part / whole."""
    if whole <= 0 and not part:
        raise ValueError(f"whole is {whole + 0}: pass more than 0")
    count = 0
    count += 1
    print(count)
    return part / whole if part != 7 else -part
'''


def test_each_mutant_is_a_program_that_differs() -> None:
    made = list(mutate.mutants(Path("share.py"), SOURCE))
    plain = ast.unparse(ast.parse(SOURCE))
    texts = [mutant.applied(SOURCE) for mutant in made]
    assert len(set(texts)) == len(texts)
    for mutant, text in zip(made, texts, strict=True):
        compile(text, "share.py", "exec")
        lines = [a != b for a, b in zip(text.splitlines(), plain.splitlines(), strict=True)]
        assert sum(lines) == 1, mutant
    changes = {(mutant.before, mutant.after) for mutant in made}
    assert {
        ("whole <= 0", "whole < 0"), ("part / whole", "part * whole"), ("count += 1", "count -= 1"),
        ("count += 1", "pass"), ("print(count)", "pass"), ("part != 7", "part == 7"), ("3", "4"), ("-part", "+part"),
    } <= changes  # fmt: skip


def test_what_people_read_is_left_alone() -> None:
    for mutant in mutate.mutants(Path("share.py"), SOURCE):
        for text in ('"""A module: 1 + 1."""', "pass more than 0", "whole + 0"):
            assert text in mutant.applied(SOURCE)


def test_the_seed_decides() -> None:
    one, again, other = (mutate.drawn("metrics", 5, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert len(one) == 5


STATEMENTS = """\
@kept(size=1)
def outer(first=2,
          second=3):
    if (first
            > 4):
        pairs = [first + 5,
                 second + 6]
    return lambda: 7


class Sized:
    limit = 8
    def size(self):
        for _ in range(9): print(10)
"""


@pytest.mark.parametrize(
    ("number", "lines", "at_import"),
    [
        (1, {1, 2, 3}, True), (2, {1, 2, 3}, True), (3, {1, 2, 3}, True), (4, {4, 5}, False), (5, {6, 7}, False),
        (6, {6, 7}, False), (7, {8}, False), (8, {12}, True), (9, {14}, False), (10, {14}, False),
    ],
)  # fmt: skip
def test_a_mutant_knows_the_lines_of_its_statement(number: int, lines: set[int], at_import: bool) -> None:
    made = {mutant.before: mutant for mutant in mutate.mutants(Path("outer.py"), STATEMENTS)}
    assert (made[str(number)].lines, made[str(number)].at_import) == (lines, at_import)


LIBRARY = {
    "wsss_lib/__init__.py": "",
    "wsss_lib/small/__init__.py": "",
    "wsss_lib/small/share.py": """\
from functools import cache

WHOLE = 4


def share(part):
    return part / WHOLE


def waits(times):
    while times > 0:
        times = times - 1


def nobody():
    return 1 + 1


@cache
def kept():
    return 2 * 3


def apart():
    return 5 - 1
""",
    "tests/small/test_share.py": """\
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from wsss_lib.small import share


@pytest.fixture(scope="module")
def half():
    time.sleep(0.5)
    return share.share(2)


def test_share(half):
    assert half == 0.5


def test_half(half):
    assert half > 0


def test_waits():
    share.waits(3)


def test_runs_what_is_kept():
    share.kept()


@given(integers(0, 3))
def test_kept(_):
    assert share.kept() == 6


def test_apart():
    done = subprocess.run([sys.executable, "-c", "from wsss_lib.small.share import apart; exit(apart())"])
    assert done.returncode == 4
""",
}


def laid_out(folder: Path) -> Path:
    """The small library and its tests, in files."""
    for name, text in LIBRARY.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder.resolve()


TRIALS = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import judge, mutate
folder, path = Path(sys.argv[2]), Path("wsss_lib/small/share.py")
judge.PATIENCE = (2, 5)
reach = judge.explore(folder, "small")
made = {}
for mutant in mutate.mutants(path, (folder / path).read_text()):
    tests = [test.partition("::")[2] for test in reach.tests(path, mutant.lines, mutant.at_import)]
    made[f"{mutant.before} > {mutant.after}"] = [tests, mutate.survives(mutant, folder, reach)]
print(json.dumps([made, reach.seconds, reach.longest]))
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All that is known of changes of the small library and of its tests."""
    folder = laid_out(tmp_path_factory.mktemp("small"))
    order = [sys.executable, "-c", TRIALS, str(Path(judge.__file__).parent), str(folder)]
    done = subprocess.run(order, capture_output=True, text=True, check=True, timeout=300)
    assert (folder / "wsss_lib/small/share.py").read_text() == LIBRARY["wsss_lib/small/share.py"]
    return json.loads(done.stdout)


@pytest.fixture
def trials(tried: list[dict[str, Any]]) -> dict[str, tuple[list[str], bool]]:
    """Of each change of the small library: the tests that are asked, and whether it survives."""
    return tried[0]


def test_a_change_is_judged_by_the_tests_that_execute_its_line(trials) -> None:
    tests, survives = trials["part / WHOLE > part * WHOLE"]
    assert set(tests) == {"test_share", "test_half", "test_apart"}  # by the fixture that they share
    assert not survives
    tests, survives = trials["2 * 3 > 2 / 3"]
    assert set(tests) == {"test_runs_what_is_kept", "test_kept", "test_apart"}  # no cache hides a line
    assert not survives


def test_a_test_that_starts_a_process_is_asked_last_of_every_line(trials) -> None:
    assert {tests[-1] for tests, _ in trials.values()} == {"test_apart"}
    assert trials["1 + 1 > 1 - 1"] == [["test_apart"], True]
    assert trials["5 - 1 > 5 + 1"] == [["test_apart"], False]


def test_what_an_import_executes_is_judged_by_all_tests(trials) -> None:
    tests, survives = trials["4 > 5"]
    assert len(tests) == 6
    assert not survives


def test_a_test_that_stands_still_is_ended(trials) -> None:
    assert trials["times - 1 > times + 1"] == [["test_waits", "test_apart"], False]
    assert trials["times > 0 > times >= 0"] == [["test_waits", "test_apart"], True]


def test_a_test_may_take_as_long_as_it_and_its_fixtures_took(tried) -> None:
    _, seconds, longest = ({name.partition("::")[2]: value for name, value in of.items()} for of in tried)
    made_it, had_it = sorted(("test_share", "test_half"), key=seconds.__getitem__, reverse=True)
    assert longest[had_it] > 0.5 > seconds[had_it], "where it is asked first, it makes the fixture itself"
    assert longest[made_it] > seconds[made_it] > 0.5
    assert longest["test_waits"] == seconds["test_waits"]


def test_the_cheapest_file_is_asked_first() -> None:
    seconds = {"a.py::slow": 3.0, "a.py::quick": 0.1, "b.py::long": 2.0, "b.py::short": 0.5, "c.py::other": 9.0}
    reach = judge.Reach(
        seconds, {"m.py": {1: set(seconds) - {"c.py::other"}, 2: {"a.py::slow", judge.IMPORT}}}, set(), {}
    )
    assert reach.tests(Path("m.py"), [1], False) == ["b.py::short", "b.py::long", "a.py::quick", "a.py::slow"]
    assert reach.tests(Path("m.py"), [2], False)[0] == "a.py::slow"
    assert reach.tests(Path("m.py"), [2], False)[-1] == "c.py::other"
    assert reach.tests(Path("m.py"), [3], False) == []


def test_every_explanation_is_of_a_mutant_that_is_there() -> None:
    known = mutate.explanations()
    files = {Path(path): (mutate.ROOT / path).read_text(encoding="utf-8") for path, *_ in known}
    there = {mutate.key(m) for path, source in files.items() for m in mutate.mutants(path, source)}
    assert set(known) <= there
    assert all(why.endswith(".") for why in known.values())


def test_rooms_are_recorded_one_after_the_other_with_the_reasons_of_today(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    monkeypatch.setattr(mutate, "explanations", dict)
    one = {"path": "a.py", "line": "x = ‸1", "before": "1", "after": "2", "place": "3:4", "why": ""}
    room = {"seed": 5, "possible": 9, "tried": 2, "killed": 1, "seconds": 30, "survived": [one]}
    mutate.write({"data": room})
    monkeypatch.setattr(mutate, "explanations", lambda: {("a.py", "x = ‸1", "1", "2"): "Nobody reads it."})
    mutate.write({"maps": {**room, "seed": 6, "survived": []}})
    record = json.loads((tmp_path / "book" / "mutants.json").read_text())
    assert list(record["data"]) == ["maps", "data"]
    assert record["data"]["data"]["survived"] == [one | {"why": "Nobody reads it."}]
    assert record["provenance"]["wall_seconds"] == 60
    assert record["provenance"]["seeds"] == [5, 6]
