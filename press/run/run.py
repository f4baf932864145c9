"""``wsss run``: execute chapters, two side by side, and only those whose key changed.

Everything that can be refused is refused before the first kernel starts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from press import cells, digests, parameters
from press.check import stamps
from press.normalise import normalise
from press.project import ProjectError, chapters
from press.run import execute, key, settle
from press.run.progress import Progress, clock

TIMEOUTS: dict[str, int | None] = {"smoke": 120, "book": 600, "colab": 3600, "paper": None}
"""Seconds that one cell may take, by profile."""


@dataclass
class Job:
    """One chapter to execute: ``shown`` is what the page prints, ``executed`` has absolute paths in its parameters."""

    name: str
    source: Path
    target: Path
    shown: cells.Notebook
    executed: cells.Notebook
    key: str
    seconds: float = float("inf")
    cached: bool = False
    failure: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    """What the run knows of itself, for the chapter's stamp: date, seconds, memory, machine."""
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        """The file beside the output that holds its key."""
        return self.target.with_suffix(".json")


def run(
    root: Path,
    names: Sequence[str] = (),
    *,
    profile: str = "book",
    given: Mapping[str, str] | None = None,
    jobs: int = 2,
    out: Path | None = None,
    store: settle.Store = "no",
    force: bool = False,
    timeout: int | None = None,
    typed_in: Path | None = None,
    tell: Callable[[str], None] = print,
) -> list[Job]:
    """Execute chapters and write them normalised.

    Args:
        root: The clone.
        names: Chapters (see :func:`press.project.chapters`); none means all.
        profile: Value of the parameter ``profile``.
        given: Further parameters as typed.
        jobs: Kernels at a time.
        out: Folder of the executed notebooks; ``_build/run/<profile>`` by default.
        store: ``"outputs"``: put them into the chapters themselves, as an author does. ``"confirm"``: leave what is
            stored and renew its stamp, if what was computed agrees; a chapter that does not has failed.
        force: Execute although nothing changed.
        timeout: Seconds a cell may take; the profile's by default.
        typed_in: Folder that relative paths in ``given`` start from; the current one by default.
        tell: Where finished lines go.

    Returns:
        The jobs; one that failed has ``failure`` set.

    Raises:
        ProjectError, ParameterError: Something is refused before anything runs.
    """
    given = dict(given or {})
    if "profile" in given:
        raise parameters.ParameterError("-p profile=… was given: use --profile, which also sets limits and folders")
    if store != "no" and (given or profile != "book"):
        raise ProjectError(
            "--in-place and --confirm are about what a chapter computes as it stands: give no -p and no other profile"
        )
    folder = out or root / "_build" / "run" / profile
    plan = prepare(root, chapters(root, names), profile, given, folder, typed_in or Path.cwd())
    for job in plan:
        stored = _stored(job)
        job.cached = not force and stored.get("key") == job.key and (store == "no" or "date" in stored)
        job.about = stored if job.cached else {}
        job.parts = stamps.made_of(root, cells.read(job.source)) if store != "no" else {}
    due = sorted((job for job in plan if not job.cached), key=lambda job: (-job.seconds, job.name))
    limit = timeout or TIMEOUTS[profile]
    for job in plan:
        if job.cached:
            _finish(job, cells.read(job.target), store, ())
            tell(job.failure or f"{job.name}: unchanged")
    if due:
        offline = profile in ("smoke", "book") and not {"data", "backbone"} & set(given)
        with Progress(tell) as progress, ThreadPoolExecutor(max(1, jobs)) as pool:
            running: list[subprocess.Popen[str]] = []
            work = [pool.submit(_execute, job, root, limit, profile, offline, store, progress, running) for job in due]
            try:
                for future in work:
                    future.result()
            except BaseException:
                for future in work:
                    future.cancel()
                for process in list(running):
                    process.terminate()
                raise
        _remember(root, profile, due)
    return plan


def prepare(
    root: Path, paths: Sequence[Path], profile: str, given: Mapping[str, str], folder: Path, typed_in: Path
) -> list[Job]:
    """Check every chapter's parameters and compute the keys; nothing runs."""
    library = digests.tree_digest(root / "wsss_lib")
    environment = key.environment_digest(root / "uv.lock")
    known = durations(root)
    result = []
    for path in paths:
        notebook = cells.read(path)
        shown = parameters.resolve(notebook, path.stem, {"profile": profile, **given})
        executed = parameters.absolute(shown, typed_in)
        local = [Path(executed[k]) for k in ("data", "backbone") if k in executed and executed[k] != shown[k]]
        data = digests.paths_digest([root / "results", *local]) + _known_data(str(executed.get("data", "")))
        digest = key.chapter_key(notebook, executed, library=library, environment=environment, data=data)
        if profile in key.KEEPING and "out_dir" not in given:
            executed["out_dir"] = str(key.checkpoints(root, path.stem, profile, digest))
        result.append(
            Job(
                name=path.stem,
                source=path,
                target=folder / path.name,
                shown=parameters.inject(notebook, path.stem, shown),
                executed=parameters.inject(notebook, path.stem, executed),
                key=digest,
                seconds=known.get(f"{profile}/{path.stem}", float("inf")),
                values=shown,
            )
        )
    return result


