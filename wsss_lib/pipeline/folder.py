"""The files below a person's folder: images and masks, found again however their names are written."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

from wsss_lib.data.photos.listings import ANNOTATIONS, is_called
from wsss_lib.localize.names import is_result, printable
from wsss_lib.localize.photos import SUFFIXES
from wsss_lib.pipeline.stages import MARK


class Files:
    """The images and masks below a folder, found again by how people write their names.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        below = {path: path.relative_to(folder) for path in sorted(images_below(folder))}
        drawn = {path for path, name in below.items() if any(is_called(part, ANNOTATIONS) for part in name.parts[:-1])}
        self.masks = {path: None for path in below if path in drawn}  # in order, and soon looked up
        self.images = {path: None for path in below if path not in drawn}
        self._namesakes = Counter(_key(path.stem) for path in self.images)
        self._masks_by_path: dict[str, list[Path]] = {}
        self._masks_by_name: dict[str, list[Path]] = {}
        for path in self.masks:
            inside = path.relative_to(folder).with_suffix("").as_posix().partition("/")[2]
            self._masks_by_path.setdefault(_key(inside), []).append(path)
            for name in {_key(path.stem), _key(path.stem.removesuffix("_mask"))}:
                self._masks_by_name.setdefault(name, []).append(path)
        self._keys: dict[str, list[Path]] = {}
        for path in (*self.images, *self.masks):
            for key in {_key(path.name), _key(path.stem), _key(path.relative_to(folder).as_posix())}:
                self._keys.setdefault(key, []).append(path)

    def find(self, name: str, what: str, preferred: Container[Path]) -> Path:
        """The file that a cell names: by its path, else by its name, with or without its suffix.

        Raises:
            ValueError: There is none, or there are several.
        """
        written = name if os.path.exists(self.folder / name) else name.replace("\\", "/")
        direct = self.folder / written
        if os.path.isfile(direct):
            return Path(os.path.normpath(direct))
        paths = self._keys.get(_key(os.path.normpath(written))) or []
        named = [path for path in paths if path in preferred] or paths
        if len(named) > 1:
            raise ValueError(
                f"{printable(name):.80} may be {' or '.join(self.name_of(path) for path in named[:2])}: write the "
                f"{what}'s folder and suffix too"
            )
        if not named:
            raise ValueError(f"there is no {what} {printable(name):.80} in {printable(self.folder)}: correct the row")
        return named[0]

    def mask_of(self, image: Path) -> Path | None:
        """The mask in a folder of masks that is called as the image is; None where there is none, or are several."""
        place = Path(self.name_of(image)).with_suffix("")
        for inside in (place.as_posix(), place.as_posix().partition("/")[2]):
            if len(masks := self._masks_by_path.get(_key(inside), [])) == 1:
                return masks[0]
        masks = self._masks_by_name.get(_key(place.name), [])
        # Where several photographs share a name, only their folders tell which mask is whose.
        return masks[0] if len(masks) == 1 and self._namesakes[_key(place.name)] == 1 else None

    def name_of(self, path: Path) -> str:
        """A file's path below the folder, or its name."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.name


def _key(name: str) -> str:
    """What two spellings of a name share: upper and lower case, and umlauts in one letter or in two."""
    return unicodedata.normalize("NFC", name).casefold()


def images_below(folder: Path) -> Iterator[Path]:
    """The files that are called like images, without hidden ones and what earlier runs have made."""
    for place, below, files in os.walk(folder):
        here = Path(place)
        below[:] = sorted(name for name in below if not name.startswith(".") and not (here / name / MARK).is_file())
        for name in sorted(files):
            path = here / name
            if path.suffix.lower() in SUFFIXES and name[0] != "." and path.is_file() and not is_result(path):
                yield path
