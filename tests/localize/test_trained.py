"""A checkpoint alone says what is where in a photo, whatever method of the registry it is of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from wsss_lib import cli, maps
from wsss_lib.backbones import ImageNetClassifier, backbone
from wsss_lib.data import load
from wsss_lib.experiments.workbench import COMPUTED
from wsss_lib.files import sha256_of
from wsss_lib.localize import localize_images
from wsss_lib.localize.localizer import PhotoMaps
from wsss_lib.localize.networks import from_checkpoint
from wsss_lib.localize.photos import to_tensor
from wsss_lib.methods import Method, registry
from wsss_lib.train import TrainConfig, fit
from wsss_lib.train.phases import phases_of

TRAINED = [name for name in registry.names("maps") if registry.entry(name).trained]
CONFIG = TrainConfig(epochs=None, steps=1, batch_size=4, optimiser="adamw", lr=1e-4, device="cpu")


def train(name: str, folder: Path) -> Method:
    torch.manual_seed(1)
    records = load("critters", split="train", count=4)
    method = registry.build(name, backbone(registry.entry(name).backbone, weights="shipped"), len(records.classes))
    for field in COMPUTED.keys() & set(method.needs):
        records = COMPUTED[field](records)
    config = replace(CONFIG, steps=len(phases_of(method)))  # an update for each phase
    fit(method, records, config, out_dir=folder, progress="none")
    return method


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cam"
    train("cam", folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = load("critters", split="train", count=4)[0]["image"]  # (3, 96, 96)
    Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy()).save(tmp_path / "critter.png")
    return tmp_path / "critter.png"


def seen_by(folder: Path, photo: Path, **options: object) -> PhotoMaps:
    localizer, _ = from_checkpoint(folder, torch.device("cpu"), None, None, **options)
    return localizer(Image.open(photo).convert("RGB"))


@pytest.mark.parametrize("name", TRAINED)
def test_a_checkpoint_localises_as_its_method_does(name: str, tmp_path: Path, photo: Path) -> None:
    method = train(name, tmp_path / "run")
    localized = seen_by(tmp_path / "run", photo, top_k=2)
    assert localized.seen_at == (96, 96)
    images = to_tensor(Image.open(photo), (96, 96))
    with torch.no_grad():
        expected = method.infer(images)
    logits = expected.logits[0]
    probabilities = logits.softmax(0) if getattr(method.config, "loss", "") == "softmax" else logits.sigmoid()
    torch.testing.assert_close(localized.scores, probabilities)
    assert list(localized.classes) == probabilities.topk(2).indices.tolist()
    assert localized.names == tuple(load("critters", split="train", count=4).classes[k] for k in localized.classes)
    heat = expected.maps.expand(-1, len(logits), -1, -1)[:, list(localized.classes)]
    heat = maps.normalise(maps.resize(heat, (96, 96)), how="max", eps=0.0)[0]
    torch.testing.assert_close(localized.maps, heat, atol=1e-4, rtol=1e-4)
    several = seen_by(tmp_path / "run", photo, multi_scale=True)
    assert several.maps.shape == (1, 96, 96)
    assert 0 <= float(several.maps.min()) <= float(several.maps.max()) <= 1


def test_the_report_names_method_backbone_and_weights(run: Path, photo: Path, tmp_path: Path) -> None:
    (report,) = localize_images([photo], method="cam", checkpoint=run, out=tmp_path / "out", top_k=2)
    assert (report["method"], report["backbone"], report["weights"]) == ("cam", "tiny_cnn", "checkpoint")
    assert report["step"] == 1
    assert len(report["weights_sha256"]) == 64
    assert str(run) not in json.dumps(report)
    assert len(report["objects"]) == 2
    assert (tmp_path / "out" / "critter-cam.json").is_file()
    name = report["top"][3]["class"]
    (report,) = localize_images([photo], checkpoint=run, classes=[name])
    assert [entry["class"] for entry in report["objects"]] == [name]


def test_a_photo_of_another_shape_keeps_its_pixels(run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (320, 200), (90, 120, 60)).save(tmp_path / "wide.png")
    (report,) = localize_images([tmp_path / "wide.png"], checkpoint=run)
    assert report["seen_at"] == [96, 160]
    assert (report["width"], report["height"]) == (320, 200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bas"}, "the checkpoint in .*cam is one of cam, not of bas: leave the method out"),
        ({"backbone": "resnet50"}, "A checkpoint has a backbone and weights of its own: leave backbone out"),
        ({"backbone": "vgg16", "weights": "w"}, "leave backbone and weights out"),
        ({"classes": ["zebra"]}, "no class 'zebra'"),
        ({"top_k": 99}, "from 1 to 6"),
    ],
)
def test_what_a_checkpoint_does_not_allow(run: Path, photo: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        localize_images([photo], checkpoint=run, **options)


def test_a_method_that_needs_training_asks_for_a_checkpoint(photo: Path, probe: ImageNetClassifier) -> None:
    with pytest.raises(ValueError, match=r"BAS must be trained: name the folder of a run of it as the checkpoint"):
        localize_images([photo], method="bas", classifier=probe)


def rewritten(run: Path, folder: Path, change: dict) -> Path:
    """The run with another state.json, its sums in order."""
    shutil.copytree(run, folder)
    for state in folder.glob("checkpoints/step_*/state.json"):
        content = json.loads(state.read_text())
        content["method"] = None if change is None else content["method"] | change
        state.write_text(json.dumps(content))
        sums = state.with_name("SHA256SUMS")
        lines = [line for line in sums.read_text().splitlines() if not line.endswith("  state.json")]
        sums.write_text("\n".join([*lines, f"{sha256_of(state)}  state.json"]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"step_00000001 cannot be used by itself: it does not say a method of the registry"),
        ({"name": None}, r"it does not say a method of the registry \('name'\); build the method as it was trained"),
        ({"classes": []}, r"it does not say its classes"),
        ({"backbone": None}, r"it does not say its backbone"),
        ({"image_size": None}, r"it does not say its images' size"),
        ({"settings": {"warp": 9}}, r"another version of wsss-lib"),
        ({"classes": ["a", "b"]}, r"head\.weight has shape \(6, 64\) in .*, expected \(2, 64\)"),
        ({"name": "bas", "settings": {}}, r"lacks .* besides, so it is not of this BAS"),
    ],
)
def test_a_checkpoint_that_does_not_say_what_it_is(
    run: Path, photo: Path, tmp_path: Path, change: dict | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        localize_images([photo], checkpoint=rewritten(run, tmp_path / "other", change))


def test_a_folder_without_a_checkpoint(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"empty holds no intact checkpoint: name the folder"):
        localize_images([photo], checkpoint=tmp_path / "empty")


def command(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from wsss_lib.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "localize", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "CUDA_VISIBLE_DEVICES": ""} | environment,
        check=False,
        timeout=120,
    )


def test_the_commands_exit_codes(
    run: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "写真.png").write_bytes(photo.read_bytes())
    (tmp_path / "bad.jpg").write_bytes(b"<!DOCTYPE html>")
    (tmp_path / ".hidden.png").write_bytes(photo.read_bytes())
    done = command(tmp_path, "--checkpoint", run, "--out", tmp_path, cwd=tmp_path, PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[0].startswith("critter.png: ")
    assert done.stdout.splitlines()[1].startswith("\\u5199\\u771f.png: ")
    errors = [line for line in done.stderr.splitlines() if line.startswith("wsss: ")]
    assert len(errors) == 2
    assert ".hidden.png was skipped: a hidden file" in errors[0]
    assert "bad.jpg: the image is a web page" in errors[1]
    assert "Traceback" not in done.stderr
    monkeypatch.chdir(tmp_path)
    again = ["localize", str(photo), "写真.png", "--checkpoint", str(run), "--method", "cam"]
    assert cli.main(again) == 0, capsys.readouterr().err
    assert len(list((tmp_path / "localized").glob("*.json"))) == 2
    with pytest.raises(SystemExit) as wrong:
        cli.main([*again[:-1], "bass"])
    assert wrong.value.code == 2
    refused = capsys.readouterr().err
    assert "invalid choice: 'bass'" in refused
    assert "did you mean 'bas'?" in refused
