"""The ``wsss`` command: localise objects in your own photographs, look at data; in a clone: run, build, check the book.

Only argparse is imported here, so that ``wsss --help`` answers at once; each command imports what it needs. What
prints the book is a distribution of its own, which only a clone has; it registers its commands as entry points.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from wsss_lib import __version__
from wsss_lib.cli import data, images, maps, pipeline
from wsss_lib.cli.common import FAILED, OK, USAGE, Parser, stop_cleanly
from wsss_lib.memory import keep_freed

GROUP = "wsss.commands"
"""Entry points of this group add commands: each is a function that takes argparse's subparsers."""
OF_THE_BOOK = ("run", "build", "check", "edition")
"""Commands that only a clone has, named here so that they can say so elsewhere."""

EPILOG = """\
examples:
  wsss run                                    every chapter that changed, two side by side
  wsss run cam eigen_cam --profile smoke      two chapters, a few seconds each
  wsss run cam -p seed=1                      one chapter with other parameters
  wsss build                                  the book as HTML, from the executed chapters
  wsss check --fix                            are the chapters as they should be? mend what can be mended
  wsss edition --student handout              the chapters without their solutions, for a course
  wsss localize cat.jpg --out where/          what is where in a photograph, and how sure
  wsss pipeline zoo/ --out zoo-masks          photographs with labels: a classifier, maps, masks, a report
  wsss maps shards/ --checkpoint runs/cam     masks of a data set in Parquet shards, by one process or many
  wsss data list                              data sets, and how to get each

exit codes: 0 all went well; 1 a chapter, a check or the work itself failed; 2 the command was not understood.
With WSSS_TRACEBACK=1 in the environment an error shows where it comes from.
`wsss COMMAND --help` explains each command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A console without the letters of a name shows them escaped. A line leaves in one piece: launchers start
            # Python unbuffered, and the lines of two processes on one pipe would run into each other.
            stream.reconfigure(errors="backslashreplace", line_buffering=True, write_through=False)
    parser = _parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = parser.commands.choices
    if given and given[0] in OF_THE_BOOK and given[0] not in known:
        print(f"wsss: `wsss {given[0]}` needs a clone of the book: call it there after `make env`", file=sys.stderr)
        return USAGE
    options = parser.parse_args(given)
    if "action" not in options:
        parser.print_help()
        return USAGE
    action: Callable[[argparse.Namespace], int] = options.action
    stop_cleanly()
    keep_freed()
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
        print(f"wsss: {_sentence(error)}{_more(error)}", file=sys.stderr)
        return USAGE if type(error).__name__ in ("ParameterError", "ProjectError", "UsageError") else FAILED


def _expected(error: Exception) -> bool:
    """Errors whose message was written for the person at the keyboard; anything else is a defect and shows itself."""
    if isinstance(error, ModuleNotFoundError):
        return True
    return type(error).__module__.startswith(("wsss_lib", "press")) or isinstance(
        error, (ValueError, OSError, RuntimeError)
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("wsss_lib"):
        return f"the package {error.name!r} is not installed: run `make env` in a clone of the book"
    return str(error)


def _more(error: Exception) -> str:
    """How to see more of an error that another package worded: it may be a defect of ours."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    ours = place is None or str(place.tb_frame.f_globals.get("__name__")).startswith(("wsss_lib", "press"))
    return "" if ours or isinstance(error, (OSError, ModuleNotFoundError)) else " (WSSS_TRACEBACK=1 shows where)"


def _parser() -> Parser:
    parser = Parser(
        prog="wsss",
        description="From Labels to Masks: run and build the book, and use its methods on your own images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wsss-lib {__version__}")
    parser.commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (*_registered(), images.add, pipeline.add, maps.add, data.add):
        add(parser.commands)
    return parser


def _registered() -> list[Callable[[Any], None]]:
    """What other distributions add, in the order of their names."""
    adders = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            adders.append(entry.load())
        except ModuleNotFoundError:  # its distribution is known, but its code is not on the path: an incomplete clone
            continue
    return adders
