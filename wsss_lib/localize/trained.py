"""Any method of the registry that was trained here, from its checkpoint alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from wsss_lib.files import sha256_of
from wsss_lib.localize.localizer import MapsOf, PhotoLocalizer
from wsss_lib.localize.photos import GRID
from wsss_lib.methods import Method, registry
from wsss_lib.methods.description import rebuild
from wsss_lib.train import checkpoint, state


class TrainedLocalizer(PhotoLocalizer):
    """A trained method: it says what is in an image and where, in one forward pass for each scale.

    Args:
        method: The method with its weights.
        categories: Names of its classes.
        classifier: Says what is in an image where the method itself does not, as Eigen-CAM.
        **options: As for :class:`PhotoLocalizer`.

    Raises:
        ValueError: As for :class:`PhotoLocalizer`.
    """

    def __init__(
        self, method: Method, categories: Sequence[str], classifier: Method | None = None, **options: Any
    ) -> None:
        super().__init__(method, categories, **options)
        self.method, self.classifier = method, classifier or method

    def look(self, images: Tensor) -> tuple[Tensor, Callable[[list[int]], MapsOf]]:
        """See :meth:`PhotoLocalizer.look`; probabilities sum to 1 only where the loss was a softmax."""
        first = self.method.predict(images)
        softmax = getattr(getattr(self.classifier, "config", None), "loss", "") == "softmax"
        logits = (self.classifier(images) if first.logits is None else first.logits)[0]  # (K,)

        def maps_of(classes: list[int]) -> MapsOf:
            def raw(scaled: Tensor) -> Tensor:
                maps = (first if scaled is images else self.method.predict(scaled)).maps  # (1, K, h, w) or (1, 1, h, w)
                if self.method.normalisation != "max":  # the sum over scales would cut its lower half off
                    maps = self.method.normalised(maps)
                return maps.expand(-1, len(self.categories), -1, -1)[:, classes]

            return raw

        return logits.softmax(0) if softmax else logits.sigmoid(), maps_of


def load_trained(folder: str | Path) -> tuple[Method, dict[str, Any]]:
    """Load a method from the newest intact checkpoint of a run.

    Args:
        folder: What ``fit`` was given as ``out_dir``.

    Returns:
        The method in evaluation mode; what its checkpoint says of it (:func:`wsss_lib.methods.description.describe`),
        with the ``step`` and the ``weights_sha256``.

    Raises:
        FileNotFoundError: The folder holds no intact checkpoint.
        ValueError: The checkpoint does not say what it is of, or its weights do not fit.
    """
    newest = checkpoint.newest(checkpoint.root_of(folder))
    if newest is None:
        raise FileNotFoundError(
            f"{folder} holds no intact checkpoint: name the folder that fit(…, out_dir=…) was given, in which "
            "checkpoints/ lies"
        )
    described = newest.state().get("method") or {}
    try:
        method = rebuild(described)
    except ValueError as error:
        raise ValueError(
            f"the checkpoint {newest.folder} cannot be used by itself: {error}; build the method as it was trained, "
            "and load its weights with wsss_lib.train.restore"
        ) from error
    if not isinstance(method, Method):
        raise ValueError(
            f"the checkpoint in {folder} is one of {described['name']}, which says nothing of a photo by itself: name "
            f"the folder of a run of {', '.join(registry.names('maps'))}"
        )
    state.load(method, newest.tensors("model"), str(newest.folder))
    weights = sha256_of(newest.folder / "model.safetensors")
    return method.eval(), described | {"step": newest.step, "weights_sha256": weights}


def side_of(described: dict[str, Any]) -> int:
    """Pixels of the shorter side at which a method sees photos: as in its training, as a multiple of 32."""
    return max(GRID, round(min(described["image_size"]) / GRID) * GRID)
