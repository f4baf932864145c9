"""What tests of several studies build."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsss_lib.data.worlds.critters import World
from wsss_lib.experiments import Workbench


@pytest.fixture
def lab(tmp_path: Path) -> Workbench:
    """Images of 32 pixels, 24 of each split."""
    lab = Workbench("smoke", world=World(size=32), device="cpu", out_dir=tmp_path)
    for split in ("train", "choose", "report"):
        lab.limit(split, most=24)  # type: ignore[arg-type]
    return lab
