"""From one photo to its maps: which classes, which method, at which size."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from wsss_lib import maps
from wsss_lib.backbones import ImageNetClassifier, TransformerBackbone, no_cam
from wsss_lib.localize.photos import GRID, seen_size, to_tensor
from wsss_lib.methods import EigenCAM, EigenCAMConfig, GradCAM, GradCAMPlusPlus
from wsss_lib.methods.cam import class_activation_maps
from wsss_lib.methods.taps import evaluating

MethodName = Literal["cam", "gradcam", "gradcam++", "eigencam"]
METHODS: tuple[str, ...] = get_args(MethodName)
"""``eigencam`` knows no class: one map of what stands out. The others make one for each class asked about."""

SHORT_SIDE = 320
"""Pixels of the shorter side as the network sees it."""


@dataclass(frozen=True)
class PhotoMaps:
    """What :class:`PhotoLocalizer` says of one photo.

    Attributes:
        maps: (M, H, W) float32 in [0, 1] at the photo's size, each divided by its maximum; all zeros where nothing
            speaks for the class.
        classes: The M class indices; ``(None,)`` for Eigen-CAM.
        names: Their names; ``("salient",)`` for Eigen-CAM.
        scores: Probability of each class (softmax over all), (K,).
        seen_at: (height, width) in pixels at which the network saw the photo.
    """

    maps: Tensor
    classes: tuple[int | None, ...]
    names: tuple[str, ...]
    scores: Tensor
    seen_at: tuple[int, int]


class PhotoLocalizer:
    """A classifier and a method, ready for photos of any size.

    Args:
        classifier: From :func:`wsss_lib.backbones.imagenet_classifier`, or one built alike on other classes.
        method: One of :data:`METHODS`.
        top_k: How many of the likeliest classes get a map.
        classes: Names or indices of the classes to look for instead, however unlikely the classifier finds them.
        multi_scale: Sum maps at scales 1, 0.5, 1.5, 2 and their mirror images: smoother and more complete, about 15
            times the time; thresholds of 0.3 to 0.4 suit such maps.
        short_side: Pixels of the shorter side as the network sees it.

    Raises:
        ValueError: Unknown method, unknown class, or a method that this classifier does not allow.
    """

    def __init__(
        self,
        classifier: ImageNetClassifier,
        method: str = "cam",
        *,
        top_k: int = 1,
        classes: Sequence[str | int] | None = None,
        multi_scale: bool = False,
        short_side: int = SHORT_SIDE,
    ) -> None:
        check_method(method, classes)
        if method == "cam" and not classifier.has_cam:
            raise no_cam(classifier.backbone.name)
        if not 1 <= top_k <= len(classifier.categories):
            raise ValueError(f"top_k is {top_k}; expected a number of classes from 1 to {len(classifier.categories)}.")
        if short_side < 3 * GRID:
            raise ValueError(
                f"The shorter side is {short_side} px; expected at least {3 * GRID}; {SHORT_SIDE} is usual."
            )
        self.classifier, self.method, self.top_k, self.short_side = classifier, method, top_k, short_side
        self.classes = None if classes is None else _resolve(classes, classifier.categories)
        self.scales: Sequence[float] = maps.SCALES if multi_scale else (1.0,)
        self.flip = multi_scale

    def __call__(self, photo: Image.Image) -> PhotoMaps:
        """Localise in an RGB photo of any size."""
        seen_at = seen_size(photo.height, photo.width, self.short_side)
        images = to_tensor(photo, seen_at).to(next(self.classifier.parameters()).device)  # (1, 3, h, w)
        with torch.no_grad(), evaluating(self.classifier):
            scores = self.classifier(images)[0].softmax(0).cpu()  # (K,)
            classes = scores.topk(self.top_k).indices.tolist() if self.classes is None else self.classes
            found = maps.multi_scale(
                self._maps_of(classes), images, self.scales, self.flip, size=(photo.height, photo.width)
            )  # (1, M, H, W)
            # Once more, without ε: the threshold is a share of the maximum, however small the raw map was.
            found = maps.normalise(found, how="max", eps=0.0)[0].cpu()  # (M, H, W)
        if self.method == "eigencam":
            return PhotoMaps(found, (None,), ("salient",), scores, seen_at)
        names = tuple(self.classifier.categories[k] for k in classes)
        return PhotoMaps(found, tuple(classes), names, scores, seen_at)

    def _maps_of(self, classes: list[int]) -> Callable[[Tensor], Tensor]:
        """Images (1, 3, h, w) → raw maps of these classes, (1, M, h', w')."""
        net = self.classifier.backbone
        if self.method == "cam":
            weight = self.classifier.weight[classes]  # (M, C)
            return lambda images: class_activation_maps(net(images)[net.stages[-1]], weight)
        if self.method == "eigencam":
            if isinstance(net, TransformerBackbone):  # tokens are signed, and the last norm evens them out
                transformer = EigenCAM(net, net.stages[-2], EigenCAMConfig(centre=True, sign="border"))
                return transformer.localize
            return EigenCAM(net, config=EigenCAMConfig.paper()).localize
        explain = (GradCAM if self.method == "gradcam" else GradCAMPlusPlus)(self.classifier, self.classifier.layer)
        labels = F.one_hot(torch.tensor(classes), len(self.classifier.categories)).sum(0, keepdim=True)  # (1, K)

        def gradients(images: Tensor) -> Tensor:
            raw = explain.raw_maps(images, labels.to(images.device))[:, classes]
            # Grad-CAM's mean over Z cells makes small scales loud; times Z, it is CAM wherever CAM exists.
            return raw * raw[0, 0].numel() if self.method == "gradcam" else raw

        return gradients


def check_method(method: str, classes: Sequence[str | int] | None) -> None:
    """Refuse a method that does not exist, and classes for one that knows none.

    Raises:
        ValueError: As said.
    """
    if method not in METHODS:
        close = difflib.get_close_matches(method.lower().replace("-", "").replace("_", ""), METHODS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}{hint}")
    if method == "eigencam" and classes is not None:
        raise ValueError("Eigen-CAM knows no classes, only what stands out: leave the classes out, or choose cam.")


def _resolve(classes: Sequence[str | int], categories: Sequence[str]) -> list[int]:
    """Class names (in any case) or indices as indices; a name that two classes share stands for both."""
    if not classes:
        raise ValueError("The list of classes is empty: name at least one, or leave it out for the likeliest.")
    lower = [name.lower() for name in categories]
    found: list[int] = []
    for wanted in classes:
        if isinstance(wanted, int) or wanted.isdigit():
            if not 0 <= int(wanted) < len(categories):
                raise ValueError(f"There is no class {wanted}; they are numbered from 0 to {len(categories) - 1}.")
            found.append(int(wanted))
            continue
        name = wanted.strip().lower()
        if name not in lower:
            close = [other for other in categories if name and name in other.lower().split()]
            close += difflib.get_close_matches(name, lower, n=3)
            hint = f"; close to it: {', '.join(dict.fromkeys(close[:8]))}." if close else "."
            raise ValueError(f"The classifier has no class {wanted!r}{hint}")
        found += [index for index, other in enumerate(lower) if other == name]
    return list(dict.fromkeys(found))
