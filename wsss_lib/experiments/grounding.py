"""The workbench of grounding: regions that are computed once, and the honest row of a method with what explains it.

    lab = bench("book", seed=0)
    dtmr = lab.build("dtmr")
    lab.fit(dtmr)
    row(lab, dtmr)      # accuracy over all and by kind, is the species right, and how well words are rebuilt

Nothing is chosen: the pair with the highest score is the answer.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from wsss_lib.data.records import Records, batches
from wsss_lib.data.worlds.sentences import ATTRIBUTES, KINDS, RELATIONS
from wsss_lib.evaluate import measure_grounding
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.triads import parse
from wsss_lib.modes import evaluating
from wsss_lib.refine.proposals import WithProposals, recall
from wsss_lib.train.region_memory import RegionRecords

SORTS = {"attribute": ATTRIBUTES, "relation": RELATIONS}
COLUMNS = {
    "accuracy": "accuracy",
    "attribute": "attribute",
    "relation": "relation",
    "species": "right species",
    "rebuilt": "error of the words",
}
"""Scores of a row and their headings, in the order of a table."""


def bench(profile: str = "book", seed: int = 0, **options: Any) -> Workbench:
    """The workbench of the world of sentences, whose records have regions of the true boxes in place of images.

    Args:
        profile, seed: As the workbench takes them.
        options: Of the workbench, such as ``world`` or ``backbone``.

    Raises:
        ValueError: Data without sentences.
    """
    lab = Workbench(profile, seed=seed, **{"data": "sentences"} | options)
    if "sentences" not in lab.report_on[0]:
        raise ValueError(f"nothing is said of the images of {lab.data}: ground sentences in data='sentences'")
    network = lab.backbone().to(lab.device)
    # Nothing is chosen, so the split that chooses stays as it is.
    lab.train_on, lab.report_on = (RegionRecords(records, network) for records in (lab.train_on, lab.report_on))
    return lab


def proposing(lab: Workbench) -> Workbench:
    """The same bench, of which the reported split has proposals that come from the images, not the true boxes."""
    other = copy.copy(lab)
    scenes = WithProposals(lab.report_on.parent)  # type: ignore[attr-defined]
    other.report_on = RegionRecords(scenes, lab.backbone().to(lab.device))
    return other


def eased(records: Records, share: float) -> Records:
    """All scenes in which a species is there twice, and a share of the others, which are unambiguous.

    Args:
        records: With ``box_labels``.
        share: Of the unambiguous scenes, in [0, 1]: the first ones.
    """
    labels = records.batch(range(len(records)))["box_labels"]
    alone = [i for i, each in enumerate(labels) if len(each.unique()) == len(each)]
    left_out = set(alone[round(share * len(alone)) :])
    return records.subset([i for i in range(len(records)) if i not in left_out])


def row(lab: Workbench, method: Any) -> dict[str, Any]:
    """What a method reached on the split that is reported.

    Returns:
        The honest row: ``accuracy``, and ``accuracy: KIND`` of each kind. Besides ``attribute`` and ``relation``, the
        accuracy of the kinds of a sort together; ``species``, how often the chosen box is one of the target's species;
        ``rebuilt``, the mean of the losses there; and the losses by name.
    """
    kinds = KINDS if lab.data == "sentences" else ()
    measured = measure_grounding(method.answer, lab.report_on, kinds=kinds, device=lab.device)
    sentences = measured.sentences
    result: dict[str, Any] = {**measured.numbers({}), "images": measured.images, "split": measured.split}
    for sort, names in SORTS.items() if kinds else ():
        at = [KINDS.index(name) for name in names]
        result[sort] = float(sentences.hits[at].sum() / sentences.sentences[at].sum())
    errors = rebuilt(lab, method)
    used = [value for value in errors.values() if value > 0]
    return result | {"species": right_species(lab, method), "rebuilt": sum(used) / max(1, len(used))} | errors


@torch.no_grad()
def rebuilt(lab: Workbench, method: Any) -> dict[str, float]:
    """The losses of a method on the split that is reported, in evaluation mode: means over the sentences."""
    totals: dict[str, float] = {}
    count = 0
    with evaluating(method):
        for batch in batches(lab.report_on, 50, device=lab.device):
            number = sum(map(len, batch["sentences"]))
            count += number
            for name, term in method.losses(batch).items():
                totals[name] = totals.get(name, 0.0) + float(term) * number
    return {f"loss: {name}": total / max(1, count) for name, total in totals.items()}


@torch.no_grad()
def right_species(lab: Workbench, method: Any) -> float:
    """Share of the sentences whose chosen box overlaps most with a thing of the target's species."""
    hits: list[Tensor] = []
    with evaluating(method):
        for batch in batches(lab.report_on, 50, device=lab.device):
            for boxes, truth, labels, texts in zip(
                method.answer(batch), batch["boxes"], batch["box_labels"], batch["sentences"], strict=True
            ):
                wanted = [lab.classes.index(parse(text).target) for text in texts]
                if len(truth) and len(boxes):
                    nearest = labels[box_iou(boxes, truth).argmax(1)]
                    hits.append(nearest.cpu() == torch.tensor(wanted))
    return float(torch.cat(hits).double().mean())


def recall_of(lab: Workbench, delta: float = 0.5) -> dict[str, float]:
    """Of the proposals of the reported split: ``recall`` at an IoU, and how many there are of an image."""
    batch = lab.report_on.batch(range(len(lab.report_on)))
    number = sum(map(len, batch["proposals"])) / len(batch["proposals"])
    return {"recall": recall(batch["proposals"], batch["boxes"], delta), "proposals": number}


def learnt(method: nn.Module) -> int:
    """How many numbers a method learns."""
    return sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
