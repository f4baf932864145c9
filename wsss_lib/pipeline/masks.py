"""Stage *masks*: what the cut maps are, sharpened along edges where that is wanted, as palette PNG and as overlay."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from wsss_lib import maps, metrics
from wsss_lib.data.photos.masks import encode
from wsss_lib.files import write_atomically
from wsss_lib.localize.names import marked, printable
from wsss_lib.localize.photos import open_photo, size_within, to_tensor
from wsss_lib.localize.pictures import LONGEST_OVERLAY
from wsss_lib.pipeline.labels import LIST, listed, write_list
from wsss_lib.pipeline.listing import Photo
from wsss_lib.pipeline.maps import MapFile, written_maps
from wsss_lib.pipeline.stages import Stage, Work
from wsss_lib.pipeline.threshold import ENOUGH, chooses
from wsss_lib.refine import CRFSettings, dense_crf

REFINED, OF_THE_PAPERS = 320, 500
"""Pixels of the longer side at which the dense CRF works, and for which its widths were published (VOC's)."""
LEAST = 0.01
"""The background's score in the dense CRF, at least."""
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Of the classes in overlays, in turn (Okabe and Ito 2008): told apart without seeing red and green."""


def cut_maps(work: Work) -> dict[str, Any]:
    """Masks of the maps at the threshold; see :func:`write_masks`."""
    refine, threshold = work.settings.refine, work.results["threshold"]["threshold"]
    written = write_masks(work, "masks", lambda each, photo: labels_of(each, photo, threshold, refine))
    return {"refine": refine, **written}


def write_masks(work: Work, stage: str, says: Callable[[MapFile, Image.Image], Tensor]) -> dict[str, Any]:
    """Write a mask and an overlay for each photograph, and a list of them that ``load`` reads as pseudo-labels.

    Where photographs have masks, those that did not choose the threshold say how good the written ones are.

    Args:
        work: With the results up to the threshold.
        stage: In whose folder they go.
        says: From the maps' file and the photograph to what each pixel is, as :func:`labels_of` gives it.

    Returns:
        ``masks``: how many; ``nothing``: photographs whose mask is empty against their label; ``shares``: how much of
        each is covered; ``miou`` and the number ``measured``, where there are masks.
    """
    names, count = work.results["labels"]["classes"], work.results["labels"]["masks"]
    classes = list(work.results["labels"]["counts"])
    folder = work.folder(stage)
    listing, shares, nothing = [], [], []
    records, matrix, number, measured = listed(work), metrics.ConfusionMatrix(len(classes) + 1), 0, 0
    for index, written in enumerate(tqdm(list(written_maps(work)), stage, leave=False, disable=None)):
        photo = open_photo(written.photo.image)
        winners = says(written, photo)  # (H, W)
        mask = _numbered(winners, written, names).byte().numpy()
        file, picture = folder / f"{written.stem}.png", folder / "overlays" / f"{written.stem}.jpg"
        write_atomically(file, marked(encode(mask)))
        write_atomically(picture, overlay(photo, mask))
        if written.photo.mask is not None:
            if count < ENOUGH or not chooses(number, count, work.settings.threshold):
                matrix.update(_numbered(winners, written, classes)[None], records[index]["mask"][None])
                measured += 1
            number += 1
        share = float((mask > 0).mean())
        empty = bool(written.classes) and share == 0
        listing.append(Photo(written.photo.image, written.photo.labels, None if empty else file, written.photo.id))
        picture_of = {"photo": printable(written.photo.id), "overlay": picture.relative_to(work.out).as_posix()}
        shares.append(picture_of | {"labelled": bool(written.classes), "share": round(share, 4)})
        nothing += [printable(written.photo.id)] if empty else []
    write_list(folder / LIST, listing)
    lines = ["value,class", *(f"{value},{_quoted(name)}" for value, name in enumerate(names, start=1))]
    write_atomically(folder / "classes.csv", "\n".join(lines) + "\n")
    scored = {"miou": round(matrix.mean_iou(), 4), "measured": measured} if measured else {}
    return {"masks": len(listing), "nothing": nothing, "shares": shares, **scored}


def labels_of(written: MapFile, photo: Image.Image, threshold: float, refine: str) -> Tensor:
    """What a photograph's maps say of each pixel.

    Args:
        written: The maps of its M classes.
        photo: The photograph.
        threshold: The background's score.
        refine: ``"none"``: the largest score wins; ``"crf"``: after a dense CRF.

    Returns:
        (H, W) int64: 0 background, m + 1 for the m-th of its classes.
    """
    each = written.read()[None]  # (1, M, H, W)
    if not written.classes:
        return torch.zeros(photo.height, photo.width, dtype=torch.int64)
    if refine == "none":
        return maps.seeds(each, None, threshold)[0]
    scores = maps.with_background(each, maps.background_constant(each, max(threshold, LEAST)))  # (1, M + 1, H, W)
    return maps.likeliest(sharpened(scores, photo))[0]


def sharpened(scores: Tensor, photo: Image.Image) -> Tensor:
    """Scores (1, M + 1, H, W) after a dense CRF over the photograph, which works on :data:`REFINED` pixels."""
    size = size_within(photo.height, photo.width, REFINED)
    small = dense_crf(
        maps.resize(scores, size), to_tensor(photo, size), CRFSettings().resized(max(size) / OF_THE_PAPERS)
    )
    return maps.resize(small, (photo.height, photo.width))


def _numbered(winners: Tensor, written: MapFile, names: list[str]) -> Tensor:
    """The same with k + 1 for the k-th of ``names``."""
    return torch.tensor([0, *(names.index(name) + 1 for name in written.classes)])[winners]


def overlay(photo: Image.Image, mask: NDArray[np.uint8]) -> bytes:
    """A JPEG of the photograph in grey, each class of its mask in a colour, with a white outline."""
    height, width = size_within(photo.height, photo.width, LONGEST_OVERLAY)
    grey = np.asarray(photo.convert("L").resize((width, height)), np.float32)[..., None].repeat(3, axis=2)  # (h, w, 3)
    small = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
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


def in_words(result: dict[str, Any]) -> str:
    """What :func:`write_masks` has written, and how good it is."""
    nothing = f"; {len(result['nothing'])} of them empty" if result["nothing"] else ""
    measured = f"; mIoU {result['miou']:.2f} on {result['measured']} of them" if "miou" in result else ""
    return f"{nothing}{measured}"


def _summary(result: dict[str, Any]) -> str:
    sharpened = ", sharpened by a dense CRF" if result["refine"] == "crf" else ""
    return f"{result['masks']}, with an overlay each{sharpened}{in_words(result)}"


MASKS = Stage("masks", cut_maps, _summary, ("refine",))