def carry_over(source: cells.Notebook, executed: cells.Notebook) -> cells.Notebook:
    """The source's cells with the executed notebook's outputs: how changed prose is taken over without running.

    Raises:
        ValueError: The code differs (the parameters cell apart); the outputs belong to another notebook.
    """
    here, there = cells.code_cells(source), cells.code_cells(executed)
    codes = [[c.source.strip("\n") for c in side if "parameters" not in cells.tags(c)] for side in (here, there)]
    if codes[0] != codes[1] or len(here) != len(there):
        raise ValueError("the code was edited while it ran, and its outputs no longer belong to it: run it again")
    for mine, theirs in zip(here, there, strict=True):
        mine.outputs, mine.execution_count = theirs.outputs, theirs.execution_count
    source.metadata = dict(source.metadata)
    source.metadata.pop("widgets", None)
    if "widgets" in executed.metadata:
        source.metadata["widgets"] = executed.metadata["widgets"]
    return source


def _execute(
    job: Job,
    root: Path,
    limit: int | None,
    profile: str,
    offline: bool,
    store: settle.Store,
    progress: Progress,
    running: list[subprocess.Popen[str]],
) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wsss-run-") as name:
        work = Path(name).resolve()
        (work / "empty").mkdir()
        execute.specify_kernel(work)
        cells.write(job.executed, work / "in.ipynb")
        order = {"input": work / "in.ipynb", "output": work / "out.ipynb", "folder": work / "empty", "timeout": limit}
        (work / "job.json").write_text(json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in order.items()}))
        cache = root / "_build" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        one_thread = profile in ("smoke", "book")
        progress.start(job.name)
        with (work / "log").open("w+") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "press.run.execute", str(work / "job.json")],
                cwd=work / "empty",
                env=execute.environment(work, cache, one_thread=one_thread, offline=offline),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            running.append(process)
            answer: dict[str, Any] = {}
            assert process.stdout is not None
            for line in process.stdout:
                answer = _message(line) or answer
                if "cell" in answer:
                    progress.at(job.name, answer["cell"], answer["of"])
            process.wait()
            running.remove(process)
            log.seek(0)
            tail = log.read().strip().splitlines()[-1:]
        job.seconds = time.monotonic() - started
        hidden = [str(work / "empty"), str(work), str(root), sys.prefix, str(Path.home()), tempfile.gettempdir()]
        if answer.get("ok"):
            result = cells.read(work / "out.ipynb")
            job.about = settle.about(result, profile, job.seconds, answer["memory_mb"], one_thread)
            _finish(job, result, store, hidden)
            progress.end(job.name, job.failure or f"{job.name}: done in {clock(job.seconds)}")
            return
        failed = job.target.with_suffix(".failed.ipynb")
        if (work / "out.ipynb").is_file():
            failed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(work / "out.ipynb", failed)
        what = answer.get("error") or f"the runner stopped ({' '.join(tail) or f'exit code {process.returncode}'})"
        where = f" in {answer['where']}" if answer.get("where") else ""
        job.failure = f"{job.name} failed{where}: {what}; its outputs are in {_short(failed, root)}"
        progress.end(job.name, job.failure)


def _finish(job: Job, executed: cells.Notebook, store: settle.Store, hidden: Sequence[str]) -> None:
    """Write the normalised result beside its key, and settle it with the chapter itself when asked."""
    result = normalise(carry_over(job.shown, executed), hidden)
    cells.write(result, job.target)
    job.target.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    job.record.write_text(json.dumps({**job.about, "key": job.key}) + "\n", encoding="utf-8")
    if store == "outputs":
        cells.write(normalise(carry_over(cells.read(job.source), result)), job.source)
    if store != "no":
        job.failure = settle.settle(job.source, result, job.about, job.parts)


def _known_data(name: str) -> str:
    """What is on this machine of a data set known by name: its tables' sizes and times, contents being checked
    when they were fetched."""
    if name in ("", "critters") or "/" in name:  # drawn by the library, or a path that the key reads
        return ""
    from wsss_lib.data.photos.sources import DATA_SETS
    from wsss_lib.data.photos.supply import describe

    tables = [path for files in describe(name).present.values() for path in files] if name in DATA_SETS else []
    return json.dumps([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(tables)])


def _stored(job: Job) -> dict[str, Any]:
    if not (job.record.is_file() and job.target.is_file()):
        return {}
    return _message(job.record.read_text(encoding="utf-8")) or {}


def _message(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


_DURATIONS = threading.Lock()


def durations(root: Path) -> dict[str, float]:
    """Seconds that ``<profile>/<chapter>`` took the last time it was executed here."""
    path = root / "_build" / "cache" / "durations.json"
    return (_message(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def _remember(root: Path, profile: str, done: Sequence[Job]) -> None:
    """Keep how long each chapter took: the longest starts first next time, which shortens the whole."""
    with _DURATIONS:
        known = durations(root) | {f"{profile}/{job.name}": round(job.seconds, 1) for job in done}
        path = root / "_build" / "cache" / "durations.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
