"""A chapter's workbench: the same notebook on the drawn world and on photographs, by its parameters alone.

    lab = Workbench(profile="book", data="critters", backbone="tiny_cnn", seed=0)
    cam = lab.classifier()
    lab.fit(cam)
    row = lab.scores(cam)
    other = lab.build(Method, settings)  # any other kind: the same backbone, seed, recipe and protocol

On critters a method is trained on ``train``, thresholds are chosen on ``val`` and ``test`` is reported. On photographs
in VOC's form it is trained on ``aug`` where there is one (else ``train``), from image labels; thresholds are chosen on
``train`` and ``val`` is reported. Training and measuring are the same for every method that a chapter compares.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, overload
from weakref import WeakKeyDictionary

import torch
from torch import nn

from wsss_lib.backbones import CAM_NAMES, NAMES, Backbone, backbone
from wsss_lib.data import load, splits
from wsss_lib.data.records import Batch, Records, collate
from wsss_lib.data.transforms import Compose, RandomFlip, Resize
from wsss_lib.data.worlds.drawn import WORLDS, drawn_world
from wsss_lib.devices import pick_device
from wsss_lib.evaluate import measure, measure_boxes3d, measure_grounding, measure_masks, scores
from wsss_lib.experiments import profiles, recipes
from wsss_lib.experiments.networks import behind_trunk, freeze_trunks, named_backbone, trunk_kept
from wsss_lib.files import named_path, sha256_of_text
from wsss_lib.methods import registry
from wsss_lib.methods.cam import CAM, CAMConfig
from wsss_lib.refine import WithSuperpixels
from wsss_lib.train import History, TrainConfig, fit
from wsss_lib.train.features import draw_view
from wsss_lib.train.order import Transform
from wsss_lib.train.resume import digest, identify
from wsss_lib.train.state import tensors_of

M = TypeVar("M", bound=nn.Module)

COMPUTED: dict[str, Callable[[Records], Records]] = {"superpixels": WithSuperpixels}
"""Fields that no data set has and some losses need: what adds them to records."""

_Measure = Callable[..., Any]
MEASURES: dict[str, _Measure] = {"masks": measure_masks, "grounding": measure_grounding, "boxes3d": measure_boxes3d}
"""What counts the answers of a method, by its task; maps have :func:`wsss_lib.evaluate.measure`."""

MASK_STRIDE = 4
"""Pixels of a photograph, squeezed to a square, for one cell of the masks that are learnt behind a trunk."""

PHOTO_CLASSES = ("cat", "cow", "dog", "horse", "sheep", "person")
"""Classes that are kept of tables that know them all: VOC's animals and people. Of other tables every class is."""


