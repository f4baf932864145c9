"""Shards for ``wsss maps``: what is no table is one sentence, what is no image costs its row, and no pipe blocks."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fault_kit import encoded, photo, refusal
from PIL import Image

from wsss_lib.backbones import backbone
from wsss_lib.data import load
from wsss_lib.localize.extraction import Extraction, extract_maps
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig, fit

PHOTO = photo(32, 32)
BINARY = pa.schema([("image", pa.binary())])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CAM over few channels, of six classes, after one update."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    config = TrainConfig(steps=1, epochs=None, batch_size=4, lr=1e-3, device="cpu")
    method = registry.build("cam", backbone("tiny_cnn", widths=(4, 6, 8, 10)), 6)
    fit(method, load("critters", split="train", count=4), config, out_dir=folder, progress="none")
    return folder


def shard(folder: Path, columns: dict[str, Any], schema: pa.Schema | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), folder / "a.parquet")
    return folder


def extracted(data: Any, run: Path, out: Path, **options: Any) -> Extraction:
    """What was done; a file that is half written is never left."""
    try:
        return extract_maps(data, out, checkpoint=run, device="cpu", **options)
    finally:
        assert not [path for path in out.parent.rglob("*") if ".partial" in path.name]


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as Parquet"),
    "a web page": (lambda path: path.write_text("<html>404</html>"), "cannot be read as Parquet"),
    "seven bytes": (lambda path: path.write_bytes(b"PAR1123"), "cannot be read as Parquet"),
    "a footer without end": (lambda path: path.write_bytes(b"PAR1\xff\xff\xff\x7fPAR1"), "cannot be read as Parquet"),
    "a pointer of Git LFS": (lambda path: path.write_text("version https://git-lfs"), "cannot be read as Parquet"),
    "a hole of 8 GB": (lambda path: path.open("wb").truncate(2**33), "cannot be read as Parquet"),
    "a pipe": (os.mkfifo, "is no file"),
    "a dangling link": (lambda path: path.symlink_to(path.with_name("gone")), "a link to what is not there"),
    "a link to itself": (lambda path: path.symlink_to(path), "a link to what is not there"),
    "a folder": (lambda path: path.mkdir(), "holds no Parquet file"),
    "no columns": (lambda path: pq.write_table(pa.table({}), path), "no column 'image'"),
    "another column": (lambda path: pq.write_table(pa.table({"picture": [PHOTO]}), path), "it has picture"),
    "two columns of one name": (
        lambda path: pq.write_table(pa.Table.from_arrays([pa.array([PHOTO])] * 2, names=["image"] * 2), path),
        "two columns 'image'",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_shard_is_one_sentence(tmp_path: Path, run: Path, name: str) -> None:
    make, cause = FILES[name]
    (tmp_path / "data").mkdir()
    make(tmp_path / "data" / "a.parquet")
    refusal(lambda: extracted(tmp_path / "data", run, tmp_path / "out"), "data", cause)
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_torn_shard_does_not_keep_the_others_waiting(tmp_path: Path, run: Path) -> None:
    data, out = shard(tmp_path / "data", {"image": [PHOTO]}), tmp_path / "out"
    content = (data / "a.parquet").read_bytes()
    for name in "bcde":
        (data / f"{name}.parquet").write_bytes(content[:-20] if name in "bd" else content)
    refusal(lambda: extracted(data, run, out), "b.parquet cannot be read", "1 more of 5 shards")
    assert sorted(path.name for path in out.iterdir()) == ["a.parquet", "c.parquet", "e.parquet"]
    (data / "b.parquet").write_bytes(content)
    refusal(lambda: extracted(data, run, out), "d.parquet cannot be read as Parquet", "fetch it anew$")
    (data / "d.parquet").write_bytes(content)
    done = extracted(data, run, out)
    assert (done.done_before, done.written) == (4, ("d.parquet",))


NOTES = [b"{nonsense", b'{"info": {"features": {"image": {"_type": "Video9"}}}}']


@pytest.mark.parametrize("note", NOTES)
def test_a_note_of_datasets_that_nobody_understands(tmp_path: Path, run: Path, note: bytes) -> None:
    data = shard(tmp_path / "data", {"image": [PHOTO]}, BINARY.with_metadata({b"huggingface": note}))
    refusal(lambda: extracted(data, run, tmp_path / "out"), "a.parquet cannot be read as Parquet")


def test_a_shard_that_is_cut_in_the_middle_of_its_rows(tmp_path: Path, run: Path) -> None:
    data = shard(tmp_path / "data", {"image": [photo(64, 64, i) for i in range(40)]})
    content = bytearray((data / "a.parquet").read_bytes())
    content[4:2000] = b"\0" * 1996  # the head of the first page; the footer is as it was
    (data / "a.parquet").write_bytes(content)
    refusal(lambda: extracted(data, run, tmp_path / "out"), "a.parquet cannot be read to its end")


def test_a_shard_without_rows_makes_one_without_rows(tmp_path: Path, run: Path) -> None:
    data = shard(tmp_path / "data", {"image": pa.array([], pa.binary())})
    done = extracted(data, run, tmp_path / "out")
    assert (done.written, done.rows) == (("a.parquet",), 0)
    assert pq.read_table(tmp_path / "out" / "a.parquet").num_rows == 0
    assert extracted(data, run, tmp_path / "out").done_before == 1


CELLS: dict[str, tuple[Any, str]] = {
    "text": ("a.png", "no bytes"),
    "a number": (3, "no bytes"),
    "a list": ([1, 2], "no bytes"),
    "another mapping": ({"k": 1}, "missing"),
    "a mapping of a number": ({"bytes": 3, "path": None}, "no image"),
    "a path": ({"path": "/etc/passwd"}, "missing|no bytes"),
    "nothing": (None, "missing"),
    "no bytes": (b"", "empty"),
    "a web page": (b"<html>", "web page"),
    "a cut PNG": (photo(64, 64)[:200], "damaged"),
    "a bomb": (encoded(Image.new("1", (30_000, 20_000))), "too many pixels"),
    "16 bits whose white is not known": (encoded(np.full((9, 9), 4000, np.uint16)), "white"),
    "NaN": (encoded(np.full((9, 9), np.nan, np.float32), "TIFF"), "NaN"),
    "HEIC": (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 200, "HEIC"),
    "a PDF": (b"%PDF-1.7", "PDF"),
    "an SVG": (b"<svg onload='alert(1)'/>", "SVG"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_is_no_image_costs_its_row(tmp_path: Path, run: Path, name: str) -> None:
    cell, cause = CELLS[name]
    data = shard(tmp_path / "data", {"image": pa.array([cell] if cell is not None else pa.array([None], pa.binary()))})
    (sentence,) = extracted(data, run, tmp_path / "out").failures
    assert "a.parquet: row 0: " in sentence
    assert cause in sentence or any(word in sentence for word in cause.split("|"))
    table = pq.read_table(tmp_path / "out" / "a.parquet").to_pydict()
    assert (table["mask"], table["labels"]) == ([None], [[]])
    assert table["error"][0] in sentence


SIZES = [(1, 1), (1, 3000), (3000, 1), (2, 33)]


@pytest.mark.parametrize("size", SIZES)
def test_an_image_of_any_size_has_a_mask_of_its_size(tmp_path: Path, run: Path, size: tuple[int, int]) -> None:
    assert not extracted(shard(tmp_path / "data", {"image": [photo(*size)]}), run, tmp_path / "out").failures
    (mask,) = pq.read_table(tmp_path / "out" / "a.parquet").to_pydict()["mask"]
    with Image.open(io.BytesIO(mask["bytes"])) as picture:
        assert picture.size == size[::-1]


NAMED = datasets.Features(
    {"image": datasets.Value("binary"), "known": datasets.List(datasets.ClassLabel(names=["fenn", "b"]))}
).arrow_schema
LABELS: dict[str, tuple[Any, pa.DataType | pa.Schema, str]] = {
    "a decimal": ([1.0], pa.list_(pa.float64()), "no class 1.0"),
    "NaN": ([float("nan")], pa.list_(pa.float64()), "no class nan"),
    "a truth": (True, pa.bool_(), "list the numbers or names"),
    "truths": ([True, False, False, False, False, True], pa.list_(pa.bool_()), "list the numbers or names"),
    "0 and 1 for each class": ([0, 1, 0, 0, 1, 0], pa.list_(pa.int64()), "list the numbers or names"),
    "a mapping": ({"k": 1}, pa.struct([("k", pa.int64())]), "no class"),
    "a list of lists": ([[1]], pa.list_(pa.list_(pa.int64())), r"no class [1]"),
    "a null among numbers": ([1, None], pa.list_(pa.int64()), "no class None"),
    "too large": ([2**62], pa.list_(pa.int64()), "no class 4611"),
    "below 0": ([-1], pa.list_(pa.int64()), "no class -1"),
    "a date": (0, pa.timestamp("s"), "no class datetime"),
    "an unknown name": (["unicorn"], pa.list_(pa.string()), "no class 'unicorn'"),
    "a number beyond the names": ([5], NAMED, "no class 5"),
    "a number below the names": ([-1], NAMED, "no class -1"),
    "a name of others": ([1], NAMED, "no class 'b'"),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_cell_that_names_no_class_costs_its_row(tmp_path: Path, run: Path, name: str) -> None:
    cell, kind, cause = LABELS[name]
    schema = kind if isinstance(kind, pa.Schema) else pa.schema([("image", pa.binary()), ("known", kind)])
    data = shard(tmp_path / "data", {"image": [PHOTO], "known": [cell]}, schema)
    (sentence,) = extracted(data, run, tmp_path / "out", labels="known").failures
    assert cause in sentence


def test_no_label_is_no_class(tmp_path: Path, run: Path) -> None:
    data = shard(tmp_path / "data", {"image": [PHOTO] * 2, "known": pa.array([None, []], pa.list_(pa.int64()))})
    assert not extracted(data, run, tmp_path / "out", labels="known").failures
    assert pq.read_table(tmp_path / "out" / "a.parquet").to_pydict()["labels"] == [[], []]


IDS: dict[str, tuple[Any, str]] = {
    "null": (None, "0"), "a list": ([1], "[1]"), "bytes": (b"\xff", r"b'\xff'"), "empty": ("", ""),
    "HTML": ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"), "a number": (2**60, str(2**60)),
}  # fmt: skip


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_kept_as_text(tmp_path: Path, run: Path, name: str) -> None:
    cell, expected = IDS[name]
    data = shard(tmp_path / "data", {"image": [PHOTO], "id": [cell]})
    assert not extracted(data, run, tmp_path / "out").failures
    assert pq.read_table(tmp_path / "out" / "a.parquet").to_pydict()["id"] == [expected]


PLACES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file": (lambda out: out.write_text("mine"), "results cannot go to"),
    "below a file": (lambda out: (out.write_text("mine"), out / "deeper")[1], "results cannot go to"),
    "nowhere": (lambda out: Path("/proc/self/wsss"), "results cannot go to"),
    "a folder in the way": (lambda out: (out / "a.parquet").mkdir(parents=True), "is no file"),
    "a pipe in the way": (lambda out: (out.mkdir(), os.mkfifo(out / "a.parquet"))[1], "is no file"),
    "the data": (lambda out: out.parent / "data", "would be written over"),
    "an empty name": (lambda out: "", "empty"),
    "a number": (lambda out: 3, "int"),
}


@pytest.mark.parametrize("name", PLACES)
def test_results_that_cannot_go_there_are_refused(tmp_path: Path, run: Path, name: str) -> None:
    make, cause = PLACES[name]
    data, out = shard(tmp_path / "data", {"image": [PHOTO]}), tmp_path / "out"
    made = make(out)
    where = made if isinstance(made, str | Path) or made == 3 else out
    refusal(lambda: extract_maps(data, where, checkpoint=run, device="cpu"), cause)
    assert not out.is_file() or out.read_text() == "mine"


def test_what_is_no_result_under_its_name_is_written_anew(tmp_path: Path, run: Path) -> None:
    data = shard(tmp_path / "data", {"image": [PHOTO]})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.parquet").write_text("<html>")
    assert extracted(data, run, tmp_path / "out").written == ("a.parquet",)


OPTIONS: list[tuple[str, Any, str]] = [
    ("image", None, "image is None"), ("image", 3, "image is 3"), ("image", "", "no column ''"),
    ("labels", 3, "labels is 3"), ("labels", "known", "no column 'known'"),
    *(("threshold", value, "threshold is") for value in (float("nan"), "x", None, 1.0, -0.1)),
    *(("batch_size", value, "batch_size is") for value in (0, -3, 2.5, "3", None)),
    *(("split", value, "split is") for value in (3, "")), ("split", "val", "begins with 'val'"),
    *(("method", value, "no method") for value in ("", "cams")),
    *(("method", value, "explains no other") for value in ("seam", "dtmr")),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value", "cause"), OPTIONS)
def test_an_option_out_of_its_range_is_refused(tmp_path: Path, run: Path, option: str, value: Any, cause: str) -> None:
    data = shard(tmp_path / "data", {"image": [PHOTO]})
    refusal(lambda: extracted(data, run, tmp_path / "out", **{option: value}), cause)


@pytest.mark.parametrize("device", ["tpu9", "cuda:77", "", 3])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, run: Path, device: Any) -> None:
    data = shard(tmp_path / "data", {"image": [PHOTO]})
    if device == "":
        assert extract_maps(data, tmp_path / "out", checkpoint=run, device=device).rows == 1, "as if nothing were said"
    else:
        refusal(lambda: extract_maps(data, tmp_path / "out", checkpoint=run, device=device), "device")


@pytest.mark.parametrize("data", ["", 3, None, [1], "a\0b", "x" * 5000, "[", "no where"])
def test_what_names_no_data_is_refused(tmp_path: Path, run: Path, data: Any) -> None:
    refusal(lambda: extracted(data, run, tmp_path / "out"), "data|Parquet")
