"""Results as files: for each photo a JSON report, for each class an overlay and a map."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from tqdm.auto import tqdm

from wsss_lib import __version__, figures, maps
from wsss_lib.backbones import CAM_NAMES, IMAGENET_NAMES, ImageNetClassifier, imagenet_classifier, no_cam
from wsss_lib.localize.localizer import SHORT_SIDE, PhotoLocalizer, PhotoMaps, check_method
from wsss_lib.localize.photos import check_photo, open_photo, photo_files, to_tensor

LONGEST_OVERLAY = 1200
"""Pixels of the longer side of the photo inside an overlay; the map and the boxes keep the photo's own size."""


def localize_images(
    paths: Sequence[str | Path],
    *,
    method: str = "cam",
    backbone: str = "mobilenet_v2",
    weights: str | Path | None = None,
    out: str | Path | None = None,
    top_k: int = 1,
    classes: Sequence[str | int] | None = None,
    threshold: float = 0.2,
    which: Literal["largest", "all"] = "largest",
    multi_scale: bool = False,
    short_side: int = SHORT_SIDE,
    device: str | None = None,
    classifier: ImageNetClassifier | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Localise in photos and write, for each, ``NAME-METHOD.json`` and for each class an overlay and a map.

    Args:
        paths: Image files, or folders of them.
        method: One of :data:`METHODS`.
        backbone: An ImageNet network, see :data:`wsss_lib.backbones.IMAGENET_NAMES`.
        weights: A safetensors file, or a folder that holds ``<backbone>.safetensors``; None means the published
            weights, which need the network once.
        out: Folder for the results, made if absent; one folder may hold those of several methods. None writes nothing.
        top_k: How many of the likeliest classes get a map.
        classes: Names or indices to look for instead of the likeliest.
        threshold: t in [0, 1): a pixel belongs to the object where its map, divided by its maximum, exceeds t.
        which: ``"largest"``: one box, around the largest 8-connected component. ``"all"``: a box for every component.
        multi_scale: See :class:`PhotoLocalizer`.
        short_side: See :class:`PhotoLocalizer`.
        device: ``"cpu"``, ``"cuda"``, …; None takes a GPU where there is one, or leaves a given classifier where it is.
        classifier: One that is already built, instead of ``backbone`` and ``weights``.
        progress: Show a progress bar on a terminal.

    Returns:
        What the JSON files hold, photo by photo: ``image``, ``width`` and ``height`` (after the camera's orientation
        is applied), ``objects`` (``class``, ``index`` and ``score``, which are "salient", None and None for Eigen-CAM;
        ``boxes`` as [x0, y0, x1, y1] in pixels of the photo, right and bottom exclusive; ``coverage``: share of the
        pixels above the threshold; with ``out`` also ``overlay``, ``map``: file names, and ``alt``: the overlay in
        words), ``top``: the five likeliest classes, ``threshold``, and the settings and versions.

    Raises:
        FileNotFoundError: A photo or the weights are not there.
        ValueError: A file that is no image, or a setting that does not exist.
    """
    check_method(method, classes)
    if not 0 <= threshold < 1:
        raise ValueError(
            f"The threshold is {threshold}; expected a share of the map's maximum, at least 0 and below 1."
        )
    if which not in ("largest", "all"):
        raise ValueError(f"There are no boxes {which!r}; choose 'largest' or 'all'.")
    folder = None if out is None else Path(out)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"The results cannot go to {folder}, which is a file: name a folder, old or new.")
    where = None if device is None else _device(device)
    files = photo_files(paths)
    for file in files:  # an unreadable photo shows before anything is computed
        check_photo(file)
    provenance: dict[str, Any] = {"method": method}
    if classifier is None:
        if method == "cam" and backbone in IMAGENET_NAMES and backbone not in CAM_NAMES:
            raise no_cam(backbone)  # before 500 MB are fetched in vain
        classifier = imagenet_classifier(backbone, "published" if weights is None else weights)
        provenance |= {"backbone": backbone, **_weights(backbone, weights)}
        where = where or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    else:
        provenance |= {"backbone": classifier.backbone.name, "weights": "given"}
    if where is not None:
        classifier.to(where)
    localizer = PhotoLocalizer(
        classifier, method, top_k=top_k, classes=classes, multi_scale=multi_scale, short_side=short_side
    )
    provenance |= {
        "multi_scale": multi_scale,
        "versions": {"wsss-lib": __version__, "torch": torch.__version__, "torchvision": version("torchvision")},
    }
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    rule = "the largest 8-connected component" if which == "largest" else "each 8-connected component, holes filled"
    reports = []
    for file, stem in tqdm(
        list(zip(files, _stems(files, method), strict=True)), unit="photo", disable=None if progress else True
    ):
        photo = open_photo(file)
        seen = localizer(photo)
        report = {
            "image": file.name,
            "width": photo.width,
            "height": photo.height,
            "seen_at": list(seen.seen_at),
            "threshold": {"value": threshold, "rule": f"map divided by its maximum > value; box around {rule}"},
            "objects": [],
            "top": _top(seen.scores, classifier.categories),
            **provenance,
        }
        for rank, name in enumerate(seen.names):
            found = describe(seen, rank, threshold, which)
            if folder is not None:
                stub = f"{stem}-{_slug(name)}" + (f"-{seen.classes[rank]}" if seen.names.count(name) > 1 else "")
                found |= {"overlay": f"{stub}-overlay.png", "map": f"{stub}-map.png"}
                save_map(seen.maps[rank], folder / found["map"])
                found["alt"] = save_overlay(photo, seen.maps[rank], found, method, threshold, folder / found["overlay"])
            report["objects"].append(found)
        if folder is not None:
            (folder / f"{stem}.json").write_text(
                json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        reports.append(report)
    return reports


def describe(seen: PhotoMaps, rank: int, threshold: float, which: Literal["largest", "all"]) -> dict[str, Any]:
    """Class, score, boxes and coverage of one of a photo's maps, as the JSON report holds them."""
    mask = maps.threshold_mask(seen.maps[rank], threshold)  # (H, W)
    if which == "all":  # a hole has a contour too, but is no object
        filled = torch.from_numpy(ndimage.binary_fill_holes(mask.numpy()))
        boxes = maps.boxes(filled[None], 0.5, "all")[0]
    else:
        boxes = maps.boxes(mask[None], 0.5, "largest")
    index = seen.classes[rank]
    return {
        "class": seen.names[rank],
        "index": index,
        "score": None if index is None else round(float(seen.scores[index]), 6),
        "boxes": [box for box in boxes.int().tolist() if box[2] > box[0]],  # (0, 0, 0, 0): nothing was found
        "coverage": round(float(mask.float().mean()), 6),
    }


def save_map(map: Tensor, path: Path) -> None:
    """Write a map (H, W) in [0, 1] as a grey PNG of 16 bits: value = round(65535 · map)."""
    Image.fromarray((map.numpy() * 65535).round().astype(np.uint16)).save(path)


def save_overlay(
    photo: Image.Image, map: Tensor, found: dict[str, Any], method: str, threshold: float, path: Path
) -> str:
    """Draw the map over the greyed photo, dashed contour at the threshold, boxes; return its alternative text."""
    shrink = min(1.0, LONGEST_OVERLAY / max(photo.size))
    height, width = max(1, round(photo.height * shrink)), max(1, round(photo.width * shrink))
    image = to_tensor(photo, (height, width))[0]  # (3, h, w)
    name = "what stands out" if found["index"] is None else found["class"]
    score = "" if found["score"] is None else f", probability {found['score']:.2f}"
    drawn_height = min(max(figures.WIDTH * height / width, 1.5), 2 * figures.WIDTH)  # inches; thin strips stay legible
    fig, ax = figures.canvas(size=(figures.WIDTH, drawn_height + 1.2))
    drawn = figures.overlay(
        ax,
        image,
        maps.resize(map[None, None], (height, width))[0, 0],
        threshold=threshold,
        title=f"{name}{score} ({method})",
    )
    scale = np.array([width / photo.width, height / photo.height] * 2)
    figures.boxes(ax, np.array(found["boxes"], dtype=float).reshape(-1, 4) * scale, predicted=True)
    figures.colourbar(fig, ax, drawn, label="share of the map's maximum", threshold=threshold)
    path.write_bytes(figures.png(fig, dpi=150))
    where = "; ".join(f"from ({x0}, {y0}) to ({x1}, {y1})" for x0, y0, x1, y1 in found["boxes"]) or "nowhere"
    return (
        f"{method} map of {name}{score} over the photo in grey; {found['coverage']:.0%} of the pixels exceed the "
        f"threshold {threshold:g}, boxes in pixels: {where}."
    )


def _device(name: str) -> torch.device:
    """The device of that name, if this machine has it."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"This machine has no device {name!r}: leave the device out, or say 'cpu'.") from error


def _top(scores: Tensor, categories: Sequence[str]) -> list[dict[str, Any]]:
    best = scores.topk(min(5, len(scores)))
    return [
        {"class": categories[index], "index": index, "score": round(score, 6)}
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _weights(backbone: str, weights: str | Path | None) -> dict[str, str]:
    """Name and fingerprint of the weights: a file's name, never where it lies on this machine."""
    if weights is None or weights in ("published", "shipped"):
        return {"weights": str(weights or "published")}
    path = Path(weights).expanduser()
    path = path / f"{backbone}.safetensors" if path.is_dir() else path
    return {"weights": path.name, "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _stems(files: Sequence[Path], method: str) -> list[str]:
    """File names without suffix, then the method's; the second ``cat`` becomes ``cat-2``.

    So no result overwrites that of another photo or of another method.
    """
    taken: set[str] = set()
    stems = []
    for file in files:
        stem, number = file.stem, 2
        while stem.lower() in taken:  # some file systems do not tell Cat from cat
            stem, number = f"{file.stem}-{number}", number + 1
        taken.add(stem.lower())
        stems.append(f"{stem}-{method.replace('+', 'p')}")
    return stems


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")
