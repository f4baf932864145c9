"""The mutation script makes programs, each different in one place, and says which of them a test notices."""

from __future__ import annotations

import ast
from pathlib import Path

import mutate

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
    one, again, other = (mutate.drawn(["metrics"], 5, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert len(one) == 5


def test_a_test_that_looks_kills_and_one_that_does_not_lets_live(tmp_path: Path) -> None:
    (tmp_path / "tests" / "small").mkdir(parents=True)
    (tmp_path / "share.py").write_text(SOURCE)
    looks = "from share import share\n\ndef test_half():\n    assert share(1, 2) == {}\n"
    (tmp_path / "tests" / "small" / "test_share.py").write_text(looks.format("0.5"))
    assert mutate.run_tests(tmp_path, "small", 60)
    (changed,) = [m for m in mutate.mutants(Path("share.py"), SOURCE) if m.after == "part * whole"]
    (tmp_path / "share.py").write_text(changed.applied(SOURCE))
    assert not mutate.run_tests(tmp_path, "small", 60)
    (tmp_path / "tests" / "small" / "test_share.py").write_text(looks.format("share(1, 2)"))
    assert mutate.run_tests(tmp_path, "small", 60)


def test_a_test_that_stands_still_is_ended(tmp_path: Path) -> None:
    (tmp_path / "tests" / "small").mkdir(parents=True)
    (tmp_path / "tests" / "small" / "test_wait.py").write_text(
        "def test_wait():\n    import time\n    time.sleep(90)\n"
    )
    assert not mutate.run_tests(tmp_path, "small", 3)
