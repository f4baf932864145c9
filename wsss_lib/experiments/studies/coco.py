"""COCO: is what works on VOC's photographs tuned to them? CAM over a nearly frozen network, several classes an image.

    WSSS_DATA=FOLDER python -m wsss_lib.experiments.studies coco coco_taught

FOLDER holds ``voc_animals`` (VOC's animals and people: ``train``, ``val``, ``aug``) and ``coco_small`` (100 + 100
images of COCO, panoptic), both in Parquet. No setting is chosen on COCO's reported images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from wsss_lib.data import load
from wsss_lib.data.photos.folders import home
from wsss_lib.data.records import Records
from wsss_lib.evaluate import measure, scores
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, say
from wsss_lib.experiments.workbench import PHOTO_CLASSES, Workbench
from wsss_lib.methods.cam import CAM

BACKBONE, TRUNK, STRIDE, SIDE = "tf_efficientnet_lite0", "stage5", 16, 256
LONGER = 320
"""Pixels of the longer side of every image that is measured: VOC's are stored so."""
EVERY = 2
"""Of VOC's training images each second one is trained on."""
MEASURED = 100
"""Of VOC's ``train`` so many images choose the threshold, of its ``val`` as many are reported."""
IN_TRAIN, IN_VAL = 7, 5
"""Images of a class, in COCO's two splits, from which it is learnt there."""
RECIPE = {"batch_size": 16, "lr": 5e-4, "head_lr": 5, "epochs": None}
STEPS, STEPS_ON_COCO = 200, 80
"""Updates, from VOC's 1,347 images and from COCO's hundred: with fewer the classifier learns too little to be read."""
HOW = "EfficientNet-Lite0 frozen but for its last convolution, stride 16, one scale, image labels given"


def transfer(profile: str) -> dict[str, Any]:
    """Rows of the same classifiers on VOC and on COCO: learnt, and their threshold chosen, on VOC alone.

    Also says how far COCO's own best threshold would have led: an oracle, reported beside the honest number.
    """
    parts = [home() / "coco_small" / f"{split}.parquet" for split in ("train", "val")]
    both = load(parts, "train and val", size=LONGER, classes=PHOTO_CLASSES)
    rows: dict[str, list[Row]] = {"learnt on VOC, VOC": [], "learnt on VOC, COCO": []}
    prints = {"coco": both.fingerprint}
    for seed in SEEDS:
        lab = bench(profile, seed)
        lab.limit("train", every=EVERY)
        lab.limit("choose", most=MEASURED)
        lab.limit("report", most=MEASURED)
        prints["voc-val"] = lab.report_on.fingerprint
        cam = lab.classifier(output_stride=STRIDE)
        lab.fit(cam, **recipe(lab, STEPS))
        choosing = lab.measure(cam, "choose", score_boxes=False)
        rows["learnt on VOC, VOC"].append(scores(choosing, lab.measure(cam, score_boxes=False)))
        reported = measure(cam, within(lab, both), score_boxes=False)
        best = float(reported.miou().values.nan_to_num().max())
        rows["learnt on VOC, COCO"].append(scores(choosing, reported) | {"best_miou": best})
        say("coco", seed, rows)
    counts = dict(zip(PHOTO_CLASSES, both.labels.sum(0).int().tolist(), strict=True))
    return {
        "data": {"cam": rows, "images": counts, "together": len(both), "measured": len(lab.report_on)},
        "fingerprint": prints,
        "note": f"trained on each second image of VOC's aug, threshold chosen on VOC's train; {HOW}; best_miou: oracle",
    }


def taught(profile: str) -> dict[str, Any]:
    """Rows of classifiers that COCO's hundred training images taught, several classes an image; of its other hundred.

    The threshold is chosen on the masks of the training images, which train nothing.
    """
    folder = home() / "coco_small"
    kept = learnable(folder)
    train, val = (load(folder, split=split, size=LONGER, classes=kept, keep_empty=True) for split in ("train", "val"))
    rows: dict[str, list[Row]] = {"learnt on COCO, COCO": []}
    for seed in SEEDS:
        lab = bench(profile, seed)
        torch.manual_seed(seed)
        cam = CAM(lab.backbone(output_stride=STRIDE), len(kept)).to(lab.device)
        cam.backbone.freeze(TRUNK)  # type: ignore[operator]
        lab.fit(cam, within(lab, train), **recipe(lab, STEPS_ON_COCO))
        row = scores(*(measure(cam, within(lab, records), score_boxes=False) for records in (train, val)))
        rows["learnt on COCO, COCO"].append(row)
        say("coco", seed, rows)
    counts = {name: [int(s.labels[:, k].sum()) for s in (train, val)] for k, name in enumerate(kept)}
    several = int((val.labels.sum(1) > 1).sum())
    return {
        "data": {"cam": rows, "images": counts, "of several classes": several},
        "fingerprint": {"train": train.fingerprint, "val": val.fingerprint},
        "note": f"trained on COCO's 100 training images, threshold chosen on their masks, reported on 100; {HOW}",
    }


def bench(profile: str, seed: int) -> Workbench:
    """The workbench on VOC's photographs, nearly all of the network frozen."""
    return Workbench(profile, str(home() / "voc_animals"), BACKBONE, seed, fine_tune=True, side=SIDE, trunk=TRUNK)


def recipe(lab: Workbench, steps: int) -> dict[str, Any]:
    """Settings of the training: those of :mod:`wsss_lib.pipeline`, which was made for few photographs."""
    return {**RECIPE, "steps": steps if lab.size.photographs is None else 2}


def within(lab: Workbench, records: Records) -> Records:
    """As many of the records as the run's profile allows."""
    return records.subset(range(len(records))[: lab.size.photographs])


def learnable(folder: Path) -> tuple[str, ...]:
    """COCO's classes with images enough in both splits."""
    train, val = (load(folder, split=split) for split in ("train", "val"))
    enough = (train.labels.sum(0) >= IN_TRAIN) & (val.labels.sum(0) >= IN_VAL)
    return tuple(name for name, kept in zip(train.classes, enough.tolist(), strict=True) if kept)


STUDIES: dict[str, Study] = {"coco": transfer, "coco_taught": taught}
