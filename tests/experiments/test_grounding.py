"""The bench of grounding: rows, real proposals, scenes mixed by how ambiguous they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from wsss_lib.data.worlds.sentences import World
from wsss_lib.experiments import grounding
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods.learner import Learner


@pytest.fixture(scope="module")
def lab() -> Workbench:
    return grounding.bench("smoke", 0, world=World(size=64))


class Oracle(Learner):
    """Answers with the meant box, or with the first thing of another species."""

    task = "grounding"

    def __init__(self, right: bool) -> None:
        super().__init__()
        self.right = right

    def losses(self, batch: Any) -> dict[str, Tensor]:
        return {"one": torch.tensor(0.25), "off": torch.tensor(0.0)}

    def answer(self, batch: Any) -> list[Tensor]:
        return batch["sentence_boxes"] if self.right else [torch.zeros_like(each) for each in batch["sentence_boxes"]]


def test_a_row_of_an_oracle_and_of_one_that_is_always_wrong(lab: Workbench) -> None:
    best = grounding.row(lab, Oracle(True))
    assert [best[key] for key in ("accuracy", "attribute", "relation", "species")] == [1, 1, 1, 1]
    assert best["rebuilt"] == best["loss: one"] == 0.25
    worst = grounding.row(lab, Oracle(False))
    assert [worst[key] for key in ("accuracy", "attribute", "relation")] == [0, 0, 0]
    assert best["images"] == len(lab.report_on)


def test_proposals_come_from_the_image(lab: Workbench) -> None:
    other = grounding.proposing(lab)
    assert grounding.recall_of(lab) == {"recall": 1, "proposals": 5}
    assert 0.3 < grounding.recall_of(other)["recall"] < 1
    assert other.train_on is lab.train_on
    assert other.report_on.fingerprint != lab.report_on.fingerprint


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_unambiguous_scenes_are_left_out(lab: Workbench, share: float) -> None:
    def alone(records: Any) -> int:
        labels = records.batch(range(len(records)))["box_labels"]
        return sum(len(each.unique()) == len(each) for each in labels)

    part, whole = grounding.eased(lab.train_on, share), lab.train_on
    assert alone(part) == round(share * alone(whole))
    assert len(part) - alone(part) == len(whole) - alone(whole)


def test_only_what_learns_is_counted(lab: Workbench) -> None:
    method = lab.build("dtmr")
    assert grounding.learnt(method) == sum(
        p.numel() for name, p in method.named_parameters() if not name.startswith("backbone.")
    )
    assert grounding.learnt(SimpleNamespace(parameters=list)) == 0  # type: ignore[arg-type]
