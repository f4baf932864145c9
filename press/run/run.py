"""``wsss run``: execute chapters, two side by side, and only those that are not fresh.

Everything that can be refused is refused before the first kernel starts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from press import cells, freshness, parameters, stamps
from press.check import compare
from press.editions import exercises
from press.normalise import normalise
from press.project import ProjectError, chapters
from press.run import execute
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.files import made_folder, sha256_of_text, write_atomically

Store = Literal["no", "outputs", "confirm"]


@dataclass
class Job:
    """One chapter to execute: ``shown`` is what the page prints, ``executed`` has absolute paths in its parameters."""

    name: str
    source: Path
    target: Path
    shown: cells.Notebook
    executed: cells.Notebook
    parts: Mapping[str, str]
    """What the run is made of, from before it starts; see :func:`press.freshness.made_of`."""
    seconds: float
    """What it took when it was last stored: the longest starts first, which shortens the whole."""
    cached: bool = False
    failure: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    """What the run knows of itself, for the chapter's stamp; see :func:`press.stamps.about`."""


def run(
    root: Path,
    names: Sequence[str] = (),
    *,
    profile: str = "book",
    given: Mapping[str, str] | None = None,
    jobs: int = 2,
    out: Path | None = None,
    store: Store = "no",
    timeout: int | None = None,
    tell: Callable[[str], None] = print,
) -> list[Job]:
    """Execute chapters and write them normalised.

    Args:
        root: The clone.
        names: Chapters (see :func:`press.project.chapters`); none means all.
        profile: Value of the parameter ``profile``.
        given: Further parameters as typed; relative paths in them start from the current folder.
        jobs: Kernels at a time.
        out: Folder of the executed notebooks; ``_build/run/<profile>`` by default.
        store: ``"outputs"``: put them into the chapters themselves, as an author does. ``"confirm"``: leave what is
            stored and renew its stamp, if what was computed agrees; a chapter that does not has failed.
        timeout: Seconds a cell may take; the profile's by default.
        tell: Where finished lines go.

    Returns:
        The jobs; one that failed has ``failure`` set.

    Raises:
        ProjectError, ParameterError, ValueError: Something is refused before anything runs.
    """
    given = dict(given or {})
    if "profile" in given:
        raise parameters.ParameterError("-p profile=… was given: use --profile, which also sets limits and folders")
    if store != "no" and (given or profile != "book"):
        raise ProjectError(
            "--in-place and --confirm are about what a chapter computes as it stands: give no -p and no other profile"
        )
    folder = out or root / "_build" / "run" / profile
    plan = prepare(root, chapters(root, names), profile, given, folder)
    made_folder(folder, "executed chapters")
    for job in plan:
        kept = freshness.read_record(job.target)
        job.about = kept.get("about", {})
        job.cached = kept.get("parts") == job.parts and (store == "no" or bool(job.about))
    due = sorted((job for job in plan if not job.cached), key=lambda job: (-job.seconds, job.name))
    own_data = "data" in given  # photographs: how long they take, nobody knows
    limit = timeout or (None if own_data else PROFILES[profile].limit)
    for job in plan:
        if job.cached:
            finish(job, cells.read(job.target), store, ())
            tell(job.failure or f"{job.name}: unchanged")
    if due:
        offline = PROFILES[profile].offline and not {"data", "backbone"} & set(given)
        # What is stored has one thread. A long run on photographs that is alone has every core.
        one_thread = PROFILES[profile].offline and not (own_data and len(due) == 1)
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            running: list[subprocess.Popen[bytes]] = []
            settings = (root, limit, profile, offline, one_thread, store, tell, running)
            work = [pool.submit(_execute, job, *settings) for job in due]
            try:
                for future in work:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in running:
                    process.terminate()
                raise
    return plan


