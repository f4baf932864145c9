"""What a chapter calls from inside its kernel: who is here, and numbers in prose.

Kept free of anything newer than IPython 7, which is what Colab ships.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import platform
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BUDGETS = {"smoke": "20 s", "book": "2 min", "colab": "15 min"}
"""How long a chapter may take in each profile: two cores for the first two, one T4 for the last."""

DEVICES = ("auto", "cpu", "cuda", "mps")


def begin(chapter: str) -> None:
    """Print the device, the versions and the time budget: the last line of every chapter's first cell.

    Args:
        chapter: The notebook's name without its suffix, for example ``"01_cam"``.

    Raises:
        ValueError: The name is not of the form ``NN_name``.
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", chapter):
        raise ValueError(f"chapter is {chapter!r}, expected a name such as '01_cam': pass the notebook's own name")
    versions = " · ".join(f"{name} {_version(name)}" for name in ("wsss-lib", "torch", "numpy"))
    print(f"Chapter {chapter} on {_device_words()}")
    print(f"{versions} · Python {platform.python_version()}")
    budget = f"{BUDGETS['book']} on two CPU cores, {BUDGETS['smoke']} in profile smoke, {BUDGETS['colab']} on one T4"
    print(f"Budget: {budget}")
    if "google.colab" in sys.modules and str(pick_device()) == "cpu":
        print("This Colab runtime has no GPU: Runtime → Change runtime type → T4 GPU, then run again from the top.")


def say(markdown: str) -> None:
    """Display Markdown from a code cell: how a sentence gets its numbers without anybody typing them.

    Args:
        markdown: The sentence, formatted; print learned numbers with two or three decimals. Common indentation is
            removed, so a triple-quoted string may be indented with the code.
    """
    from IPython.display import Markdown, display

    display(Markdown(inspect.cleandoc(markdown)))


def pick_device(choice: str = "auto") -> torch.device:
    """The device that the parameter ``device`` of a chapter names.

    Args:
        choice: ``"auto"`` (a GPU if there is one, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Raises:
        ValueError: The name is none of these.
        RuntimeError: The device is not there.
    """
    import torch

    kind = choice.split(":")[0]
    if kind not in DEVICES:
        raise ValueError(f"device is {choice!r}, expected one of {', '.join(DEVICES)}: use 'auto' when unsure")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there[kind]:
        raise RuntimeError(f"device is {choice!r}, but this machine has none: use 'auto' or 'cpu'")
    return torch.device(choice)


def _device_words() -> str:
    words = {"cuda": "an NVIDIA GPU", "mps": "an Apple GPU", "cpu": "the CPU"}
    return words[pick_device().type]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed as a package)"
