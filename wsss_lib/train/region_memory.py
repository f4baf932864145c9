"""Regions of proposals are computed once: what a frozen backbone sees in them, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from wsss_lib.backbones import Backbone
from wsss_lib.data.records import Batch, Records, Sample, collate, positions, record_number, unpadded_batches
from wsss_lib.files import sha256_of_text
from wsss_lib.methods.regions import regions_of

KEPT = ("sentences", "sentence_boxes", "sentence_kinds", "proposals", "boxes", "box_labels", "id")
"""What else a sample has; images and masks are left out."""


class RegionRecords(Records):
    """Records that yield the regions of their proposals in place of images, and what is said of them.

    Args:
        records: With images, proposals and sentences.
        backbone: Looked through in evaluation mode, where it is.
        batch_size: Images in one forward pass, where their sizes agree.
    """

    def __init__(self, records: Records, backbone: Backbone, batch_size: int = 50) -> None:
        self.parent = records
        self.name, self.split, self.classes = records.name, records.split, records.classes
        self.fingerprint = sha256_of_text(f"{records.fingerprint} regions {_digest(backbone)}")
        self._labels = records.labels
        device = next(backbone.parameters()).device
        self._samples: list[dict[str, Any]] = []
        for batch in unpadded_batches(records, batch_size):
            regions = regions_of(backbone, batch["images"].to(device), [p.to(device) for p in batch["proposals"]])
            named = {"ids": "id"}
            held = {named.get(name, name): value for name, value in batch.items() if named.get(name, name) in KEPT}
            for i, region in enumerate(regions):
                self._samples.append({name: value[i] for name, value in held.items()} | {"regions": region.cpu()})  # type: ignore[index]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[record_number(index, len(self), f"{self.name}/{self.split}")]  # type: ignore[return-value]

    @property
    def labels(self) -> Tensor:
        return self._labels

    def batch(self, indices: Iterable[int] | Tensor) -> Batch:
        return collate([self._samples[i] for i in positions(indices, len(self))])  # type: ignore[misc]


def _digest(backbone: Backbone) -> str:
    """SHA-256 of all that decides what a backbone sees."""
    tensors = [value.detach().cpu().contiguous().numpy().tobytes() for value in backbone.state_dict().values()]
    return sha256_of_text(" ".join([repr(backbone), *(sha256_of_text(each) for each in tensors)]))
