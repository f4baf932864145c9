"""Files inside archives, by name."""

from __future__ import annotations

import tarfile
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath


class Archive:
    """Files in a tar, a compressed tar or a zip, by their last two path components (``"JPEGImages/x.jpg"``).

    The components before differ between mirrors. A compressed tar is unpacked once, because to find one file in it
    all that is before it must be decompressed.

    Args:
        path: The archive.
        scratch: Where to unpack.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = path
        self._read: Callable[[str], bytes]
        if zipfile.is_zipfile(path):
            packed = zipfile.ZipFile(path)
            weakref.finalize(self, packed.close)
            members = {_short(name): name for name in packed.namelist() if not name.endswith("/")}
            self._read = lambda name: packed.read(members[name])
        elif _is_plain_tar(path):
            tar = tarfile.open(path, "r:")  # noqa: SIM115 - read from as long as the object lives
            weakref.finalize(self, tar.close)
            places = {_short(m.name): m for m in tar.getmembers() if m.isfile()}
            self._read = lambda name: _bytes(tar, places[name])
        else:
            folder = scratch / path.name
            with tarfile.open(path, "r|*") as stream:  # one pass, from front to back
                for member in stream:
                    short = _short(member.name)
                    if member.isfile() and ".." not in short:
                        place = folder / short
                        place.parent.mkdir(parents=True, exist_ok=True)
                        place.write_bytes(_bytes(stream, member))
            self._read = lambda name: (folder / name).read_bytes()

    def read(self, name: str) -> bytes:
        """The file whose path ends in ``name``.

        Raises:
            ValueError: There is none.
        """
        try:
            return self._read(name)
        except (KeyError, FileNotFoundError):
            raise ValueError(
                f"{self.path.name} holds no file {name!r}: it is not the archive that was expected"
            ) from None

    def lines(self, name: str) -> list[str]:
        """The non-empty lines of a text file."""
        return [line for line in self.read(name).decode().splitlines() if line.strip()]


def _short(name: str) -> str:
    return "/".join(PurePosixPath(name).parts[-2:])


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.ReadError:
        return False


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, "only plain files are asked for"
    return file.read()
