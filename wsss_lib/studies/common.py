"""What the studies share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsss_lib.lab import Lab
from wsss_lib.methods.cam import CAM

SEEDS = (0, 1, 2)
"""Of every study."""

Study = Callable[[str], dict[str, Any]]
"""Takes a profile; returns ``data`` to record and its ``fingerprint``, and optionally a ``note`` of its own."""


def trained(lab: Lab, **changes: Any) -> CAM:
    """The chapters' classifier of this run."""
    method = lab.classifier()
    lab.fit(method, **changes)
    return method


def say(what: str, seed: int, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Progress on standard output."""
    for name, values in rows.items():
        if values:
            last = values[-1]
            text = ", ".join(f"{key} {last[key]:.3f}" for key in last if isinstance(last[key], float))
            print(f"{what}, seed {seed}, {name}: {text}", flush=True)
