"""A file arrives whole and right or not at all, however badly the server behaves."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from data_kit import Site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsss_lib.data.photos.catalogue import RemoteFile
from wsss_lib.data.photos.download import ChecksumError, DownloadError, Patience, download
from wsss_lib.files import sha256_of

BODY = bytes(i * i % 251 for i in range(600_000))
SHA = hashlib.sha256(BODY).hexdigest()
KEPT = 64 * 1024  # what one interrupted read may lose


@pytest.fixture
def remote(site: Site) -> RemoteFile:
    site.files["/table"] = BODY
    return RemoteFile(f"{site.url}/table", "table.parquet", sha256=SHA)


def no_wait(_: float) -> None:
    """Instead of sleeping."""


def test_whole_file(remote: RemoteFile, tmp_path: Path, patience: Patience) -> None:
    path = download(remote, tmp_path / "new" / "folder", patience=patience)
    assert path == tmp_path / "new" / "folder" / "table.parquet"
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["table.parquet"], "nothing but the file stays behind"


def test_a_file_that_is_there_is_not_asked_for_again(site: Site, remote: RemoteFile, tmp_path: Path) -> None:
    download(remote, tmp_path)
    download(remote, tmp_path)
    assert len(site.log) == 1


def test_a_damaged_file_is_replaced(site: Site, remote: RemoteFile, tmp_path: Path) -> None:
    path = download(remote, tmp_path)
    path.write_bytes(BODY[:-1] + b"?")
    assert download(remote, tmp_path).read_bytes() == BODY
    assert len(site.log) == 2


@pytest.mark.parametrize("at", [0, 1, 100_000, 599_999])
def test_cut_midway_asks_for_the_missing_bytes_only(
    at: int, site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience
) -> None:
    site.cut = [at]
    waits: list[bool] = []
    path = download(
        remote, tmp_path, patience=patience, sleep=lambda _: waits.append((tmp_path / "table.parquet").exists())
    )
    assert path.read_bytes() == BODY
    assert waits == [False], "no half file under the real name"
    first, second = site.requests("/table")
    assert first is None
    if at > KEPT:
        assert second is not None
        start = int(second.removeprefix("bytes=").rstrip("-"))
        assert at - KEPT < start <= at, "goes on from where it broke, less at most one chunk"


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    cuts=st.lists(st.integers(0, 400_000), max_size=4),
    ranges=st.booleans(),
    shift=st.sampled_from([None, 1, -7, -(10**9)]),
)
def test_any_cuts_on_any_server_give_the_same_file(
    cuts: list[int], ranges: bool, shift: int | None, site: Site, tmp_path: Path
) -> None:
    site.files["/table"] = BODY
    site.cut, site.ranges, site.shift = list(cuts), ranges, shift
    folder = tmp_path / "out"
    shutil.rmtree(folder, ignore_errors=True)
    remote = RemoteFile(f"{site.url}/table", "t", sha256=SHA)
    assert download(remote, folder, patience=Patience(9, 0.0, 2, 2), sleep=no_wait).read_bytes() == BODY


@pytest.mark.parametrize("shift", [1, -7])
def test_bytes_from_elsewhere_are_not_glued_on(shift: int, site: Site, tmp_path: Path) -> None:
    """Without a checksum nothing but the server's own word says where its bytes belong."""
    site.files["/table"], site.shift = BODY, shift
    (tmp_path / "t.part").write_bytes(BODY[:200_000])
    result = download(RemoteFile(f"{site.url}/table", "t"), tmp_path, sleep=no_wait)
    assert result.read_bytes() == BODY
    assert site.requests("/table") == ["bytes=200000-", None]


def test_a_server_that_goes_to_and_fro_is_left(site: Site, remote: RemoteFile, tmp_path: Path) -> None:
    """It knows no ranges and breaks off early and late in turn: each second try brings more than the one before."""
    site.ranges, site.cut = False, [300_000, 100_000] * 20
    with pytest.raises(DownloadError, match="in 3 tries: the line broke"):
        download(remote, tmp_path, patience=Patience(3, 0.0, 2, 2), sleep=no_wait)
    assert len(site.log) == 4


