"""Stage *network*: a segmentation network learns from the masks as if they were true, and makes its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from wsss_lib import maps
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.devices import pick_device
from wsss_lib.experiments.networks import behind_trunk
from wsss_lib.localize.photos import to_tensor
from wsss_lib.localize.trained import load_trained, side_of
from wsss_lib.modes import evaluating
from wsss_lib.pipeline.classifier import RECIPE, SIDE, freeze, network, steps_for
from wsss_lib.pipeline.labels import listed
from wsss_lib.pipeline.maps import MapFile
from wsss_lib.pipeline.masks import in_words, sharpened, write_masks
from wsss_lib.pipeline.stages import Stage, Work
from wsss_lib.segment import Segmenter, SegmenterConfig
from wsss_lib.train import fit
from wsss_lib.train.features import draw_view

NETWORK_SETTINGS = SegmenterConfig(width=32, dilations=(6,), scene=True, shallow="")
"""It reads nothing but the frozen trunk's features."""
BATCH, LONGER = 8, 4
"""Photographs of a step, and steps for one of the classifier's: behind a frozen trunk they are short."""


def learn(work: Work) -> dict[str, Any]:
    """Train the network on the masks, and write those that it makes of the same photographs; where it is wanted.

    Its backbone starts as the classifier's. A photograph whose mask is empty against its label has no part in the
    training; the network says all the same where its classes are.
    """
    settings = work.settings
    if not settings.network:
        return {"steps": 0}
    segmenter, side = begun(work)
    device = next(segmenter.parameters()).device
    records = listed(work, "masks", size=(SIDE, SIDE), drawn_on="upright")
    taught = records.subset([i for i in range(len(records)) if "mask" in records[i]])  # an empty mask is not listed
    if not len(taught):
        raise ValueError("every mask is empty, so that a network cannot learn from them: lower --threshold")
    cached = behind_trunk(segmenter, taught, SIDE)
    source, transform = (taught, RandomFlip()) if cached is None else (cached, draw_view)
    steps = settings.steps or LONGER * steps_for(len(taught))
    config = replace(RECIPE, seed=settings.seed, device=str(device), batch_size=BATCH, steps=steps)
    history = fit(segmenter, source, config, out_dir=work.folder("network"), transform=transform)
    return {
        "steps": len(history),
        "taught": len(taught),
        "refine": settings.refine,
        **write_masks(work, "network", answers(work, segmenter, side)),
    }


def begun(work: Work) -> tuple[Segmenter, int]:
    """The network before its training, with the backbone of the trained classifier; and the side of its photographs."""
    settings, classes = work.settings, work.results["labels"]["counts"]
    trained, described = load_trained(work.folder("classifier"))
    torch.manual_seed(settings.seed)
    net = network(settings.method, settings.backbone, settings.weights)
    net.load_state_dict(trained.get_submodule("backbone").state_dict())
    segmenter = Segmenter(net, len(classes), NETWORK_SETTINGS)
    freeze(net)
    return segmenter.to(pick_device(settings.device or "auto")), side_of(described)


def answers(work: Work, segmenter: Segmenter, side: int) -> Callable[[MapFile, Image.Image], Tensor]:
    """What the network says of a photograph: the likeliest of the background and its own classes, (H, W)."""
    classes = list(work.results["labels"]["counts"])
    device = next(segmenter.parameters()).device

    def says(written: MapFile, photo: Image.Image) -> Tensor:
        images = to_tensor(photo, (side, side)).to(device)
        with torch.no_grad(), evaluating(segmenter):
            scores = segmenter(images)[:, [0, *(classes.index(name) + 1 for name in written.classes)]].cpu()
        probabilities = maps.resize(scores, (photo.height, photo.width)).softmax(dim=1)  # (1, M + 1, H, W)
        if work.settings.refine == "crf":
            probabilities = sharpened(probabilities, photo)
        return maps.likeliest(probabilities)[0]

    return says


def _summary(result: dict[str, Any]) -> str:
    if not result["steps"]:
        return "not asked for"
    sharp = ", sharpened by a dense CRF" if result["refine"] == "crf" else ""
    return f"{result['steps']} steps on {result['taught']} of them; {result['masks']} masks{sharp}{in_words(result)}"


NETWORK = Stage("network", learn, _summary, ("network", "steps", "seed", "device"))
