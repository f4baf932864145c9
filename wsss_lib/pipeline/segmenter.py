"""Stage *network*: a segmentation network learns from the masks as if they were true, and makes its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from wsss_lib import maps
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.devices import pick_device
from wsss_lib.localize.photos import seen_size, to_tensor
from wsss_lib.modes import evaluating
from wsss_lib.pipeline.classifier import RECIPE, SIDE, freeze, network, steps_for
from wsss_lib.pipeline.labels import listed
from wsss_lib.pipeline.maps import MapFile
from wsss_lib.pipeline.masks import in_words, write_masks
from wsss_lib.pipeline.stages import Stage, Work
from wsss_lib.segment import Segmenter
from wsss_lib.train import fit


def learn(work: Work) -> dict[str, Any]:
    """Train the network on the masks, and write those that it makes of the same photographs; where it is wanted.

    A photograph whose mask is empty against its label has no part in the training.
    """
    settings = work.settings
    if not settings.network:
        return {"steps": 0}
    classes = list(work.results["labels"]["counts"])
    records = listed(work, "masks", size=(SIDE, SIDE), drawn_on="upright")
    torch.manual_seed(settings.seed)
    net = network(settings.method, settings.backbone, settings.weights)
    segmenter = Segmenter(net, len(classes)).to(pick_device(settings.device or "auto"))
    freeze(net)
    device = next(segmenter.parameters()).device
    config = replace(RECIPE, seed=settings.seed, device=str(device), steps=settings.steps or steps_for(len(records)))
    history = fit(segmenter, records, config, out_dir=work.folder("network"), transform=RandomFlip())

    def says(written: MapFile, photo: Image.Image) -> Tensor:
        """The likeliest of the background and the photograph's own classes, (H, W)."""
        images = to_tensor(photo, seen_size(photo.height, photo.width, SIDE)).to(device)
        with torch.no_grad(), evaluating(segmenter):
            scores = segmenter(images)[:, [0, *(classes.index(name) + 1 for name in written.classes)]]
        return maps.resize(scores, (photo.height, photo.width)).argmax(dim=1)[0].cpu()  # (1, M + 1, H, W) before

    return {"steps": len(history), **write_masks(work, "network", says)}


def _summary(result: dict[str, Any]) -> str:
    if not result["steps"]:
        return "not asked for"
    return f"{result['steps']} steps on these masks, and {result['masks']} of its own{in_words(result)}"


NETWORK = Stage("network", learn, _summary, ("network", "steps"))
