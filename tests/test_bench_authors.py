"""An update beside the authors' code: the benchmark runs their statements, from clones, and says which it lacks."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

FOLDER = Path(__file__).parents[1] / "benchmarks"

NETWORK = """
import cv2
import nowhere_else.to_be_found as nothing
from timm.models.registry import register_model
from torch import nn
from utils.size import SIZE


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(SIZE, 1)

    def forward(self, x):
        return self.layer(x.cuda()).cuda()
"""
SCRIPT = """
import not_installed_here

def doubled(x):
    return helper() * x

def helper():
    return 2

if __name__ == "__main__":
    for epoch in range(not_installed_here.epochs):
        for step, (images, label) in enumerate(not_installed_here.loader):
            images = doubled(images).cuda()
            optimizer.zero_grad()
            loss = F.mse_loss(model(images), label)
            seen.append(loss.item())
            loss.backward()
            optimizer.step()
            not_installed_here.log(loss)
"""


@pytest.fixture(scope="module")
def script() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    yield runpy.run_path(str(FOLDER / "bench_authors.py"))
    sys.path.remove(str(FOLDER))


@pytest.fixture
def clone(tmp_path: Path, script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    unused = (*script["UNUSED"], "nowhere_else", "nowhere_else.to_be_found")
    monkeypatch.setitem(script["imported"].__globals__, "UNUSED", unused)
    for name, text in {"Model/net.py": NETWORK, "utils/size.py": "SIZE = 3\n", "train.py": SCRIPT}.items():
        path = tmp_path / "SAT" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "SAT"


def test_modules_of_a_clone_come_without_what_they_draw_with_and_are_forgotten(
    clone: Path, script: dict[str, Any]
) -> None:
    kept, path = set(sys.modules), list(sys.path)
    (module,) = script["imported"](clone, "Model.net")
    assert module.Net().layer.in_features == 3
    assert not {name.split(".")[0] for name in set(sys.modules) - kept} & {"Model", "utils", "nowhere_else"}
    assert sys.path == path


def test_their_update_is_what_their_script_does_with_a_batch(
    clone: Path, script: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "cuda", script["ON_CPU"]["cuda"])
    (module,) = script["imported"](clone, "Model.net")
    model, images, label, seen = module.Net(), torch.ones(2, 3), torch.ones(2, 1), []
    before = model.layer.weight.detach().clone()
    expected = nn.functional.mse_loss(model(2 * images), label).item()
    update = script["Theirs"](clone / "train.py", model, script["PLAIN"], images=images, label=label, seen=seen)
    update()
    moved = (model.layer.weight - before).abs().max()
    assert 0 < moved < 1e-3
    update()
    assert seen[0] == pytest.approx(expected)
    assert seen[1] == pytest.approx(expected, rel=1e-3)  # the same images again, not what was made of them


def test_a_script_without_training_is_refused(clone: Path, script: dict[str, Any]) -> None:
    (clone / "train.py").write_text("for image in images:\n    show(image)\n")
    with pytest.raises(ValueError, match="has 0 loops with a backward pass"):
        script["training_step"](clone / "train.py")


def test_our_updates_are_those_of_the_methods_as_published(script: dict[str, Any]) -> None:
    images, classes = torch.randn(2, 3, 32, 32), torch.arange(2)
    net = script["backbone"]("resnet18", weights=None, output_stride=8)
    update = script["ours"](script["SEAM"](net, 20, script["SEAMConfig"].paper()), images, classes, script["PLAIN"])
    assert torch.allclose(update.batch["images"], images / 4 + 0.5)
    assert update.batch["labels"].shape == (2, 20)
    update()
    assert isinstance(update.stepper, torch.optim.SGD)


def test_a_row_has_ratios_of_time_and_operations(script: dict[str, Any], tmp_path: Path) -> None:
    layer, images = nn.Linear(32, 32), torch.zeros(0)

    def pair(clone: Path, drawn: torch.Tensor) -> Any:
        nonlocal images
        images = drawn
        assert drawn.cuda() is drawn
        return lambda: layer(drawn).sum(), lambda: (layer(drawn) + layer(drawn)).sum()

    row = script["row"](script["Case"]("SAT", pair, 32, 2), tmp_path, 2)
    assert images.shape == (2, 3, 32, 32)
    assert row["operations"] == 2
    assert row["batch"] == 2
    assert set(row["speed"]) == {"ours", script["PEER"]}
    assert "| some | 2 |" in script["as_markdown"]({"some": row})


def test_absent_clones_are_named_with_what_to_do(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--code", str(tmp_path)]):
        script["main"](arguments)
        said = capsys.readouterr().out
        for address in script["CLONES"].values():
            assert f"git clone {address}" in said
        assert "nothing to measure" in said
    (tmp_path / "BAS").mkdir()
    script["main"](["--code", str(tmp_path), "--only", "SEAM", "--rounds", "1"])
    said = capsys.readouterr().out
    assert "SEAM is absent" in said
    assert "BAS is absent" not in said
