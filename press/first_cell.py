"""The first code cell of every chapter: generated here, the same text everywhere, compared by ``wsss check``."""

from __future__ import annotations

TAGS = ("hide-input", "nbval-ignore-output")
"""Tags of the cell: folded in the page; its output names versions, which differ between machines."""

_TEMPLATE = """\
# Where wsss_lib is absent (Colab), install it.
# torch and NumPy of a running kernel are never replaced.
from importlib.util import find_spec

if find_spec("wsss_lib") is None:
    if find_spec("torch") and find_spec("numpy"):
        %pip install -q --no-deps wsss-lib
        from wsss_lib.notebook import install_missing

        install_missing()
    else:
        %pip install -q wsss-lib

from wsss_lib.notebook import begin

begin(chapter="{chapter}")"""


def source(chapter: str) -> str:
    """The text of the bootstrap cell of a chapter, for example ``source("01_cam")``."""
    return _TEMPLATE.format(chapter=chapter)
