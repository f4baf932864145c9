"""Chapter 4 by its command on tables of photographs with a DeiT in timm's layout: what the book cannot measure runs."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from press import cells
from press.run.run import run
from wsss_lib.backbones import backbone, vit
from wsss_lib.data.worlds.critters import Critters, World

ROOT = Path(__file__).resolve().parents[2]


def outputs_of(folder: Path, file: Path) -> str:
    """What the chapter prints in its shortest run, on a table of photographs and with the weights of a file."""
    for split, count in (("train", 6), ("val", 4)):  # sides of 72 px: no multiple of a patch
        drawn = Critters(World(size=72, species=("fenn", "lopi", "taur")), split, count).to_datasets()
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(folder / f"{split}.parquet"))
    given = {"data": str(folder), "backbone": str(file), "device": "cpu"}
    messages: list[str] = []
    (job,) = run(ROOT, ["04_sat"], profile="smoke", given=given, out=folder / "ran", jobs=1, tell=messages.append)
    assert not job.failure, messages
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/html", ""))
        for cell in cells.code_cells(cells.read(folder / "ran" / "04_sat.ipynb"))
        for output in cell.outputs
    )


def test_the_chapter_runs_with_timms_deit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {key: value.contiguous() for key, value in vit.build("deit_tiny").state_dict().items()}
    assert "blocks.11.attn.qkv.weight" in state  # as timm publishes it
    save_file(state, tmp_path / "deit_tiny.safetensors")
    printed = outputs_of(tmp_path, tmp_path / "deit_tiny.safetensors")
    assert "384 new parameters for the token and its position" in printed  # 2 · 192
    assert "λ is 0.35" in printed
    assert "This run, " in printed
    assert "not measured yet" not in printed


def test_the_chapter_runs_with_a_transformer_behind_convolutions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(backbone("hybrid_vit").state_dict(), tmp_path / "hybrid_vit.safetensors")
    printed = outputs_of(tmp_path, tmp_path / "hybrid_vit.safetensors")
    assert "256 new parameters for the token and its position" in printed  # 2 · 128
    assert "patch scores alone" in printed
