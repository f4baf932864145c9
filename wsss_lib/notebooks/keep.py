"""Keep what a chapter fetches, draws and learns in a folder that outlives the session, such as a mounted Drive."""

from __future__ import annotations

import os
import sys
from pathlib import Path

KEPT = {
    "WSSS_DATA": "data",  # photographs, as Parquet
    "WSSS_CACHE": "cache",  # critters once drawn
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
    target = Path(folder).expanduser().absolute()
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
