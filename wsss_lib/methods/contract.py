"""What a method is: one forward pass gives maps and logits, and everything else is written here once.

    predict(images)            the method's own: raw maps and logits, in the mode that the module is in
    losses(batch)              the method's own, if it is trained: named scalars; a trained method has logits
    localize(images, labels)   made of predict: evaluation mode, maps in [0, 1], absent classes zero

How it is trained (parameter groups, phases, hooks) is that of every :class:`~wsss_lib.methods.learner.Learner`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor

from wsss_lib.data.records import Batch
from wsss_lib.maps import normalise
from wsss_lib.methods.learner import Learner, Phase, Progress, Settings, Task
from wsss_lib.modes import evaluating

__all__ = ["Method", "Normalisation", "Phase", "Prediction", "Progress", "Settings", "check_labels"]

Normalisation = Literal["max", "minmax"]
"""How a raw map becomes one in [0, 1]: see :func:`wsss_lib.maps.normalise`."""


class Prediction(NamedTuple):
    """What one forward pass says.

    Attributes:
        maps: (N, K, h, w), or (N, 1, h, w) of a method whose map knows no class.
        logits: (N, K), or None of a method without a classifier.
    """

    maps: Tensor
    logits: Tensor | None


class Method(Learner):
    """Base of every method that says where classes are. A subclass implements :meth:`predict`, and ``losses(batch)`` if
    it is trained.

    Attributes:
        normalisation: How :meth:`localize` brings raw maps into [0, 1].
    """

    task: ClassVar[Task] = "maps"
    normalisation: Normalisation = "max"

    @classmethod
    def explaining(cls, classifier: Method, settings: Any = None) -> Self:
        """The method on a trained classifier's backbone, as :func:`wsss_lib.methods.registry.explain` makes it."""
        return cls.build(classifier.backbone, classifier.num_classes or 1, settings)

    def predict(self, images: Tensor) -> Prediction:
        """Raw maps and logits of images (N, 3, H, W) in [0, 1], in one forward pass, in the mode of the module."""
        raise NotImplementedError(f"{type(self).__name__} has no predict(images): return a Prediction there")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) in [0, 1].

        Raises:
            ValueError: A method without a classifier.
        """
        logits = self.predict(images).logits
        if logits is None:
            raise ValueError(f"{type(self).__name__} classifies nothing: call localize(images) for its maps")
        return logits

    def raw_maps(self, images: Tensor) -> Tensor:
        """Maps before their normalisation, as :class:`Prediction` has them: those that are summed over scales."""
        return self.predict(images).maps

    def infer(self, images: Tensor, labels: Tensor | None = None) -> Prediction:
        """What :meth:`localize` gives, and the logits of the same forward pass."""
        with evaluating(self):
            prediction = self.predict(images)
        return Prediction(self.normalised(prediction.maps, labels), prediction.logits)

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Where each class is, at the resolution of the method's grid; :func:`wsss_lib.maps.resize` enlarges.

        Runs in evaluation mode and restores the mode. Call it under ``torch.no_grad()`` where no gradient is needed.

        Args:
            images: (N, 3, H, W) in [0, 1].
            labels: (N, K) multi-hot; maps of absent classes become zero. Say so when you report numbers: image labels
                at test time hide the classifier's errors. None keeps every class.

        Returns:
            (N, K, h, w) in [0, 1], each map scaled on its own: a class that is absent from the image, and was not
            excluded by ``labels``, has a map that reaches 1 as well. A map that knows no class is copied for each
            present class, and is (N, 1, h, w) without labels.

        Raises:
            ValueError: Labels of another shape.
        """
        return self.infer(images, labels).maps

    def normalised(self, maps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raw maps (N, K, h, w) as :meth:`localize` returns them."""
        maps = normalise(maps, how=self.normalisation, eps=0)  # raw maps may be tiny: any ε > 0 would darken them
        if labels is None:
            return maps
        classes = maps.shape[1] if self.num_classes is None and maps.shape[1] > 1 else self.num_classes
        return torch.where(check_labels(labels, maps, classes)[..., None, None], maps, 0)  # (N, K, h, w)

    def supervision(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) and labels (N, K) of a batch, the labels multi-hot in the images' precision.

        Raises:
            ValueError: Labels of another shape, or features in place of images that the method looks at.
        """
        images, labels = batch["images"], batch["labels"]
        unaccompanied = bool(self.companions) and self.companions.keys().isdisjoint(batch)
        if images.shape[1] != 3 and (self.reads_pixels or unaccompanied):
            remedy = "" if self.reads_pixels else "FeatureRecords(…, **method.companions), or on "
            raise ValueError(
                f"{type(self).__name__} looks at pixels, and the batch has features of {images.shape[1]} channels: "
                f"train it on {remedy}the images themselves"
            )
        check_labels(labels, images, self.num_classes)
        return images, labels.to(images)


def check_labels(labels: Tensor, images: Tensor, classes: int | None = None) -> Tensor:
    """Whether each class is present, (N, K) bool on the images' device.

    Raises:
        TypeError: The labels are no tensor.
        ValueError: The labels are not multi-hot (N, K).
    """
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels are of type {type(labels).__name__}, expected a tensor: torch.as_tensor makes one")
    if labels.ndim != 2 or labels.shape[0] != images.shape[0] or classes not in (None, labels.shape[1]):
        expected = f"({images.shape[0]}, {'K' if classes is None else classes})"
        remedy = "class indices become multi-hot by torch.nn.functional.one_hot"
        if labels.ndim == 2 and labels.shape[0] == images.shape[0]:
            remedy = (
                f"they are of {labels.shape[1]} classes and the method of {classes}, so build it with "
                "num_classes=len(records.classes), or load the records with the classes that it was built for"
            )
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected multi-hot {expected}: {remedy}")
    return labels.to(images.device) > 0
