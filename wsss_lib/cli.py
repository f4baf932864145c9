"""The ``wsss`` command: run, build and check the book; localise objects in your own photographs; look at data.

Only argparse is imported here, so that ``wsss --help`` answers at once; each command imports what it needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wsss_lib import __version__

OK, FAILED, USAGE = 0, 1, 2

EPILOG = """\
examples:
  wsss run                                    every chapter that changed, two side by side
  wsss run cam eigen_cam --profile smoke      two chapters, a few seconds each
  wsss run cam -p seed=1 -p data=./my_photos  one chapter on your own data
  wsss build                                  the book as HTML, from the executed chapters
  wsss check --fix                            are the chapters as they should be? mend what can be mended
  wsss localize cat.jpg --out where/          what is where in a photograph, and how sure
  wsss data list                              data sets, and how to get each

exit codes: 0 all went well; 1 a chapter, a check or the work itself failed; 2 the command was not understood.
`wsss COMMAND --help` explains each command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if "action" not in options:
        parser.print_help()
        return USAGE
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        return action(options)
    except KeyboardInterrupt:
        print("wsss: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, `head` for one, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if os.environ.get("WSSS_TRACEBACK") or not _expected(error):
            raise
        print(f"wsss: {_sentence(error)}", file=sys.stderr)
        return USAGE if type(error).__name__ in ("ParameterError", "ProjectError", "UsageError") else FAILED


def _expected(error: Exception) -> bool:
    """Errors whose message was written for the person at the keyboard; anything else is a defect and shows itself."""
    if isinstance(error, ModuleNotFoundError):
        return True
    return type(error).__module__.startswith("wsss_lib") or isinstance(error, (ValueError, OSError, RuntimeError))


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("wsss_lib"):
        return f"the package {error.name!r} is not installed: pip install 'wsss-lib[book]'"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wsss",
        description="From Labels to Masks: run and build the book, and use its methods on your own images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wsss-lib {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_run, _add_build, _add_check):
        add(commands)
    return parser


def _command(commands: Any, name: str, summary: str, details: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


def _add_run(commands: Any) -> None:
    parser = _command(
        commands,
        "run",
        "execute chapters that changed, headless, with papermill",
        """\
A chapter is executed again when its code cells, its parameters, the library, the lock, or local data, weights and
results changed; changed prose is taken over without running. Unknown parameters are refused before anything runs.

profiles: smoke (seconds: every path runs), book (the stored outputs; default), colab (real data, one T4), paper.

examples:
  wsss run                          all chapters, profile book, into _build/run/book
  wsss run 1 --profile smoke        chapter 1 in a few seconds
  wsss run cam -p seed=7 --out /tmp/seed7
  wsss run cam --in-place           store the outputs in book/chapters, as an author does before committing
exit codes: 0 all chapters ran; 1 at least one failed; 2 refused before anything ran.
""",
    )
    parser.add_argument("chapters", nargs="*", help="names or numbers, such as 01_cam, cam or 1 (default: all)")
    parser.add_argument("--profile", default="book", choices=("smoke", "book", "colab", "paper"), help="how much to do")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    parser.add_argument("--jobs", type=_positive, default=2, help="kernels side by side (default: 2)")
    parser.add_argument("--out", type=Path, help="folder for the executed notebooks (default: _build/run/PROFILE)")
    parser.add_argument("--in-place", action="store_true", help="also store the outputs in the chapters themselves")
    parser.add_argument("--force", action="store_true", help="execute although nothing changed")
    parser.add_argument("--timeout", type=_positive, help="seconds that one cell may take")
    parser.set_defaults(action=_run)


def _run(options: argparse.Namespace) -> int:
    from wsss_lib.notebooks import parameters, project
    from wsss_lib.notebooks.run import run

    jobs = run(
        project.find_root(),
        options.chapters,
        profile=options.profile,
        given=parameters.from_arguments(options.parameters),
        jobs=options.jobs,
        out=options.out,
        in_place=options.in_place,
        force=options.force,
        timeout=options.timeout,
    )
    failed = [job for job in jobs if job.failure]
    if failed:
        print(f"wsss: {len(failed)} of {len(jobs)} chapters failed: mend them and run again", file=sys.stderr)
    return FAILED if failed else OK


def _add_build(commands: Any) -> None:
    parser = _command(
        commands,
        "build",
        "build the book as HTML from the executed chapters, warnings being errors",
        """\
Takes the chapters from _build/run/PROFILE (run `wsss run` first) and writes _build/html. The pages need no network.
exit codes: 0 built; 1 a page has a warning or an error; 2 a chapter has not been executed.
""",
    )
    parser.add_argument("--profile", default="book", choices=("smoke", "book", "colab", "paper"), help="whose outputs")
    parser.set_defaults(action=_build)


def _build(options: argparse.Namespace) -> int:
    from wsss_lib.notebooks import project
    from wsss_lib.notebooks.build import build

    page = build(project.find_root(), profile=options.profile)
    if page is None:
        return FAILED
    print(f"The book is ready. Open {page}")
    return OK


def _add_check(commands: Any) -> None:
    parser = _command(
        commands,
        "check",
        "check that stored chapters, requirements.txt and the built pages are as they should be",
        """\
Every message names the cell, what was expected and the remedy.
examples:
  wsss check                 everything
  wsss check cam --fix       one chapter; put the bootstrap cell in and normalise it first
  wsss check --list          what is checked
exit codes: 0 all is well; 1 something is not; 2 the command was not understood.
""",
    )
    parser.add_argument("chapters", nargs="*", help="names or numbers (default: all, and the whole project)")
    parser.add_argument("--fix", action="store_true", help="first mend what can be mended without executing anything")
    parser.add_argument("--only", action="append", metavar="CHECK", help="only this check (may be repeated)")
    parser.add_argument("--list", action="store_true", help="list the checks and stop")
    parser.set_defaults(action=_check)


def _check(options: argparse.Namespace) -> int:
    from wsss_lib.notebooks import check, project

    if options.list:
        for name, summary in check.listing():
            print(f"{name:18} {summary}")
        return OK
    problems = check.check(project.find_root(), options.chapters, fix=options.fix, only=options.only)
    for problem in problems:
        print(problem)
    print(f"wsss check: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    return FAILED if problems else OK


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number
