"""What the commands share: exit codes, and how a command introduces itself."""

from __future__ import annotations

import argparse
import difflib
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

OK, FAILED, USAGE = 0, 1, 2
"""All went well; a chapter, a check or the work itself failed; the command was not understood."""


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest of the choices where a word is misspelt."""

    commands: Any = None
    """Its subparsers, where it has any."""

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        near = difflib.get_close_matches(choice[1], re.findall(r"[\w-]+", choice[2]), 1) if choice else []
        super().error(f"{message}: did you mean {near[0]!r}?" if near else message)


def stop_cleanly() -> None:
    """Let a request to end (SIGTERM) unwind the program as an exception does, so that temporary folders go with it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def command(commands: Any, name: str, summary: str, details: str) -> argparse.ArgumentParser:
    """A subcommand whose help has room for examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


def given_path(text: str) -> Path:
    """An argument that names a file or a folder; an empty one, as of an unset variable, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path: name a file or a folder; the current folder is '.'")
    return Path(text)


def positive(text: str) -> int:
    """An argument that must be a whole number above 0."""
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """What the library warns of, told as the command tells everything: in sentences, without a place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"wsss: {message}", file=sys.stderr)
        yield
