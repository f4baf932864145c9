"""A chapter's workbench: the same notebook on the drawn world and on photographs, by its parameters alone.

    lab = Lab(profile="book", data="critters", backbone="tiny_cnn", seed=0)
    cam = lab.classifier()
    lab.fit(cam)
    row = lab.scores(cam)
    other = lab.build(Method, settings)  # any other kind: the same backbone, seed, recipe and protocol

On critters a method is trained on ``train``, thresholds are chosen on ``val`` and ``test`` is reported. On photographs
in VOC's form it is trained on ``aug`` where there is one (else ``train``), from image labels; thresholds are chosen on
``train`` and ``val`` is reported. Training and measuring are the same for every method that a chapter compares.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from wsss_lib.backbones import CAM_NAMES, IMAGENET_NAMES, NAMES, Backbone, backbone
from wsss_lib.data import load, splits
from wsss_lib.data.records import Batch, Records, collate
from wsss_lib.data.transforms import Compose, RandomFlip, Resize
from wsss_lib.data.worlds.critters import Critters, World, cache_folder
from wsss_lib.evaluate import Measured, measure, scores
from wsss_lib.methods.cam import CAM, CAMConfig
from wsss_lib.notebook import pick_device
from wsss_lib.train import History, TrainConfig, fit

Profile = Literal["smoke", "book", "colab", "paper"]
M = TypeVar("M", bound=nn.Module)

DRAWN = TrainConfig(epochs=4, optimiser="adamw", lr=1e-3, head_lr=5, weight_decay=1e-2, schedule="cosine")
"""How a method is trained on critters, from the shipped backbone."""
PHOTOS = TrainConfig(epochs=3, optimiser="adamw", lr=1e-3, weight_decay=1e-4, schedule="cosine")
"""How a head is trained on photographs, over a frozen ImageNet backbone."""
FINE_TUNED = TrainConfig(
    epochs=2, batch_size=16, optimiser="adamw", lr=1e-4, head_lr=10, weight_decay=1e-2, schedule="cosine"
)
"""How a whole network is trained on photographs, batch norm frozen: small steps for the backbone, long ones for what is
new."""
PAPER = TrainConfig(epochs=5, batch_size=16, lr=0.1, head_lr=10, momentum=0.0, weight_decay=1e-4, schedule="poly")
"""IRN's recipe for VOC (Ahn et al. 2019, released code): momentum-free SGD, see the notes of ``TrainConfig``."""

COUNTS = {"smoke": (160, 60), "book": (2000, 400), "colab": (2000, 400), "paper": (2000, 400)}
"""Critters to train on, and to choose and report on, by profile."""
PHOTO_CLASSES = ("cat", "cow", "dog", "horse", "sheep", "person")
"""Classes that are kept of tables that know them all: VOC's animals and people. Of other tables every class is."""


