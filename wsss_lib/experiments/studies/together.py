"""Chapter 12's pictures: every method's maps of the same eight images, trained as in its own chapter, seed 0.

The numbers of the comparison are those of the chapters' own studies (three seeds each); this one adds what a table
cannot show.
"""

from __future__ import annotations

import base64
from typing import Any

import torch
from torch import Tensor, nn

from wsss_lib import maps, metrics
from wsss_lib.experiments.studies import bas, sat, seam
from wsss_lib.experiments.studies.common import Study, fitted, laid_out, trained
from wsss_lib.experiments.workbench import Lab
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
    lab, other = Lab(profile), Lab(profile, backbone="tiny_vit")
    cam, recipe = trained(lab), sat.recipe(other)
    candidates: list[tuple[str, Lab, nn.Module]] = [
        ("CAM", lab, cam),
        ("Grad-CAM++", lab, GradCAMPlusPlus(cam, cam.backbone)),
        ("Eigen-CAM", lab, EigenCAM(cam.backbone)),
        ("BAS", lab, bas.trained_bas(lab)),
        ("SEAM", lab, fitted(lab, laid_out(lab.build(SEAM, SEAMConfig())), epochs=seam.passes(lab))),
        ("TS-CAM", other, fitted(other, other.build(TSCAM, TSCAMConfig()), **recipe)),
        ("SAT", other, fitted(other, other.build(SAT, SATConfig()), **recipe)),
    ]
    found: dict[str, Any] = {}
    for name, bench, method in candidates:
        batch = bench.examples(SHOWN)
        with torch.no_grad():
            heat = method.localize(batch["images"], batch["labels"]).amax(dim=1)  # type: ignore[operator]
        chosen = metrics.choose_threshold(bench.measure(method, "choose").iou())
        found[name] = {"threshold": chosen.value, "maps": packed(maps.resize(heat, (SIDE, SIDE)))}
        print(f"together, {name}: threshold {chosen.value:.2f}", flush=True)
    return {"data": {"images": SHOWN, "side": SIDE, "methods": found}, "fingerprint": lab.report_on.fingerprint}


def packed(heat: Tensor) -> str:
    """Maps (N, s, s) in [0, 1] as base64 of their bytes, rounded to 1/255."""
    return base64.b64encode(bytes((heat * 255).round().clamp(0, 255).byte().flatten().tolist())).decode()


def unpacked(text: str, side: int) -> Tensor:
    """What :func:`packed` made: (N, s, s) in [0, 1]."""
    values = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return values.reshape(-1, side, side).float() / 255


STUDIES: dict[str, Study] = {"together": together}
