"""Stages of a long work: each is done once, in a folder of its own, and taken up where it was cut off.

    stages = (Stage("labels", read, identity=content), Stage("maps", write_maps, settings=("method",)), …)
    results = run_stages(stages, Work(data, out, settings))

A stage depends on its settings and on all stages before it: what changes there has it done anew, and nothing else has.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsss_lib.files import read_json, sha256_of_text, write_atomically

STATES = "stages"
"""Folder with a file for each stage: what it depends on, whether it is done, and what came out."""
MARK = "pipeline.json"
"""What makes a folder one of results, which a later run may change."""
FORMAT = 1
"""Of what the stages write; a folder of another format is begun anew."""


@dataclass
class Work:
    """What a stage is given.

    Attributes:
        data: What the user named.
        out: The folder of all results.
        settings: A frozen dataclass.
        results: What the stages before have returned, by name.
        key: Digest of what the present stage depends on.
        say: Takes a line for the user.
    """

    data: Path
    out: Path
    settings: Any
    results: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    say: Callable[[str], None] = print

    def folder(self, stage: str) -> Path:
        """Where a stage keeps its files."""
        return self.out / stage


@dataclass(frozen=True)
class Stage:
    """A part of the work.

    Attributes:
        name: Of its folder, and in what is printed.
        work: Does it, and returns what is to be known of it, as JSON holds it. Whatever it keeps lies in its folder.
            After an interruption it is called again, and may use what lies there already.
        summary: What it came to, for the user, in a line.
        settings: Names of the settings on which it depends.
        identity: What else it depends on, as JSON holds it: content outside of the folder of results.
    """

    name: str
    work: Callable[[Work], dict[str, Any]]
    summary: Callable[[dict[str, Any]], str]
    settings: Sequence[str] = ()
    identity: Callable[[Work], Any] | None = None


def run_stages(stages: Sequence[Stage], work: Work) -> dict[str, Any]:
    """Do what is not done yet, stage by stage.

    Returns:
        What each stage has returned, by name, now or in an earlier run.

    Raises:
        ValueError: The folder of results holds something else.
    """
    claim(work.out)
    before = str(FORMAT)
    for stage in stages:
        chosen = {name: getattr(work.settings, name) for name in stage.settings}
        identity = None if stage.identity is None else stage.identity(work)
        work.key = sha256_of_text(json.dumps([before, stage.name, chosen, identity], default=str, sort_keys=True))
        state = _state(work, stage)
        result = state.get("result") if state.get("key") == work.key else None
        if result is not None and all((work.out / name).is_file() for name in state.get("files", ())):
            work.say(f"{stage.name}: {stage.summary(result)} (done before)")
        else:
            result = _done(stage, work, taken_up=state.get("key") == work.key)
            work.say(f"{stage.name}: {stage.summary(result)}")
        work.results[stage.name] = result
        before = sha256_of_text(json.dumps([work.key, result], sort_keys=True))
    return work.results


def _done(stage: Stage, work: Work, taken_up: bool) -> dict[str, Any]:
    """The stage's result; what an earlier run with other settings has left goes first."""
    folder = work.folder(stage.name)
    if folder.is_dir() and not taken_up:
        shutil.rmtree(folder)
    _write(work, stage, {"key": work.key})
    # As a later run will read it, so that what depends on it is the same then.
    result = json.loads(json.dumps(stage.work(work)))
    files = sorted(path.relative_to(work.out).as_posix() for path in folder.rglob("*") if path.is_file())
    _write(work, stage, {"key": work.key, "result": result, "files": files})
    return result


def claim(out: Path) -> None:
    """Make the folder of results, or see that it is one: nothing of a person's is ever written over or removed.

    Raises:
        ValueError: It holds something else, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"the results cannot go to {out}, which is a file: name a folder, old or new, with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ValueError(f"{out} holds something else than results of this command: name another folder with --out")
    if not (out / MARK).is_file():
        try:
            write_atomically(out / MARK, json.dumps({"format": FORMAT}) + "\n")
        except OSError as error:
            cause = error.strerror or error
            raise ValueError(f"the results cannot go to {out} ({cause}): name another folder with --out") from error


def _state(work: Work, stage: Stage) -> Mapping[str, Any]:
    try:
        state = read_json(work.out / STATES / f"{stage.name}.json")
    except (OSError, ValueError):  # not begun, or cut off: the stage is done anew
        return {}
    return state if isinstance(state, dict) else {}


def _write(work: Work, stage: Stage, state: Mapping[str, Any]) -> None:
    text = json.dumps(state, indent=1, ensure_ascii=False) + "\n"
    write_atomically(work.out / STATES / f"{stage.name}.json", text)
