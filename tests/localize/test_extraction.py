"""Masks of a data set in shards: equal to those of single photos, each shard once, whoever is stopped in the middle."""

from __future__ import annotations

import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import datasets
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from wsss_lib import maps
from wsss_lib.backbones import backbone
from wsss_lib.cli import main
from wsss_lib.data import load
from wsss_lib.data.photos.download import DownloadError
from wsss_lib.data.photos.masks import mask_array
from wsss_lib.files import sha256_of_text
from wsss_lib.localize.extraction import extract_maps
from wsss_lib.localize.mask_maker import MaskMaker
from wsss_lib.localize.shards import made_of, shards_of
from wsss_lib.localize.trained import TrainedLocalizer, load_trained, side_of
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig, fit

CONFIG = TrainConfig(epochs=None, steps=1, batch_size=4, optimiser="adamw", lr=1e-4, device="cpu")
SHARDS, ROWS = 5, 12


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cam"
    torch.manual_seed(1)
    records = load("critters", split="train", count=4)
    fit(
        registry.build("cam", backbone("tiny_cnn", weights="shipped"), len(records.classes)),
        records,
        CONFIG,
        out_dir=folder,
        progress="none",
    )
    return folder


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path: Path, rows: list[dict], names: list[str]) -> None:
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "image": datasets.Image(),
            "labels": datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    columns = {
        "id": [row["id"] for row in rows],
        "image": [{"bytes": row["image"], "path": None} for row in rows],
        "labels": [row["labels"] for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=features.arrow_schema), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of critters in three shapes, among them a folder within."""
    folder = tmp_path_factory.mktemp("data") / "shards"
    records = load("critters", split="test", count=SHARDS * ROWS)
    for shard in range(SHARDS):
        rows = []
        for i in range(shard * ROWS, (shard + 1) * ROWS):
            sample = records[i]
            pixels = (sample["image"] * 255).round().byte().permute(1, 2, 0).numpy()
            cut = {0: pixels, 1: pixels[:64], 2: pixels[:, 20:]}[i % 3]
            rows.append({"id": f"n{i}", "image": png(cut), "labels": sample["labels"].nonzero()[:, 0].tolist()})
        within = "" if shard else "first/"
        write_shard(folder / f"{within}train-{shard:05d}-of-{SHARDS:05d}.parquet", rows, list(records.classes))
    return folder


def tables(folder: Path) -> dict[str, dict]:
    files = sorted(folder.rglob("*.parquet"))
    return {file.relative_to(folder).as_posix(): pq.read_table(file).to_pydict() for file in files}


def test_masks_are_those_of_single_photos(run: Path, data: Path, tmp_path: Path) -> None:
    done = extract_maps(data, tmp_path / "out", checkpoint=run, labels="labels", threshold=0.3, device="cpu")
    assert (done.shards, done.done_before, len(done.written), done.rows, done.failures) == (5, 0, 5, 60, ())
    method, described = load_trained(run)
    alone = TrainedLocalizer(method, described["classes"], short_side=side_of(described))
    inputs, results = tables(data), tables(tmp_path / "out")
    assert list(inputs) == list(results)
    for name, table in results.items():
        assert table["id"] == inputs[name]["id"]
        assert table["labels"] == inputs[name]["labels"]
        for image, mask, labels, scores in zip(
            inputs[name]["image"], table["mask"], table["labels"], table["scores"], strict=True
        ):
            photo = Image.open(io.BytesIO(image["bytes"])).convert("RGB")
            single = alone(photo, labels)
            winners = maps.seeds(single.maps[None], None, 0.3)[0]
            expected = torch.tensor([0, *(k + 1 for k in labels)])[winners].numpy()
            held = mask_array(mask["bytes"])
            assert held.shape == expected.shape
            # A shape that the network sees at another size is resized twice here and once there.
            assert (held == expected).mean() > 0.97
            np.testing.assert_allclose(scores, single.scores.numpy(), atol=1e-4)


def test_results_are_a_data_set(run: Path, data: Path, tmp_path: Path) -> None:
    extract_maps(data, tmp_path / "out", checkpoint=run, labels="labels", device="cpu")
    rows = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out" / "*.parquet"),
        split="train",
        streaming=True,
    )
    first = next(iter(rows))
    assert (
        first["mask"].size
        == Image.open(io.BytesIO(tables(data)["train-00001-of-00005.parquet"]["image"][0]["bytes"])).size
    )
    assert rows.features["labels"].feature.names == list(load("critters", split="train", count=4).classes)
    about = made_of(tmp_path / "out" / "train-00001-of-00005.parquet")
    assert about is not None
    assert (about["method"], about["threshold"]) == ("cam", 0.2)


def test_what_is_done_stays_and_what_changed_is_done_anew(run: Path, data: Path, tmp_path: Path) -> None:
    copied, out = tmp_path / "data", tmp_path / "out"
    for name in ("train-00001-of-00005.parquet", "train-00002-of-00005.parquet"):
        copied.mkdir(exist_ok=True)
        (copied / name).write_bytes((data / name).read_bytes())
    extract_maps(copied, out, checkpoint=run, device="cpu")
    again = extract_maps(copied, out, checkpoint=run, device="cpu")
    assert (again.done_before, again.written) == (2, ())
    (out / "train-00001-of-00005.parquet").write_bytes(b"PAR1 cut off")
    (copied / "train-00002-of-00005.parquet").write_bytes((data / "train-00003-of-00005.parquet").read_bytes())
    again = extract_maps(copied, out, checkpoint=run, device="cpu")
    assert again.written == ("train-00001-of-00005.parquet", "train-00002-of-00005.parquet")
    other = extract_maps(copied, out, checkpoint=run, threshold=0.5, device="cpu")
    assert len(other.written) == 2, "another threshold makes other masks"


def test_without_labels_the_classifier_says_what_is_there(run: Path, data: Path, tmp_path: Path) -> None:
    extract_maps(data, tmp_path / "out", checkpoint=run, device="cpu")
    for table in tables(tmp_path / "out").values():
        for labels, scores in zip(table["labels"], table["scores"], strict=True):
            assert labels == [k for k, score in enumerate(scores) if score >= 0.5]


def test_an_odd_row_says_what_is_wrong_and_the_others_are_done(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = pq.read_table(data / "train-00001-of-00005.parquet").to_pylist()
    names = list(load("critters", split="train", count=4).classes)
    rows = [{"id": row["id"], "image": row["image"]["bytes"], "labels": row["labels"]} for row in held[:3]]
    rows[0]["image"] = b"no picture"
    rows[1]["image"] = None
    write_shard(tmp_path / "data" / "a.parquet", rows, names)
    assert main(["maps", str(tmp_path / "data"), "--checkpoint", str(run), "--out", str(tmp_path / "out")]) == 1
    table = tables(tmp_path / "out")["a.parquet"]
    assert [mask is None for mask in table["mask"]] == [True, True, False]
    assert [error is None for error in table["error"]] == [False, False, True]
    said = capsys.readouterr()
    assert "1 of 1 shards written here, 3 images" in said.out
    assert said.err.count("a.parquet: row ") == 2


@pytest.mark.parametrize(
    ("names", "labels", "wrong"), [(["unicorn"], [0], "unicorn"), (None, [77], "77"), (None, [-1], "-1")]
)
def test_a_class_that_the_method_does_not_know(
    run: Path, data: Path, tmp_path: Path, names: list[str] | None, labels: list[int], wrong: str
) -> None:
    image = pq.read_table(data / "train-00001-of-00005.parquet").to_pylist()[0]["image"]
    kind = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    schema = datasets.Features({"image": datasets.Image(), "labels": datasets.List(kind)}).arrow_schema
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"image": [image], "labels": [labels]}, schema=schema), tmp_path / "data" / "a.parquet")
    done = extract_maps(tmp_path / "data", tmp_path / "out", checkpoint=run, labels="labels", device="cpu")
    assert len(done.failures) == 1
    assert f"knows no class {wrong!r}" in done.failures[0] or f"knows no class {wrong}" in done.failures[0]


def test_what_cannot_be_done_is_said_in_one_sentence(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.parquet").write_bytes(b"no Parquet")
    tries = {
        "holds no Parquet file": [str(tmp_path / "empty"), "--checkpoint", str(run)],
        "no intact checkpoint": [str(data), "--checkpoint", str(tmp_path / "empty")],
        "has no column 'picture'": [str(data), "--checkpoint", str(run), "--image", "picture"],
        "cannot be read as Parquet": [str(tmp_path / "torn"), "--checkpoint", str(run)],
        "expected a share of the maximum": [str(data), "--checkpoint", str(run), "--threshold", "1.5"],
        "would be written over": [str(data), "--checkpoint", str(run), "--out", str(data)],
        "there is no method": [str(data), "--checkpoint", str(run), "--method", "cams"],
    }
    for words, arguments in tries.items():
        out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
        assert main(["maps", *arguments, *out]) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.startswith("wsss: ")
        assert len(said.strip().splitlines()) == 1
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_shards_by_pattern_and_split(data: Path) -> None:
    assert len(shards_of(data)) == SHARDS
    assert [shard.name for shard in shards_of(data, "train-00001")] == ["train-00001-of-00005.parquet"]
    by_pattern = shards_of(str(data / "train-0000[12]*"))
    assert [shard.name for shard in by_pattern] == [
        "00000-train-00001-of-00005.parquet",
        "00001-train-00002-of-00005.parquet",
    ]


class Hub(http.server.BaseHTTPRequestHandler):
    """The little of the Hub that listing and fetching a data set asks for."""

    files: ClassVar[dict[str, bytes]] = {}
    commit = "c0ffee0123" * 4

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removeprefix(f"/datasets/who/critters/resolve/{self.commit}/")
        if path == "/api/datasets/who/critters/revision/main":
            siblings = [
                {"rfilename": n, "size": len(c), "lfs": {"sha256": sha256_of_text(c), "size": len(c), "pointerSize": 9}}
                for n, c in self.files.items()
            ]
            self._answer(json.dumps({"id": "who/critters", "sha": self.commit, "siblings": siblings}).encode())
        elif name in self.files:
            self._answer(self.files[name])
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{sha256_of_text(body)}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    Hub.files = {
        f"data/{split}-00000-of-00001.parquet": (data / f"train-0000{at}-of-00005.parquet").read_bytes()
        for at, split in enumerate(("train", "val"), start=1)
    }
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{serving.server_port}")
        yield Hub
        serving.shutdown()


def test_a_data_set_of_the_hub(run: Path, data: Path, tmp_path: Path, hub: type[Hub]) -> None:
    extract_maps(data / "train-00002-of-00005.parquet", tmp_path / "here", checkpoint=run, device="cpu")
    done = extract_maps("who/critters", tmp_path / "away", checkpoint=run, split="val", device="cpu")
    assert done.written == ("data/val-00000-of-00001.parquet",)
    assert tables(tmp_path / "away")[done.written[0]] == tables(tmp_path / "here")["train-00002-of-00005.parquet"]
    again = extract_maps("who/critters", tmp_path / "away", checkpoint=run, split="val", device="cpu")
    assert again.written == ()
    with pytest.raises(FileNotFoundError, match="no Parquet file of a split 'test'"):
        shards_of("who/critters", "test")
    with pytest.raises(DownloadError, match="who/birds could not be listed"):
        shards_of("who/birds")


def test_masks_ask_for_a_share_and_a_batch() -> None:
    method = registry.build("cam", backbone("tiny_cnn", weights="shipped"), 6)
    for options in ({"threshold": 1.0}, {"threshold": -0.1}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=r"expected a share|at least 1"):
            MaskMaker(method, tuple("abcdef"), **options)


def launch(run: Path, data: Path, out: Path, count: int) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, *launcher, "-m", "wsss_lib.cli", "maps", data, "--checkpoint", run, "--out", out]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [*map(str, command), "--device", "cpu", "--batch-size", "2"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_that_are_killed_write_in_the_end_what_one_does(run: Path, data: Path, tmp_path: Path) -> None:
    """Each shard exactly once, whatever happened before."""
    extract_maps(data, tmp_path / "one", checkpoint=run, batch_size=2, device="cpu")
    process = launch(run, data, tmp_path / "two", 2)
    assert process.stdout is not None
    for line in process.stdout:  # until the first shard is done
        if line.endswith(" images\n"):
            break
    launcher = psutil.Process(process.pid)
    for each in [launcher, *launcher.children(recursive=True)]:
        each.kill()
    process.wait(timeout=30)
    held = contents(tmp_path / "two")
    assert 1 <= len(held) < SHARDS, "killed after its work was done"
    again = launch(run, data, tmp_path / "two", 2)
    said, _ = again.communicate(timeout=240)
    assert again.returncode == 0, said
    assert said.count(f"{len(held)} had been done before") == 2
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    written = [line.partition(":")[0] for line in said.splitlines() if line.endswith(" images")]
    assert sorted(written) == sorted(set(contents(tmp_path / "one")) - set(held))


def contents(folder: Path) -> dict[str, str]:
    """What is in the complete files of maps; what a killed process left half written has a hidden name."""
    files = [file for file in sorted(folder.rglob("*.parquet")) if not file.name.startswith(".")]
    assert all(made_of(file) for file in files)
    return {str(file.relative_to(folder)): json.dumps(pq.read_table(file).to_pydict(), default=str) for file in files}
