from pathlib import Path

from press import digests


def test_a_library_file_counts_by_name_and_content(tmp_path: Path):
    (tmp_path / "methods").mkdir()
    file = tmp_path / "methods" / "cam.py"
    file.write_text("x = 1")
    before = digests.tree_digest(tmp_path)
    file.write_text("x = 2")
    edited_ = digests.tree_digest(tmp_path)
    file.write_text("x = 1")
    assert digests.tree_digest(tmp_path) == before != edited_
    file.rename(tmp_path / "methods" / "mac.py")
    assert digests.tree_digest(tmp_path) != before


def test_byte_code_does_not_count(tmp_path: Path):
    (tmp_path / "cam.py").write_text("x = 1")
    before = digests.tree_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "cam.pyc").write_bytes(b"1")
    (tmp_path / ".cam.py.swp").write_bytes(b"1")
    assert digests.tree_digest(tmp_path) == before


def test_content_is_not_confused_with_names(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, files in ((one, {"a": "b", "c": "d"}), (two, {"a": "d", "c": "b"})):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert digests.tree_digest(one) != digests.tree_digest(two)


def test_local_data_count_and_absence_too(tmp_path: Path):
    table = tmp_path / "train.parquet"
    absent = digests.paths_digest([table])
    table.write_bytes(b"1")
    first = digests.paths_digest([table])
    table.write_bytes(b"2")
    assert len({absent, first, digests.paths_digest([table]), digests.paths_digest([tmp_path])}) == 4
