"""What a training step costs: activations counted once, operations as they are by hand, gradients not left behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from wsss_lib.experiments.studies import cost
from wsss_lib.experiments.studies.common import Row, by_seed, fitted


class Squares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        scaled = batch["images"] * self.weight  # keeps the images (for the weight's gradient); not the weight itself
        return {"loss": (scaled * scaled).sum()}  # keeps scaled, twice, in one storage


def test_saved_counts_each_activation_once_and_no_parameter() -> None:
    assert cost.saved(Squares(), {"images": torch.rand(6, 10)}) == 2 * 6 * 10 * 4


def test_what_a_step_keeps_counts_each_tensor_once() -> None:
    class Square(nn.Module):
        def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            x = batch["images"] * 1.0
            x.requires_grad_()
            return {"a": (x * x).sum(), "b": (x * x).sum()}

    images = torch.rand(1, 3, 10, 10)
    assert cost.saved(Square(), {"images": images}) == 3 * 10 * 10 * 4


class Linear(nn.Module):
    def __init__(self, turns: list[str], name: str, repeats: int = 1) -> None:
        super().__init__()
        self.layer, self.repeats = nn.Linear(8, 5, bias=False), repeats
        self.turns, self.name = turns, name

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        self.turns.append(self.name)
        return {str(i): self.layer(batch).sum() for i in range(self.repeats)}


def test_steps_are_timed_in_turns_after_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    clock = iter([0, 0, 0, 1, 0, 10, 0, 3, 0, 30, 0, 2, 0, 20])
    monkeypatch.setattr(cost.time, "process_time", lambda: next(clock))
    methods = {"a": Linear(turns, "a"), "b": Linear(turns, "b")}
    result = cost.step_costs(methods, torch.rand(4, 8), rounds=3)
    assert turns == ["a", "b"] * 5, "once for the memory, once to warm up, three times in turns"
    assert [each["time"] for each in result.values()] == [2, 20]
    assert all(set(each) == {"time", "memory"} for each in result.values())


def test_operations_are_counted_where_asked_and_no_gradient_stays() -> None:
    methods = {"once": Linear([], ""), "twice": Linear([], "", repeats=2)}
    result = cost.step_costs(methods, torch.rand(4, 8), rounds=1, flops=True)
    product = 2 * 4 * 8 * 5  # forward; as much again for the weight's gradient, and the batch has none
    assert {name: each["flops"] for name, each in result.items()} == {"once": 2 * product, "twice": 4 * product}
    assert all(p.grad is None for method in methods.values() for p in method.parameters())


def test_answers_are_timed_in_turns_in_evaluation_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []

    class Answering(Linear):
        def answer(self, batch: Tensor) -> None:
            assert not self.training
            assert not torch.is_grad_enabled()
            turns.append(self.name)

    clock = iter([0, 0, 0, 1, 0, 10, 0, 3, 0, 30, 0, 2, 0, 20])
    monkeypatch.setattr(cost.time, "process_time", lambda: next(clock))
    methods = {"a": Answering([], "a").train(), "b": Answering([], "b").train()}
    assert cost.answer_costs(methods, torch.rand(4, 8), rounds=3) == {"a": 2, "b": 20}
    assert turns == ["a", "b"] * 4
    assert all(method.training for method in methods.values())


def test_rows_are_gathered_by_method_over_the_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wsss_lib.experiments.studies import common

    class Run:
        def __init__(self, profile: str, seed: int, **options: object) -> None:
            self.seed, self.report_on, self.given = seed, self, (profile, options)
            self.fingerprint = f"print {seed}"

        def fit(self, method: nn.Module, **changes: object) -> None:
            method.changes = changes

    def measured(lab: Run) -> list[tuple[str, Row]]:
        assert lab.given == ("smoke", {"backbone": "tiny_vit"})
        method = fitted(lab, nn.Identity(), epochs=2)  # type: ignore[type-var]
        assert method.changes == {"epochs": 2}
        return [("b", {"iou": lab.seed / 2}), ("a", {"iou": 1.0})]

    monkeypatch.setattr(common, "Workbench", Run)
    rows, prints = by_seed("study", "smoke", measured, backbone="tiny_vit")  # type: ignore[arg-type]
    assert rows == {"b": [{"iou": 0.0}, {"iou": 0.5}, {"iou": 1.0}], "a": [{"iou": 1.0}] * 3}
    assert prints == {"test-0": "print 0", "test-1": "print 1", "test-2": "print 2"}
    assert "study, seed 1, b: iou 0.500" in capsys.readouterr().out
