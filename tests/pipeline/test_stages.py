"""A stage is done once; what changes has it and what follows done anew; nothing of a person's is touched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wsss_lib.pipeline.stages import MARK, Stage, Work, run_stages


@dataclass(frozen=True)
class Choice:
    first: int = 1
    second: int = 1


class Bench:
    """Two stages that count how often they work; the second reads what the first returned."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.done: list[str] = []
        self.lines: list[str] = []
        self.content = "a"
        self.fail = False

    def stages(self) -> tuple[Stage, ...]:
        def first(work: Work) -> dict[str, Any]:
            self.done.append("first")
            folder = work.folder("first")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "half").write_text("")
            if self.fail:
                raise RuntimeError("stopped")
            (folder / "whole").write_text("")
            return {"value": work.settings.first // 20}

        def second(work: Work) -> dict[str, Any]:
            self.done.append("second")
            return {"value": work.results["first"]["value"] + work.settings.second}

        return (
            Stage("first", first, str, ("first",), lambda work: self.content),
            Stage("second", second, str, ("second",)),
        )

    def __call__(self, **choice: int) -> tuple[list[str], dict[str, Any]]:
        self.done.clear()
        results = run_stages(self.stages(), Work(self.out, self.out, Choice(**choice), say=self.lines.append))
        return list(self.done), results


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "out")


def test_what_is_done_is_not_done_again(bench: Bench) -> None:
    done, results = bench()
    assert done == ["first", "second"]
    assert bench() == ([], results)
    assert bench.lines[-1] == "second: {'value': 1} (done before)"


def test_a_change_is_followed_by_what_depends_on_it(bench: Bench) -> None:
    bench(first=10)
    assert bench(first=10, second=5)[0] == ["second"]
    assert bench(first=11, second=5)[0] == ["first", "second"], "it returns the same, and may have left another file"
    bench.content = "b"
    assert bench(first=11, second=5)[0] == ["first", "second"]
    (bench.out / "first" / "whole").unlink()
    assert bench(first=11, second=5)[0] == ["first"], "a file was missing, and is as it was"


def test_what_was_cut_off_is_taken_up_and_what_is_of_other_settings_goes(bench: Bench) -> None:
    bench.fail = True
    with pytest.raises(RuntimeError):
        bench(first=10)
    (bench.out / "first" / "kept").write_text("")
    bench.fail = False
    assert bench(first=10)[0] == ["first", "second"]
    assert (bench.out / "first" / "kept").exists(), "the same work goes on"
    bench(first=20)
    assert not (bench.out / "first" / "kept").exists(), "other work begins anew"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', '{"result": {}}'])
def test_a_state_that_was_cut_is_no_state(bench: Bench, content: str) -> None:
    bench()
    (bench.out / "stages" / "first.json").write_text(content)
    assert bench()[0] == ["first"]


def test_a_folder_that_is_not_of_results_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match=r"mine holds something else than results of this command: name another"):
        Bench(tmp_path / "mine")()
    with pytest.raises(ValueError, match=r"thesis\.txt, which is a file: name a folder"):
        Bench(tmp_path / "mine" / "thesis.txt")()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "mine", tmp_path / "mine" / "thesis.txt"]
    (tmp_path / "empty").mkdir()
    Bench(tmp_path / "empty")()
    assert json.loads((tmp_path / "empty" / MARK).read_text()) == {"format": 1}
