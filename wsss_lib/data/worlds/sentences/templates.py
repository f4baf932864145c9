"""Sentences by the grammar about things in photographs: what their boxes and classes say, colours left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsss_lib.data.records import Records, Sample, record_number
from wsss_lib.data.worlds.random_numbers import Draws, image_keys
from wsss_lib.data.worlds.sentences.grammar import Statement, said, statements
from wsss_lib.files import sha256_of_text

SMALLEST = 0.002
"""Boxes below this share of the image are not spoken of, and nobody proposes them."""


class TemplateSentences(Records):
    """Records of boxes, with sentences that a program made of them. No person said them: they are no RefCOCO.

    Args:
        records: With ``boxes`` and ``box_labels``.
        ambiguous: Whether only things are meant that have another one of their class beside them.
        most: Sentences of an image at most.
        seed: Decides what is said.

    Attributes:
        statements: Of each image, what is said of it.
    """

    def __init__(self, records: Records, *, ambiguous: bool = False, most: int = 6, seed: int = 0) -> None:
        self.parent = records
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.fingerprint = sha256_of_text(f"{records.fingerprint} said {ambiguous} {most} {seed}")
        self._samples = [self._kept(records[i]) for i in range(len(records))]
        self.statements = [self._said(i, ambiguous, most, seed) for i in range(len(records))]

    def _kept(self, sample: Sample) -> Sample:
        height, width = sample["image"].shape[1:]
        boxes = sample["boxes"]
        large = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= SMALLEST * height * width
        return sample | {"boxes": boxes[large], "box_labels": sample["box_labels"][large]}

    def _said(self, index: int, ambiguous: bool, most: int, seed: int) -> list[Statement]:
        sample = self._samples[index]
        things = things_of(sample, self.classes)
        names = [thing["species"] for thing in things]
        spoken_of = sorted({name for name in names if names.count(name) > 1 or not ambiguous})
        every = [each for name in spoken_of for each in statements(things, name) if each.kind != "colour"]
        return said(every, Draws(image_keys(seed, f"said of {self.name}/{self.split}", np.array([index]))), most)

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def labels(self) -> Tensor:
        return self.parent.labels

    def __getitem__(self, index: int) -> Sample:
        number = record_number(index, len(self), f"{self.name}/{self.split}")
        sample, texts = self._samples[number], self.statements[number]
        boxes = sample["boxes"]
        kept: Any = {name: sample[name] for name in ("image", "labels", "boxes", "box_labels", "id")}
        return kept | {
            "proposals": boxes.clone(),
            "sentences": [each.text for each in texts],
            "sentence_boxes": boxes[torch.tensor([each.target for each in texts], dtype=torch.int64)],
            "sentence_kinds": [each.kind for each in texts],
        }


def things_of(sample: Sample, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """The boxes of a sample as the grammar wants things: class, centre, lower edge and extent, in image sides.

    A name of two words becomes one with a hyphen, so that a parser takes it for one.
    """
    height, width = sample["image"].shape[1:]
    things = []
    for (x0, y0, x1, y1), label in zip(sample["boxes"].tolist(), sample["box_labels"].tolist(), strict=True):
        things.append(
            {
                "species": classes[label].replace(" ", "-"),
                "coat": "",
                "centre": [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height],
                "foot": y1 / height,
                "extent": max((x1 - x0) / width, (y1 - y0) / height),
            }
        )
    return things
