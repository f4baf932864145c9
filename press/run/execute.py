"""Execute one prepared notebook with papermill; run as ``python -m press.run.execute JOB ANSWER``.

A process of its own for each chapter (:func:`start`), with a bare environment: a user's start-up files, matplotlibrc or
PYTHONPATH change nothing, and the library is the one that is running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from press import cells
from press.run.kernels import START, PolledManager
from wsss_lib.files import read_json, write_atomically
from wsss_lib.memory import peak_mib

THREADS = "WSSS_THREADS"
"""Environment variable: compute threads of a kernel that would have one, to see what another number changes."""
EVERY = 15.0
"""Seconds between two lines about a chapter under way."""
KERNEL = "wsss-current-environment"
LIBRARY = Path(__file__).resolve().parents[2]
"""The folder that holds this very package: kernels import the library that runs them, also from a second worktree."""
_REMOVED = ("PYTHON", "JUPYTER", "IPYTHON", "MPL", "PAPERMILL", "PYTEST")


def environment(work: Path, cache: Path, *, one_thread: bool, offline: bool) -> dict[str, str]:
    """Environment variables of a chapter's processes.

    Args:
        work: Temporary folder that holds the kernel's specification.
        cache: Folder that outlives the run, for matplotlib's list of fonts.
        one_thread: One compute thread a kernel: two kernels side by side on two cores, and equal bits each time.
        offline: Forbid the Hub, so that a chapter cannot come to need it unnoticed.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_REMOVED)}
    kept |= {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(LIBRARY),
        "JUPYTER_PATH": str(work / "jupyter"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_CONFIG_DIR": str(work / "jupyter-config"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(work / "ipython"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "WSSS_STORED_OUTPUTS": "1",  # controls store plain HTML: a widget without its kernel is dead
    }
    if one_thread:
        count = os.environ.get(THREADS, "1")
        kept |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    if offline:
        kept |= {"HF_HUB_OFFLINE": "1"}
    return kept


def specify_kernel(work: Path, path: str = "") -> None:
    """Write a kernel specification for this very interpreter; ``python3`` may belong to anyone.

    Args:
        work: Folder for the specification.
        path: Where the kernel looks for packages, and nowhere else: what is installed for editing is not seen.
    """
    options = ["-S"] if path else []  # without the files of site-packages that lead to the clone
    command = [sys.executable, *options, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "Python 3", "language": "python"}
    specification |= {"env": {"PYTHONPATH": path}} if path else {}
    write_atomically(work / "jupyter" / "kernels" / KERNEL / "kernel.json", json.dumps(specification))


def start(
    name: str,
    notebook: cells.Notebook,
    work: Path,
    variables: Mapping[str, str],
    *,
    timeout: int | None,
    path: str = "",
    started: Callable[[subprocess.Popen[bytes]], None] = lambda process: None,
) -> dict[str, Any]:
    """Execute a notebook in a process of its own, in an empty folder, into ``work/out.ipynb``.

    Args:
        name: Of the chapter; now and then a line tells which cell of it has begun.
        notebook: What to execute.
        work: A folder that holds nothing else.
        variables: The process's :func:`environment`.
        timeout: Seconds that a cell may take.
        path: Where the kernel looks for packages, if not where this process does (:func:`specify_kernel`).
        started: Is given the process, so that somebody can end it.

    Returns:
        What :func:`main` says, or ``error`` where it was stopped before it could.
    """
    (work / "empty").mkdir(parents=True)
    specify_kernel(work, path)
    cells.write(notebook, work / "in.ipynb")
    places = {"input": str(work / "in.ipynb"), "output": str(work / "out.ipynb"), "folder": str(work / "empty")}
    write_atomically(work / "job.json", json.dumps(places | {"name": name, "timeout": timeout}))
    answer, longest = work / "answer.json", START + (timeout or 0) * (len(cells.code_cells(notebook)) + 1)
    with (work / "log").open("wb+") as log:
        command = [sys.executable, "-m", "press.run.execute", str(work / "job.json"), str(answer)]
        process = subprocess.Popen(command, cwd=work / "empty", env=dict(variables), stderr=log)
        started(process)
        try:
            process.wait(longest if timeout else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return {"error": f"it did not end within {longest} s and was stopped"}
        log.seek(0)
        tail = log.read().decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
    return read_json(answer) if answer.is_file() else {"error": f"the runner stopped ({tail[0]})"}


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Execute ``job["input"]`` in ``job["folder"]`` into ``job["output"]``.

    Returns:
        ``{"ok": True, "memory_mb": …}``, or the failure: ``error``, and ``where`` (``cell k/n``) when a cell failed.
    """
    import nbclient.exceptions
    import papermill

    notebook = cells.read(Path(job["input"]))
    places = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    named = {index: f"cell {count}/{len(places)}" for count, index in enumerate(places, 1)}
    where, last = "", time.monotonic()

    def begun(cell: Any, cell_index: int) -> None:
        nonlocal where, last
        where = named.get(cell_index, where)
        if time.monotonic() - last > EVERY:
            last = time.monotonic()
            print(f"{job['name']}: {where}", flush=True)

    try:
        papermill.execute_notebook(
            job["input"],
            job["output"],
            kernel_name=KERNEL,
            progress_bar=False,
            cwd=job["folder"],
            execution_timeout=job["timeout"],
            start_timeout=START,
            kernel_manager_class=PolledManager,
            record_timing=False,
            on_cell_start=begun,
        )
    except papermill.PapermillExecutionError as error:  # perhaps in what a cell calls while a later one runs
        return {"error": f"{error.ename}: {error.evalue}", "where": named.get(error.cell_index, where)}
    except nbclient.exceptions.CellTimeoutError:
        return {"error": f"it did not finish within {job['timeout']} s (--timeout)", "where": where}
    except nbclient.exceptions.DeadKernelError:
        return {"error": "the kernel died, often for want of memory", "where": where}
    for place, what in cells.errors(cells.read(Path(job["output"]))):
        return {"error": what, "where": place}
    return {"ok": True, "memory_mb": peak_mib(children=True)}  # of the kernel, which has ended by now


if __name__ == "__main__":
    write_atomically(sys.argv[2], json.dumps(main(read_json(Path(sys.argv[1])))))
