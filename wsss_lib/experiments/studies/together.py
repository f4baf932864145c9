"""Chapter 12's pictures: every method's maps of the same eight images, trained as in its own chapter, seed 0.

The numbers of the comparison are those of the chapters' own studies (three seeds each); this one adds what a table
cannot show.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from wsss_lib import maps, metrics
from wsss_lib.experiments.packing import packed
from wsss_lib.experiments.studies import ladder, ladder_mars, seam, ssc, supervision
from wsss_lib.experiments.studies.common import Study, explaining, fitted, fresh, titles, trained
from wsss_lib.experiments.studies.cost import step_costs
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.contract import Method
from wsss_lib.methods.esol import ESOL

METHODS = titles("cam", "gradcam++", "eigencam", "bas", "seam", "ts-cam", "sat")
"""The rows: title to name."""
EXPANDING = titles("ssc", "esol")
"""Those of the second record."""
CHANNELS_LAST = ("bas", "seam", "ssc", "esol")
"""Trained with channels last, as in their chapters."""
COSTED = {"tiny_cnn": titles("cam", "bas", "seam", "ssc", "esol"), "tiny_vit": titles("ts-cam", "sat")}
"""By backbone, whose updates are compared; the first is the classifier of its group."""
MENDED = "seam"
"""Whose masks MARS mends in the pictures: on the ladder it raises their network by a settled amount."""
MASK_SIDE = 48
"""Side at which a network's masks are kept."""
UPDATE = 32
"""Images of an update."""
SHOWN = 8
"""Images of ``test``, the first ones: nobody picked them."""
SIDE = 24
"""Side at which maps are kept: that of the small CNN's features."""


def together(profile: str) -> dict[str, Any]:
    """Maps of the first eight test images, and the thresholds that val chooses for them."""
    labs = {name: Workbench(profile, backbone=name) for name in ("tiny_cnn", "tiny_vit")}

    def methods() -> Iterator[tuple[str, Workbench, Method]]:
        cam = trained(labs["tiny_cnn"])
        for title, name in METHODS.items():
            lab = labs[registry.entry(name).backbone]
            yield title, lab, cam if name == "cam" else as_in_its_chapter(name, lab, cam)

    return {"data": drawn(methods()), "fingerprint": labs["tiny_cnn"].report_on.fingerprint}


def expanding(profile: str) -> dict[str, Any]:
    """The same of the methods that expand a map. SSC has the fewer images of its chapter, and the same first eight."""
    lab = Workbench(profile)

    def methods() -> Iterator[tuple[str, Workbench, Method]]:
        for title, name in EXPANDING.items():
            limited = ssc.limited(Workbench(profile)) if name == "ssc" else lab
            yield title, limited, by_its_recipe(name, limited)

    return {"data": drawn(methods()), "fingerprint": lab.report_on.fingerprint}


def drawn(methods: Iterable[tuple[str, Workbench, Method]]) -> dict[str, Any]:
    """What is recorded of trained methods, each with its title and the lab that measures it."""
    kept: dict[str, Any] = {}
    for title, lab, method in methods:
        batch = lab.examples(SHOWN)
        with torch.no_grad():
            heat = method.localize(batch["images"], batch["labels"]).amax(dim=1)
        chosen = metrics.choose_threshold(lab.measure(method, "choose").iou())
        kept[title] = {"threshold": chosen.value, "maps": packed(maps.resize(heat, (SIDE, SIDE)))}
        print(f"together, {title}: threshold {chosen.value:.2f}", flush=True)
    return {"images": SHOWN, "side": SIDE, "methods": kept}


def debiased(profile: str) -> dict[str, Any]:
    """Masks of the same eight images by two networks of the ladder: on a method's masks, and on the same after MARS."""
    lab = ladder.limited(Workbench(profile))
    start, method = ladder.trained(lab, "cam").backbone, ladder.trained(lab, MENDED)
    lab.limit("train", most=ladder.LABELLED)
    labels, _ = ladder.labelled(lab, MENDED, method)
    cleaned, _ = ladder_mars.debiased(lab, method, labels)
    networks = {
        "network": ladder.taught(lab, labels, start),
        "network + MARS": ladder.taught(lab, cleaned, start, ladder_mars.fresh(lab)),
    }
    masks = {name: supervision.outlined(lab, network, SHOWN, MASK_SIDE) for name, network in networks.items()}
    data = {"images": SHOWN, "side": MASK_SIDE, "masks_of": registry.entry(MENDED).title, "masks": masks}
    note = "the ladder's networks of seed 0, which learnt from the masks of one method; nobody gives them labels"
    return {"data": data, "fingerprint": lab.report_on.fingerprint, "note": note}


def costs(profile: str, rounds: int = 9) -> dict[str, Any]:
    """An update of each method over one of the classifier of its group: time, kept for the backward pass, operations.

    Those of ESOL are the mean over its phases, by their shares of the updates.
    """
    kept: dict[str, dict[str, float]] = {}
    for backbone, methods in COSTED.items():
        lab = Workbench(profile, backbone=backbone)
        images = lab.with_fields(lab.report_on.subset(range(UPDATE)), ("superpixels",))
        modules: dict[str, Method] = {}
        shares: dict[str, dict[str, float]] = {}
        for title, name in methods.items():
            method = fresh(lab, name).train()
            phases = method.phases() if isinstance(method, ESOL) else ()
            shares[title] = {f"{title}, {phase.name}": phase.share for phase in phases} or {title: 1.0}
            for key in shares[title]:
                modules[key] = copy.deepcopy(method)
                if phases:
                    modules[key].phase = key.removeprefix(f"{title}, ")  # type: ignore[assignment]
        numbers = step_costs(modules, images.batch(range(len(images))), rounds, flops=True)
        base = numbers[next(iter(numbers))]
        for title, parts in shares.items():
            kept[title] = {
                key: sum(numbers[part][key] * share for part, share in parts.items()) / base[key] for key in base
            }
        fingerprint = images.fingerprint
    note = f"updates of {UPDATE} images in turns on one thread, median of {rounds}, processor time, on a busy machine"
    return {
        "data": {"cost": kept, "classifiers": [next(iter(m)) for m in COSTED.values()]},
        "fingerprint": fingerprint,
        "note": note,
    }


def as_in_its_chapter(name: str, lab: Workbench, classifier: Method) -> Method:
    """A registered method: trained by its chapter's recipe, or, if it learns nothing, on the classifier."""
    return by_its_recipe(name, lab) if registry.entry(name).trained else explaining(name, classifier)


def by_its_recipe(name: str, lab: Workbench) -> Method:
    """A registered method that learns, trained by its chapter's recipe."""
    method = fresh(lab, name)
    changes = {"epochs": seam.passes(lab)} if name == "seam" else {}
    return fitted(lab, channels_last(method) if name in CHANNELS_LAST else method, **changes)


STUDIES: dict[str, Study] = {
    "together": together,
    "together_expanding": expanding,
    "together_mars": debiased,
    "together_cost": costs,
}
