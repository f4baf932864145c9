"""From one photo to its maps: which classes, which method, at which size."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib import maps
from wsss_lib.backbones import ImageNetClassifier, TransformerBackbone, no_cam
from wsss_lib.localize.photos import GRID, seen_size, to_tensor
from wsss_lib.methods import EigenCAM, EigenCAMConfig, GradCAM, GradCAMPlusPlus, registry
from wsss_lib.methods.cam import class_activation_maps
from wsss_lib.modes import evaluating

MethodName = Literal["cam", "gradcam", "gradcam++", "eigencam"]
MapsOf = Callable[[Tensor], Tensor]
"""Images (1, 3, h, w) → raw maps of some classes, (1, M, h', w')."""
METHODS: tuple[str, ...] = get_args(MethodName)
"""``eigencam`` knows no class: one map of what stands out. The others make one for each class asked about."""

SHORT_SIDE = 320
"""Pixels of the shorter side as the network sees it."""


@dataclass(frozen=True)
class PhotoMaps:
    """What a :class:`PhotoLocalizer` says of one photo.

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
    """A network that names classes and a method that says where, ready for photos of any size.

    A subclass answers :meth:`look`; :class:`ClassifierLocalizer` does for ImageNet classifiers, and
    :class:`~wsss_lib.localize.trained.TrainedLocalizer` for methods that were trained here.

    Args:
        network: What is put into evaluation mode for a photo, and back.
        categories: Names of the K classes.
        top_k: How many of the likeliest classes get a map.
        classes: Names or indices of the classes to look for instead, however unlikely the network finds them.
        multi_scale: Sum maps at scales 1, 0.5, 1.5, 2 and their mirror images: smoother and more complete, about 15
            times the time; thresholds of 0.3 to 0.4 suit such maps.
        short_side: Pixels of the shorter side as the network sees it.

    Raises:
        ValueError: An unknown class, or a number outside its range.
    """

    def __init__(
        self,
        network: nn.Module,
        categories: Sequence[str],
        *,
        top_k: int = 1,
        classes: Sequence[str | int] | None = None,
        multi_scale: bool = False,
        short_side: int = SHORT_SIDE,
    ) -> None:
        if not 1 <= top_k <= len(categories):
            raise ValueError(f"top_k is {top_k}; expected a number of classes from 1 to {len(categories)}.")
        if short_side < GRID:
            raise ValueError(f"The shorter side is {short_side} px; expected at least {GRID}; {SHORT_SIDE} is usual.")
        self.network, self.categories = network, tuple(categories)
        self.top_k, self.short_side = top_k, short_side
        self.classes = None if classes is None else _resolve(classes, self.categories)
        self.scales: Sequence[float] = maps.SCALES if multi_scale else (1.0,)
        self.flip = multi_scale

    def look(self, images: Tensor) -> tuple[Tensor, Callable[[list[int]], MapsOf]]:
        """Say what is in an image, and how to find out where.

        Args:
            images: (1, 3, h, w) in [0, 1].

        Returns:
            The probability of each class, (K,); a function from M class numbers to a function from images to their raw
            maps, (1, 3, h, w) → (1, M, h', w').
        """
        raise NotImplementedError

    def __call__(self, photo: Image.Image, classes: Sequence[int] | None = None) -> PhotoMaps:
        """Localise in an RGB photo of any size.

        Args:
            photo: The photo.
            classes: Numbers of the classes that are known to be in it; None for those that the localizer looks for.

        Raises:
            ValueError: The network answers with values that are not numbers.
        """
        seen_at = seen_size(photo.height, photo.width, self.short_side)
        images = to_tensor(photo, seen_at).to(next(self.network.parameters()).device)  # (1, 3, h, w)
        with torch.no_grad(), evaluating(self.network):
            scores, maps_of = self.look(images)
            if classes is None:
                classes = scores.topk(self.top_k).indices.tolist() if self.classes is None else self.classes
            at_photo_size = maps.multi_scale(
                maps_of(list(classes)), images, self.scales, self.flip, size=(photo.height, photo.width)
            )  # (1, M, H, W)
        if not (torch.isfinite(scores).all() and torch.isfinite(at_photo_size).all()):
            raise ValueError(
                "the network answers with values that are not numbers: its weights are damaged or not its own, give "
                "others"
            )
        # Once more, without ε: the threshold is a share of the maximum, however small the raw map was.
        heat = maps.normalise(at_photo_size, how="max", eps=0.0)[0].cpu()  # (M, H, W)
        return PhotoMaps(heat, *self.named(list(classes)), scores.cpu(), seen_at)

    def named(self, classes: list[int]) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
        """Numbers and names of the classes that the maps are of."""
        return tuple(classes), tuple(self.categories[k] for k in classes)


class ClassifierLocalizer(PhotoLocalizer):
    """An ImageNet classifier and a method without training.

    Args:
        classifier: From :func:`wsss_lib.backbones.imagenet_classifier`, or one built alike on other classes.
        method: One of :data:`METHODS`.
        **options: As for :class:`PhotoLocalizer`.

    Raises:
        ValueError: As for :class:`PhotoLocalizer`, an unknown method, or one that this classifier does not allow.
    """

    def __init__(self, classifier: ImageNetClassifier, method: str = "cam", **options: Any) -> None:
        check_method(method, options.get("classes"))
        if method == "cam" and not classifier.has_cam:
            raise no_cam(classifier.backbone.name)
        super().__init__(classifier, classifier.categories, **options)
        self.classifier, self.method = classifier, method

    def look(self, images: Tensor) -> tuple[Tensor, Callable[[list[int]], MapsOf]]:
        """See :meth:`PhotoLocalizer.look`."""
        return self.classifier(images)[0].softmax(0), self._maps_of

    def named(self, classes: list[int]) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
        """Numbers and names of the classes; Eigen-CAM's one map is of what stands out."""
        return ((None,), ("salient",)) if self.method == "eigencam" else super().named(classes)

    def _maps_of(self, classes: list[int]) -> MapsOf:
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
    """Refuse a method that does not exist or needs training, and classes for one that knows none.

    Raises:
        ValueError: As said.
    """
    if method not in METHODS:
        known = registry.entry(method)  # or an error that lists them all
        raise ValueError(f"{known.title} must be trained: name the folder of a run of it as the checkpoint.")
    if method == "eigencam" and classes is not None:
        raise ValueError("Eigen-CAM knows no classes, only what stands out: leave the classes out, or choose cam.")


def _resolve(classes: Sequence[str | int], categories: Sequence[str]) -> list[int]:
    """Class names (in any case) or indices as indices; a name that two classes share stands for both."""
    if not classes:
        raise ValueError("The list of classes is empty: name at least one, or leave it out for the likeliest.")
    lower = [name.lower() for name in categories]
    numbers: list[int] = []
    for wanted in classes:
        if isinstance(wanted, int) or wanted.isdigit():
            if not 0 <= int(wanted) < len(categories):
                raise ValueError(f"There is no class {wanted}; they are numbered from 0 to {len(categories) - 1}.")
            numbers.append(int(wanted))
            continue
        name = wanted.strip().lower()
        if name not in lower:
            close = [other for other in categories if name and name in other.lower().split()]
            close += difflib.get_close_matches(name, lower, n=3)
            hint = f"; close to it: {', '.join(dict.fromkeys(close[:8]))}." if close else "."
            raise ValueError(f"The network knows no class {wanted!r}{hint}")
        numbers += [index for index, other in enumerate(lower) if other == name]
    return list(dict.fromkeys(numbers))