def test_resumes_after_the_process_died(site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience) -> None:
    site.cut = [300_000]
    with pytest.raises(DownloadError):
        download(remote, tmp_path, patience=Patience(attempts=0), sleep=no_wait)
    assert not (tmp_path / "table.parquet").exists()
    have = (tmp_path / "table.parquet.part").stat().st_size
    assert have > 200_000
    assert download(remote, tmp_path, patience=patience).read_bytes() == BODY
    assert site.requests("/table")[-1] == f"bytes={have}-"


def test_a_file_changed_between_the_halves_is_fetched_whole(
    site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience
) -> None:
    (tmp_path / "table.parquet.part").write_bytes(b"x" * 200_000)
    (tmp_path / "table.parquet.part.etag").write_text('"zero"')
    assert download(remote, tmp_path, patience=patience).read_bytes() == BODY
    assert site.headers[0]["If-Range"] == '"zero"'
    assert len(site.log) == 1, "If-Range makes the server send all of it at once"


def test_a_wrong_first_half_costs_one_more_download(
    site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience
) -> None:
    (tmp_path / "table.parquet.part").write_bytes(b"x" * 200_000)
    assert download(remote, tmp_path, patience=patience).read_bytes() == BODY
    assert site.requests("/table") == ["bytes=200000-", None]


def test_a_part_longer_than_the_file_where_no_checksum_tells(site: Site, tmp_path: Path) -> None:
    site.files["/table"] = BODY
    (tmp_path / "t.part").write_bytes(BODY + b"y")
    assert download(RemoteFile(f"{site.url}/table", "t"), tmp_path, sleep=no_wait).read_bytes() == BODY


