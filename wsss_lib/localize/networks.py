"""Which network and which method answer: an ImageNet classifier and a method without training, or a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from wsss_lib.backbones import CAM_NAMES, IMAGENET_NAMES, ImageNetClassifier, imagenet_classifier, no_cam
from wsss_lib.files import named_path, sha256_of
from wsss_lib.localize.localizer import SHORT_SIDE, ClassifierLocalizer, PhotoLocalizer
from wsss_lib.localize.trained import TrainedLocalizer, load_trained, side_of

BACKBONE = "tf_efficientnet_lite0"
"""The ImageNet network that answers if no other is asked for."""


def from_classifier(
    classifier: ImageNetClassifier | None,
    backbone: str | None,
    weights: str | Path | None,
    device: torch.device | None,
    method: str,
    short_side: int | None,
    **options: Any,
) -> tuple[PhotoLocalizer, dict[str, Any]]:
    """An ImageNet classifier with a method without training, and what a report says of them."""
    if classifier is None:
        name = backbone or BACKBONE
        if method == "cam" and name in IMAGENET_NAMES and name not in CAM_NAMES:
            raise no_cam(name)  # before 500 MB are fetched in vain
        classifier = imagenet_classifier(name, "published" if weights is None else weights)
        provenance: dict[str, Any] = {"backbone": name, **_named(name, weights)}
        device = device or default_device()
    else:
        provenance = {"backbone": classifier.backbone.name, "weights": "given"}
    if device is not None:
        classifier.to(device)
    localizer = ClassifierLocalizer(classifier, method, short_side=short_side or SHORT_SIDE, **options)
    return localizer, {"method": method, **provenance}


def from_checkpoint(
    folder: str | Path,
    device: torch.device | None,
    method: str | None,
    short_side: int | None,
    **options: Any,
) -> tuple[PhotoLocalizer, dict[str, Any]]:
    """A method that was trained here, and what a report says of it.

    Raises:
        ValueError: The checkpoint is one of another method, or cannot be used.
    """
    trained, described = load_trained(folder)
    if method not in (None, described["name"]):
        raise ValueError(
            f"the checkpoint in {folder} is one of {described['name']}, not of {method}: leave the method out, or "
            "name the folder of another run"
        )
    trained.to(device or default_device())
    localizer = TrainedLocalizer(trained, described["classes"], short_side=short_side or side_of(described), **options)
    weights = {"weights": "checkpoint", "weights_sha256": described["weights_sha256"], "step": described["step"]}
    return localizer, {"method": described["name"], "backbone": described["backbone"]["name"], **weights}


def default_device() -> torch.device:
    """A CUDA GPU where there is one. Apple's lacks some operations of the methods, so that it must be asked for."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _named(backbone: str, weights: str | Path | None) -> dict[str, str]:
    """Name and fingerprint of the weights: a file's name, never where it lies on this machine."""
    if weights is None or weights in ("published", "shipped"):
        return {"weights": str(weights or "published")}
    path = named_path(weights, "weights")
    path = path / f"{backbone}.safetensors" if path.is_dir() else path
    return {"weights": path.name, "weights_sha256": sha256_of(path)}
