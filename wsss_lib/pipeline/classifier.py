"""Stage *classifier*: the method learns from the image labels, behind a trunk that is frozen and computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wsss_lib.backbones import Backbone, StagedBackbone, backbone, vit
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.devices import pick_device
from wsss_lib.experiments import recipes
from wsss_lib.experiments.networks import behind_trunk
from wsss_lib.experiments.workbench import COMPUTED
from wsss_lib.files import sha256_of
from wsss_lib.methods import Method, registry
from wsss_lib.pipeline.labels import listed
from wsss_lib.pipeline.stages import Stage, Work
from wsss_lib.train import TrainConfig, fit
from wsss_lib.train.features import draw_view

BACKBONE = "tf_efficientnet_lite0"
"""Of convolutional methods; its weights come with the extra ``photos``."""
SIDE = 256
"""Photographs are squeezed to squares of so many pixels for training."""
RECIPE = TrainConfig(
    steps=1, batch_size=16, optimiser="adamw", lr=5e-4, head_lr=5, weight_decay=1e-2, schedule="cosine"
)
"""How what lies behind the trunk is trained; the number of steps follows from that of the photographs."""
STEPS = (60, 600)
"""Fewest and most steps."""
PASSES = 16
"""How often each photograph is seen between these bounds."""


def train(work: Work) -> dict[str, Any]:
    """Train the method, or the classifier that it explains; a run that was cut off goes on."""
    settings = work.settings
    records = listed(work, columns={"mask": None}, size=(SIDE, SIDE))
    torch.manual_seed(settings.seed)
    net = network(settings.method, settings.backbone, settings.weights)
    entry = registry.entry(settings.method)
    name = settings.method if entry.trained else "cam"
    method: Method = registry.build(name, net, len(records.classes)).to(pick_device(settings.device or "auto"))
    trunk = freeze(net, method.stages)
    asked = {key: value for key, value in recipes.of_method(method).items() if key != "epochs"}
    device = str(next(method.parameters()).device)
    config = replace(RECIPE, **asked | {"seed": settings.seed, "device": device})
    config = replace(config, steps=settings.steps or steps_for(len(records)))
    for field in method.needs:
        records = COMPUTED[field](records) if field in COMPUTED else records
    cached = behind_trunk(method, records, SIDE)
    source, transform = (cached, draw_view) if cached is not None else (records, RandomFlip())
    history = fit(method, source, config, out_dir=work.folder("classifier"), transform=transform)
    last = history.loss[-steps_in_a_pass(len(records), config) :]
    return {
        "method": name,
        "backbone": net.name,
        "trunk": trunk,
        "steps": len(history),
        "loss": round(sum(last) / len(last), 4),
    }


def learnable() -> tuple[str, ...]:
    """The methods that need no more than images and their labels, or learn nothing."""
    enough = {"images", "labels", *COMPUTED}
    return tuple(name for name in registry.names("maps") if enough.issuperset(registry.entry(name).method.needs))


def network(method: str, name: str | None, weights: str | Path | None) -> Backbone:
    """The backbone of a method, batch norm frozen.

    Args:
        method: Its name; a transformer's has a transformer if no other backbone is named.
        name: Of a backbone.
        weights: A safetensors file or a folder of such; None for the shipped or published ones.
    """
    name = name or usual_backbone(method)
    if weights is None:
        weights = "shipped" if name.startswith("tiny") else "published"
    finer = None if name in vit.NAMES or name.startswith("tiny") else 16
    return backbone(name, weights=weights, frozen_bn=not name.startswith("tiny"), output_stride=finer)


def usual_backbone(method: str) -> str:
    """The name of the backbone that a method has where no other is named."""
    return vit.NAMES[0] if registry.entry(method).backbone == "tiny_vit" else BACKBONE


def freeze(net: nn.Module, read: Sequence[str] = ()) -> str | None:
    """Freeze all stages but the last of a pretrained convolutional backbone; the name of the deepest frozen one.

    What is left to learn is small: enough for dozens of photographs, and a step takes a fraction of a second.

    Args:
        net: The backbone.
        read: Stages that the method reads besides the last: no stage behind the first of them is frozen.
    """
    if not isinstance(net, StagedBackbone) or net.name.startswith("tiny"):
        return None
    deepest = min((net.stages[-2], *read), key=net.stages.index)
    net.freeze(deepest)
    return deepest


def steps_for(photos: int) -> int:
    """Updates of the weights for so many photographs."""
    fewest, most = STEPS
    return max(fewest, min(most, PASSES * photos // RECIPE.batch_size))


def steps_in_a_pass(photos: int, config: TrainConfig) -> int:
    """Updates in which each photograph is seen once, at least one."""
    return max(1, photos // config.batch_size)


def weights_file(work: Work) -> Any:
    """The SHA-256 of the weights, where the user names a file or a folder of such."""
    settings = work.settings
    if settings.weights is None:
        return None
    path = Path(settings.weights)
    if path.is_dir():
        path = path / f"{settings.backbone or usual_backbone(settings.method)}.safetensors"
    return sha256_of(path) if path.is_file() else None


def _summary(result: dict[str, Any]) -> str:
    title = registry.entry(result["method"]).title
    frozen = f", frozen up to {result['trunk']}" if result["trunk"] else ""
    steps = f"{result['steps']} step{'s' if result['steps'] > 1 else ''}"
    return f"{title} over {result['backbone']}{frozen}; {steps}, loss {result['loss']:.3f}"


CLASSIFIER = Stage("classifier", train, _summary, ("method", "backbone", "steps", "seed", "device"), weights_file)
