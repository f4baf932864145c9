"""What data sets look like where they are published, turned into rows of one schema.

One function a layout. It takes the files that were fetched and the split that is wanted, and says what the rows
hold; the rows themselves are made one at a time, so a data set larger than the memory passes through.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wsss_lib.data.photos.archives import Archive
from wsss_lib.data.photos.catalogue import VOC
from wsss_lib.data.photos.convert import content
from wsss_lib.data.photos.masks import encode, mask_array, present
from wsss_lib.data.photos.referring import refcoco_images, refcoco_table
from wsss_lib.data.photos.rows import ParquetRows, records_of
from wsss_lib.data.photos.schema import Row, Split
from wsss_lib.data.records import IGNORE

Layout = Callable[[Sequence[Path], str, Path], Split]
"""``layout(files, split, scratch)``: ``files`` in the order of the source's list, ``scratch`` a folder to unpack in."""


def voc_table(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """VOC as tables of the Hub: ``image``, ``mask`` (indices or colours); the labels are the classes in the mask."""

    def rows() -> Iterator[Row]:
        for index, record in enumerate(records_of(files, ("image", "mask"))):
            mask = mask_array(content(record["mask"]))
            yield _masked(f"{split}-{index:05d}", content(record["image"]), mask)

    return Split(VOC, mask=True, boxes=False, rows=rows())


def voc_tar(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """VOC's own archive; ``split`` names a list of its folder ``ImageSets/Segmentation``."""
    voc = Archive(files[0], scratch)

    def rows() -> Iterator[Row]:
        for name in voc.lines(f"Segmentation/{split}.txt"):
            mask = mask_array(voc.read(f"SegmentationClass/{name}.png"))
            yield _masked(name, voc.read(f"JPEGImages/{name}.jpg"), mask)

    return Split(VOC, mask=True, boxes=False, rows=rows())


def voc_aug(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """The augmented training list: VOC's archive and that of SBD (Hariharan et al. 2011).

    All images of SBD and of VOC's ``train``, less those of VOC's ``val``: 10,582. Where VOC has a mask of its own it is
    taken; SBD's masks have no border.
    """
    voc, sbd = Archive(files[0], scratch), Archive(files[1], scratch)
    train = voc.lines("Segmentation/train.txt")
    other = {*sbd.lines("dataset/train.txt"), *sbd.lines("dataset/val.txt")}
    names = sorted((other | set(train)) - set(voc.lines("Segmentation/val.txt")))

    def rows() -> Iterator[Row]:
        in_voc = set(train)
        for name in names:
            if name in in_voc:
                mask = mask_array(voc.read(f"SegmentationClass/{name}.png"))
                yield _masked(name, voc.read(f"JPEGImages/{name}.jpg"), mask)
            else:
                yield _masked(name, sbd.read(f"img/{name}.jpg"), _sbd_mask(sbd.read(f"cls/{name}.mat")))

    return Split(VOC, mask=True, boxes=False, rows=rows())


def _sbd_mask(mat: bytes) -> NDArray[np.uint8]:
    from scipy.io import loadmat  # type: ignore[import-untyped,unused-ignore]

    return np.asarray(loadmat(io.BytesIO(mat))["GTcls"]["Segmentation"][0, 0], dtype=np.uint8)


def cub_table(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """CUB as tables of the Hub: ``image``, ``label``, ``bbox`` (xyxy)."""
    names = ParquetRows(files).class_names("label")[0]
    if names is None:
        raise ValueError(f"{files[0].name} does not name the classes of its column 'label'")

    def rows() -> Iterator[Row]:
        for index, record in enumerate(records_of(files, ("image", "label", "bbox"))):
            label = int(record["label"])
            box = [float(v) for v in record["bbox"]]
            image = content(record["image"])
            yield {
                "id": f"{split}-{index:05d}", "image": image, "labels": [label], "boxes": [box], "box_labels": [label],
            }  # fmt: skip

    return Split(tuple(_tidy(name) for name in names), mask=False, boxes=True, rows=rows())


def cub_tar(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """CUB's own archive: lists of ``number value``, boxes as x, y, width, height."""
    cub = Archive(files[0], scratch)

    def column(name: str) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in cub.lines(f"CUB_200_2011/{name}.txt"))

    in_train, paths, labels = column("train_test_split"), column("images"), column("image_class_labels")
    boxes, names = column("bounding_boxes"), column("classes")

    def rows() -> Iterator[Row]:
        for number, path in paths.items():
            if (in_train[number] == "1") != (split == "train"):
                continue
            label = int(labels[number]) - 1
            x, y, width, height = (float(v) for v in boxes[number].split())
            yield {
                "id": Path(path).stem, "image": cub.read(path), "labels": [label],
                "boxes": [[x, y, x + width, y + height]], "box_labels": [label],
            }  # fmt: skip

    return Split(tuple(_tidy(name) for name in names.values()), mask=False, boxes=True, rows=rows())


def pets_tar(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """Oxford-IIIT Pet: one archive, or one of images and one of annotations.

    The trimap's 1 (pet), 2 (background) and 3 (not classified) become the breed's value, 0 and 255.
    """
    archives = [Archive(file, scratch) for file in files]
    images, notes = archives[0], archives[-1]
    entries = {s: notes.lines(f"annotations/{s}.txt") for s in ("trainval", "test")}
    breeds = {int(number): name for line in entries["trainval"] for name, number in [_pet(line)]}
    classes = tuple(breeds[number].replace("_", " ") for number in sorted(breeds))

    def rows() -> Iterator[Row]:
        for line in entries["trainval" if split == "train" else split]:
            name, (_, number) = line.split()[0], _pet(line)
            trimap = mask_array(notes.read(f"trimaps/{name}.png"))
            mask = np.array([0, number, 0, IGNORE], np.uint8)[trimap]
            yield {
                "id": name, "image": images.read(f"images/{name}.jpg"), "mask": encode(mask), "labels": [number - 1],
            }  # fmt: skip

    return Split(classes, mask=True, boxes=False, rows=rows())


def _pet(line: str) -> tuple[str, int]:
    """Breed and its 1-based number of a line such as ``Abyssinian_100 1 1 1``."""
    name, number = line.split()[:2]
    return name.rpartition("_")[0], int(number)


def coco_zip(files: Sequence[Path], split: str, scratch: Path) -> Split:
    """COCO's own archives: images and ``instances_*.json``. Crowds become 255, and have no box.

    Polygons are filled with Pillow, whose edges differ from pycocotools' by up to a pixel. Where objects overlap, the
    smaller is on top.
    """
    images, notes = (Archive(file, scratch) for file in files)
    table = json.loads(notes.read(f"annotations/instances_{split}2014.json"))
    categories = sorted(table["categories"], key=lambda c: int(c["id"]))
    place = {int(c["id"]): k for k, c in enumerate(categories)}
    objects: dict[int, list[dict[str, Any]]] = {}
    for entry in table["annotations"]:
        objects.setdefault(int(entry["image_id"]), []).append(entry)

    def rows() -> Iterator[Row]:
        for image in sorted(table["images"], key=lambda i: int(i["id"])):
            entries = objects.get(int(image["id"]), [])
            # A few annotations have a side of no length: no box.
            single = [o for o in entries if not o.get("iscrowd") and min(o["bbox"][2:]) > 0]
            classes = [place[int(o["category_id"])] for o in single]
            yield {
                "id": str(image["id"]), "image": images.read(f"{split}2014/{image['file_name']}"),
                "mask": encode(coco_mask(entries, place, int(image["height"]), int(image["width"]))),
                "labels": sorted(set(classes)), "box_labels": classes,
                "boxes": [[x, y, x + w, y + h] for x, y, w, h in ([float(v) for v in o["bbox"]] for o in single)],
            }  # fmt: skip

    return Split(tuple(c["name"] for c in categories), mask=True, boxes=True, rows=rows())


def coco_mask(
    objects: Sequence[Mapping[str, Any]], place: Mapping[int, int], height: int, width: int
) -> NDArray[np.uint8]:
    """Class mask of COCO annotations.

    Args:
        objects: Annotations with ``segmentation`` (polygons, or run lengths for crowds), ``category_id``, ``area``.
        place: 0-based class of each category id.
        height: Of the image.
        width: Of the image.

    Returns:
        (height, width) uint8: 0 background, k + 1 for class k, 255 inside crowds.
    """
    canvas = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(canvas)
    crowds: list[NDArray[np.bool_]] = []
    for entry in sorted(objects, key=lambda o: -float(o["area"])):  # small ones last, hence on top
        outline = entry["segmentation"]
        if isinstance(outline, Mapping):
            crowds.append(_runs(outline["counts"], height, width))
            continue
        for polygon in outline:
            if len(polygon) >= 6:  # three corners
                pen.polygon(
                    [(x, y) for x, y in zip(polygon[::2], polygon[1::2], strict=True)],
                    fill=place[int(entry["category_id"])] + 1,
                )
    mask = np.array(canvas)
    for crowd in crowds:
        mask[crowd & (mask == 0)] = IGNORE
    return mask


def _runs(counts: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Run lengths, column by column, zeros first (COCO's uncompressed RLE)."""
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def _tidy(name: str) -> str:
    """A class name for people: ``"001.Black_footed_Albatross"`` is ``"Black footed Albatross"``."""
    return re.sub(r"^\d+\.", "", name).replace("_", " ")


def _masked(name: str, image: bytes, mask: NDArray[np.uint8]) -> Row:
    return {"id": name, "image": image, "mask": encode(mask), "labels": present(mask)}


LAYOUTS: dict[str, Layout] = {
    "voc_table": voc_table,
    "voc_tar": voc_tar,
    "voc_aug": voc_aug,
    "cub_table": cub_table,
    "cub_tar": cub_tar,
    "pets_tar": pets_tar,
    "coco_zip": coco_zip,
    "refcoco_images": refcoco_images,
    "refcoco_table": refcoco_table,
}