class Lab:
    """Data, backbone and budgets of one run of a chapter.

    Args:
        profile: ``"smoke"`` (a few steps, to see that every path runs), ``"book"``, ``"colab"`` or ``"paper"``.
        data: ``"critters"``, a known data set such as ``"voc2012"``, or a folder of Parquet files.
        backbone: A name, or a safetensors file whose name is one (``folder/mobilenet_v2.safetensors``). A tiny name has
            the shipped weights, any other name its published ones.
        seed: Decides the world, fresh weights, the order of images and their flips.
        device: As :func:`wsss_lib.notebook.pick_device` takes it.
        out_dir: Where checkpoints go, for the profiles that keep them (``colab``, ``paper``).
        world: Dials of the drawn world.
        fine_tune: Whether the backbone learns on photographs too, at an output stride of 16; if not, only what is new
            on top of it does. (On critters, and in profile ``paper``, it always learns.)
        side: Photographs are squeezed to squares of so many pixels for training, and for figures.

    Attributes:
        drawn: Whether the data are critters, of which masks, parts and dials are known.
        train_on, choose_on, report_on: The records.

    Raises:
        ValueError: An unknown profile or backbone, or data without the splits that are needed.
    """

    def __init__(
        self,
        profile: str = "book",
        data: str = "critters",
        backbone: str = "tiny_cnn",
        seed: int = 0,
        device: str = "auto",
        out_dir: str | Path = "out",
        world: World | None = None,
        fine_tune: bool = False,
        side: int = 224,
    ) -> None:
        if profile not in COUNTS:
            raise ValueError(f"profile is {profile!r}, expected one of {', '.join(COUNTS)}: choose one of them")
        self.profile, self.data, self.seed = profile, data, int(seed)
        self.device, self.out_dir = pick_device(device), Path(out_dir)
        self.backbone_name, self.weights = _backbone(backbone)
        self.drawn = data == "critters"
        self.fine_tune, self.side = fine_tune, side
        self._runs = 0
        if self.drawn:
            self.world = replace(world or World(), seed=self.seed)
            named: list[Records] = [self.split(name) for name in ("train", "val", "test")]
            self.train_on, self.choose_on, self.report_on = named
        else:
            self.train_on, self.choose_on, self.report_on = self._photographs()
        self.classes = self.report_on.classes

    def split(self, name: str, **dials: Any) -> Critters:
        """A split of the drawn world, with some dials turned."""
        train, rest = COUNTS[self.profile]
        return Critters(replace(self.world, **dials), name, train if name == "train" else rest, cache_folder())

    def _photographs(self) -> tuple[Records, Records, Records]:
        held = splits(self.data)
        known = load(self.data, split="train").classes
        # VOC's own six, where they are; a table of other classes keeps them all.
        kept = PHOTO_CLASSES if set(PHOTO_CLASSES) <= set(known) else known

        def read(split: str) -> Records:
            records = load(self.data, split=split, classes=kept)
            return records.subset(range(min(len(records), 12))) if self.profile == "smoke" else records

        reported = "test" if "test" in held and not {"val", "validation"} & set(held) else "val"
        return read("aug" if "aug" in held else "train"), read("train"), read(reported)

    def backbone(self, **options: Any) -> Backbone:
        """A backbone with its weights; a pretrained one of ImageNet has its batch norm frozen (trap S4)."""
        if self.backbone_name in IMAGENET_NAMES:
            options = {"frozen_bn": True} | options
        if self.fine_tune and not self.drawn and self.backbone_name in CAM_NAMES:
            options = {"output_stride": 16} | options
        return backbone(self.backbone_name, weights=self.weights, **options)

    def build(self, kind: Callable[..., M], *settings: Any, **options: Any) -> M:
        """A method of any kind, fresh weights drawn from the run's seed.

        Args:
            kind: Called as ``kind(backbone, number of classes, *settings)``; what it returns calls the backbone
                ``.backbone``.
            settings: What the method takes besides, such as its configuration.
            options: Of the backbone, such as ``output_stride``.

        Returns:
            The method on the run's device. On photographs its backbone is frozen, unless the lab fine-tunes.
        """
        torch.manual_seed(self.seed)
        method = kind(self.backbone(**options), len(self.classes), *settings)
        if not (self.drawn or self.fine_tune or self.profile == "paper"):
            method.get_submodule("backbone").requires_grad_(False)
        return method.to(self.device)

    def classifier(self, config: CAMConfig | None = None, **options: Any) -> CAM:
        """Chapter 1's classifier: :meth:`build` for a CAM."""
        return self.build(CAM, config, **options)

    def recipe(self, **changes: Any) -> TrainConfig:
        """The training settings of this run, the same for every method."""
        tuned = FINE_TUNED if self.fine_tune else PHOTOS
        config = DRAWN if self.drawn else PAPER if self.profile == "paper" else tuned
        if self.profile == "smoke":
            config = replace(config, epochs=1)
        return replace(config, seed=self.seed, device=str(self.device), **changes)

    def fit(self, method: nn.Module, records: Records | None = None, **changes: Any) -> History:
        """Train a method from image labels by the run's recipe; ``changes`` are settings of :class:`TrainConfig`."""
        # One folder a run, in the order in which the chapter trains: a chapter that is run again finds its own.
        self._runs += 1
        folder = self.out_dir / f"{self._runs:02d}-{type(method).__name__.lower()}"
        keeps = folder if self.profile in ("colab", "paper") else None
        transform = RandomFlip() if self.drawn else Compose([Resize((self.side, self.side)), RandomFlip()])
        config = self.recipe(**changes)
        return fit(method, records or self.train_on, config, out_dir=keeps, transform=transform, progress="lines")

    def measure(self, method: nn.Module, which: Literal["choose", "report"] = "report", **options: Any) -> Measured:
        """One pass over the split that chooses, or the one that is reported."""
        records = self.choose_on if which == "choose" else self.report_on
        return measure(method, records, device=self.device, **options)

    def scores(self, method: nn.Module, **options: Any) -> dict[str, Any]:
        """The honest row of a method: see :func:`wsss_lib.evaluate.maps.scores`."""
        return scores(self.measure(method, "choose", **options), self.measure(method, "report", **options))

    def examples(self, count: int, start: int = 0) -> Batch:
        """Some images of the reported split for figures; photographs are squeezed to squares."""
        at = range(start, min(start + count, len(self.report_on)))
        shape = Resize((self.side, self.side))
        batch = collate([self.report_on[i] if self.drawn else shape(self.report_on[i]) for i in at])
        return batch


def _backbone(text: str) -> tuple[str, str | Path]:
    """Name and weights that the parameter ``backbone`` means."""
    path = Path(os.path.expanduser(text))
    name = path.stem if path.suffix == ".safetensors" else text
    if name not in NAMES:
        raise ValueError(
            f"backbone is {text!r}, expected one of {', '.join(NAMES)}, or a .safetensors file named after one: "
            "correct the parameter"
        )
    if path.suffix == ".safetensors":
        return name, path
    return name, "shipped" if name.startswith("tiny") else "published"
