"""Files of every kind with something in them that nobody thought of: a defined result, or one clear sentence."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import strategies
import torch
from fault_kit import encoded, value_or_refusal
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_faults_checkpoints import rewritten
from test_faults_drives import ANNOTATION, CAR, LABEL, kitti_frame, nuscenes_tables
from test_faults_trained import newest, trained  # noqa: F401 - a fixture

from wsss_lib.data import load
from wsss_lib.data.drives import Kitti, NuScenes
from wsss_lib.data.photos.convert import open_image
from wsss_lib.localize.extraction import extract_maps
from wsss_lib.localize.trained import load_trained
from wsss_lib.pipeline.listing import read_listing

pytestmark = pytest.mark.filterwarnings("ignore")
_count = itertools.count()
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8))
IMAGES = [
    *(encoded(NOISE, form) for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM")),
    encoded(NOISE.convert("CMYK"), "JPEG"), encoded(NOISE.convert("I;16"), "PNG"), encoded(NOISE.convert("F"), "TIFF"),
    encoded(NOISE.convert("P"), "PNG"), encoded(NOISE.convert("LA"), "PNG"), encoded(NOISE.convert("1"), "TIFF"),
]  # fmt: skip


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    """An image file of which some bytes are others, and whose end may be missing; most changes are in its head."""
    content = bytearray(draw(st.sampled_from(IMAGES)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, 63) | st.integers(0, len(content) - 1))
        content[place % len(content)] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([None, None, len(content) // 2]))])


@strategies.fewer
@given(content=damaged_images())
def test_any_image_file(content: bytes) -> None:
    strategies.tried()
    image = value_or_refusal(lambda: open_image(content))
    if image is not None:
        assert image.dtype == torch.float32
        assert image.dim() == 3
        assert image.shape[0] == 3
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


_cells = st.sampled_from(
    ["image", "label", "mask", "a.png", "cat", "dog", "cat;dog", "[]", '["cat"]', "[", "", " ", "0"]
)
_lines = st.lists(st.lists(_cells | st.text(max_size=4), max_size=4), max_size=5)


@st.composite
def lists_of_photographs(draw: st.DrawFn) -> bytes:
    """What may lie under the name of a CSV: cells that are nearly right, in any encoding."""
    mark, end = draw(st.sampled_from([",", ",", ";", "\t"])), draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"]))
    rows = [["image", "label"][:: draw(st.sampled_from([1, 1, -1]))], *draw(_lines)]
    text = end.join(mark.join(row) for row in rows)
    text = draw(st.sampled_from(["", "", "\ufeff", "\0", '"'])) + text
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "latin-1", "utf-16", "cp1252"]))
    return text.encode(encoding, errors="replace") + draw(st.sampled_from([b"", b"", b"\xff", b"\x00", b'"']))


@strategies.fewer
@given(content=lists_of_photographs())
def test_any_list_of_photographs(tmp_path: Path, content: bytes) -> None:
    strategies.tried()
    folder = tmp_path / str(next(_count))
    folder.mkdir()
    (folder / "a.png").write_bytes(strategies.PHOTO)
    (folder / "zoo.csv").write_bytes(content)
    for names in (None, ("cat", "dog")):
        listing = value_or_refusal(lambda names=names: read_listing(folder, names=names))
        if listing is not None:
            assert all(photo.image.is_file() for photo in listing.photos)
            assert all(set(photo.labels) <= set(listing.classes) for photo in listing.photos)
        records = value_or_refusal(lambda names=names: load(folder / "zoo.csv", names=names and list(names)))
        for i in range(0 if records is None else len(records)):
            value_or_refusal(lambda i=i, records=records: records[i])


@strategies.fewer
@given(made=strategies.tables())
def test_any_shard(tmp_path: Path, trained: Path, made: tuple[pa.Table, dict[str, Any]]) -> None:  # noqa: F811
    strategies.tried()
    table, out = made[0], tmp_path / f"out{next(_count)}"
    path = tmp_path / f"{out.name}.parquet"
    pq.write_table(table, path)
    labels = "label" if "label" in table.column_names else None
    done = value_or_refusal(lambda: extract_maps(path, out, checkpoint=trained, labels=labels, device="cpu"))
    left = [file.name for file in out.rglob("*")] if out.exists() else []
    if done is None:
        assert not left
    else:
        assert left == [path.name]
        columns = pq.read_table(out / path.name).to_pydict()
        assert len(columns["id"]) == table.num_rows
        for mask, error in zip(columns["mask"], columns["error"], strict=True):
            assert (mask is None) == (error is not None)


@strategies.fewer
@given(field=st.sampled_from(["name", "settings", "classes", "backbone", "image_size"]), value=strategies.json_values)
def test_any_description(tmp_path: Path, trained: Path, field: str, value: Any) -> None:  # noqa: F811
    strategies.tried()
    run = tmp_path / str(next(_count))
    shutil.copytree(trained, run)
    rewritten(newest(run), lambda state: state["method"].update({field: value}))
    loaded = value_or_refusal(lambda: load_trained(run))
    assert loaded is None or field == "settings"


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder of nuScenes, and its tables."""
    root = tmp_path_factory.mktemp("nuscenes")
    nuscenes_tables(root, [ANNOTATION])
    return root, {path.name: json.loads(path.read_text()) for path in (root / "v1.0-mini").glob("*.json")}


@strategies.fewer
@given(data=st.data())
def test_any_table_of_nuscenes(drive: tuple[Path, dict[str, Any]], data: st.DataObject) -> None:
    strategies.tried()
    root, tables = drive
    name = data.draw(st.sampled_from(sorted(tables)))
    changed = copy.deepcopy(tables[name])
    row = data.draw(st.sampled_from(changed))
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(strategies.json_values)
    (root / "v1.0-mini" / name).write_text(json.dumps(changed))
    try:
        records = value_or_refusal(lambda: NuScenes(root))
        for i in range(0 if records is None else len(records)):
            sample = value_or_refusal(lambda i=i, records=records: records[i])
            assert sample is None or (torch.isfinite(sample["boxes3d"]).all() and (sample["boxes3d"][:, 3:6] > 0).all())
            camera = value_or_refusal(lambda i=i, records=records: records.camera(i))
            assert camera is None or torch.isfinite(camera.matrix).all()
    finally:
        (root / "v1.0-mini" / name).write_text(json.dumps(tables[name]))


@strategies.fewer
@given(words=st.lists(st.sampled_from(CAR.split()) | st.floats().map(str) | st.text(max_size=4), max_size=17))
def test_any_line_of_kitti(tmp_path: Path, words: list[str]) -> None:
    strategies.tried()
    kitti_frame(tmp_path, labels=(CAR,))
    content = " ".join(["Car", *words]).encode("utf-8", errors="replace")
    (tmp_path / "training" / LABEL).write_bytes(content)
    records = value_or_refusal(lambda: Kitti(tmp_path))
    sample = None if records is None else value_or_refusal(lambda: records[0])
    assert sample is None or torch.isfinite(sample["boxes3d"]).all()


@strategies.fewer
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_file_of_weights(tmp_path: Path, content: bytes) -> None:
    strategies.tried()
    from wsss_lib import backbones

    path = tmp_path / "tiny_cnn.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="tiny_cnn"):
        backbones.backbone("tiny_cnn", weights=path)
