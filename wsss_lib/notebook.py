"""What a chapter calls from inside its kernel: install what is missing, say who is here, keep what is made.

The first cell of every chapter calls :func:`install_missing` and :func:`begin`. A reader on Colab has torch and NumPy
running in the kernel already. Replacing them under it breaks the session (NumPy's binary interface changes), so they
are never touched: wsss-lib goes in without dependencies, then only what is absent follows, held to the versions that
are there. Kept free of anything newer than IPython 7, which is what Colab ships.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from wsss_lib.devices import pick_device as pick_device
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.files import named_path
from wsss_lib.memory import keep_freed


def begin(chapter: str) -> None:
    """Print the device, the versions and what each profile may take: the last line of every chapter's first cell.

    From then on the kernel keeps the memory that it frees (:func:`wsss_lib.memory.keep_freed`), which makes it faster.

    Args:
        chapter: The notebook's name without its suffix, for example ``"01_cam"``.

    Raises:
        ValueError: The name is not of the form ``NN_name``.
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", chapter):
        raise ValueError(f"chapter is {chapter!r}, expected a name such as '01_cam': pass the notebook's own name")
    keep_freed()
    versions = " · ".join(f"{name} {_version(name)}" for name in ("wsss-lib", "torch", "numpy"))
    print(f"Chapter {chapter} on {_device_words()}")
    print(f"{versions} · Python {platform.python_version()}")
    book, smoke, colab = (PROFILES[name] for name in ("book", "smoke", "colab"))
    print(
        f"Profile book: at most {book.budget_words} on {book.machine} · smoke: at most {smoke.budget_words} · "
        f"colab: at most {colab.budget_words} on {colab.machine}"
    )
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


def _device_words() -> str:
    words = {"cuda": "an NVIDIA GPU", "mps": "an Apple GPU", "cpu": "the CPU"}
    return words[pick_device().type]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed as a package)"


KEPT = {
    "WSSS_DATA": "data",  # photographs, as Parquet
    "WSSS_CACHE": "cache",  # critters once drawn, and what frozen networks computed of images
    "TORCH_HOME": "torch",  # torchvision's weights
    "HF_HOME": "huggingface",  # weights and data sets of the Hub
}
"""Environment variables that name a place to keep things, and the subfolder that each gets."""

MOUNTED = Path("/content/drive")
"""Where Colab mounts a Drive."""


def keep_in(folder: str | Path) -> str:
    """Keep data, weights and checkpoints in a folder; returns the chapter's ``out_dir`` in it.

    Call it in a cell of your own beneath the parameters: ``out_dir = keep_in("/content/drive/MyDrive/masks/cam")``.
    A run that was cut off goes on from its last checkpoint when it is started again with the same folder and
    parameters.

    Args:
        folder: Made if absent; one for each chapter and each choice of parameters.

    Returns:
        The subfolder for checkpoints, as text.

    Raises:
        RuntimeError: The folder is on a Drive that is not mounted, and all would be lost with the session; or data
            were loaded before.
        OSError: The folder cannot be written to.
    """
    target = named_path(folder, "folder").absolute()
    if MOUNTED in (target, *target.parents) and not os.path.ismount(MOUNTED):
        remedy = f'from google.colab import drive; drive.mount("{MOUNTED}")'
        raise RuntimeError(f"{target} is on a Drive that is not mounted, so it would vanish with the session: {remedy}")
    if _hub_is_loaded() and os.environ.get("HF_HOME") != str(target / KEPT["HF_HOME"]):
        raise RuntimeError(
            "the Hub's library is loaded already and keeps things elsewhere: restart the session, and call "
            "keep_in right beneath the parameters"
        )
    for variable, name in KEPT.items():
        (target / name).mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(target / name)
    checkpoints = target / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    print(f"Data, weights and checkpoints are kept in {target}")
    return str(checkpoints)


def _hub_is_loaded() -> bool:
    """The Hub's library reads its folder once, when it is imported."""
    return "huggingface_hub" in sys.modules


HELD = ("torch", "torchvision", "numpy", "ipywidgets", "ipython", "ipykernel", "pillow", "matplotlib")
"""Distributions that a live kernel may have loaded: never replaced by :func:`install_missing`."""


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