def prepare(root: Path, paths: Sequence[Path], profile: str, given: Mapping[str, str], folder: Path) -> list[Job]:
    """Check every chapter's parameters and compute the keys; nothing runs."""
    known = stamps.read(root)
    plain = profile == "book" and not given
    result = []
    for path in paths:
        notebook = cells.read(path)
        shown = parameters.resolve(notebook, path.stem, {"profile": profile, **given})
        values = parameters.absolute(shown, Path.cwd())
        parts = freshness.made_of(root, notebook, values)
        if (PROFILES[profile].keeps or "data" in given) and "out_dir" not in given:
            # The same run finds its checkpoints when its command is typed again; one of other code begins anew.
            digest = sha256_of_text(json.dumps(sorted(parts.items())))[:8]
            values["out_dir"] = str(root / "runs" / f"{path.stem}-{profile}-{digest}")
        executed = parameters.inject(notebook, path.stem, values)
        job = Job(
            name=path.stem,
            source=path,
            target=folder / path.name,
            shown=parameters.inject(notebook, path.stem, shown),
            executed=exercises.with_trials(executed) if plain else executed,
            parts=parts,
            seconds=known.get(path.stem, {}).get("seconds", float("inf")),
        )
        result.append(job)
    return result


def carry_over(source: cells.Notebook, executed: cells.Notebook) -> cells.Notebook:
    """The source's cells with the executed notebook's outputs: how changed prose is taken over without running.

    Raises:
        ValueError: The code differs (comments and the parameters cell apart); the outputs belong to another notebook.
    """
    mine, theirs = cells.code_cells(source), cells.code_cells(exercises.without_trials(executed))
    codes = [[cells.code(c) for c in side if "parameters" not in cells.tags(c)] for side in (mine, theirs)]
    if codes[0] != codes[1] or len(mine) != len(theirs):
        raise ValueError("the code was edited while it ran, and its outputs no longer belong to it: run it again")
    for cell, computed in zip(mine, theirs, strict=True):
        cell.outputs, cell.execution_count = computed.outputs, computed.execution_count
    return source


def _execute(
    job: Job,
    root: Path,
    limit: int | None,
    profile: str,
    offline: bool,
    one_thread: bool,
    store: Store,
    tell: Callable[[str], None],
    running: list[subprocess.Popen[bytes]],
) -> None:
    began = time.monotonic()
    tell(f"{job.name}: started")
    with tempfile.TemporaryDirectory(prefix="wsss-run-", ignore_cleanup_errors=True) as name:
        work = Path(name).resolve()
        environment = execute.environment(work, root / "_build" / "cache", one_thread=one_thread, offline=offline)
        answer = execute.start(job.name, job.executed, work, environment, timeout=limit, started=running.append)
        seconds = time.monotonic() - began
        if answer.get("ok"):
            result = cells.read(work / "out.ipynb")
            job.about = stamps.about(profile, seconds, answer["memory_mb"], one_thread)
            finish(job, result, store, hidden(root, work))
            tell(job.failure or f"{job.name}: done in {seconds:.0f} s")
            return
        failed = job.target.with_suffix(".failed.ipynb")
        if (work / "out.ipynb").is_file():
            write_atomically(failed, (work / "out.ipynb").read_bytes())
        where = f" in {answer['where']}" if answer.get("where") else ""
        job.failure = f"{job.name} failed{where}: {answer['error']}; its outputs are in {failed}"
        tell(job.failure)


def hidden(root: Path, work: Path) -> list[str]:
    """Places of this machine that no output names: those of the run and of the clone, home, and the like."""
    return [str(work / "empty"), str(work), str(root), sys.prefix, str(Path.home()), tempfile.gettempdir()]


def finish(job: Job, executed: cells.Notebook, store: Store, hidden: Sequence[str]) -> None:
    """Write the normalised result and its record; store its outputs in the chapter, or compare them with these."""
    result = normalise(carry_over(job.shown, executed), hidden)
    cells.write(result, job.target)
    job.target.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    freshness.write_record(job.target, job.parts, job.about)
    if store == "no":
        return
    stored = cells.read(job.source)
    if store == "outputs":
        stored = normalise(carry_over(stored, result))
        cells.write(stored, job.source)
    if differences := compare.differences(result, stored):
        lines = "".join(f"\n  {line}" for line in differences)
        remedy = f"look, then `wsss run {job.name} --in-place`"
        job.failure = f"{job.name} computes other outputs than it stores; {remedy}:{lines}"
    else:
        stamps.stamp(job.source.resolve().parents[2], job.name, stored, job.about)
