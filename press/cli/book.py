"""``wsss run``, ``wsss build``, ``wsss check``: the book itself."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from wsss_lib.cli.common import FAILED, OK, command, given_path, positive
from wsss_lib.experiments.profiles import PROFILES


def add(commands: Any) -> None:
    """Register the three commands."""
    add_run(commands)
    add_build(commands)
    add_check(commands)


def add_run(commands: Any) -> None:
    parser = command(
        commands,
        "run",
        "execute chapters that changed, headless, with papermill",
        """\
A chapter is executed again when its code cells, its parameters, the library, the lock, or local data, weights and
results changed; changed prose is taken over without running. Unknown parameters are refused before anything runs.

profiles: smoke (seconds: every path runs), book (the stored outputs; default), colab (real data, one T4), paper.

In colab and paper, and wherever -p data=… is given, trainings keep checkpoints, in runs/ unless -p out_dir=FOLDER names
another place: after a run that was cut off, the same command goes on from the last one.

examples:
  wsss run                          all chapters, profile book, into _build/run/book
  wsss run 1 --profile smoke        chapter 1 in a few seconds
  wsss run cam -p seed=7 --out /tmp/seed7
  wsss run cam --in-place           store the outputs in book/chapters, as an author does before committing
  wsss run --confirm                after a change of the library: compare with what is stored, renew book/stamps.json
exit codes: 0 all chapters ran; 1 at least one failed; 2 refused before anything ran.
""",
    )
    parser.add_argument("chapters", nargs="*", help="names or numbers, such as 01_cam, cam or 1 (default: all)")
    parser.add_argument("--profile", default="book", choices=PROFILES, help="how much to do")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    parser.add_argument("--jobs", type=positive, default=2, help="kernels side by side (default: 2)")
    parser.add_argument(
        "--out", type=given_path, help="folder for the executed notebooks (default: _build/run/PROFILE)"
    )
    stored = parser.add_mutually_exclusive_group()
    stored.add_argument("--in-place", action="store_true", help="also store the outputs in the chapters themselves")
    stored.add_argument(
        "--confirm", action="store_true", help="leave the stored outputs, and renew their stamp if they agree"
    )
    parser.add_argument("--timeout", type=positive, help="seconds that one cell may take")
    parser.set_defaults(action=_run)


def _run(options: argparse.Namespace) -> int:
    from press import parameters, project
    from press.run.run import run

    jobs = run(
        project.find_root(),
        options.chapters,
        profile=options.profile,
        given=parameters.from_arguments(options.parameters),
        jobs=options.jobs,
        out=options.out,
        store="outputs" if options.in_place else "confirm" if options.confirm else "no",
        timeout=options.timeout,
    )
    failed = [job for job in jobs if job.failure]
    if failed:
        print(f"wsss: {len(failed)} of {len(jobs)} chapters failed: mend them and run again", file=sys.stderr)
    return FAILED if failed else OK


def add_build(commands: Any) -> None:
    parser = command(
        commands,
        "build",
        "build the book as HTML from the executed chapters, warnings being errors",
        """\
Takes the chapters from _build/run/book (run `wsss run` first) and writes _build/html. The pages need no network.
With --stored it takes the outputs that lie in book/chapters, which shows a change of a page in seconds.
exit codes: 0 built; 1 a page has a warning or an error; 2 a chapter has not been executed.
""",
    )
    parser.add_argument("--stored", action="store_true", help="the stored outputs: execute nothing")
    parser.set_defaults(action=_build)


def _build(options: argparse.Namespace) -> int:
    from press import project
    from press.publish.build import build

    page = build(project.find_root(), stored=options.stored)
    if page is None:
        return FAILED
    print(f"The book is ready. Open {page}")
    return OK


def add_check(commands: Any) -> None:
    parser = command(
        commands,
        "check",
        "check that stored chapters and the built pages are as they should be",
        """\
Every message names the cell, what was expected and the remedy.
examples:
  wsss check                 everything
  wsss check cam --fix       one chapter; put the bootstrap cell in and normalise it first
  wsss check --list          what is checked
  wsss check cam --twice     execute the chapter two times: the same outputs, bit for bit?
exit codes: 0 all is well; 1 something is not; 2 the command was not understood.
""",
    )
    parser.add_argument("chapters", nargs="*", help="names or numbers (default: all, and the whole project)")
    parser.add_argument("--fix", action="store_true", help="first mend what can be mended without executing anything")
    parser.add_argument("--only", action="append", metavar="CHECK", help="only this check (may be repeated)")
    parser.add_argument("--list", action="store_true", help="list the checks and stop")
    parser.add_argument("--twice", action="store_true", help="only execute two times and compare bit for bit")
    parser.add_argument("--profile", default="book", choices=PROFILES, help="of --twice: how much to do")
    parser.set_defaults(action=_check)


def _check(options: argparse.Namespace) -> int:
    from press import project
    from press.check import everything as check

    if options.list:
        for name, summary in check.listing():
            print(f"{name:18} {summary}")
        return OK
    problems: list[Any]
    if options.twice:
        from press.run import twice

        problems = twice.differences(project.find_root(), options.chapters, profile=options.profile)
    else:
        problems = check.check(project.find_root(), options.chapters, fix=options.fix, only=options.only)
    for problem in problems:
        print(problem)
    print(f"wsss check: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    return FAILED if problems else OK
