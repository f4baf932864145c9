"""The ladder of chapter 9 with MARS between the refined labels and the network; else as :mod:`.ladder`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from wsss_lib.backbones import Backbone
from wsss_lib.data.records import IGNORE, Batch
from wsss_lib.experiments import results
from wsss_lib.experiments.debiased import Debiased
from wsss_lib.experiments.studies import ladder
from wsss_lib.experiments.studies.common import Row, Study, by_seed
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import registry
from wsss_lib.methods.contract import Method
from wsss_lib.segment import MARS, MARSConfig, PseudoLabels, certain_labels


def with_mars(profile: str, names: Sequence[str] = ("cam",), what: str = "ladder_mars") -> dict[str, Any]:
    """The upper rungs of methods whose refined labels are debiased; the lower rungs are those of the ladder."""
    rows, prints = by_seed(what, profile, lambda lab: measured(lab, names))
    note = (
        "thresholds chosen on val; labels reported on train, networks on test; a dropped label counts as background; "
        "labels_before are the ladder's own"
    )
    return {"data": {"rows": rows}, "fingerprint": prints, "note": note}


def methods(profile: str) -> dict[str, Any]:
    """The same for the other methods of chapter 8."""
    return with_mars(profile, ("bas", "seam"), "ladder_mars_methods")


def measured(lab: Workbench, names: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """The rows of one run."""
    ladder.limited(lab)
    trained = {name: ladder.trained(lab, name) for name in dict.fromkeys(("cam", *names))}
    lab.limit("train", most=ladder.LABELLED)
    for name in names:
        labels, refined = ladder.labelled(lab, name, trained[name])
        if labels.coverage():  # else no image shows its class, and there is nothing to debias
            yield (
                f"{registry.entry(name).title} + MARS",
                rungs(lab, trained[name], labels, refined, trained["cam"].backbone),
            )


def rungs(lab: Workbench, method: Method, labels: PseudoLabels, refined: Sequence[Tensor], start: Backbone) -> Row:
    """From refined labels by debiased ones to the network whose teacher fills what was dropped.

    Labels are scored as chapter 8 scores them: one that was dropped says background. ``coverage`` is the share of
    pixels that keep a label, and ``similarity`` the threshold of MARS, chosen on ``val`` by the mIoU of its labels.
    """
    cleaned, threshold = debiased(lab, method, labels)
    pairs = zip(cleaned.masks, labels.masks, strict=True)
    dropped = [(after == IGNORE) & (before != IGNORE) for after, before in pairs]

    def background_where_dropped(masks: Sequence[Tensor]) -> Row:
        spoken = [mask.masked_fill(gone, 0) for mask, gone in zip(masks, dropped, strict=True)]
        return ladder.scored(spoken, lab.train_on)

    return {
        "labels_before": ladder.scored(refined, lab.train_on),
        "refined": {"threshold": labels.provenance.thresholds["background"], **background_where_dropped(refined)},
        "pseudo_labels": {
            "coverage": cleaned.coverage(),
            "without_object": cleaned.without_object,
            "similarity": threshold,
            **background_where_dropped(labels.masks),
        },
        "network": ladder.network_row(lab, cleaned, start, fresh(lab)),
    }


def debiased(lab: Workbench, method: Method, labels: PseudoLabels) -> tuple[PseudoLabels, float]:
    """A method's pseudo-labels without what MARS drops, and its threshold of similarity, which ``val`` chooses."""
    cut = labels.provenance.thresholds["background"]

    def sure(batch: Batch) -> Tensor:
        return certain_labels(ladder.sharpened(method, batch, cut, ladder.widths(lab)), ladder.CERTAINTY)

    val = PseudoLabels.of(lab.choose_on, sure, labels.provenance, network=method, device=lab.device)
    run = Debiased.of_labels(lab, labels, val)
    return run.cleaned, run.threshold


def fresh(lab: Workbench) -> MARS:
    """The ladder's network with a teacher, not yet trained."""
    return lab.build(MARS, MARSConfig(**asdict(ladder.NETWORK)))


def recorded_rows() -> dict[str, list[Row]]:
    """Every recorded row of the ladder, in its order: behind a method's row the one with MARS, where it was measured.

    The lower rungs of a row with MARS, the seed and the walk, are those of its method.
    """
    rows: dict[str, list[Row]] = results.read("ladder")["data"]["rows"]
    upper: dict[str, list[Row]] = {}
    for study in STUDIES:
        if study in results.names():
            upper |= results.read(study)["data"]["rows"]
    joined: dict[str, list[Row]] = {}
    for name, below in rows.items():
        joined[name] = below
        above = upper.get(f"{name} + MARS", [])
        if above:
            lower = ({"seed": row["seed"], "walk": row["walk"]} for row in below)
            joined[f"{name} + MARS"] = [rungs | row for rungs, row in zip(lower, above, strict=True)]
    return joined


STUDIES: dict[str, Study] = {"ladder_mars": with_mars, "ladder_mars_methods": methods}
