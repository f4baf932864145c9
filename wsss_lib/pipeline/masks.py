"""Stages *threshold* and *masks*: where to cut the maps, and what the cut maps are as palette PNG and as overlay."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from wsss_lib import maps, metrics
from wsss_lib.data.photos.masks import encode
from wsss_lib.files import write_atomically
from wsss_lib.localize.names import marked, printable
from wsss_lib.localize.photos import open_photo
from wsss_lib.pipeline.labels import LIST, listed, write_list
from wsss_lib.pipeline.listing import Photo
from wsss_lib.pipeline.maps import MapFile, written_maps
from wsss_lib.pipeline.stages import Stage, Work

DEFAULT, DEFAULT_OF_SCALES = 0.15, 0.35
"""Thresholds where no mask chooses one: IRN's for one scale (Ahn et al. 2019), and one that suits sums over scales."""
ENOUGH = 4
"""Masks from which half of them choose the threshold, and the other half say how good it is."""
LONGEST = 1200
"""Pixels of an overlay's longer side; masks and maps keep the photograph's own size."""
MEASURED = 640
"""Pixels of the longer side at which masks choose the threshold."""
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Of the classes in overlays, in turn (Okabe and Ito 2008): told apart without seeing red and green."""


def choose(work: Work) -> dict[str, Any]:
    """The threshold: the user's, else that with the best mIoU on photographs with masks, else the field's.

    Of :data:`ENOUGH` masks or more each second one chooses, and the others say how good the choice is.
    """
    given, count = work.settings.threshold, work.results["labels"]["masks"]
    usual = DEFAULT_OF_SCALES if work.settings.multi_scale else DEFAULT
    if not count:
        return {"threshold": usual if given is None else given, "given": given is not None, "chosen_on": 0}
    classes = list(work.results["labels"]["counts"])
    choosing, reporting = (metrics.ThresholdSweep(len(classes), 100) for _ in range(2))
    records, number = listed(work), 0
    for index, written in enumerate(tqdm(list(written_maps(work)), "threshold", leave=False, disable=None)):
        if written.photo.mask is not None:
            chooses = given is None and (count < ENOUGH or number % 2 == 0)
            (choosing if chooses else reporting).update(*_small(in_order(written, classes), records[index]["mask"]))
            number += 1
    curve = choosing.curve("choosing", work.key, classes)
    threshold = float(curve.thresholds[int(curve.values.nan_to_num(-1.0).argmax())]) if given is None else given
    chosen_on = 0 if given is not None else number if count < ENOUGH else (number + 1) // 2
    shown = reporting.curve("reporting", work.key, classes) if chosen_on < number else curve
    at = int((shown.thresholds - threshold).abs().argmin())
    assert shown.parts is not None  # a sweep over classes has them
    parts = zip(shown.columns, shown.parts[at].tolist(), strict=True)
    return {
        "threshold": round(threshold, 4),
        "given": given is not None,
        "chosen_on": chosen_on,
        "reported_on": number - chosen_on,
        "miou": round(float(shown.values[at]), 4),
        "iou": {name: round(value, 4) for name, value in parts if math.isfinite(value)},
    }


def write_masks(work: Work) -> dict[str, Any]:
    """Write a mask and an overlay for each photograph, and a list of them that ``load`` reads as pseudo-labels."""
    threshold = work.results["threshold"]["threshold"]
    names = work.results["labels"]["classes"]
    folder = work.folder("masks")
    listing, shares, nothing = [], [], []
    for written in tqdm(list(written_maps(work)), "masks", leave=False, disable=None):
        mask = mask_of(written, names, threshold)
        file, picture = folder / f"{written.stem}.png", work.folder("masks") / "overlays" / f"{written.stem}.jpg"
        write_atomically(file, marked(encode(mask)))
        photo = open_photo(written.photo.image)
        write_atomically(picture, overlay(photo, mask))
        share = float((mask > 0).mean())
        empty = bool(written.classes) and share == 0
        listing.append(Photo(written.photo.image, written.photo.labels, None if empty else file, written.photo.id))
        about = {"photo": printable(written.photo.id), "stem": written.stem, "labelled": bool(written.classes)}
        shares.append(about | {"share": round(share, 4)})
        nothing += [printable(written.photo.id)] if empty else []
    write_list(folder / LIST, listing)
    lines = ["value,class", *(f"{value},{_quoted(name)}" for value, name in enumerate(names, start=1))]
    write_atomically(folder / "classes.csv", "\n".join(lines) + "\n")
    return {"masks": len(listing), "nothing": nothing, "shares": shares}


def mask_of(written: MapFile, names: list[str], threshold: float) -> NDArray[np.uint8]:
    """The mask of a photograph's maps, (H, W): 0 background, k + 1 for the k-th of ``names``."""
    each = written.read()  # (M, H, W)
    if not len(each):
        return np.zeros(tuple(each.shape[1:]), np.uint8)
    places = torch.tensor([0, *(names.index(name) + 1 for name in written.classes)])
    return places[maps.seeds(each[None], None, threshold)[0]].numpy().astype(np.uint8)


