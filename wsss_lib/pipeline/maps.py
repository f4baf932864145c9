"""Stage *maps*: where each class of each photograph is, at the photograph's size, as grey PNG of 16 bits."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from wsss_lib.devices import pick_device
from wsss_lib.files import read_json, write_atomically
from wsss_lib.localize.names import class_slugs, printable, shortened
from wsss_lib.localize.photos import open_photo
from wsss_lib.localize.pictures import save_map
from wsss_lib.localize.trained import TrainedLocalizer, load_trained, side_of
from wsss_lib.methods import registry
from wsss_lib.pipeline.labels import LIST, read_list
from wsss_lib.pipeline.listing import Photo
from wsss_lib.pipeline.stages import Stage, Work

WHITE = 65535
"""What a map of 1 is in its file."""


@dataclass(frozen=True)
class MapFile:
    """The maps of a photograph as a stage has written them.

    Attributes:
        photo: The photograph.
        stem: What the names of all its results begin with.
        classes: Its M classes.
        scores: What the classifier says of each, a probability.
        files: Of the map of each.
    """

    photo: Photo
    stem: str
    classes: tuple[str, ...]
    scores: tuple[float, ...]
    files: tuple[Path, ...]

    def read(self) -> Tensor:
        """The maps, (M, H, W) float32 in [0, 1]; (0, H, W) of a photograph of no class."""
        if not self.files:
            photo = open_photo(self.photo.image)
            return torch.zeros(0, photo.height, photo.width)
        values = [np.array(Image.open(file)).astype(np.float32) / WHITE for file in self.files]
        return torch.from_numpy(np.stack(values))


def write_maps(work: Work) -> dict[str, Any]:
    """Write the maps of each photograph's own classes; what an earlier run has written of this work stays."""
    settings, folder = work.settings, work.folder("maps")
    trained, described = load_trained(work.folder("classifier"))
    method = trained
    if not registry.entry(settings.method).trained:
        method = registry.explain(settings.method, trained)
    method.to(pick_device(settings.device or "auto"))
    localizer = TrainedLocalizer(
        method, described["classes"], trained, multi_scale=settings.multi_scale, short_side=side_of(described)
    )
    photos = read_list(work.folder("labels") / LIST)
    scores: list[tuple[float, str, str]] = []
    for photo, stem in tqdm(list(zip(photos, stems(photos), strict=True)), "maps", leave=False, disable=None):
        note = folder / f"{stem}.json"
        written = _written(note)
        if written is None:
            written = _write_maps_of(photo, stem, folder, localizer)
            write_atomically(note, json.dumps(written, ensure_ascii=False, indent=1) + "\n")
        scores += [(entry["score"], photo.id, entry["class"]) for entry in written["maps"]]
    return {
        "photos": len(photos),
        "maps": len(scores),
        "doubted": [
            {"photo": printable(name), "class": label, "score": score} for score, name, label in sorted(scores)[:8]
        ],
    }


def written_maps(work: Work) -> Iterator[MapFile]:
    """What the stage has written, photograph by photograph in the order of the list."""
    folder = work.folder("maps")
    photos = read_list(work.folder("labels") / LIST)
    for photo, stem in zip(photos, stems(photos), strict=True):
        entries = read_json(folder / f"{stem}.json")["maps"]
        yield MapFile(
            photo,
            stem,
            tuple(entry["class"] for entry in entries),
            tuple(entry["score"] for entry in entries),
            tuple(folder / entry["file"] for entry in entries),
        )


def stems(photos: Sequence[Photo]) -> list[str]:
    """What the names of each photograph's results begin with: its own name, and a number where two are alike."""
    taken: set[str] = set()
    names = []
    for photo in photos:
        stem = shortened(printable(photo.image.stem))
        name, number = stem, 1
        while (key := unicodedata.normalize("NFC", name).casefold()) in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(key)
        names.append(name)
    return names


def _write_maps_of(photo: Photo, stem: str, folder: Path, localizer: TrainedLocalizer) -> dict[str, Any]:
    """Write a photograph's maps, and say of them what is to be known."""
    numbers = [localizer.categories.index(name) for name in photo.labels]
    entries = []
    if numbers:
        picture = open_photo(photo.image)
        result = localizer(picture, numbers)
        for number, slug, heat in zip(numbers, class_slugs(result.names, numbers), result.maps, strict=True):
            file = f"{stem}.{slug}.png"
            save_map(heat, folder / file)
            score = round(float(result.scores[number]), 4)
            entries.append({"class": localizer.categories[number], "score": score, "file": file})
    return {"image": printable(photo.id), "maps": entries}


def _written(note: Path) -> Any:
    """What was noted of a photograph whose maps are all here; None where they are not."""
    try:
        content = read_json(note)
        complete = all((note.parent / entry["file"]).is_file() for entry in content["maps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if complete else None


def _summary(result: dict[str, Any]) -> str:
    return f"{result['maps']} of {result['photos']} photographs"


MAPS = Stage("maps", write_maps, _summary, ("method", "multi_scale"))
