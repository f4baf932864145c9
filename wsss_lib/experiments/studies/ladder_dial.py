"""Chapter 9's dial: seeds and refined seeds while the animals are painted more and more like the ground."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from wsss_lib.data.records import Batch
from wsss_lib.evaluate import measure_masks
from wsss_lib.experiments import recipes
from wsss_lib.experiments.studies import ladder
from wsss_lib.experiments.studies.common import SEEDS, Row, Study, say
from wsss_lib.experiments.variants import channels_last
from wsss_lib.experiments.workbench import Workbench

CONTRAST = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Settings of the dial; the last is the world's own."""


def dial(profile: str) -> dict[str, Any]:
    """CAM's masks of ``test``, before and after the dense CRF; classifier and thresholds stay the last setting's."""
    rows: dict[str, list[list[Row]]] = {name: [[] for _ in CONTRAST] for name in ("seed", "after the CRF")}
    prints: dict[str, str] = {}
    for seed in SEEDS:
        lab = Workbench(profile, seed=seed)
        lab.limit("train", most=recipes.SSC_IMAGES)
        lab.limit("choose", most=ladder.CHOSEN_ON)
        method = ladder.fitted(lab, channels_last(lab.build("cam")))
        makers = {"seed": ladder.seeding(method), "after the CRF": ladder.refining(method, ladder.widths(lab))}
        tried = {"seed": ladder.SEED_THRESHOLDS, "after the CRF": ladder.CRF_THRESHOLDS}
        cuts = {name: ladder.best_threshold(lab, make, tried[name]) for name, make in makers.items()}
        for number, setting in enumerate(CONTRAST):
            records = lab.split("test", contrast=setting)
            records = records.subset(range(min(ladder.REPORTED, len(records))))
            for name, make in makers.items():
                measured = measure_masks(only(make((cuts[name],))), records, device=lab.device)
                rows[name][number].append({"threshold": cuts[name], **measured.numbers({})})
            prints[f"test-{setting}-{seed}"] = records.fingerprint
            say(f"ladder_dial {setting}", seed, {name: held[number] for name, held in rows.items()})
    note = "classifier and thresholds of the world's own contrast, chosen on val; masks of test, image labels given"
    return {"data": {"contrast": {"settings": list(CONTRAST), "rows": rows}}, "fingerprint": prints, "note": note}


def only(predict: ladder.Prediction) -> ladder.Prediction:
    """From masks at one threshold, (1, N, H, W), to masks (N, H, W)."""

    def first(batch: Batch) -> Tensor:
        return predict(batch)[0]

    return first


STUDIES: dict[str, Study] = {"ladder_dial": dial}