def test_an_answer_that_ends_too_soon_without_an_error(
    site: Site, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with versions of the libraries below that do not count the bytes themselves."""
    site.files["/table"] = BODY
    whole = requests.Response.iter_content

    def first_chunk_only(response: requests.Response, size: int) -> Iterator[bytes]:
        yield next(iter(whole(response, size)))

    monkeypatch.setattr(requests.Response, "iter_content", first_chunk_only)
    path = download(RemoteFile(f"{site.url}/table", "t"), tmp_path, patience=patience, sleep=no_wait)
    assert path.read_bytes() == BODY
    assert len(site.log) == 10, "64 KiB at a time"


@pytest.mark.parametrize("extra", [0, 7])
def test_a_part_as_long_as_the_file_or_longer(
    extra: int, site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience
) -> None:
    (tmp_path / "table.parquet.part").write_bytes(BODY + b"y" * extra)
    assert download(remote, tmp_path, patience=patience, sleep=no_wait).read_bytes() == BODY
    assert len(site.log) == (2 if extra else 1)


def test_corrupt_bytes_are_refused(site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience) -> None:
    site.files["/table"] = BODY[:1000] + bytes([BODY[1000] ^ 1]) + BODY[1001:]
    with pytest.raises(ChecksumError, match=f"sha256 [0-9a-f]{{64}} instead of {SHA}"):
        download(remote, tmp_path, patience=patience)
    assert list(tmp_path.iterdir()) == [], "neither the file nor a part that a later call would go on from"


def test_md5_and_size_are_checked_too(site: Site, tmp_path: Path, patience: Patience) -> None:
    site.files["/a.tar"] = b"abc"
    good = RemoteFile(f"{site.url}/a.tar", "a.tar", md5="900150983CD24FB0D6963F7D28E17F72", size=3)
    assert sha256_of(download(good, tmp_path)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(ChecksumError, match="md5"):
        download(RemoteFile(good.url, "b.tar", md5="0" * 32), tmp_path, patience=patience)
    with pytest.raises(ChecksumError, match="3 bytes instead of 4"):
        download(RemoteFile(good.url, "c.tar", size=4), tmp_path, patience=patience)


def test_passing_errors_are_waited_out(site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience) -> None:
    site.fail = [500, 503]
    pauses: list[float] = []
    download(remote, tmp_path, patience=Patience(attempts=3, pause=0.5), sleep=pauses.append)
    assert pauses == [0.5, 1.0], "each wait is twice the one before"


def test_patience_ends(site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience) -> None:
    site.fail = [503] * 9
    with pytest.raises(DownloadError, match="in 3 tries: the server answered 503"):
        download(remote, tmp_path, patience=patience)
    assert len(site.log) == 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_each_answer_that_passes(status: int, site: Site, remote: RemoteFile, tmp_path: Path) -> None:
    site.fail = [status]
    assert download(remote, tmp_path, sleep=no_wait).read_bytes() == BODY


def test_patience_as_it_is_where_nobody_says_otherwise(
    site: Site, remote: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four tries with growing pauses; who asks for many never waits longer than half a minute for the next."""
    asked, pauses = [], []
    get = requests.get

    def timed(*arguments: Any, **options: Any) -> requests.Response:
        asked.append(options["timeout"])
        return get(*arguments, **options)

    monkeypatch.setattr(requests, "get", timed)
    site.fail = [503] * 99
    with pytest.raises(DownloadError, match="in 4 tries"):
        download(remote, tmp_path, sleep=pauses.append)
    assert pauses == [1, 2, 4]
    assert asked == [(10, 60)] * 4, "seconds for a connection, and for the next byte"
    pauses.clear()
    with pytest.raises(DownloadError, match="in 9 tries"):
        download(remote, tmp_path, patience=Patience(attempts=9), sleep=pauses.append)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_final_errors_are_not_repeated(
    status: int, site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience
) -> None:
    site.fail = [status]
    with pytest.raises(DownloadError, match=f"{remote.url} could not be fetched: {status}"):
        download(remote, tmp_path, patience=patience)
    assert len(site.log) == 1


def test_a_silent_server_is_left_and_asked_again(
    site: Site, remote: RemoteFile, tmp_path: Path, patience: Patience
) -> None:
    site.stall = [1.0]
    assert download(remote, tmp_path, patience=patience, sleep=no_wait).read_bytes() == BODY
    assert len(site.log) == 2


def test_nobody_answers(tmp_path: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(DownloadError, match="in 2 tries: no connection to the host"):
        download(RemoteFile("http://127.0.0.1:9/x", "x"), tmp_path, sleep=pauses.append)
    assert len(pauses) == 1


def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="could not be fetched"):
        download(RemoteFile("no-such-scheme://x/y", "x"), tmp_path)


class _Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_named_before_anything_is_written(
    remote: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsss_lib.data.photos.download.shutil.disk_usage", lambda _: _Disk(9, 8, 1))
    with pytest.raises(DownloadError, match="make room, or choose another folder"):
        download(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_server_is_asked_not_to_compress(site: Site, remote: RemoteFile, tmp_path: Path) -> None:
    download(remote, tmp_path)
    assert site.headers[0]["Accept-Encoding"] == "identity"


def test_never_half_there_while_it_arrives(site: Site, remote: RemoteFile, tmp_path: Path) -> None:
    """Looked at from another thread all the while, the final name holds nothing or everything."""
    sizes: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                sizes.add((tmp_path / "table.parquet").stat().st_size)
            except FileNotFoundError:
                sizes.add(-1)

    watcher = threading.Thread(target=look)
    watcher.start()
    site.cut = [150_000, 150_000]
    site.stall = [0.1, 0.1, 0.1]
    download(remote, tmp_path, sleep=no_wait)
    done.set()
    watcher.join()
    assert sizes <= {-1, len(BODY)}
    assert -1 in sizes
