"""What the studies share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from torch import nn

from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.cam import CAM
from wsss_lib.methods.contract import Method

SEEDS = (0, 1, 2)
"""Of every study."""

Study = Callable[[str], dict[str, Any]]
"""Takes a profile; returns ``data`` to record and its ``fingerprint``, and optionally a ``note`` of its own."""
Row = dict[str, Any]
"""What one method reached with one seed."""
M = TypeVar("M", bound=nn.Module)


def fitted(lab: Workbench, method: M, **changes: Any) -> M:
    """The same method, trained by this run's recipe with some ``changes``."""
    lab.fit(method, **changes)
    return method


def fresh(lab: Workbench, name: str, **settings: Any) -> Method:
    """A registered method of this run, not yet trained; ``settings`` differ from the book's."""
    return lab.build(name, registry.entry(name).configured(**settings))


def explaining(name: str, classifier: Method, **settings: Any) -> Method:
    """A registered method that learns nothing, on a trained classifier; ``settings`` differ from the book's."""
    return registry.explain(name, classifier, registry.entry(name).configured(**settings))


def titles(*names: str) -> dict[str, str]:
    """The row that each registered method has in a table: title to name."""
    return {registry.entry(name).title: name for name in names}


def trained(lab: Workbench, **changes: Any) -> CAM:
    """The chapters' classifier of this run."""
    return fitted(lab, lab.classifier(), **changes)


def by_seed(
    what: str, profile: str, measured: Callable[[Workbench], Iterable[tuple[str, Row]]], **options: Any
) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """Rows of methods over :data:`SEEDS`.

    Args:
        what: Name of the study, for the progress.
        profile: As the lab takes it.
        measured: Gives the rows of one run, one after the other, each with the name of its method.
        options: Of the lab.

    Returns:
        By name, a row a seed; and the fingerprints of the reported split.
    """
    rows: dict[str, list[Row]] = {}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed, **options)
        for name, row in measured(lab):
            rows.setdefault(name, []).append(row)
            say(what, seed, {name: rows[name]})
        prints[f"test-{seed}"] = lab.report_on.fingerprint
    return rows, prints


def say(what: str, seed: int, rows: dict[str, list[Row]]) -> None:
    """Progress on standard output: the last row of each method."""
    for name, values in rows.items():
        if values:
            last = values[-1]
            text = ", ".join(f"{key} {last[key]:.3f}" for key in last if isinstance(last[key], float))
            print(f"{what}, seed {seed}, {name}: {text}", flush=True)
