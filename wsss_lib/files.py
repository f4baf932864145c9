"""Files that are whole or absent, and their digests: every write and every SHA-256 of the project goes through here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, overload

PARTIAL = ".partial"
"""What the name of a file under construction ends in, before its suffix."""


def write_atomically(path: str | Path, data: bytes | str) -> Path:
    """Write a file: a reader sees the old content or the new one, never a part.

    Args:
        path: The file; it may exist, and its folder is made where it is absent.
        data: The whole content; text becomes UTF-8 with its line ends as they are.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written; the message of a full disk names the file and the remedy.
    """
    with writing(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return Path(path)


@overload
def writing(path: str | Path) -> AbstractContextManager[Path]: ...
@overload
def writing(path: str | Path, mode: Literal["wb"]) -> AbstractContextManager[BinaryIO]: ...
@overload
def writing(path: str | Path, mode: Literal["w"]) -> AbstractContextManager[TextIO]: ...
@contextmanager
def writing(path: str | Path, mode: str | None = None) -> Iterator[Any]:
    """A temporary file beside ``path`` that takes its place when the block ends, and is removed when it fails::

        with writing("picture.png") as partial:
            image.save(partial)

    Args:
        path: The file; it may exist, and its folder is made where it is absent. A link is followed.
        mode: None to get the temporary file's path; ``"wb"`` or ``"w"`` (UTF-8) to get it open for writing.

    Yields:
        An empty file in the same folder with the same suffix. Its name is short, however long the final one is.

    Raises:
        OSError: The file cannot be written; the message of a full disk names the file and the remedy.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{secrets.token_hex(8)}{PARTIAL}{target.suffix}")
        # Not tempfile's: its files belong to their owner alone, and these are to be as readable as any other.
        partial.open("xb").close()
        try:
            if mode is None:
                yield partial
            else:
                binary = "b" in mode
                with partial.open(mode, encoding=None if binary else "utf-8", newline=None if binary else "") as file:
                    yield file
            if target.exists():
                shutil.copymode(target, partial)
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            raise OSError(
                errno.EFBIG,
                f"{path} is too large for this system's limit: choose another folder, or raise the limit (ulimit -f)",
            ) from error
        if not _is_full_disk(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"the disk is full, so that {path} could not be written: free some space there, or choose a folder on "
            "another disk, and start again",
        ) from error


def cache_folder() -> Path | None:
    """Where is kept what can be computed again, such as drawn images: ``WSSS_CACHE``, or the user's cache folder.

    None, which is nowhere, if ``WSSS_CACHE`` is empty or the user has no home directory.
    """
    named = os.environ.get("WSSS_CACHE")
    if named is not None:
        return Path(named) if named else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsss_lib"
    except RuntimeError:  # as in a container whose user the system does not know
        return None


def flush(path: Path) -> None:
    """Have the system write a file or a folder's list of names to the disk, so that a power cut cannot undo it."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders, and needs no flush of them
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(file: str | Path | BinaryIO) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits; of one that is open from its start."""
    if isinstance(file, str | Path):
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def sha256_of_text(text: str | bytes) -> str:
    """SHA-256 of a text (as UTF-8) or of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def named_path(path: str | os.PathLike[str], what: str = "the path") -> Path:
    """A path that a caller named, with ``~`` written out.

    Args:
        path: The path.
        what: How a message calls it.

    Raises:
        TypeError: It is neither text nor a path.
        ValueError: It is empty, which ``pathlib`` would take for the current folder; or the system allows no such name.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{what} is of type {type(path).__name__}, expected text or a path: name a file or a folder")
    if not os.fspath(path):
        raise ValueError(f"{what} is empty: name a file or a folder; the current folder is '.'")
    named = Path(os.path.expanduser(path))
    try:
        os.lstat(named)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            why = "is too long" if isinstance(error, OSError) else "holds a zero byte"
            raise ValueError(f"{what} {os.fspath(path)!r:.80} {why} for this system: choose another name") from error
    return named


def made_folder(path: Path, what: str = "the results") -> Path:
    """A folder that is there, made where it was not.

    Args:
        path: The folder.
        what: That goes there, for the message.

    Raises:
        ValueError: It is a file, lies below one, or may not be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{what} cannot go to {path} ({error.strerror}): name another folder") from error
    return path


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: It cannot be read, or is no file; a pipe would wait for a writer.
        ValueError: It is not JSON in UTF-8, or is nested too deep.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep for JSON") from error


def _is_full_disk(error: BaseException) -> bool:
    # Libraries that write in other languages (safetensors) raise errors of their own, which hold the words only.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return True
    return "No space left on device" in str(error)
