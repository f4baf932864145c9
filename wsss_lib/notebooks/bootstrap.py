"""The first code cell of every chapter: generated here, the same text everywhere, compared by ``wsss check``.

A reader on Colab has torch and NumPy running in the kernel already. Replacing them under it breaks the session
(NumPy's binary interface changes), so they are never touched: wsss-lib goes in without dependencies, then only
what is absent follows, held to the versions that are there.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TAGS = ("hide-input", "nbval-ignore-output")
"""Tags of the cell: folded in the page; its output names versions, which differ between machines."""

HELD = ("torch", "torchvision", "numpy", "ipywidgets", "ipython", "ipykernel", "pillow", "matplotlib")
"""Distributions that a live kernel may have loaded: never replaced by :func:`install_missing`."""

_TEMPLATE = """\
# Where wsss_lib is absent (Colab), install it; torch and NumPy of a running kernel are never replaced.
import importlib.util

if importlib.util.find_spec("wsss_lib") is None:
    if importlib.util.find_spec("torch") and importlib.util.find_spec("numpy"):
        %pip install -q --no-deps wsss-lib
        from wsss_lib.notebooks.bootstrap import install_missing

        install_missing()
    else:
        %pip install -q wsss-lib

from wsss_lib.notebooks import begin

begin(chapter="{chapter}")"""


def source(chapter: str) -> str:
    """The text of the bootstrap cell of a chapter, for example ``source("01_cam")``."""
    return _TEMPLATE.format(chapter=chapter)


def missing(distribution: str = "wsss-lib") -> list[str]:
    """Requirements of an installed distribution whose package is absent, without extras.

    Args:
        distribution: Name of an installed distribution.

    Returns:
        Requirement strings such as ``"timm>=1.0.9"``; a package that is there in an older version is not listed,
        because replacing it is the reader's decision.
    """
    wanted = []
    for line in importlib.metadata.requires(distribution) or []:
        requirement, _, marker = line.partition(";")
        if "extra" in marker:
            continue
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match and not _present(match.group()):
            wanted.append(requirement.strip())
    return wanted


def install_missing(distribution: str = "wsss-lib") -> list[str]:
    """Install what :func:`missing` lists, holding torch, NumPy and the kernel's own packages where they are.

    Returns:
        The requirements that were installed.

    Raises:
        RuntimeError: pip failed; its reason is in the message.
    """
    wanted = missing(distribution)
    if not wanted:
        return []
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "constraints.txt")
        held.write_text("\n".join(constraints()) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "-q", "-c", str(held), *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
        raise RuntimeError(
            f"pip could not install {', '.join(wanted)} beside the torch and NumPy of this kernel ({reason}): "
            "install them yourself and restart the kernel"
        )
    return wanted


def constraints() -> list[str]:
    """One ``name==version`` for each of :data:`HELD` that is installed.

    Without the local label (``+cu128``): the installed build satisfies the bare version, and an index may not know it.
    """
    present = [name for name in HELD if _present(name)]
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in present]


def _present(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
