"""Pseudo-labels as records: masks that a method made of maps, with how they were made, as if they were the truth.

They are made of maps, kept, and read like any other data::

    made = PseudoLabels.of(records, predict, Provenance(method="cam", refinement="dense CRF", seed=0,
                                                        thresholds={"low": 0.1, "high": 0.3}))
    made.save("pseudo/train.parquet")
    load("pseudo", split="train")        # images, labels and the masks
    Provenance.of("pseudo/train.parquet")
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn

from wsss_lib.data.photos.schema import Row, Split, write
from wsss_lib.data.records import (
    IGNORE,
    Batch,
    Records,
    Sample,
    collate,
    positions,
    record_number,
    to_device,
    unpadded_batches,
)
from wsss_lib.files import named_path, sha256_of_text
from wsss_lib.modes import evaluating

_KEY = "pseudo_labels"


@dataclass(frozen=True)
class Provenance:
    """How pseudo-labels were made.

    Attributes:
        method: Whose maps, for example ``"cam"``.
        refinement: What was done to the maps, for example ``"dense CRF"``; ``"none"``.
        thresholds: By name: what decided between background, class and ignore.
        seed: Of the run.
        data: Fingerprint of the records; :meth:`PseudoLabels.of` enters it.
    """

    method: str
    refinement: str
    seed: int
    thresholds: Mapping[str, float] = field(default_factory=dict)
    data: str = ""

    @classmethod
    def of(cls, path: str | Path) -> Provenance:
        """What a file of pseudo-labels says of itself.

        Raises:
            ValueError: A Parquet file that holds none.
        """
        said = (pq.read_schema(named_path(path)).metadata or {}).get(_KEY.encode())
        if said is None:
            raise ValueError(f"{path} does not say how its masks were made: it was not written by PseudoLabels.save")
        return cls(**json.loads(said))

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self) | {"thresholds": dict(self.thresholds)}, sort_keys=True)


class PseudoLabels(Records):
    """Records whose masks are a method's. What is known of the objects besides (boxes, parts) is left out.

    An image that shows a class, by its label, and got a mask without one is ignored from edge to edge: the mask is
    certainly wrong, and would teach that there is nothing. In a file it has no mask.

    Args:
        records: With images and labels.
        masks: One for each record, (H, W) of the size of its image: 0 background, k + 1 for class k, 255 ignore.
        provenance: How they were made.

    Attributes:
        without_object: How many images were ignored for that.

    Raises:
        ValueError: Another number of masks than records, or a class that the records do not have.
    """

    def __init__(self, records: Records, masks: Sequence[Tensor], provenance: Provenance) -> None:
        if len(masks) != len(records):
            raise ValueError(f"there are {len(masks)} masks for {len(records)} records: make one for each")
        allowed = torch.zeros(IGNORE + 1, dtype=torch.bool)
        allowed[: len(records.classes) + 1] = allowed[IGNORE] = True
        for number, mask in enumerate(masks):
            if bool(((mask < 0) | (mask > IGNORE)).any()) or not bool(allowed[mask.long().cpu()].all()):
                raise ValueError(
                    f"mask {number} holds other values than 0 to {len(records.classes)} and {IGNORE}: use 0 for "
                    "background and k + 1 for class k"
                )
        self.parent, self.provenance = records, provenance
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.image_size = records.image_size
        self.masks = [mask.detach().to("cpu", torch.uint8) for mask in masks]
        shows_object = records.labels.any(dim=1).tolist()
        self._empty = {
            i for i, mask in enumerate(self.masks) if shows_object[i] and bool(((mask == 0) | (mask == IGNORE)).all())
        }
        for i in self._empty:
            self.masks[i] = torch.full_like(self.masks[i], IGNORE)
        self.without_object = len(self._empty)
        content = "".join(sha256_of_text(str(mask.numpy().tobytes())) for mask in self.masks)
        self.fingerprint = sha256_of_text(records.fingerprint + provenance.text() + content)

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        records: Records,
        predict: Callable[[Batch], Tensor],
        provenance: Provenance,
        *,
        network: nn.Module | None = None,
        batch_size: int = 50,
        device: str | torch.device | None = None,
    ) -> Self:
        """Make a mask for every record.

        Args:
            records: With images and labels; images of unlike size are taken one by one.
            predict: From a batch to masks (N, H, W).
            provenance: How they are made; the fingerprint of the records is entered.
            network: What runs in evaluation mode meanwhile; None: what ``predict`` is a method of, if it is.
            batch_size: Images at once, where their sizes agree.
            device: Where to compute; None for the CPU.
        """
        behind = network if network is not None else getattr(predict, "__self__", None)
        masks: list[Tensor] = []
        with evaluating(behind if isinstance(behind, nn.Module) else nn.Module()):
            for batch in unpadded_batches(records, batch_size):
                masks.extend(predict(to_device(batch, device)).unbind(0))
        said = asdict(provenance) | {"data": records.fingerprint}
        return cls(records, masks, Provenance(**said))

    def save(self, path: str | Path) -> Path:
        """Write images, labels and masks to one Parquet file that :func:`wsss_lib.data.load` reads.

        Returns:
            The path.
        """
        target = named_path(path)
        split = Split(self.classes, mask=True, boxes=False, rows=self._rows())
        write(split, target, total=len(self), about={_KEY: self.provenance.text()})
        return target

    def coverage(self) -> float:
        """Share of pixels that are not ignored, in [0, 1]."""
        labelled = sum(int((mask != IGNORE).sum()) for mask in self.masks)
        return labelled / max(1, sum(mask.numel() for mask in self.masks))

    def __len__(self) -> int:
        return len(self.parent)

    def __getitem__(self, index: int) -> Sample:
        number = record_number(index, len(self), f"{self.name}/{self.split}")
        sample = self.parent[number]
        kept: Any = {name: sample[name] for name in ("image", "labels", "id") if name in sample}
        return Sample(**kept, mask=self.masks[number].long())

    @property
    def images_fingerprint(self) -> str:
        return self.parent.images_fingerprint

    @property
    def labels(self) -> Tensor:
        return self.parent.labels

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        at = positions(indices, len(self))
        if self.image_size is None:
            return collate([self[i] for i in at])
        batch = self.parent.batch(at)  # may be faster than sample by sample
        kept: Any = {name: batch[name] for name in ("images", "labels", "sizes", "ids") if name in batch}
        return Batch(**kept, masks=torch.stack([self.masks[i] for i in at]).long())

    def _rows(self) -> Iterator[Row]:
        for number in range(len(self)):
            sample = self[number]
            image = (sample["image"] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            yield Row(
                id=str(sample.get("id", f"{self.split}-{number:06d}")),
                image=_png(Image.fromarray(image)),
                mask=None if number in self._empty else _png(Image.fromarray(self.masks[number].numpy())),
                labels=sample["labels"].nonzero()[:, 0].tolist(),
            )


def certain_labels(probabilities: Tensor, certainty: float) -> Tensor:
    """The likeliest label of each pixel, 255 where its probability is below ``certainty``.

    Args:
        probabilities: (N, L, H, W) in [0, 1], the background's first, for example of the dense CRF.
        certainty: In [0, 1].

    Returns:
        (N, H, W) int64.
    """
    best, winner = probabilities.max(dim=1)
    return torch.where(best < certainty, IGNORE, winner)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
