"""Files are whole or absent, whatever interrupts their writing."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from wsss_lib.files import sha256_of, sha256_of_text, write_atomically, writing


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    assert write_atomically(tmp_path / "new" / "a.txt", "é\r\n") == tmp_path / "new" / "a.txt"
    assert (tmp_path / "new" / "a.txt").read_bytes() == "é\r\n".encode()
    write_atomically(str(tmp_path / "b"), b"\x00\xff")
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    with writing(tmp_path / "c.txt", "w") as file:
        file.write("ü\n")
    assert (tmp_path / "c.txt").read_bytes() == "ü\n".encode()


@pytest.mark.parametrize("mode", [None, "wb", "w"])
def test_an_interrupted_writer_leaves_the_old_file_and_nothing_else(tmp_path, mode):
    path = write_atomically(tmp_path / "a.txt", "old")

    def interrupted():
        with writing(path, mode) as file:
            (file.write_text if mode is None else file.write)(b"half" if mode == "wb" else "half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_keeps_the_suffix_and_has_a_short_name(tmp_path):
    path = tmp_path / ("x" * 244 + ".safetensors")  # 256 bytes would be too long, 255 are not
    path = tmp_path / path.name[-255:]
    with writing(path) as partial:
        assert partial.parent == path.parent
        assert partial.suffix == ".safetensors"
        save_file({"a": torch.ones(2)}, partial)
    assert load_file(path)["a"].tolist() == [1, 1]


def test_permissions_are_those_of_any_new_file_or_of_the_file_before(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    path = write_atomically(tmp_path / "new", "")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    write_atomically(path, "again")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_stays_a_link(tmp_path):
    target = write_atomically(tmp_path / "far" / "target", "old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_names_the_file_and_the_remedy(tmp_path, error):
    path = tmp_path / "a.bin"
    with pytest.raises(OSError, match=r"disk is full.*a\.bin.*free some space") as caught, writing(path):
        raise error
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_another_error_comes_through_as_it_is(tmp_path):
    with pytest.raises(ValueError, match=r"^mine$"), writing(tmp_path / "a"):
        raise ValueError("mine")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    opening = Path.open

    def full(path, mode="r", *rest, **named):
        return opening(Path("/dev/full") if mode == "wb" else path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="disk is full"):
        write_atomically(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_digests_are_sha256(tmp_path):
    path = write_atomically(tmp_path / "a", "é")
    expected = hashlib.sha256("é".encode()).hexdigest()
    assert sha256_of(path) == sha256_of_text("é") == sha256_of_text("é".encode()) == expected
