"""Files of the Hugging Face Hub: listed with their checksums, fetched by ``huggingface_hub``, checked."""

from __future__ import annotations

import errno
import fnmatch
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsss_lib.data.photos.catalogue import HubFiles
from wsss_lib.data.photos.download import ChecksumError, DownloadError, Patience, shown
from wsss_lib.files import sha256_of

HUB = "https://huggingface.co"
"""The Hub; the environment variable ``HF_ENDPOINT`` puts another address in its place."""


@dataclass(frozen=True)
class HubFile:
    """One file of a commit.

    Attributes:
        repository: Owner and name.
        commit: The commit.
        path: In the repository.
        sha256: Of its content.
    """

    repository: str
    commit: str
    path: str
    sha256: str

    @property
    def url(self) -> str:
        """Its address, which also names it in the lock."""
        return f"{endpoint()}/datasets/{self.repository}/resolve/{self.commit}/{self.path}"


def endpoint() -> str:
    """The Hub's address, as the environment wants it."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def list_files(wanted: HubFiles, patience: Patience | None = None) -> list[HubFile]:
    """Ask the Hub for the files, the commit that they belong to, and the SHA-256 that it states of each.

    Args:
        wanted: The files.
        patience: How long to wait for an answer.

    Returns:
        The files by path; a SHA-256 of the catalogue stands before the Hub's.

    Raises:
        DownloadError: The Hub could not be asked, or has no such files.
    """
    from huggingface_hub import HfApi

    patience = patience or Patience()
    with _explained(f"{endpoint()}/datasets/{wanted.repository} could not be listed"):
        info = HfApi(endpoint=endpoint()).dataset_info(
            wanted.repository, revision=wanted.revision, files_metadata=True, timeout=patience.connect
        )
        files = [
            HubFile(wanted.repository, str(info.sha), path, wanted.sha256.get(path) or _stated(entry.lfs))
            for path, entry in sorted((entry.rfilename, entry) for entry in info.siblings or ())
            if fnmatch.fnmatch(path, wanted.pattern)
        ]
    if not files:
        raise DownloadError(f"{wanted.repository} has no files {wanted.pattern} at {wanted.revision}")
    if lacking := set(wanted.sha256) - {file.path for file in files}:
        raise DownloadError(f"{wanted.repository} has no file {sorted(lacking)[0]} at {wanted.revision}")
    return files


def fetch_file(file: HubFile, folder: Path, progress: bool | None = None) -> Path:
    """Bring a file to ``folder``; what has arrived of it before is not asked for again.

    Args:
        file: The file.
        folder: Where to; made if missing.
        progress: Whether to show a bar; None shows one on a terminal and in a notebook.

    Returns:
        Where it lies, its checksum right.

    Raises:
        ChecksumError: It arrived, but its checksum is another one. Nothing is kept.
        DownloadError: It could not be fetched.
    """
    from huggingface_hub import hf_hub_download

    for again in (False, True):  # what lay there already may be damaged: once more, all of it
        with _explained(f"{file.url} could not be fetched"), _bars(shown(progress)):
            path = Path(
                hf_hub_download(
                    file.repository, file.path, repo_type="dataset", revision=file.commit, local_dir=folder,
                    endpoint=endpoint(), force_download=again,
                )
            )  # fmt: skip
        sha256 = sha256_of(path)
        if sha256 == file.sha256:
            return path
    path.unlink()
    raise ChecksumError(
        f"{file.url} arrived whole but is not the expected file: sha256 {sha256} instead of {file.sha256}"
    )


def _stated(lfs: Any) -> str:
    if lfs is None:
        raise ValueError("the Hub states no SHA-256 of a file")
    return str(lfs.sha256)


@contextmanager
def _bars(show: bool) -> Iterator[None]:
    """Without progress bars of ``huggingface_hub`` unless they are to be shown; the reader's own setting comes back."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if show or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Any error of ``huggingface_hub`` as one; which HTTP library it raises from differs between its versions."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        first = str(error).strip().partition("\n")[0]
        raise DownloadError(f"{what} ({type(error).__name__}{f': {first}' if first else ''})") from error
