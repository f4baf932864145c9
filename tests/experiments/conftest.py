"""What several tests of experiments build."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.experiments import Workbench
from wsss_lib.experiments.comparison import Comparison, compare


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Critters in the guise of photographs: Parquet files with VOC's columns, and a backbone's weights."""
    for file, count in (("train", 13), ("val", 4), ("aug-0", 5), ("aug-1", 4)):
        drawn = Critters(World(size=40, species=("fenn", "lopi")), file.replace("-", ""), count).to_datasets()
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(tmp_path / f"{file}.parquet"))
    torch.manual_seed(0)
    net = backbone("mobilenet_v2")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "mobilenet_v2.safetensors")
    return tmp_path


@pytest.fixture(scope="module")
def lab() -> Workbench:
    """A few critters."""
    lab = Workbench(profile="smoke", seed=0)
    lab.limit("choose", most=12)
    lab.limit("report", most=12)
    return lab


@pytest.fixture(scope="module")
def run(lab: Workbench) -> Comparison:
    """Two methods that are the same, measured on them."""
    return compare(lab, {"CAM": lab.classifier(), "again": lab.classifier()}, images=3)
