"""The ``wsss`` command: run, build and check the book; localise objects in your own photographs; look at data.

Only argparse is imported here, so that ``wsss --help`` answers at once; each command imports what it needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from press.cli import book, editions
from wsss_lib import __version__
from wsss_lib.cli import data, images
from wsss_lib.cli.common import FAILED, OK, USAGE, Parser

EPILOG = """\
examples:
  wsss run                                    every chapter that changed, two side by side
  wsss run cam eigen_cam --profile smoke      two chapters, a few seconds each
  wsss run cam -p seed=1                      one chapter with other parameters
  wsss build                                  the book as HTML, from the executed chapters
  wsss check --fix                            are the chapters as they should be? mend what can be mended
  wsss edition --student handout              the chapters without their solutions, for a course
  wsss localize cat.jpg --out where/          what is where in a photograph, and how sure
  wsss data list                              data sets, and how to get each

exit codes: 0 all went well; 1 a chapter, a check or the work itself failed; 2 the command was not understood.
With WSSS_TRACEBACK=1 in the environment an error shows where it comes from.
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
        return f"the package {error.name!r} is not installed: pip install 'wsss-lib[book]'"
    return str(error)


def _more(error: Exception) -> str:
    """How to see more of an error that another package worded: it may be a defect of ours."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    ours = place is None or str(place.tb_frame.f_globals.get("__name__")).startswith("wsss_lib")
    return "" if ours or isinstance(error, (OSError, ModuleNotFoundError)) else " (WSSS_TRACEBACK=1 shows where)"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="wsss",
        description="From Labels to Masks: run and build the book, and use its methods on your own images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wsss-lib {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (book, editions, images, data):
        module.add(commands)
    return parser
