"""One file from the web, whole and right, or an error: resumable, checked, atomic.

A file is first written beside its place, as ``NAME.part``, and moved there in one step once its checksum is right. So a
half file never stands under the real name, and a broken line costs only the bytes that had not arrived.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm.auto import tqdm
from urllib3.exceptions import NewConnectionError

from wsss_lib.data.photos.catalogue import RemoteFile
from wsss_lib.files import sha256_of

_CHUNK = 1 << 16  # what a broken line may cost: urllib3 drops the chunk that it was filling
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that a later try may better


class DownloadError(RuntimeError):
    """A file could not be fetched; the message says which and why."""


class ChecksumError(DownloadError):
    """A file arrived, but is not the file that was asked for."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: Consecutive tries that bring no new byte before giving up; a try that brings some does not count.
        pause: Seconds before the second try; doubled for each further one, 30 at most.
        connect: Seconds to wait for a connection.
        silence: Seconds to wait for the next byte.
    """

    attempts: int = 4
    pause: float = 1.0
    connect: float = 10.0
    silence: float = 60.0


def download(
    file: RemoteFile, folder: Path, *, patience: Patience | None = None, progress: bool | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:  # fmt: skip
    """Bring a file to ``folder``, or confirm that it is there.

    Args:
        file: What to fetch.
        folder: Where to; made if missing.
        patience: How long to try.
        progress: Whether to show a bar; None shows one on a terminal and in a notebook.
        sleep: How to wait between tries.

    Returns:
        ``folder / file.name``, complete, its checksum right.

    Raises:
        ChecksumError: The whole file arrived, but its checksum is another one. Nothing is kept.
        DownloadError: The server refused, or the line broke more often than ``patience`` allows. What has arrived is
            kept beside the place, and the next call goes on from there.
    """
    patience = patience or Patience()
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / file.name, folder / (file.name + ".part")
    if target.exists():
        if _wrong(file, target) is None:
            return target
        target.unlink()  # damaged since, or another version: it is in the way of the right one
    resumed = part.exists()
    _download(file, part, patience, progress, sleep)
    if (wrong := _wrong(file, part)) and resumed:
        # The older half may stem from another version of the file, or from a damaged disk: once more, all of it.
        _forget(part)
        _download(file, part, patience, progress, sleep)
        wrong = _wrong(file, part)
    if wrong:
        _forget(part)
        raise ChecksumError(f"{file.url} arrived whole but is not the expected file: {wrong}")
    os.replace(part, target)
    _tag(part).unlink(missing_ok=True)
    return target


def _wrong(file: RemoteFile, path: Path) -> str | None:
    """What is wrong with the file on disk, in words; None if nothing."""
    if file.size is not None and path.stat().st_size != file.size:
        return f"{path.stat().st_size} bytes instead of {file.size}"
    if file.sha256 is not None and (sha256 := sha256_of(path)) != file.sha256.lower():
        return f"sha256 {sha256} instead of {file.sha256}"
    if file.md5 is not None and (md5 := _md5_of(path)) != file.md5.lower():
        return f"md5 {md5} instead of {file.md5}"
    return None


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _tag(part: Path) -> Path:
    """Where the server's name for this version of the file is kept while the file is half there."""
    return part.with_name(part.name + ".etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def _download(
    file: RemoteFile, part: Path, patience: Patience, progress: bool | None, sleep: Callable[[float], None]
) -> None:
    """Try until ``part`` is whole, or patience ends."""
    barren = 0
    furthest = part.stat().st_size if part.exists() else 0
    while True:
        try:
            _attempt(file, part, patience, progress)
            return
        except _TryLater as error:
            reason, limit = str(error), patience.attempts
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            reason, limit = f"the line broke ({type(error).__name__})", patience.attempts
            if _nobody_there(error):  # most often there is no network at all: do not keep the reader waiting
                reason, limit = "no connection to the host", min(2, patience.attempts)
        except requests.RequestException as error:
            raise DownloadError(f"{file.url} could not be fetched: {error}") from error
        have = part.stat().st_size if part.exists() else 0
        barren = 0 if have > furthest else barren + 1  # further than ever, or it could go to and fro for good
        furthest = max(furthest, have)
        if barren >= limit:
            raise DownloadError(f"{file.url} could not be fetched in {barren} tries: {reason}")
        sleep(min(30.0, patience.pause * 2 ** max(0, barren - 1)))


def _nobody_there(error: requests.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)


class _TryLater(Exception):
    """The server could not answer now."""


def _attempt(file: RemoteFile, part: Path, patience: Patience, progress: bool | None) -> None:
    """Ask once for the bytes that are missing, and append them to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # compressed on the way, offsets would mean nothing
    if have:
        headers["Range"] = f"bytes={have}-"
        if _tag(part).exists():  # if the file has changed meanwhile, send all of it
            headers["If-Range"] = _tag(part).read_text()
    with requests.get(file.url, headers=headers, stream=True, timeout=(patience.connect, patience.silence)) as response:
        if response.status_code == 416 and have:  # nothing is missing, or too much is here
            if have != _total(response, 0):
                _forget(part)
                raise _TryLater("the part on disk was longer than the file: starting again")
            return
        if response.status_code in _PASSING:
            raise _TryLater(f"the server answered {response.status_code} {response.reason}")
        if not response.ok:
            raise DownloadError(f"{file.url} could not be fetched: {response.status_code} {response.reason}")
        start = _start(response)
        if start not in (0, have):
            _forget(part)
            raise _TryLater(f"the server sent the bytes from {start} on instead of those from {have}: starting again")
        have = start  # 0 where the server sends the whole file, whatever was asked for
        total = _total(response, have)
        _check_room(file, part, (total or file.size or 0) - have)
        if (tag := response.headers.get("ETag", "")) and not tag.startswith("W/"):
            _tag(part).write_text(tag)
        else:
            _tag(part).unlink(missing_ok=True)
        _append(response, part, have, total, file.name, progress)
    if total is not None and part.stat().st_size < total:
        raise _TryLater(f"the line broke after {part.stat().st_size} of {total} bytes")


def _append(
    response: requests.Response, part: Path, have: int, total: int | None, name: str, progress: bool | None
) -> None:
    with (
        part.open("ab" if have else "wb") as out,
        tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=not shown(progress)) as bar,
    ):
        try:
            for chunk in response.iter_content(_CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
        finally:  # a broken line keeps what it brought
            out.flush()
            os.fsync(out.fileno())


def shown(progress: bool | None) -> bool:
    """Whether to show a bar; None shows one where somebody is likely to look: on a terminal and in a notebook."""
    return progress if progress is not None else sys.stderr.isatty() or "ipykernel" in sys.modules


def _start(response: requests.Response) -> int:
    """Where the bytes of the answer begin (``Content-Range: bytes 100-199/200``)."""
    if response.status_code != 206:
        return 0
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


def _total(response: requests.Response, have: int) -> int | None:
    """Size of the whole file, if the server tells."""
    after_slash = response.headers.get("Content-Range", "").rpartition("/")[2]
    if after_slash.isdigit():
        return int(after_slash)
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def _check_room(file: RemoteFile, part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DownloadError(
            f"{file.name} needs {needed / 1e9:.1f} GB more, but {part.parent} has {free / 1e9:.1f} GB free: "
            "make room, or choose another folder with root= or WSSS_DATA"
        )
