"""Run all checks: of each chapter's form, of its code against the library, and of the project around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from press import cells, stamps
from press.chapter import Chapter, Problem
from press.check import addresses, checks, completeness, drift, fresh, page, prose, site, tolerances
from press.editions import exercises
from press.project import ProjectError, chapters

OF_A_CHAPTER = (
    *checks.CHECKS,
    *drift.CHECKS,
    *exercises.CHECKS,
    *completeness.CHECKS,
    *tolerances.CHECKS,
    *page.CHECKS,
    *prose.CHECKS,
    *addresses.CHECKS,
    *stamps.CHECKS,
    *fresh.CHECKS,
)
OF_THE_PROJECT: tuple[Callable[[Path], Iterator[Problem]], ...] = (
    prose.typed_pages,
    addresses.sources,
    site.links,
    site.externals,
    site.images,
)


def listing() -> list[tuple[str, str]]:
    """Names and one-line descriptions of all checks."""
    return [(c.__name__, (c.__doc__ or "").splitlines()[0]) for c in (*OF_A_CHAPTER, *OF_THE_PROJECT)]


def check(
    root: Path, names: Sequence[str] = (), *, fix: bool = False, only: Sequence[str] | None = None
) -> list[Problem]:
    """All problems of the chapters named (all by default, and then of the project too).

    Args:
        root: The clone.
        names: Chapters; see :func:`press.project.chapters`.
        fix: Mend first what can be mended without executing.
        only: Names of checks to run.

    Raises:
        ProjectError: An unknown chapter or check.
    """
    known = [name for name, _ in listing()]
    for name in only or ():
        if name not in known:
            raise ProjectError(f"there is no check {name!r}: choose from {', '.join(known)}")
    of_a_chapter = [one for one in OF_A_CHAPTER if one.__name__ in (only or known)]
    of_the_project = [one for one in OF_THE_PROJECT if one.__name__ in (only or known) and not names]
    problems: list[Problem] = []
    for path in chapters(root, names) if of_a_chapter else ():
        if fix:
            checks.fix(Chapter(path, cells.read(path)))
        chapter = Chapter(path, cells.read(path))
        problems += [problem for one in of_a_chapter for problem in one(chapter)]
    return problems + [problem for one in of_the_project for problem in one(root)]
