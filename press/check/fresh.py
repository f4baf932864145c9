"""Does a run of the present code agree with what a chapter stores? One rule for checking, testing and storing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from press import cells, freshness
from press.chapter import Chapter, Problem
from press.check import compare


def disagreement(target: Path, parts: Mapping[str, str], stored: cells.Notebook) -> str:
    """Why the run that is kept at ``target`` does not vouch for the stored outputs; empty where it does.

    Args:
        target: The executed chapter.
        parts: What a run is made of now (:func:`press.freshness.made_of`).
        stored: The chapter as it is stored.
    """
    before = freshness.read_record(target).get("parts")
    if not before:
        return "none was made here"
    changed = [part for part, digest in parts.items() if before.get(part) != digest]
    if changed:
        return f"{', '.join(changed)} changed"
    try:
        differences = compare.differences(cells.read(target), stored)
    except ValueError as error:  # a tolerance that nobody can read; `tolerances` says where
        differences = [str(error)]
    return "".join(["the last one differs", *(f"\n  {line}" for line in differences)]) if differences else ""


def fresh(chapter: Chapter) -> Iterator[Problem]:
    """A run of the code, library, results and versions that are here now agrees with the stored outputs."""
    root = chapter.path.resolve().parents[2]
    target = root / "_build" / "run" / "book" / chapter.path.name
    why = disagreement(target, freshness.made_of(root, chapter.notebook), chapter.notebook)
    if why:
        remedy = f"run `wsss run {chapter.name} --confirm`, or --in-place where what is shown should change"
        yield chapter.problem(None, f"stores outputs with which no run of the present code agrees ({why}): {remedy}")


CHECKS = (fresh,)
