"""Chapter 12's pictures: every method's maps of the same eight images, trained as in its own chapter, seed 0.

The numbers of the comparison are those of the chapters' own studies (three seeds each); this one adds what a table
cannot show.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from wsss_lib import maps, metrics
from wsss_lib.experiments.packing import packed
from wsss_lib.experiments.studies import bas, seam
from wsss_lib.experiments.studies.common import Study, fitted, trained
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.eigen_cam import EigenCAM
from wsss_lib.methods.gradcam import GradCAMPlusPlus
from wsss_lib.methods.sat import SAT, SATConfig
from wsss_lib.methods.seam import SEAM, SEAMConfig
from wsss_lib.methods.ts_cam import TSCAM, TSCAMConfig

SHOWN = 8
"""Images of ``test``, the first ones: nobody picked them."""
SIDE = 24
"""Side at which maps are kept: that of the small CNN's features."""


def together(profile: str) -> dict[str, Any]:
    """Maps of the first eight test images, and the thresholds that val chooses for them."""
    lab, other = Workbench(profile), Workbench(profile, backbone="tiny_vit")
    cam = trained(lab)
    candidates: list[tuple[str, Workbench, nn.Module]] = [
        ("CAM", lab, cam),
        ("Grad-CAM++", lab, GradCAMPlusPlus(cam, cam.backbone)),
        ("Eigen-CAM", lab, EigenCAM(cam.backbone)),
        ("BAS", lab, bas.trained_bas(lab)),
        ("SEAM", lab, fitted(lab, channels_last(lab.build(SEAM, SEAMConfig())), epochs=seam.passes(lab))),
        ("TS-CAM", other, fitted(other, other.build(TSCAM, TSCAMConfig()))),
        ("SAT", other, fitted(other, other.build(SAT, SATConfig()))),
    ]
    kept: dict[str, Any] = {}
    for name, bench, method in candidates:
        batch = bench.examples(SHOWN)
        with torch.no_grad():
            heat = method.localize(batch["images"], batch["labels"]).amax(dim=1)  # type: ignore[operator]
        chosen = metrics.choose_threshold(bench.measure(method, "choose").iou())
        kept[name] = {"threshold": chosen.value, "maps": packed(maps.resize(heat, (SIDE, SIDE)))}
        print(f"together, {name}: threshold {chosen.value:.2f}", flush=True)
    return {"data": {"images": SHOWN, "side": SIDE, "methods": kept}, "fingerprint": lab.report_on.fingerprint}


STUDIES: dict[str, Study] = {"together": together}