class Workbench:
    """Data, backbone and budgets of one run of a chapter.

    Args:
        profile: One of :data:`wsss_lib.experiments.profiles.PROFILES`.
        data: A drawn world such as ``"critters"``, a known data set such as ``"voc2012"``, or a folder of Parquet
            files.
        backbone: A name, or a safetensors file whose name is one (``folder/mobilenet_v2.safetensors``). A tiny name has
            the shipped weights, any other name its published ones.
        seed: Decides the world, fresh weights, the order of images and their flips; from 0 to 2⁶³ - 1.
        device: As :func:`wsss_lib.devices.pick_device` takes it.
        out_dir: Where checkpoints go, for the profiles that keep them.
        world: Dials of the drawn world, of its own class; None for the book's.
        fine_tune: Whether the backbone learns on photographs too, at an output stride of 16; if not, only what is new
            on top of it does. (On critters, and in profile ``paper``, it always learns.)
        side: Photographs are squeezed to squares of so many pixels for training, and for figures.
        trunk: On photographs, the stage up to which the backbone is frozen and computed once for each image; True: of
            an ImageNet network the first on its deepest grid. Training and measuring start behind it, and every method
            and seed shares what it computed (:mod:`wsss_lib.train.features`, :mod:`wsss_lib.train.trunk_memory`). In
            the training of a method that looks at pixels too, the trunk is as frozen, and computed each time.

    Attributes:
        drawn: Whether the data are drawn, so that the whole truth and the dials are known.
        keeps: Whether training leaves checkpoints.
        train_on, choose_on, report_on: The records, as many as the profile allows; see :meth:`limit`.

    Raises:
        ValueError: An unknown profile or backbone, a seed out of range, or data without the splits that are needed.
    """

    def __init__(
        self,
        profile: str = "book",
        data: str = "critters",
        backbone: str = "tiny_cnn",
        seed: int = 0,
        device: str = "auto",
        out_dir: str | Path = "out",
        world: Any = None,
        fine_tune: bool = False,
        side: int = 224,
        trunk: str | bool | None = None,
    ) -> None:
        self.size = profiles.profile(profile)
        if not hasattr(seed, "__index__") or not 0 <= seed < 2**63:
            raise ValueError(f"seed is {seed!r}, expected a whole number from 0 to 2**63 - 1: correct the parameter")
        self.profile, self.data, self.seed = profile, data, int(seed)
        self.device, self.out_dir = pick_device(device), named_path(out_dir, "out_dir")
        self.backbone_name, self.weights = named_backbone(backbone)
        self.drawn = data in WORLDS
        self.fine_tune, self.side, self.trunk = fine_tune, side, None if self.drawn else trunk
        self._computed: dict[str, Records] = {}
        self.keeps = self.size.keeps or (not self.drawn and self.size.photographs is None)
        self._begun: WeakKeyDictionary[nn.Module, tuple[str, str]] = WeakKeyDictionary()
        if self.drawn:
            self.world = replace(world or drawn_world(data).dials(), seed=self.seed)
            named: list[Records] = [self.split(name) for name in ("train", "val", "test")]
            self.train_on, self.choose_on, self.report_on = named
        else:
            self.train_on, self.choose_on, self.report_on = self._photographs()
        self.classes = self.report_on.classes

    def split(self, name: str, **dials: Any) -> Any:
        """A split of the drawn world, with some dials turned: as large as the profile says, and at most the world's."""
        drawn = drawn_world(self.data)
        count = self.size.train if name == "train" else self.size.rest
        return drawn.load(name, count=min(count, drawn.counts.get(name, count)), world=self.world, **dials)

    def seeded(self, seed: int) -> Workbench:
        """The same bench, with the same photographs, for a run with another seed.

        Raises:
            ValueError: The data are drawn, and follow from the seed: make another bench.
        """
        if self.drawn:
            raise ValueError(f"{self.data} is drawn from the seed: make another Workbench with seed={seed}")
        lab = copy.copy(self)
        lab.seed, lab._begun = seed, WeakKeyDictionary()
        return lab

    def limit(self, split: Literal["train", "choose", "report"], *, every: int = 1, most: int | None = None) -> Records:
        """Go on with fewer records of a split: every ``every``-th, and of these the first ``most``.

        Returns:
            Those records, which are from now on trained, chosen or reported on.
        """
        name = {"train": "train_on", "choose": "choose_on", "report": "report_on"}[split]
        records: Records = getattr(self, name)
        kept = records.subset(range(0, len(records), every)[:most])
        setattr(self, name, kept)
        return kept

    def _photographs(self) -> tuple[Records, Records, Records]:
        held = splits(self.data)
        known = load(self.data, split="train").classes
        # VOC's own six, where they are; a table of other classes keeps them all.
        kept = PHOTO_CLASSES if set(PHOTO_CLASSES) <= set(known) else known

        def read(split: str) -> Records:
            records = load(self.data, split=split, classes=kept)
            return records.subset(range(len(records))[: self.size.photographs]) if self.size.photographs else records

        reported = "test" if "test" in held and not {"val", "validation"} & set(held) else "val"
        return read("aug" if "aug" in held else "train"), read("train"), read(reported)

    def backbone(self, **options: Any) -> Backbone:
        """A backbone with its weights; a pretrained one of ImageNet has its batch norm frozen (trap S4)."""
        if not self.backbone_name.startswith("tiny"):
            options = {"frozen_bn": True} | options
        if self.fine_tune and not self.drawn and (self.backbone_name in CAM_NAMES or self.backbone_name not in NAMES):
            options = {"output_stride": 16} | options
        return backbone(self.backbone_name, weights=self.weights, **options)

    @overload
    def build(self, kind: Callable[..., M], *settings: Any, **options: Any) -> M: ...
    @overload
    def build(self, kind: str, *settings: Any, **options: Any) -> Any: ...
    def build(self, kind: Callable[..., Any] | str, *settings: Any, **options: Any) -> Any:
        """A method of any kind, fresh weights drawn from the run's seed.

        Args:
            kind: The name of a registered method; or what is called as ``kind(backbone, number of classes, *settings)``
                and returns a module that calls the backbone ``.backbone``.
            settings: What the method takes besides, such as its configuration.
            options: Of the backbone, such as ``output_stride``.

        Returns:
            The method on the run's device. On photographs its backbone is frozen, unless the lab fine-tunes.
        """
        if isinstance(kind, str):
            kind = registry.entry(kind).method.build
        torch.manual_seed(self.seed)
        method = kind(self.backbone(**options), len(self.classes), *settings)
        if not (self.drawn or self.fine_tune or self.profile == "paper"):
            method.get_submodule("backbone").requires_grad_(False)
        if self.trunk:
            freeze_trunks(method, self.trunk)
        return method.to(self.device)

    def classifier(self, config: CAMConfig | None = None, **options: Any) -> CAM:
        """Chapter 1's classifier: :meth:`build` for a CAM."""
        return self.build(CAM, config, **options)

    def recipe(self, method: nn.Module | None = None, **changes: Any) -> TrainConfig:
        """The training settings of this run: those of its data, backbone and profile, then the method's own.

        Args:
            method: One that is registered, or derived from one that is; None for what all methods share.
            changes: Settings that are to be others all the same.
        """
        config = recipes.base(self.size, self.backbone_name, drawn=self.drawn, fine_tune=self.fine_tune)
        changed = {} if method is None else recipes.of_method(method)
        if self.size.epochs is not None:
            changed |= {"epochs": self.size.epochs, "steps": None}
        return replace(config, **changed | {"seed": self.seed, "device": str(self.device)} | changes)

    def fit(self, method: nn.Module, records: Records | None = None, **changes: Any) -> History:
        """Train a method from image labels by the run's recipe; ``changes`` are settings of :class:`TrainConfig`.

        Where checkpoints are kept, a run that was cut off is taken up, and one that is complete is not made again. Its
        folder is named by what it is: method, first weights, settings and data.
        """
        records = self.with_fields(records or self.train_on, getattr(method, "needs", ()))
        config, transform = self.recipe(method, **changes), self.transform()
        if self.trunk and (cached := behind_trunk(method, records, self.side, self.side // MASK_STRIDE)) is not None:
            records, transform = cached, draw_view
        folder = self._folder(method, identify(method, records, config, transform)) if self.keeps else None
        return fit(method, records, config, out_dir=folder, transform=transform, progress="lines")

    def with_fields(self, records: Records, needed: Sequence[str]) -> Records:
        """The records with those fields of :data:`COMPUTED` that are needed, computed once for all methods of the run.

        Records that have them already stay as they are.
        """
        lacking = [name for name in needed if name in COMPUTED]
        if not lacking or set(lacking) <= set(records[0]):
            return records
        for name in lacking:
            key = f"{name} {records.fingerprint}"
            records = self._computed.setdefault(key, COMPUTED[name](records))
        return records

    def transform(self) -> Transform | None:
        """What training does to a sample: photographs are squeezed to squares; a random mirror, where it may be."""
        if self.drawn:
            augment = drawn_world(self.data).augment
            return None if augment is None else augment()
        return Compose([Resize((self.side, self.side)), RandomFlip()])

    def _folder(self, method: nn.Module, identity: dict[str, Any]) -> Path:
        """Where the checkpoints of a run lie.

        A method that this very run has begun to train, in the same session, is not at its first weights any more: the
        run keeps its folder.
        """
        identity["method"]["frozen"] = sorted(identity["method"]["frozen"])  # the values are among the first weights
        run = sha256_of_text(json.dumps(identity, sort_keys=True))
        before, name = self._begun.get(method, ("", ""))
        if before != run:
            start = {key: digest(value) for key, value in tensors_of(method).items()}
            name = f"{type(method).__name__.lower()}-{sha256_of_text(run + json.dumps(start, sort_keys=True))[:12]}"
            self._begun[method] = run, name
        return self.out_dir / name

    def measure(
        self,
        method: Any,
        which: Literal["choose", "report"] = "report",
        *,
        by: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """One pass over the split that chooses, or the one that is reported.

        Args:
            method: A method; with ``by``, what that function takes.
            which: The split.
            by: A function of :mod:`wsss_lib.evaluate`, such as ``measure_masks``; by default that of the method's task.
            options: Of that function.

        Returns:
            The measurement, for example :class:`wsss_lib.evaluate.MapMeasurement`.
        """
        records = self.choose_on if which == "choose" else self.report_on
        task = getattr(method, "task", "maps")
        if by is None and task != "maps":
            by, method = MEASURES[task], method.answer
        with trunk_kept(method):
            return (by or measure)(method, records, device=self.device, **options)

    def scores(self, method: nn.Module, **options: Any) -> dict[str, Any]:
        """The honest row of a method: see :func:`wsss_lib.evaluate.scores`; ``options`` as for :meth:`measure`."""
        return scores(self.measure(method, "choose", **options), self.measure(method, "report", **options))

    def examples(self, count: int, start: int = 0) -> Batch:
        """Some images of the reported split for figures; photographs are squeezed to squares."""
        at = range(len(self.report_on))[start : start + count]
        shape = Resize((self.side, self.side))
        return collate([self.report_on[i] if self.drawn else shape(self.report_on[i]) for i in at])
