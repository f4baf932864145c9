"""Methods whose training has a history: phases, ascent, early ends, and the hooks around an update."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from train_kit import InThreePhases, Noisy, Plain, Taught, Toys, WarmingUp, identical, weights

from wsss_lib.data.records import Batch
from wsss_lib.methods.contract import Phase, Progress
from wsss_lib.train import TrainConfig, fit, ledger, phases
from wsss_lib.train.phases import Course, ends_of

CONFIG = TrainConfig(steps=10, batch_size=4, lr=0.1, schedule="constant", momentum=0.0, weight_decay=0.0)


@pytest.mark.parametrize(
    ("shares", "steps", "ends"),
    [((0.5, 0.25, 0.25), 8, [4, 6, 8]), ((0.98, 0.01, 0.01), 10, [8, 9, 10]), ((0.01, 0.01, 0.98), 3, [1, 2, 3])],
)
def test_a_phase_has_its_share_and_at_least_one_update(shares: tuple, steps: int, ends: list[int]) -> None:
    assert ends_of([Phase(str(number), share) for number, share in enumerate(shares)], steps) == ends


def test_the_hooks_know_where_the_run_is() -> None:
    method = InThreePhases()
    history = fit(method, Toys(8), CONFIG)
    assert history.phases == {"learn": 4, "climb": 6, "settle": 9}, "the climb ended an update early, and so the run"
    assert len(history) == 9
    assert [(p.step, p.phase, p.phase_step, p.phase_steps, p.steps) for p in method.seen] == [
        *((step, "learn", step, 4, 10) for step in range(4)),
        *((step, "climb", step - 4, 3, 10) for step in (4, 5)),
        *((step, "settle", step - 6, 3, 9) for step in (6, 7, 8)),
    ]
    assert history.lr == [0.1] * 4 + [0.05] * 2 + [0.1] * 3


class Switching(Plain):
    """A pull of a weight towards 0, and nothing else: each update can be told by hand."""

    plan: tuple[Phase, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.head.weight.data.fill_(1.0)
        self.trace: list[tuple[float, float]] = []

    def parameter_groups(self, lr: float) -> list[dict]:
        return [
            {"name": "conv", "params": list(self.conv.parameters())},
            {"name": "head", "params": list(self.head.parameters())},
        ]

    def phases(self) -> tuple[Phase, ...]:
        return self.plan

    def after_step(self, progress: Progress) -> None:
        self.trace.append((float(self.head.weight[0, 0]), float(self.conv.weight[0, 0, 0, 0])))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"pull": 0.5 * self.head.weight.square().sum() + 0.5 * self.conv.weight.square().sum()}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_down_up_and_standing_still_by_hand(accumulation: int) -> None:
    method = Switching()
    method.plan = (
        Phase("down", 0.25),
        Phase("up", 0.25, trains=("head",), maximises=True, lr=0.5),
        Phase("conv", 0.5, trains=("conv",)),
    )
    start = float(method.conv.weight.detach()[0, 0, 0, 0])
    history = fit(method, Toys(8), replace(CONFIG, steps=4, batch_size=2, gradient_accumulation=accumulation))
    head = [0.9, 0.9 * 1.05, 0.9 * 1.05, 0.9 * 1.05]
    conv = [start * 0.9, start * 0.9, start * 0.9**2, start * 0.9**3]
    assert torch.allclose(torch.tensor(method.trace), torch.tensor(list(zip(head, conv, strict=True))), rtol=1e-6)
    assert history.loss[2] > 0, "the history keeps the loss, not what is descended"
    assert all(parameter.requires_grad for parameter in method.parameters()), "the flags come back"


def test_momentum_gathered_downhill_does_not_pull_uphill() -> None:
    method = Switching()
    method.plan = (Phase("down", 0.5), Phase("up", 0.5, maximises=True))
    fit(method, Toys(8), replace(CONFIG, steps=4, momentum=0.9))
    after = [head for head, _ in method.trace]
    assert after[2] == pytest.approx(after[1] * 1.1), "the first step uphill is a step of gradient ascent alone"


def test_a_phase_that_trains_some_leaves_no_trace_on_the_others() -> None:
    method = Switching()
    method.plan = (Phase("head", 1.0, trains=("head",)),)
    before = weights(method)
    fit(method, Toys(8), replace(CONFIG, optimiser="adamw", weight_decay=0.5))
    after = weights(method)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"head.weight"}


def test_the_rates_of_a_phase_do_not_depend_on_an_early_end() -> None:
    class Steady(InThreePhases):
        def after_step(self, progress: Progress) -> bool:
            return False

    config = replace(CONFIG, schedule="cosine")
    early, planned = fit(InThreePhases(), Toys(8), config), fit(Steady(), Toys(8), config)
    assert early.lr[6:] == planned.lr[7:]
    assert early.lr[:6] == planned.lr[:6]


def test_an_early_end_of_the_last_phase_ends_the_run(tmp_path: Path) -> None:
    class Short(Plain):
        def after_step(self, progress: Progress) -> bool:
            return progress.step == 4

    epochs: list[int] = []

    def validate(method: nn.Module) -> dict[str, float]:
        epochs.append(1)
        return {}

    method = Short()
    history = fit(method, Toys(8), CONFIG, out_dir=tmp_path, validate=validate)
    assert (len(history), len(epochs)) == (5, 3), "two whole epochs and the last update's"
    again = fit(Short(), Toys(8), CONFIG, out_dir=tmp_path)
    assert (again.resumed_at, again.phases) == ([5], {"training": 5})


@pytest.mark.parametrize("kind", [WarmingUp, InThreePhases, Taught])
def test_killed_after_any_update_the_weights_are_the_same(tmp_path: Path, kind: type[Noisy]) -> None:
    class Death(Exception):
        pass

    class Dying(kind):  # type: ignore[valid-type, misc]
        at = -1

        def losses(self, batch: Batch) -> dict[str, Tensor]:
            if self.calls == self.at:
                raise Death
            return super().losses(batch)

    Dying.__qualname__ = kind.__qualname__
    whole = kind()
    expected = fit(whole, Toys(11), CONFIG)
    for at in range(1, len(expected)):
        broken, again = Dying(), kind()
        broken.at = at
        settings = replace(CONFIG, checkpoint_every=1)
        with pytest.raises(Death):
            fit(broken, Toys(11), settings, out_dir=tmp_path / str(at))
        with torch.no_grad():
            for parameter in again.parameters():
                parameter.add_(0.0 if not parameter.requires_grad else 1.0)
        history = fit(again, Toys(11), settings, out_dir=tmp_path / str(at))
        assert history.resumed_at == [at]
        assert history == expected
        assert identical(weights(whole), weights(again)), at


def test_a_teacher_is_an_average_and_may_be_continued(tmp_path: Path) -> None:
    method = Taught()
    first = method.teacher[1].weight.clone()
    fit(method, Toys(8), replace(CONFIG, steps=1), out_dir=tmp_path)
    assert torch.allclose(method.teacher[1].weight, first + 0.1 * (method.head.weight - first))
    # The same object again: its teacher is no longer the one of the first update, and the run is the same all the same.
    assert fit(method, Toys(8), replace(CONFIG, steps=1), out_dir=tmp_path).resumed_at == [1]


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((Phase("a", 0.5), Phase("b", 0.4)), "shares that sum to 0.9, expected 1"),
        ((Phase("a", 0.5), Phase("a", 0.5)), "two phases of Switching have the same name"),
        ((Phase("a", 1.0, trains=("tail",)),), "trains tail, and its parameter groups are conv, head"),
        (tuple(Phase(str(n), 1 / 20) for n in range(20)), "10 updates for 20 phases"),
    ],
)
def test_phases_that_are_none_are_named(phases: tuple[Phase, ...], words: str) -> None:
    method = Switching()
    method.plan = phases
    with pytest.raises(ValueError, match=words):
        fit(method, Toys(8), CONFIG)


@pytest.mark.parametrize(("step", "asked"), [(0, False), (18, False), (19, True), (20, False), (39, True)])
def test_a_device_that_works_on_its_own_is_asked_every_so_often(
    monkeypatch: pytest.MonkeyPatch, step: int, asked: bool
) -> None:
    monkeypatch.setattr(phases, "asked_every", lambda _: ledger.asked_every(torch.device("cuda")))
    assert Course._answer(torch.tensor(True), step) is asked
    assert Course._answer(True, step) is True, "what the host knows costs no wait"
    assert Course._answer(None, step) is False
