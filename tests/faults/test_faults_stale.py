"""What is kept is keyed by content: a file that changed under its old name and time gives what it holds now."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fault_kit import photo, refusal, rows_to_parquet

from wsss_lib.data import load


def replaced(path: Path, labels: list[str]) -> None:
    """Other rows under the same name, size of name and time stamp."""
    before = path.stat() if path.exists() else None
    rows_to_parquet(path, [{"image": photo(seed=7), "label": label} for label in labels])
    if before is not None:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_table_that_was_replaced_under_its_old_time_stamp(tmp_path: Path) -> None:
    path = tmp_path / "birds.parquet"
    replaced(path, ["wren", "robin"])
    before = load(path)
    old = (before.fingerprint, before.labels.tolist())
    replaced(path, ["robin", "wren"])
    after = load(path)
    assert after.labels.tolist() == [[1, 0], [0, 1]]
    assert after.fingerprint != old[0]
    assert old[1] == [[0, 1], [1, 0]]


def test_the_same_content_elsewhere_has_the_same_fingerprint(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        replaced(tmp_path / name / "birds.parquet", ["wren", "robin"])
    one, other = (load(tmp_path / name / "birds.parquet") for name in ("a", "b"))
    assert one.fingerprint == other.fingerprint


def test_a_note_beside_the_table_does_not_vouch_for_another_content(tmp_path: Path) -> None:
    path = tmp_path / "birds.parquet"
    replaced(path, ["wren", "robin"])
    fingerprint = load(path).fingerprint
    stat = path.stat()
    note = {"name": path.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": "0" * 64}
    (tmp_path / "lock.json").write_text(json.dumps({"tables": {"train": note}, "downloads": {}}))
    assert load(path).fingerprint == fingerprint


def test_options_that_change_the_records_change_the_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "birds.parquet"
    replaced(path, ["wren", "robin"])
    prints = {load(path, **options).fingerprint for options in ({}, {"size": 16}, {"classes": ["robin"]})}
    assert len(prints) == 3


def test_a_table_written_over_in_place_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "birds.parquet"
    replaced(path, ["wren", "robin"])
    records = load(path)
    assert records.labels.tolist() == [[0, 1], [1, 0]]
    replaced(path, ["robin", "wren"])
    for read in (lambda: records[0], lambda: records.fingerprint):
        refusal(read, "birds.parquet", "load it again")


def test_a_table_whose_name_another_took_is_read_on_as_it_was(tmp_path: Path) -> None:
    path, other = tmp_path / "birds.parquet", tmp_path / "other.parquet"
    replaced(path, ["wren", "robin"])
    records = load(path)
    replaced(other, ["robin", "wren"])
    os.replace(other, path)
    assert records[0]["labels"].tolist() == [0, 1]
    assert records.labels.tolist() == [[0, 1], [1, 0]]
