"""Waiting for another program, but not for ever."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

from press.project import ProjectError


def watched(command: Sequence[str], what: str, *, seconds: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program; its exit status is the caller's to look at.

    Args:
        command: Program and arguments.
        what: Name of the work, for the message: "the build of the wheel".
        seconds: How long it may take.
        options: Of ``subprocess.run``.

    Raises:
        ProjectError: It did not end in time and was stopped.
    """
    try:
        return subprocess.run(command, check=False, text=True, timeout=seconds, **options)
    except subprocess.TimeoutExpired as error:
        raise ProjectError(f"{what} did not end within {seconds:g} s and was stopped: try it alone") from error
