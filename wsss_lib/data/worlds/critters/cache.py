"""Drawn splits kept on disk. Drawing is slow, never impossible: no fault of the cache stops anybody."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

from wsss_lib.data.worlds.critters.scene import Scenes
from wsss_lib.files import writing

_ARRAYS = tuple(field.name for field in fields(Scenes) if field.name != "objects")


def kept_scenes(path: Path | None, count: int, size: int, draw: Callable[[], Scenes]) -> Scenes:
    """The scenes in a file of the cache; where it has none, they are drawn and kept.

    Args:
        path: The file; None keeps nothing.
        count: How many images.
        size: Their side in pixels.
        draw: Draws them.
    """
    scenes = None if path is None else read_scenes(path, count, size)
    if scenes is None:
        scenes = draw()
        if path is not None:
            write_scenes(path, scenes)
    return scenes


def read_scenes(path: Path, count: int, size: int) -> Scenes | None:
    """The scenes in a file of the cache.

    Args:
        path: The file.
        count: How many images it should hold.
        size: Their side in pixels.

    Returns:
        The scenes; None where there is no such file, or, with a warning, where its content is not what it should be.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")  # a pipe would wait for a writer
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
            objects = json.loads(bytes(stored["objects"]).decode())
        shapes = {name: arrays[name].shape for name in ("images", "masks")}
        if shapes != {"images": (count, 3, size, size), "masks": (count, size, size)} or len(objects) != count:
            raise ValueError(f"it holds {shapes}, expected {count} images of {size} pixels")
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged archive raises whatever its damaged bytes mean
        _warn(f"{path} cannot be read ({error}): the images are drawn again")
        return None
    return Scenes(**arrays, objects=objects)


def write_scenes(path: Path, scenes: Scenes) -> None:
    """Keep scenes in a file of the cache; where it cannot be written, a warning says so."""
    arrays = {name: getattr(scenes, name) for name in _ARRAYS}
    text = np.frombuffer(json.dumps(scenes.objects).encode(), np.uint8)
    try:
        with writing(path, "wb") as file:
            np.savez(file, objects=text, **arrays)
    except OSError as error:
        _warn(f"{path} cannot be written ({error}): the images are drawn anew each time")


def _warn(what: str) -> None:
    warnings.warn(f"{what}; the variable WSSS_CACHE names another folder for them, or, empty, none", stacklevel=7)
