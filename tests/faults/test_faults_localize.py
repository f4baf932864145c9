"""``wsss localize`` on photographs as people have them: one bad photo never stops the rest, nothing is half written."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fault_kit import encoded, photo
from PIL import Image
from safetensors.torch import save_file
from test_faults_images import broken_exif, scene
from torchvision.models import mobilenet_v2

from wsss_lib.cli import main

GOOD = encoded(Image.effect_noise((48, 40), 90).convert("RGB"), "JPEG")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows nothing: where its maps light up does not matter here."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(mobilenet_v2().state_dict(), folder / "mobilenet_v2.safetensors")
    return folder


class Localize:
    """The command with small settings; what it said, and what it left."""

    def __init__(self, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.weights, self.capsys = weights, capsys

    def __call__(self, *arguments: object, out: Path) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main(
            [
                "localize",
                *map(str, arguments),
                "--backbone",
                "mobilenet_v2",
                "--weights",
                str(self.weights),
                "--out",
                str(out),
                "--method",
                "eigencam",
            ]
        )
        said = self.capsys.readouterr()
        text = said.out + said.err
        assert "Traceback" not in text
        leftovers = [
            path for path in out.rglob("*") if ".partial" in path.name or path.name.endswith((".part", ".tmp"))
        ]
        assert not leftovers
        for path in out.rglob("*.png"):
            with Image.open(path) as picture:
                picture.load()
        return code, text


@pytest.fixture
def localize(weights: Path, capsys: pytest.CaptureFixture[str]) -> Localize:
    return Localize(weights, capsys)


def reports(out: Path) -> list[str]:
    """The photos of which there are reports."""
    return sorted(json.loads(path.read_text(encoding="utf-8"))["image"] for path in out.rglob("*.json"))


def heic(path: Path) -> None:
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 200)


BAD: dict[str, Callable[[Path], object]] = {
    "truncated.jpg": lambda path: path.write_bytes(GOOD[: len(GOOD) // 2]),
    "empty.png": lambda path: path.write_bytes(b""),
    "page.jpg": lambda path: path.write_text("<html>404</html>"),
    "link.jpg": lambda path: path.symlink_to(path.with_name("gone.jpg")),
    "pipe.jpg": os.mkfifo,
    "phone.heic": heic,
    "nan.tif": lambda path: path.write_bytes(encoded(np.full((40, 40), np.nan, np.float32), "TIFF")),
    "signed.tif": lambda path: path.write_bytes(encoded(np.full((40, 40), -5, np.int32), "TIFF")),
    "cut.jp2": lambda path: path.write_bytes(b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00" * 90),
    "cut.avif": lambda path: path.write_bytes(b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf" + b"\x00" * 90),
}


def test_one_bad_photo_never_stops_the_rest(tmp_path: Path, localize: Localize) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "z.jpg"):
        (folder / name).write_bytes(GOOD)
    for name, make in BAD.items():
        make(folder / name)
    (folder / "folder.jpg").mkdir()
    (folder / "._a.jpg").write_bytes(b"\x00\x05\x16\x07")
    code, text = localize(folder, out=tmp_path / "out")
    assert code == 1
    assert reports(tmp_path / "out") == ["a.jpg", "z.jpg"]
    unsaid = [name for name in BAD if name not in text]
    assert not unsaid, text


@pytest.mark.parametrize("name", BAD)
def test_a_bad_photo_alone_is_one_line(tmp_path: Path, localize: Localize, name: str) -> None:
    BAD[name](tmp_path / name)
    code, text = localize(tmp_path / name, out=tmp_path / "out")
    assert code == 1
    assert len([line for line in text.splitlines() if name in line]) == 1, text
    assert not list((tmp_path / "out").rglob("*.*"))


GOOD_ONES: dict[str, Callable[[], bytes]] = {
    "exif.jpg": lambda: broken_exif(scene(32, 48)[0]),
    "[a].jpg": lambda: GOOD,
    "a::b.jpg": lambda: GOOD,
    'it\'s "so".jpg': lambda: GOOD,
    "鳥 $x$ $y$.jpg": lambda: GOOD,
    "x" * 240 + ".jpg": lambda: GOOD,
    "grey 16.png": lambda: encoded(np.full((40, 40), 30000, np.uint16)),
    "deep.webp": lambda: encoded(Image.new("RGBA", (40, 48), (9, 200, 9, 0)), "WEBP"),
    "jpeg 2000.jp2": lambda: encoded(Image.effect_noise((48, 40), 90).convert("RGB"), "JPEG2000"),
    "CAPITALS.JPG": lambda: GOOD,
}


def test_photos_of_odd_names_and_kinds_are_done(tmp_path: Path, localize: Localize) -> None:
    folder = tmp_path / "it's [1] $a$ $b$"
    folder.mkdir()
    for name, make in GOOD_ONES.items():
        (folder / name).write_bytes(make())
    code, text = localize(folder, out=tmp_path / "out")
    assert code == 0, text
    assert reports(tmp_path / "out") == sorted(GOOD_ONES)


def test_an_avif_is_read_where_pillow_can_and_said_where_not(tmp_path: Path, localize: Localize) -> None:
    try:
        (tmp_path / "a.avif").write_bytes(encoded(Image.effect_noise((48, 40), 90).convert("RGB"), "AVIF"))
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no AVIF")
    code, text = localize(tmp_path / "a.avif", out=tmp_path / "out")
    assert (code, reports(tmp_path / "out")) == (0, ["a.avif"]), text


def test_photos_of_one_name_do_not_overwrite_one_another(tmp_path: Path, localize: Localize) -> None:
    names = ["one/photo.jpg", "two/photo.jpg", "one/photo-2.jpg", "one/photo.png", "two/Photo.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(GOOD if name.endswith("jpg") else photo())
    code, _ = localize(*(tmp_path / name for name in names), out=tmp_path / "out")
    assert code == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 5
    assert len(list((tmp_path / "out").glob("*-overlay.png"))) == 5


def test_results_of_two_folders_in_two_runs_do_not_overwrite_one_another(tmp_path: Path, localize: Localize) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").write_bytes(
            encoded(Image.effect_noise((48, 40 + len(name)), 90).convert("RGB"), "JPEG")
        )
        localize(tmp_path / name / "photo.jpg", out=tmp_path / "out")
    again = localize(tmp_path / "one" / "photo.jpg", out=tmp_path / "out")
    assert again[0] == 0
    assert reports(tmp_path / "out") in (["photo.jpg"], ["photo.jpg", "photo.jpg"])


def test_results_among_the_photos_are_no_photos(tmp_path: Path, localize: Localize) -> None:
    (tmp_path / "photo.jpg").write_bytes(GOOD)
    localize(tmp_path, out=tmp_path)
    first = sorted(path.name for path in tmp_path.iterdir())
    code, text = localize(tmp_path, out=tmp_path)
    assert code == 0, text
    assert sorted(path.name for path in tmp_path.iterdir()) == first


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, localize: Localize, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.jpg").write_bytes(GOOD)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, text = localize(tmp_path / "photo.jpg", out=tmp_path / "out")
    assert code == 1
    assert "disk is full" in text
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_cannot_print_a_name(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    (tmp_path / "鳥.jpg").write_bytes(GOOD)
    (tmp_path / "鳥 2.jpg").write_bytes(GOOD[:99])
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
    arguments = ["--backbone", "mobilenet_v2", "--weights", weights, "--out", tmp_path / "out", "--method", "eigencam"]
    assert main(["localize", *map(str, [tmp_path, *arguments])]) == 1
    assert reports(tmp_path / "out") == ["鳥.jpg"]


def test_weights_that_are_no_numbers_stop_before_a_picture(tmp_path: Path, weights: Path, localize: Localize) -> None:
    state = mobilenet_v2().state_dict()
    state["features.0.0.weight"][0] = float("nan")
    save_file(state, tmp_path / "mobilenet_v2.safetensors")
    (tmp_path / "photo.jpg").write_bytes(GOOD)
    localize.weights = tmp_path
    code, text = localize(tmp_path / "photo.jpg", out=tmp_path / "out")
    assert code == 1
    assert "features.0.0.weight" in text
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_nothing_to_do_is_said(tmp_path: Path, localize: Localize) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    code, text = localize(tmp_path, out=tmp_path / "out")
    assert code == 1
    assert "holds no" in text
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    code, text = localize(tmp_path / "nowhere", out=tmp_path / "out")
    assert (code, "nowhere" in text) == (1, True)
