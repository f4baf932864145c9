"""From encoded images to masks, in batches of images of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from wsss_lib import maps
from wsss_lib.data.photos.masks import encode
from wsss_lib.localize.photos import seen_size, to_tensor
from wsss_lib.methods import Method
from wsss_lib.modes import evaluating

LIKELY = 0.5
"""Probability from which a class counts as present, where nobody says what is there."""


@dataclass
class Item:
    """An image on its way to its mask.

    Attributes:
        id: Its name.
        photo: As RGB, upright; None where it cannot be read.
        labels: Numbers of the classes that are in it; None: those that the classifier finds likely.
        error: Why there is no mask.
        mask: Palette PNG at the photo's size.
        scores: Probability of each class.
    """

    id: str
    photo: Image.Image | None = None
    labels: list[int] | None = None
    error: str | None = None
    mask: bytes | None = None
    scores: list[float] | None = None


class MaskMaker:
    """From encoded images to masks, in batches.

    Args:
        method: A trained method, or one that explains a trained classifier.
        classes: Names of its K classes.
        classifier: Says what is in an image where the method itself does not.
        threshold: Share of a map's maximum that the background has as its score, in [0, 1).
        multi_scale: Whether maps are summed over four scales and mirrored.
        short_side: Pixels of the shorter side as the network sees an image.
        batch_size: Images at once.

    Raises:
        ValueError: A threshold outside [0, 1), or a batch of none.
    """

    def __init__(
        self,
        method: Method,
        classes: Sequence[str],
        classifier: Method | None = None,
        *,
        threshold: float = 0.2,
        multi_scale: bool = False,
        short_side: int = 320,
        batch_size: int = 16,
    ) -> None:
        if not isinstance(threshold, int | float) or not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold!r:.80}, expected a share of the maximum in [0, 1): try 0.2")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r:.80}, expected a whole number of at least 1: try 16")
        self.method, self.classes, self.classifier = method, tuple(classes), classifier or method
        self.threshold, self.short_side, self.batch_size = threshold, short_side, batch_size
        self.scales: Sequence[float] = maps.SCALES if multi_scale else (1.0,)
        self.flip = multi_scale

    def fill(self, items: Sequence[Item]) -> None:
        """Give each item that has a photo its mask, labels and scores; images of one shape share a batch."""
        shapes: dict[tuple[int, int], list[Item]] = {}
        for item in items:
            if item.photo is not None:
                shapes.setdefault(seen_size(item.photo.height, item.photo.width, self.short_side), []).append(item)
        for size, alike in shapes.items():
            for start in range(0, len(alike), self.batch_size):
                self._fill(alike[start : start + self.batch_size], size)

    @torch.no_grad()
    def _fill(self, items: Sequence[Item], size: tuple[int, int]) -> None:
        photos = [item.photo for item in items if item.photo is not None]
        device = next(self.method.parameters()).device
        images = torch.cat([to_tensor(photo, size) for photo in photos]).to(device)  # (N, 3, h, w)
        with evaluating(self.method), evaluating(self.classifier):
            first = self.method.predict(images)
            logits = self.classifier(images) if first.logits is None else first.logits  # (N, K)

            def raw(scaled: Tensor) -> Tensor:
                heat = (first if scaled is images else self.method.predict(scaled)).maps  # (N, K or 1, h', w')
                if self.method.normalisation != "max":  # the sum over scales would cut its lower half off
                    heat = self.method.normalised(heat)
                return heat.expand(-1, len(self.classes), -1, -1)

            heat = maps.multi_scale(raw, images, self.scales, self.flip)  # (N, K, h, w)
        softmax = getattr(getattr(self.classifier, "config", None), "loss", "") == "softmax"
        scores = (logits.softmax(1) if softmax else logits.sigmoid()).cpu()  # (N, K)
        if not (torch.isfinite(scores).all() and torch.isfinite(heat).all()):
            raise ValueError(
                "the network answers with values that are not numbers: its weights are damaged, give others"
            )
        for item, photo, image_maps, image_scores in zip(items, photos, heat, scores, strict=True):
            if item.labels is None:
                item.labels = (image_scores >= LIKELY).nonzero()[:, 0].tolist()
            item.scores = image_scores.tolist()
            item.mask = encode(self._mask(image_maps, item.labels, (photo.height, photo.width)).byte().cpu().numpy())

    def _mask(self, heat: Tensor, labels: Sequence[int], size: tuple[int, int]) -> Tensor:
        """(H, W): 0 background, k + 1 for class k, of maps (K, h, w)."""
        if not labels:
            return torch.zeros(size, dtype=torch.int64)
        chosen = maps.normalise(maps.resize(heat[None, list(labels)], size), how="max", eps=0.0)  # (1, M, H, W)
        winners = maps.seeds(chosen, None, self.threshold)[0].cpu()  # (H, W)
        return torch.tensor([0, *(k + 1 for k in labels)])[winners]