def in_order(written: MapFile, classes: list[str]) -> Tensor:
    """A photograph's maps with a map for each class, (K, H, W), zeros for those that it does not show."""
    each = written.read()
    every = torch.zeros(len(classes), *each.shape[1:])
    for name, heat in zip(written.classes, each, strict=True):
        every[classes.index(name)] = heat
    return every


def _small(each: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (K, H, W) and a mask (H, W) as a batch of one, at most :data:`MEASURED` pixels wide and high."""
    shrink = min(1.0, MEASURED / max(truth.shape))
    size = max(1, round(truth.shape[0] * shrink)), max(1, round(truth.shape[1] * shrink))
    smaller = functional.interpolate(truth[None, None].float(), size=size, mode="nearest-exact")[0].long()
    return (each[None] if shrink == 1 else maps.resize(each[None], size)), smaller


def overlay(photo: Image.Image, mask: NDArray[np.uint8]) -> bytes:
    """A JPEG of the photograph in grey, each class of its mask in a colour, with a white outline."""
    shrink = min(1.0, LONGEST / max(photo.size))
    size = max(1, round(photo.width * shrink)), max(1, round(photo.height * shrink))
    grey = np.asarray(photo.convert("L").resize(size), np.float32)[..., None].repeat(3, axis=2)  # (h, w, 3)
    small = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    for value in np.unique(small[small > 0]):
        inside = small == value
        grey[inside] = 0.5 * grey[inside] + 0.5 * np.array(rgb(int(value)), np.float32)
    edge = np.zeros(small.shape, bool)
    edge[:, 1:] |= small[:, 1:] != small[:, :-1]
    edge[1:] |= small[1:] != small[:-1]
    grey[edge] = 255
    buffer = io.BytesIO()
    Image.fromarray(grey.round().astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def rgb(value: int) -> tuple[int, int, int]:
    """The colour of a mask's value in overlays."""
    colour = COLOURS[(value - 1) % len(COLOURS)]
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _threshold(result: dict[str, Any]) -> str:
    text = f"{result['threshold']:g}"
    measured = f"mIoU {result['miou']:.2f}" if "miou" in result else ""
    if result["given"]:
        return f"{text}, as said" + (f"; {measured} on {_masked(result['reported_on'])}" if measured else "")
    if not measured:
        return f"{text}, the usual one: no mask chooses another"
    on = f"{result['reported_on']} others" if result["reported_on"] else "the same ones"
    return f"{text}, chosen on {_masked(result['chosen_on'])}; {measured} on {on}"


def _masked(count: int) -> str:
    return f"{count} photograph{'s with masks' if count > 1 else ' with a mask'}"


def _masks(result: dict[str, Any]) -> str:
    nothing = f"; {len(result['nothing'])} of them empty" if result["nothing"] else ""
    return f"{result['masks']}, with an overlay each{nothing}"


THRESHOLD = Stage("threshold", choose, _threshold, ("threshold",))
MASKS = Stage("masks", write_masks, _masks)
