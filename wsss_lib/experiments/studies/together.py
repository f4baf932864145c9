"""Chapter 12's pictures: every method's maps of the same eight images, trained as in its own chapter, seed 0.

The numbers of the comparison are those of the chapters' own studies (three seeds each); this one adds what a table
cannot show.
"""

from __future__ import annotations

from typing import Any

import torch

from wsss_lib import maps, metrics
from wsss_lib.experiments.packing import packed
from wsss_lib.experiments.studies import seam
from wsss_lib.experiments.studies.common import Study, explaining, fitted, fresh, titles, trained
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.contract import Method

METHODS = titles("cam", "gradcam++", "eigencam", "bas", "seam", "ts-cam", "sat")
"""The rows: title to name."""
CHANNELS_LAST = ("bas", "seam")
"""Trained with channels last, as in their chapters."""
SHOWN = 8
"""Images of ``test``, the first ones: nobody picked them."""
SIDE = 24
"""Side at which maps are kept: that of the small CNN's features."""


def together(profile: str) -> dict[str, Any]:
    """Maps of the first eight test images, and the thresholds that val chooses for them."""
    labs = {name: Workbench(profile, backbone=name) for name in ("tiny_cnn", "tiny_vit")}
    cam = trained(labs["tiny_cnn"])
    kept: dict[str, Any] = {}
    for title, name in METHODS.items():
        lab = labs[registry.entry(name).backbone]
        method = cam if name == "cam" else as_in_its_chapter(name, lab, cam)
        batch = lab.examples(SHOWN)
        with torch.no_grad():
            heat = method.localize(batch["images"], batch["labels"]).amax(dim=1)
        chosen = metrics.choose_threshold(lab.measure(method, "choose").iou())
        kept[title] = {"threshold": chosen.value, "maps": packed(maps.resize(heat, (SIDE, SIDE)))}
        print(f"together, {title}: threshold {chosen.value:.2f}", flush=True)
    fingerprint = labs["tiny_cnn"].report_on.fingerprint
    return {"data": {"images": SHOWN, "side": SIDE, "methods": kept}, "fingerprint": fingerprint}


def as_in_its_chapter(name: str, lab: Workbench, classifier: Method) -> Method:
    """A registered method: trained by its chapter's recipe, or, if it learns nothing, on the classifier."""
    if not registry.entry(name).trained:
        return explaining(name, classifier)
    method = fresh(lab, name)
    changes = {"epochs": seam.passes(lab)} if name == "seam" else {}
    return fitted(lab, channels_last(method) if name in CHANNELS_LAST else method, **changes)


STUDIES: dict[str, Study] = {"together": together}
