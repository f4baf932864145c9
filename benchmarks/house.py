"""How long do both commands of the README take on a fresh clone, and an edit until its page is there?

    python benchmarks/house.py          about half an hour on two cores; nothing else should run

The last commit is cloned into a temporary folder. There, by the clock: ``make env`` (what it downloads may lie in a
cache already), ``make book`` from nothing, and once more with nothing changed. Then a sentence is added to a chapter's
prose: ``make book``, and, for another sentence, ``wsss build --stored``, which executes nothing (it has built the pages
once before, untimed, so that only this edit is new); both count only where the page then has the sentence. Last, with
all that was built removed, ``make test``. Writes book/house.json: in results/ it would make every chapter that was
executed stale, and no chapter reads it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsss_lib.experiments import results
from wsss_lib.memory import peak_mib

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = "06_ssc"
STEPS = {
    "environment": ["make", "env", f"PYTHON={sys.executable}"],
    "book": ["make", "book"],
    "unchanged": ["make", "book"],
    "prose": ["make", "book"],
    "build": [".venv/bin/wsss", "build", "--stored"],
    "test": ["make", "test"],
}
"""Commands in their order. Before those of :data:`EDITED`, a sentence is added."""
EDITED = ("prose", "build")
FIRST = {"build": STEPS["build"], "test": ["make", "clean"]}
"""What is done before a step, and not timed."""
SHOWN = 5000
"""Characters of what a command said that are shown where it fails."""


def add_sentence(clone: Path, sentence: str) -> None:
    """Put a sentence at the end of the first text of :data:`CHAPTER`."""
    path = clone / "book" / "chapters" / f"{CHAPTER}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    cell["source"] = [*cell["source"], f"\n\n{sentence}"]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def shown(clone: Path, sentence: str) -> bool:
    """Whether the chapter's page has the sentence."""
    page = clone / "_build" / "html" / "book" / "chapters" / f"{CHAPTER}.html"
    return sentence in page.read_text(encoding="utf-8")


def seconds_of(clone: Path, steps: Sequence[str] = tuple(STEPS)) -> dict[str, float]:
    """Seconds of each step, by the clock.

    Raises:
        subprocess.CalledProcessError: A command failed.
        RuntimeError: A page does not show what was added to its source.
    """
    seconds = {}
    for step in steps:
        if step in FIRST:
            called(clone, FIRST[step])
        sentence = f"This sentence was added before {step}."
        if step in EDITED:
            add_sentence(clone, sentence)
        start = time.perf_counter()
        called(clone, STEPS[step])
        seconds[step] = round(time.perf_counter() - start, 1)
        print(f"{step}: {seconds[step]:g} s", flush=True)
        if step in EDITED:
            if not shown(clone, sentence):
                raise RuntimeError(f"after {' '.join(STEPS[step])} the page of {CHAPTER} lacks {sentence!r}")
            called(clone, ["git", "checkout", "--quiet", "book/chapters"])
    return seconds


def called(clone: Path, command: Sequence[str]) -> None:
    """Run a command in the clone; where it fails, show the end of what it said."""
    done = subprocess.run(command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout[-SHOWN:])
        raise subprocess.CalledProcessError(done.returncode, command)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="wsss-house-") as name:
        if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, check=True).stdout:
            sys.exit("commit first: the last commit is cloned and timed, and the record names it")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), name], check=True)
        made = results.origin()
        data: dict[str, Any] = {"seconds": seconds_of(Path(name)), "chapter": CHAPTER, "cores": cores()}
        if results.origin() != made:
            sys.exit("a commit was made meanwhile, so the record would name one that was not timed")
    results.record(
        "house",
        data,
        command="python benchmarks/house.py",
        fingerprint="the chapters of the commit, on their embedded data",
        seeds=(0,),
        note="By the clock, on a fresh clone, nothing else running; packages may come from a cache.",
        peak_memory_mb=peak_mib(children=True),
        folder=ROOT / "book",
    )


if __name__ == "__main__":
    main()
