"""What happened in a training run: a number for each step, kept in the checkpoints, drawn by ``figures.loss_curve``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsss_lib import files


@dataclass
class History:
    """The course of a run, over all its interruptions.

    Attributes:
        steps_per_epoch: Updates in an epoch.
        loss: The sum of the terms at each update, a mean over its images.
        terms: Each term of ``method.losses`` at each update.
        lr: The first parameter group's learning rate at each update.
        phases: After how many updates each phase of the method ended, or is to end.
        metrics: What ``validate`` returned, with the ``epoch`` (1-based) and ``step`` after which it ran.
        resumed_at: The steps at which the run was taken up again after an interruption.
        seconds: Wall time of all updates together, checkpoints and validation included.
    """

    steps_per_epoch: int
    loss: list[float] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)
    phases: dict[str, int] = field(default_factory=dict)
    metrics: list[dict[str, float]] = field(default_factory=list)
    resumed_at: list[int] = field(default_factory=list, compare=False)
    seconds: float = field(default=0.0, compare=False)

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        # No times: a notebook's stored output must not change from run to run.
        return f"History({len(self)} steps, {self.epochs} epochs, {self.describe()})"

    @property
    def epochs(self) -> int:
        """Epochs begun."""
        return -(-len(self) // self.steps_per_epoch)

    def add(self, loss: float, terms: dict[str, float], lr: float) -> None:
        """Note an update."""
        self.loss.append(loss)
        self.lr.append(lr)
        for name, value in terms.items():
            self.terms.setdefault(name, []).append(value)

    def epoch_means(self, values: list[float] | None = None) -> list[float]:
        """The mean over each epoch's updates of ``values``, a list of this history; of ``loss`` if None."""
        values = self.loss if values is None else values
        chunks = [values[i : i + self.steps_per_epoch] for i in range(0, len(values), self.steps_per_epoch)]
        return [sum(chunk) / len(chunk) for chunk in chunks]

    def describe(self) -> str:
        """One sentence for readers who cannot see the plot; fits as its alt text."""
        if not self.loss:
            return "no updates yet"
        means = self.epoch_means()
        if len(means) == 1:
            return f"training loss from {self.loss[0]:.3f} to {self.loss[-1]:.3f} over {len(self)} updates"
        return f"training loss from {means[0]:.3f} in the first to {means[-1]:.3f} in the last of {len(means)} epochs"

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "what was given") -> History:
        """What :meth:`to_dict` made.

        Args:
            values: The fields by name.
            source: Where they come from, for the message.

        Raises:
            ValueError: They are not the fields of a history.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(
                f"the history in {source} has other fields than this version of wsss_lib reads ({error}): install the "
                "version that wrote it, or train again"
            ) from error

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        files.write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what :meth:`save` wrote; floats come back bit for bit."""
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")), str(path))
