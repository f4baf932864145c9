"""How long do both commands of the README take on a fresh clone, and an edit until its page is there?

    python benchmarks/house.py          about half an hour on two cores; nothing else should run

The last commit is cloned into a temporary folder. There, by the clock: ``make env`` (what it downloads may lie in a
cache already), ``make book`` from nothing, and once more with nothing changed. Then a sentence is added to a chapter's
prose: ``make book``, and, for another sentence, ``wsss build --stored``, which executes nothing; both count only where
the page then has the sentence. Last, ``make test``. Writes book/house.json: in results/ it would make every chapter
that was executed stale, and no chapter reads it.
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
        sentence = f"This sentence was added before {step}."
        if step in EDITED:
            add_sentence(clone, sentence)
        start = time.perf_counter()
        subprocess.run(STEPS[step], cwd=clone, check=True, stdout=subprocess.DEVNULL)
        seconds[step] = round(time.perf_counter() - start, 1)
        print(f"{step}: {seconds[step]:g} s", flush=True)
        if step in EDITED:
            if not shown(clone, sentence):
                raise RuntimeError(f"after {' '.join(STEPS[step])} the page of {CHAPTER} lacks {sentence!r}")
            subprocess.run(["git", "checkout", "--quiet", "book/chapters"], cwd=clone, check=True)
    return seconds


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="wsss-house-") as name:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), name], check=True)
        seconds: dict[str, Any] = {"seconds": seconds_of(Path(name)), "chapter": CHAPTER, "cores": os.cpu_count()}
    results.record(
        "house",
        seconds,
        command="python benchmarks/house.py",
        fingerprint="the chapters of the commit, on their embedded data",
        seeds=(0,),
        note="By the clock, on a fresh clone, nothing else running; packages may come from a cache.",
        folder=ROOT / "book",
    )


if __name__ == "__main__":
    main()
