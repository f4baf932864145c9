"""No update asks the device for a value: of every method that is registered, in the loop that trains it.

A GPU works on its own while the next updates are prepared, until somebody asks it for a value. On a CPU nobody waits,
so here whoever asks is found by the operations that it calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from train_kit import Plain, Toys, identical, weights

from wsss_lib.experiments import Workbench
from wsss_lib.methods import losses, registry
from wsss_lib.train import TrainConfig, fit, ledger, loop, phases

TRAINED = [name for name in registry.names() if registry.entry(name).trained]
WORLDS = {"maps": "critters", "grounding": "sentences", "boxes3d": "lidar"}
ASKS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "is_nonzero", "equal"}
"""Operations whose result, or its shape, the host must know; ``index`` by a mask and an uncounted repetition beside."""


class Refused(Exception):
    """Somebody asked."""


class NeverAsking(TorchDispatchMode):
    """Within the block, and not :attr:`resting`, operations that make the host wait are refused."""

    resting = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        counted = name == "repeat_interleave" and (kwargs or {}).get("output_size") is None
        if not self.resting and (name in ASKS or masked or counted):
            raise Refused(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> NeverAsking:
    """The mode, resting where a run on a GPU may wait: while images are read, and where losses are."""
    mode, read, stream = NeverAsking(), ledger.Ledger.read, loop.stream

    def rested(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            before, mode.resting = mode.resting, True
            try:
                return function(*args, **kwargs)
            finally:
                mode.resting = before

        return call

    def quietly(*args: Any) -> Iterator[Any]:
        batches = stream(*args)
        while (item := rested(next)(batches, None)) is not None:
            yield item

    monkeypatch.setattr(loop, "stream", quietly)
    monkeypatch.setattr(ledger.Ledger, "read", rested(read))
    # PyTorch's optimisers count their steps in tensors that stay on the CPU.
    monkeypatch.setattr(loop.Machine, "step", rested(loop.Machine.step))
    monkeypatch.setattr(phases.Course, "_answer", staticmethod(rested(phases.Course._answer)))
    monkeypatch.setattr(functional, "one_hot", rested(functional.one_hot))  # looks for wrong classes on a CPU alone
    monkeypatch.setattr(loop.Standstill, "look", rested(loop.Standstill.look))
    monkeypatch.setattr(losses, "AT_HAND", set())  # what is checked on a CPU alone
    return mode


@pytest.mark.parametrize("name", TRAINED)
def test_an_update_asks_for_nothing(name: str, asking: NeverAsking, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.entry(name)
    lab = Workbench(profile="smoke", data=WORLDS[entry.task], backbone=entry.backbone, device="cpu")
    method = lab.build(name)
    monkeypatch.setattr(loop, "_begin", _outside(asking, loop._begin))
    steps = max(3, len(method.phases()))
    records = lab.with_fields(lab.train_on.subset(range(8)), method.needs)
    config = lab.recipe(method, epochs=None, steps=steps, batch_size=4)
    with asking:
        asking.resting = True
        history = fit(method, records, config, transform=lab.transform())
    assert len(history) == steps


def _outside(mode: NeverAsking, begin: Any) -> Any:
    """The beginning of a run may wait; what comes after it is updates."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = begin(*args, **kwargs)
        mode.resting = False
        return result

    return call


def test_the_mode_finds_whoever_asks() -> None:
    values = torch.rand(4)
    for asks in (
        lambda: bool(values.sum() > 0),
        lambda: values.sum().item(),
        lambda: values[values > 0.5],
        lambda: (values > 0.5).nonzero(),
        lambda: values.repeat_interleave(torch.tensor([1, 2, 0, 1])),
    ):
        with NeverAsking(), pytest.raises(Refused):
            asks()
    with NeverAsking():
        values[torch.tensor([0, 1])] + torch.where(values > 0.5, values, 0).sum()


class Late(ledger.Ledger):
    """As on a GPU: read every 4 updates."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.every = 4


@pytest.mark.parametrize("epochs", [1, 3])
def test_losses_that_are_read_late_make_the_same_history(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config, at_once, late = TrainConfig(epochs=epochs, batch_size=2, lr=0.1), Plain(), Plain()
    expected = fit(at_once, Toys(14), config)  # 7 updates an epoch
    monkeypatch.setattr(loop, "Ledger", Late)
    assert fit(late, Toys(14), config) == expected
    assert identical(weights(late), weights(at_once))


def test_a_loss_that_is_no_number_is_found_late_but_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exploding(Plain):
        calls = 0

        def losses(self, batch: Any) -> dict[str, torch.Tensor]:
            self.calls += 1
            return {name: term * (math.nan if self.calls == 2 else 1) for name, term in super().losses(batch).items()}

    monkeypatch.setattr(loop, "Ledger", Late)
    with pytest.raises(FloatingPointError, match=r"nan in update 2 of 7 .* are those before update 4"):
        fit(Exploding(), Toys(14), TrainConfig(epochs=1, batch_size=2, lr=0.1))
