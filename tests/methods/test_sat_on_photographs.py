"""Chapter 4 by its command on tables of photographs with a DeiT in timm's layout: what the book cannot measure runs."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from press import cells
from press.run.run import run
from wsss_lib.backbones import vit
from wsss_lib.data.worlds.critters import Critters, World

ROOT = Path(__file__).resolve().parents[2]


def test_the_chapter_runs_with_timms_deit(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 4)):  # sides of 72 px: no multiple of DeiT's patch
        drawn = Critters(World(size=72, species=("fenn", "lopi", "taur")), split, count).to_datasets()
        drawn.select_columns(["id", "image", "mask", "labels"]).to_parquet(str(tmp_path / f"{split}.parquet"))
    torch.manual_seed(0)
    state = {key: value.contiguous() for key, value in vit.build("deit_tiny").state_dict().items()}
    assert "blocks.11.attn.qkv.weight" in state  # as timm publishes it
    save_file(state, tmp_path / "deit_tiny.safetensors")
    given = {"data": str(tmp_path), "backbone": str(tmp_path / "deit_tiny.safetensors"), "device": "cpu"}
    messages: list[str] = []
    (job,) = run(ROOT, ["04_sat"], profile="smoke", given=given, out=tmp_path / "ran", jobs=1, tell=messages.append)
    assert not job.failure, messages
    printed = "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/html", ""))
        for cell in cells.code_cells(cells.read(tmp_path / "ran" / "04_sat.ipynb"))
        for output in cell.outputs
    )
    assert "384 new parameters for the token and its position" in printed  # 2 · 192
    assert "λ is 0.35" in printed
    assert "This run, " in printed
    assert "not measured yet" not in printed
